"""Samples to a file that can be looked at, or worked with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from modecover.data import Mixture
from modecover.errors import UserError
from modecover.files import require_writable
from modecover.pictures.drawing import Landmarks, image_grid, points_picture, save_png_atomic, to_pixels

SHOWN = 256
"""Images in one picture at most."""


def can_be_drawn(shape: Sequence[int]) -> bool:
    """Whether samples of this shape are images, or points of the plane."""
    return len(shape) == 3 or tuple(shape) == (2,)


def save_picture(samples: Tensor, path: Path, *, title: str = "", mixture: Mixture | None = None) -> Path:
    """A picture of `samples` (N, *shape): a grid of images, or a scatter of points about the mixture's modes.

    Raises:
        UserError: the samples are neither images nor points of the plane, or the file cannot be written.
    """
    if not can_be_drawn(samples.shape[1:]):
        raise UserError(
            f"Samples of shape {tuple(samples.shape[1:])} cannot be drawn: give --out a name that ends in .npy instead."
        )
    if samples.ndim == 4:
        return save_png_atomic(image_grid(samples[:SHOWN]), path)
    landmarks = Landmarks() if mixture is None else Landmarks(mixture.centres, mixture.std)
    return save_png_atomic(points_picture(samples, landmarks, title), path)


def save_array(samples: Tensor, path: Path) -> Path:
    """`samples` as a NumPy file, float32; images in [-1, 1]."""
    import numpy as np

    require_writable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, samples.numpy(), allow_pickle=False)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def save_folder(samples: Tensor, folder: Path) -> Path:
    """Each image as a PNG of its own: `folder`/000000.png and so on.

    Raises:
        UserError: the samples are not grey or colour images, or the folder cannot be written.
    """
    from PIL import Image

    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        raise UserError(
            f"Samples of shape {tuple(samples.shape[1:])} are not single images: give --out a name that ends in .png "
            "or .npy."
        )
    pixels = to_pixels(samples).permute(0, 2, 3, 1).squeeze(-1).numpy()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{number:06d}.png")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written ({error.strerror or error}): choose another place with --out.")
