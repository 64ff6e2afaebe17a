"""Samples as points of the plane, and methods side by side, whether their samples are points or images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from modecover.errors import UserError
from modecover.pictures import images
from modecover.pictures.images import Samples, as_points, drawable, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

HIGH_QUALITY = 3.0
"""Standard deviations about its nearest centre within which a sample counts as high-quality."""

_POINTS_SHOWN = 2500
_IMAGES_SHOWN = 16

_LINE = 0.2
"""Height of a line of the legend, in inches."""


@dataclass(frozen=True)
class Landmarks:
    """What a scatter of samples is seen against.

    Attributes:
        centres: (K, 2) centres of the mixture's modes; None where there are none.
        std: of each mode, in every direction.
        points: (M, 2) samples of the data, drawn in grey beneath.
    """

    centres: Samples | None = None
    std: float = 0.0
    points: Samples | None = None


def points_picture(samples: Samples, landmarks: Landmarks | None = None, title: str = "") -> Image:
    """A scatter of points (N, 2), on limits that `landmarks` fix, so that pictures of one run can be compared.

    Against a mixture's centres, samples within 3 standard deviations of one are blue and all others orange. At most
    2,500 samples are drawn, the first ones.

    Raises:
        UserError: the samples are not points of the plane.
    """
    points = as_points(samples)
    landmarks = landmarks or Landmarks()
    figure = images.empty_figure(4.2, (4.5 if title else 4.2) + _LINE * len(_signs(landmarks)))
    axes = figure.add_subplot()
    _scatter(axes, points, landmarks, _limits(landmarks, points))
    axes.set_title(drawable(title), fontsize=11)
    _explain(figure, landmarks, columns=1)
    return drawn(figure)


def comparison_picture(
    target: Samples,
    rows: Mapping[str, Sequence[Samples]],
    landmarks: Landmarks | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
    *,
    target_caption: str = "",
    seeds: Sequence[int] | None = None,
    title: str = "",
) -> Image:
    """The target beside a table of panels: one row for each method, one column for each seed.

    Args:
        target: samples of the data, (N, 2) points or (N, C, H, W) images in [-1, 1].
        rows: method name to its samples, one entry for each seed, shaped like `target`. 16 images of each are shown.
        landmarks: for points, what they are seen against.
        captions: method name to a few words beneath each panel, such as "8/8 modes".
        target_caption: the words beneath the target.
        seeds: the numbers above the columns. Default: 0, 1, ...

    Raises:
        UserError: there is nothing to compare, or samples are neither points nor images.
    """
    columns = max((len(panels) for panels in rows.values()), default=0)
    if not columns:
        raise UserError("There is nothing to compare: give at least one method with the samples of one seed.")
    landmarks = landmarks or Landmarks()
    are_images = torch.as_tensor(target).ndim == 4
    signs = [] if are_images else _signs(landmarks)
    signs_beside = 3 if columns >= 3 else 1
    room = 2.0 if columns <= 4 else 1.6
    height = (room + 0.3) * len(rows) + (0.4 if title else 0.1) + _LINE * math.ceil(len(signs) / signs_beside)
    figure = images.empty_figure(room * (columns + 1) + 0.4, height)
    grid = figure.add_gridspec(len(rows), columns + 1)

    # All panels have the target's limits: those of the landmarks, and where there are none, of the target's own points.
    limits = _limits(landmarks, np.empty((0, 2)) if are_images else as_points(target))

    def draw(place: Any, samples: Samples, *, above: str = "", beneath: str = "", beside: str = "") -> Axes:
        axes = figure.add_subplot(place)
        if are_images:
            shown = images.image_grid(torch.as_tensor(samples)[:_IMAGES_SHOWN], scale=1)
            axes.imshow(np.asarray(shown), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        else:
            _scatter(axes, as_points(samples), landmarks, limits)
        axes.set_title(drawable(above), fontsize=10, pad=4)
        axes.set_xlabel(beneath, fontsize=9, labelpad=3)
        axes.set_ylabel(beside, fontsize=11, labelpad=6)
        axes.spines[:].set_color(images.FRAME)
        return axes

    draw(grid[:, 0], target, above="target", beneath=target_caption).set_anchor("C")
    numbers = range(columns) if seeds is None else seeds
    for row, (method, panels) in enumerate(rows.items()):
        words = dict(enumerate((captions or {}).get(method, ())))
        for column, samples in enumerate(panels):
            above, beside = "" if row else f"seed {numbers[column]}", "" if column else method
            draw(grid[row, column + 1], samples, above=above, beneath=words.get(column, ""), beside=beside)
    figure.suptitle(drawable(title), fontsize=12)
    if signs:
        _explain(figure, landmarks, columns=signs_beside)
    return drawn(figure)


def is_high_quality(points: NDArray[np.float64], centres: NDArray[np.float64], std: float) -> NDArray[np.bool_]:
    """Whether each point (N, 2) lies within 3 std (L2) of the nearest centre (K, 2)."""
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
    near: NDArray[np.bool_] = distances <= HIGH_QUALITY * std
    return near


def _limits(landmarks: Landmarks, samples: NDArray[np.float64]) -> tuple[float, float, float, float]:
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
    shown = samples[:_POINTS_SHOWN]
    size = 7 if len(shown) <= 500 else 3.5
    colours: Any = images.GOOD
    if landmarks.points is not None:
        x, y = as_points(landmarks.points)[:_POINTS_SHOWN].T
        axes.scatter(x, y, s=size, c=images.QUIET, alpha=0.35, linewidths=0)
    if landmarks.centres is not None:
        centres = as_points(landmarks.centres)
        colours = np.where(is_high_quality(shown, centres, landmarks.std), images.GOOD, images.STRAY)
        x, y = centres.T
        axes.scatter(x, y, s=34, marker="o", facecolors="none", edgecolors=images.QUIET, linewidths=0.8, zorder=0)
    x, y = shown.T
    axes.scatter(x, y, s=size, c=colours, alpha=0.7, linewidths=0)
    left, right, bottom, top = limits
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    if not inside.all():
        share = float(np.mean(~inside))
        text = f"{share:.0%} outside" if share >= 0.005 else "<1% outside"
        axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=8, color=images.STRAY)


def _signs(landmarks: Landmarks) -> list[tuple[str, dict[str, Any]]]:
    """What the signs in a scatter mean, each with how it is drawn."""
    dot = {"marker": "o", "linestyle": "none", "markersize": 5}
    signs: list[tuple[str, dict[str, Any]]] = [("sample", {**dot, "color": images.GOOD})]
    if landmarks.centres is not None:
        signs = [
            (f"sample within {HIGH_QUALITY:g} std of a mode's centre", {**dot, "color": images.GOOD}),
            ("sample farther off", {**dot, "color": images.STRAY}),
            ("centre of a mode", {**dot, "markerfacecolor": "none", "markeredgecolor": images.QUIET}),
        ]
    if landmarks.points is not None:
        signs.append(("data", {**dot, "color": images.QUIET}))
    return signs


def _explain(figure: Figure, landmarks: Landmarks, columns: int) -> None:
    """The legend of a figure's scatters, beneath them."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=label, **style) for label, style in _signs(landmarks)]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False, handletextpad=0.2
    )
