"""Samples as what can be looked at, or worked with: pictures that suit them, an array, a folder of images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.data import Dataset, Mixture
from modecover.errors import UserError
from modecover.files import writing
from modecover.metrics.modes import RADIUS
from modecover.pictures import images
from modecover.pictures.images import GOOD, QUIET, STRAY, Samples, as_points, drawable, drawn, image_grid
from modecover.random import derive_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

_IMAGES, _POINTS = 256, 2500
"""Drawn in one picture, or one scatter, at most."""


@dataclass(frozen=True)
class Landmarks:
    """What a scatter of samples is seen against."""

    centres: Samples | None = None
    """Of a mixture's modes, (K, 2); None where there are none."""
    std: float = 0.0
    """Of each mode, in every direction."""
    points: Samples | None = None
    """Samples of the data, (M, 2), drawn in grey beneath."""


def can_be_drawn(shape: Sequence[int]) -> bool:
    """Whether samples of this shape are images, or points of the plane."""
    return len(shape) == 3 or tuple(shape) == (2,)


def prepare_pictures(dataset: Dataset) -> None:
    """Load what draws samples of this data: a second, once."""
    if dataset.shape == (2,):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


def samples_picture(samples: Tensor, dataset: Dataset, seeds: Sequence[int]) -> Image:
    """The samples of all seeds of a run, (S, n, *shape), of a shape that can be drawn: a grid of images, or scatters
    against the data that they should look like."""
    if len(dataset.shape) == 3:
        return image_grid(samples.flatten(0, 1), columns=8)
    landmarks = landmarks_of(dataset)
    if len(seeds) == 1:
        return points_picture(samples[0], landmarks)
    return comparison_picture(_of(dataset, samples.shape[1]), {"": list(samples[:8])}, landmarks, seeds=seeds[:8])


def landmarks_of(dataset: Dataset) -> Landmarks:
    """The centres of a known mixture, or samples of the data, to see samples against."""
    if dataset.mixture is not None:
        return Landmarks(dataset.mixture.centres, dataset.mixture.std)
    return Landmarks(points=_of(dataset, 1000))


def _of(dataset: Dataset, count: int) -> Tensor:
    """The same samples of the data for every picture."""
    return dataset.sample(count, torch.Generator(dataset.device).manual_seed(derive_seed(0, "picture of the target")))


def points_picture(samples: Samples, landmarks: Landmarks, title: str = "") -> Image:
    """A scatter of points (N, 2), on limits that `landmarks` fix, so that pictures of one run can be compared.

    Against a mixture's centres, samples within 3 standard deviations of one are blue and all others orange. At most
    2,500 samples are drawn, the first ones. Raises `UserError` where they are not points of the plane.
    """
    points = as_points(samples)
    figure = _figure(4.2, 4.5 if title else 4.2, landmarks)
    axes = figure.add_subplot()
    _scatter(axes, points, landmarks, limits_about(landmarks, points))
    axes.set_title(drawable(title), fontsize=11)
    return drawn(figure)


def comparison_picture(
    target: Samples,
    rows: Mapping[str, Sequence[Samples]],
    landmarks: Landmarks,
    captions: Mapping[str, Sequence[str]] | None = None,
    *,
    seeds: Sequence[int],
    title: str = "",
) -> Image:
    """The target beside a table of scatters: one row for each method, one column for each seed.

    Raises `UserError` where there is nothing to compare, or samples are not points of the plane.

    Args:
        target: samples of the data, (N, 2).
        rows: method name to its samples, one entry for each seed.
        landmarks: what they are seen against; where there are none, the limits are the target's.
        captions: method name to a few words beneath each panel, such as "8/8 modes".
        seeds: the numbers above the columns.
    """
    columns = max((len(panels) for panels in rows.values()), default=0)
    if not columns:
        raise UserError("There is nothing to compare: give at least one method with the samples of one seed.")
    room = 2.0 if columns <= 4 else 1.6
    height = (room + 0.3) * len(rows) + (0.4 if title else 0.1)
    figure = _figure(room * (columns + 1) + 0.4, height, landmarks, 3 if columns >= 3 else 1)
    grid, limits = figure.add_gridspec(len(rows), columns + 1), limits_about(landmarks, as_points(target))

    def draw(place: Any, samples: Samples, above: str, beneath: str = "", beside: str = "") -> Axes:
        axes = figure.add_subplot(place)
        _scatter(axes, as_points(samples), landmarks, limits)
        axes.set_title(above, fontsize=10, pad=4)
        axes.set_xlabel(beneath, fontsize=9, labelpad=3)
        axes.set_ylabel(beside, fontsize=11, labelpad=6)
        axes.spines[:].set_color(images.FRAME)
        return axes

    draw(grid[:, 0], target, "target").set_anchor("C")
    for row, (method, panels) in enumerate(rows.items()):
        words = dict(enumerate((captions or {}).get(method, ())))
        for column, samples in enumerate(panels):
            above, beside = "" if row else f"seed {seeds[column]}", "" if column else method
            draw(grid[row, column + 1], samples, above, words.get(column, ""), beside)
    figure.suptitle(drawable(title), fontsize=12)
    return drawn(figure)


