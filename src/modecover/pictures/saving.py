"""Samples as what can be looked at, or worked with: a picture that suits them, an array, a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modecover.data import Dataset, Mixture
from modecover.errors import UserError
from modecover.files import writing
from modecover.pictures.images import image_grid, save_png_atomic, to_pixels
from modecover.pictures.scatters import Landmarks, comparison_picture, points_picture
from modecover.random import derive_seed

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 256
"""Images in one picture at most."""


def can_be_drawn(shape: Sequence[int]) -> bool:
    """Whether samples of this shape are images, or points of the plane."""
    return len(shape) == 3 or tuple(shape) == (2,)


def prepare_pictures(dataset: Dataset) -> None:
    """Load what draws samples of this data: a second, once."""
    if dataset.shape == (2,):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


def samples_picture(samples: Tensor, dataset: Dataset, seeds: Sequence[int]) -> Image:
    """The samples of all seeds of a run: a grid of images, or scatters against the target.

    Args:
        samples: (S, n, *shape), n for each seed, of a shape that can be drawn.
        dataset: what the samples should look like.
        seeds: their seeds, in order.
    """
    if len(dataset.shape) == 3:
        return image_grid(samples.flatten(0, 1), columns=8)
    landmarks = landmarks_of(dataset)
    if len(seeds) == 1:
        return points_picture(samples[0], landmarks)
    target = dataset.sample(samples.shape[1], _generator(dataset))
    shown = range(min(8, len(seeds)))
    return comparison_picture(target, {"": [samples[i] for i in shown]}, landmarks, seeds=[seeds[i] for i in shown])


def landmarks_of(dataset: Dataset) -> Landmarks:
    """The centres of a known mixture, or samples of the data, to see samples against."""
    if dataset.mixture is not None:
        return Landmarks(dataset.mixture.centres, dataset.mixture.std)
    return Landmarks(points=dataset.sample(1000, _generator(dataset)))


def _generator(dataset: Dataset) -> torch.Generator:
    return torch.Generator(dataset.device).manual_seed(derive_seed(0, "picture of the target"))


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

    with writing(path, "choose another place with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, samples.numpy(), allow_pickle=False)
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
    with writing(folder, "choose another place with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{number:06d}.png")
    return folder
