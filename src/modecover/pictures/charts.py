"""Small charts: a number over steps, how numbers are spread, and a covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from modecover.pictures.images import drawn, empty_figure

if TYPE_CHECKING:
    from PIL.Image import Image


def curve_picture(points: Sequence[tuple[int, float]], x: str, y: str, level: float | None = None) -> Image:
    """A number over steps, with a broken line where it ends if all is well.

    Args:
        points: pairs of a step and the number there, at least one.
        x: what is written along the steps.
        y: what is written along the numbers, whose axis begins at 0.
        level: of the broken line; None: there is none.
    """
    figure = empty_figure(3.6, 2.6)
    axes = figure.add_subplot()
    axes.plot(*zip(*points, strict=True), linewidth=0.8)
    if level is not None:
        axes.axhline(level, color="grey", linestyle="--", linewidth=0.8)
    axes.set(xlabel=x, ylabel=y)
    axes.set_ylim(bottom=0)
    return drawn(figure)


def histogram_picture(groups: Mapping[str, Sequence[float]], x: str, y: str) -> Image:
    """How many numbers of each group, by its name, fall into each of twenty equal bins, side by side."""
    figure = empty_figure(7.2, 4.2)
    axes = figure.add_subplot()
    axes.hist(list(groups.values()), bins=20, label=list(groups))
    axes.set(xlabel=x, ylabel=y)
    axes.legend()
    return drawn(figure)


def covariance_picture(covariance: Tensor) -> Image:
    """Absolute values of a covariance (d, d), zero white, up to 1: that of N(0, I) has a dark diagonal on white."""
    figure = empty_figure(3.2, 3.0)
    axes = figure.add_subplot()
    shown = axes.imshow(covariance.abs().numpy(), cmap="Reds", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, shrink=0.8)
    return drawn(figure)