def _figure(width: float, height: float, landmarks: Landmarks, columns: int = 1) -> Figure:
    """An empty figure of scatters, in inches, with a legend of their signs beneath, which adds to the height."""
    from matplotlib.lines import Line2D

    signs = [("sample", GOOD, GOOD)]  # each with the colours of its face and its edge
    if landmarks.centres is not None:
        near = (f"sample within {RADIUS:g} std of a mode's centre", GOOD, GOOD)
        signs = [near, ("sample farther off", STRAY, STRAY), ("centre of a mode", "none", QUIET)]
    if landmarks.points is not None:
        signs.append(("data", QUIET, QUIET))
    figure = images.empty_figure(width, height + 0.2 * math.ceil(len(signs) / columns))
    dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 5}
    handles = [Line2D([], [], label=s, markerfacecolor=f, markeredgecolor=e, **dot) for s, f, e in signs]
    beneath: Any = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(handles=handles, fontsize=8, handletextpad=0.2, **beneath)
    return figure


def limits_about(landmarks: Landmarks, samples: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a square about the centres, else the reference points, else the samples."""
    margin, shown = 0.0, samples
    if landmarks.centres is not None:
        shown, margin = as_points(landmarks.centres), 4 * landmarks.std
    elif landmarks.points is not None:
        shown = as_points(landmarks.points)
    shown = shown[np.isfinite(shown).all(axis=1)]
    if not len(shown):
        return -1.0, 1.0, -1.0, 1.0
    low, high = shown.min(axis=0), shown.max(axis=0)
    middle, extent = (low + high) / 2, float((high - low).max()) / 2
    half = max(1.3 * extent, extent + margin) or 1.0
    return middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half


def _scatter(
    axes: Axes, samples: NDArray[np.float64], landmarks: Landmarks, limits: tuple[float, float, float, float]
) -> None:
    """Samples over their landmarks, on a square without ticks; how many lie outside is written in the corner."""
    shown = samples[:_POINTS]
    size = 7 if len(shown) <= 500 else 3.5
    colours: Any = GOOD
    if landmarks.points is not None:
        x, y = as_points(landmarks.points)[:_POINTS].T
        axes.scatter(x, y, s=size, c=QUIET, alpha=0.35, linewidths=0)
    if landmarks.centres is not None:
        centres = as_points(landmarks.centres)
        nearest = np.linalg.norm(shown[:, None] - centres[None], axis=2).min(axis=1)
        colours = np.where(nearest <= RADIUS * landmarks.std, GOOD, STRAY)
        x, y = centres.T
        axes.scatter(x, y, s=34, marker="o", facecolors="none", edgecolors=QUIET, linewidths=0.8, zorder=0)
    x, y = shown.T
    axes.scatter(x, y, s=size, c=colours, alpha=0.7, linewidths=0)
    left, right, bottom, top = limits
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    if not inside.all():
        share = float(np.mean(~inside))
        text = f"{share:.0%} outside" if share >= 0.005 else "<1% outside"
        axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=8, color=STRAY)


def save_picture(samples: Tensor, path: Path, *, title: str = "", mixture: Mixture | None = None) -> Path:
    """A picture of `samples` (N, *shape): a grid of images, or a scatter of points about the mixture's modes. Raises
    `UserError` where they are neither images nor points of the plane, or the file cannot be written."""
    if not can_be_drawn(samples.shape[1:]):
        raise UserError(
            f"Samples of shape {tuple(samples.shape[1:])} cannot be drawn: give --out a name that ends in .npy instead."
        )
    if samples.ndim == 4:
        return images.save_png_atomic(image_grid(samples[:_IMAGES]), path)
    landmarks = Landmarks() if mixture is None else Landmarks(mixture.centres, mixture.std)
    return images.save_png_atomic(points_picture(samples, landmarks, title), path)


def save_array(samples: Tensor, path: Path) -> Path:
    """`samples` as a NumPy file, float32; images in [-1, 1]."""
    with writing(path, "choose another place with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, samples.numpy(), allow_pickle=False)
    return path


def save_table(frame: Any, path: Path) -> Path:
    """The rows of a pandas `DataFrame` as comma-separated values, below a line of names; empty cells are empty."""
    with writing(path, "choose another place with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    return path


def save_folder(samples: Tensor, folder: Path) -> Path:
    """Each image as a PNG of its own: `folder`/000000.png and so on. Raises `UserError` where the samples are not grey
    or colour images, or the folder cannot be written."""
    if samples.ndim != 4 or samples.shape[1] not in (1, 3):
        raise UserError(
            f"Samples of shape {tuple(samples.shape[1:])} are not single images: give --out a name that ends in .png "
            "or .npy."
        )
    if folder.is_file():
        raise UserError(f"{folder} is a file, not a folder. Choose another place with --out.")
    with writing(folder, "choose another place with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(samples):
            image_grid(image[None], scale=1).save(folder / f"{number:06d}.png")
    return folder
