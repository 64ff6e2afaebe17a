"""What an encoder and a generator make of data: images line by line, points as arrows and ways over the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modecover.pictures.images import GOOD, QUIET, STRAY, as_points, drawable, drawn, empty_figure, image_grid
from modecover.pictures.saving import Landmarks, limits_about

if TYPE_CHECKING:
    from PIL.Image import Image

PAIRS_IN_A_LINE = 8


def pairs_sheet(x: Tensor, made: Tensor) -> Image:
    """Images x (n, C, H, W) in lines of eight, and below each line what is `made` of them."""
    lines = zip(x.split(PAIRS_IN_A_LINE), made.split(PAIRS_IN_A_LINE), strict=True)
    whole = []
    for line in lines:
        gap = line[0].new_ones(PAIRS_IN_A_LINE - len(line[0]), *x.shape[1:])  # white, in a last line that is not full
        # Fewer images than a line holds are a line of that length.
        whole += [torch.cat([rows, gap]) if len(x) > PAIRS_IN_A_LINE else rows for rows in line]
    return image_grid(torch.cat(whole), columns=min(PAIRS_IN_A_LINE, len(x)))


def strips_sheet(first: Tensor, ways: Tensor, last: Tensor | None = None) -> Image:
    """A line for each way (n, k, C, H, W), between the image that it begins with and the one that it ends with."""
    ends = [first[:, None], ways, *([] if last is None else [last[:, None]])]
    strips = torch.cat(ends, dim=1)
    return image_grid(strips.flatten(0, 1), columns=strips.shape[1])


def ways_picture(
    given: Sequence[Tensor], ways: Tensor, landmarks: Landmarks, *, arrows: bool, title: str = "", words: str = ""
) -> Image:
    """Points of the plane that were given, each (n, 2), and the ways (n, k, 2) that the networks make of them.

    With `arrows` each way is one arrow from its first point to its last; else a line of dots, darkest where it ends. A
    thin line joins each given point to the end of its way. All are on the limits that `landmarks` fix.
    """
    from matplotlib.lines import Line2D

    lines = as_points(ways.flatten(0, 1)).reshape(*ways.shape)
    ends = [as_points(points) for points in given]
    figure = empty_figure(5.2, 5.7, gap=0.1)
    axes = figure.add_subplot()
    signs: list[tuple[str, dict[str, Any]]] = []
    if landmarks.points is not None:
        x, y = as_points(landmarks.points).T
        axes.scatter(x, y, s=4, c=QUIET, alpha=0.35, linewidths=0)
        signs.append(("data", {"marker": "o", "linestyle": "none", "color": QUIET, "markersize": 4}))
    if landmarks.centres is not None:
        x, y = as_points(landmarks.centres).T
        axes.scatter(x, y, s=60, facecolors="none", edgecolors=QUIET, linewidths=0.8)
        ring = {"marker": "o", "linestyle": "none", "markerfacecolor": "none", "markeredgecolor": QUIET}
        signs.append(("centre of a mode", ring))
    if arrows:
        start, move = lines[:, 0], lines[:, -1] - lines[:, 0]
        arrow: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004}
        axes.quiver(*start.T, *move.T, color=STRAY, alpha=0.9, zorder=2, **arrow)
    else:
        for way in lines:
            axes.plot(*way.T, color=STRAY, linewidth=0.8, alpha=0.6, zorder=2)
            axes.scatter(way[:, 0], way[:, 1], s=6, c=STRAY, alpha=0.9, linewidths=0, zorder=2)
        for points, place in zip(ends, (0, -1), strict=False):
            if len(ends) == 2:
                axes.plot(*zip(points.T, lines[:, place].T, strict=True), color=QUIET, linewidth=0.7)
    signs.append((words, {"color": STRAY, "marker": ">" if arrows else "o", "markersize": 4}))
    for points in ends:
        axes.scatter(points[:, 0], points[:, 1], s=14, c=GOOD, linewidths=0, zorder=3)
    signs.insert(0, ("row of the data", {"marker": "o", "linestyle": "none", "color": GOOD, "markersize": 4}))
    left, right, bottom, top = limits_about(landmarks, ends[0])
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.tick_params(labelsize=8)
    flat = lines.reshape(-1, 2)
    inside = (flat >= (left, bottom)).all(axis=1) & (flat <= (right, top)).all(axis=1)
    if not inside.all():
        text = f"{1 - inside.mean():.0%} of what is made lies outside"
        axes.text(0.02, 0.02, text, transform=axes.transAxes, fontsize=8, color=STRAY)
    axes.set_title(drawable(title), fontsize=11)
    beneath: Any = {"loc": "outside lower center", "ncols": 2, "frameon": False}
    figure.legend(handles=[Line2D([], [], label=label, **style) for label, style in signs], fontsize=8, **beneath)
    return drawn(figure)
