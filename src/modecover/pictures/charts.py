"""Small charts: a number over steps, how numbers are spread, and a covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from modecover.pictures.images import drawn, empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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


def scale_by_logarithm(axes: Axes) -> None:
    """Put the numbers drawn so far, all positive, on a logarithmic scale whose marks read 0.2 and 12, not 2 x 10^-1 and
    1.2 x 10^1: at 1, 2 and 5 of each power of ten, and at all whole multiples where there are few powers."""
    from matplotlib.ticker import LogLocator

    values = [value for line in axes.get_lines() for value in np.asarray(line.get_ydata(), dtype=np.float64)]
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(LogLocator(subs=range(2, 10) if max(values) < 20 * min(values) else (2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")


def covariance_picture(covariance: Tensor) -> Image:
    """Absolute values of a covariance (d, d), zero white, up to 1: that of N(0, I) has a dark diagonal on white."""
    figure = empty_figure(3.2, 3.0)
    axes = figure.add_subplot()
    shown = axes.imshow(covariance.abs().numpy(), cmap="Reds", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, shrink=0.8)
    return drawn(figure)
