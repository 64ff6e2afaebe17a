"""The log of a run as curves: losses by network, and every other number, over the steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modecover.errors import UserError
from modecover.pictures.images import COLOURS, FRAME, drawable, drawn, empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

Curve = list[tuple[float, float]]
Curves = dict[str, dict[str, dict[str, Curve]]]
"""Panel to label to seed to the points (step, value)."""

_DASHES = ("-", "--", ":", "-.")
"""Of curves beyond the first seven, whose colours come again."""

_SEEN = 1000
"""Points of a curve: of more every n-th is drawn, and always the last."""

_NO_CURVES = ("step", "time", "seconds", "steps_per_second", "elapsed", "low", "high")


def curves_picture(rows: Iterable[Mapping[str, Any]], title: str = "", seeds: Sequence[int] | None = None) -> Image:
    """The numbers of a log over its steps, as `read_log` returns its rows.

    Numbers under "losses" (or "loss") share a panel where their names agree up to the last "/"; every other number has
    its own. A list is one curve for each of `seeds` (default: 0, 1, ...), told apart by colour and legend. Times and
    speeds are left out. Raises `UserError` where the log holds no numbers yet.
    """
    panels = _panels(rows)
    if not panels:
        raise UserError("There are no curves to draw: the log holds no numbers with a step yet.")
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = empty_figure(3.4 * columns, 2.4 * lines + (0.4 if title else 0), gap=0.08)
    for number, (name, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(lines, columns, number + 1)
        _draw_curves(axes, curves, seeds)
        axes.set_title(drawable(name.replace("_", " ").removeprefix("losses/")), fontsize=10)
        axes.grid(color="#E5E5E5", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, color=FRAME)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FRAME)
        axes.locator_params(axis="x", nbins=5)
        if number >= len(panels) - columns:
            axes.set_xlabel("step", fontsize=9)
        if len(axes.lines) > 1:
            ncols = math.ceil(len(axes.lines) / 5)
            axes.legend(
                fontsize=8, framealpha=0.8, edgecolor="none", labelcolor="linecolor", handlelength=1.2, ncols=ncols
            )
    figure.suptitle(drawable(title), fontsize=12)
    return drawn(figure)


def _panels(rows: Iterable[Mapping[str, Any]]) -> Curves:
    panels: Curves = {}
    for row in rows:
        step = row.get("step")
        if not isinstance(step, int | float):
            continue
        for names, seed, value in numbers_in(row):
            if names[-1] in _NO_CURVES:
                continue
            loss = names[0] in ("loss", "losses") and len(names) > 1
            panel = "/".join(names[:-1]) if loss else names[-1]
            panels.setdefault(panel, {}).setdefault(names[-1], {}).setdefault(seed, []).append((step, value))
    return panels


def numbers_in(value: Any, names: tuple[str, ...] = (), seed: str = "") -> Iterator[tuple[tuple[str, ...], str, float]]:
    """(names down to it, place in lists of several, number) of every number in a row; NaN for infinities."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from numbers_in(item, (*names, *str(name).split("/")), seed)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from numbers_in(item, names, f"{seed}/{place}" if len(value) > 1 else seed)
    elif hasattr(value, "item"):
        yield from numbers_in(value.item(), names, seed)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield names, seed, float(value) if math.isfinite(value) else math.nan


def _draw_curves(axes: Axes, curves: Mapping[str, Mapping[str, Curve]], seeds: Sequence[int] | None) -> None:
    """One colour and entry in the legend for each label, or for each seed where there is one label only."""
    by_seed = len(curves) == 1
    for number, (label, of_seeds) in enumerate(curves.items()):
        for position, seen in enumerate(of_seeds.values()):
            points = sorted(seen, key=lambda point: point[0])  # a run that went back was evaluated there last
            seed = seeds[position] if seeds is not None and position < len(seeds) else position
            colour = position if by_seed else number
            every = math.ceil(len(points) / _SEEN)
            axes.plot(
                *zip(*points[(len(points) - 1) % every :: every], strict=True),
                color=COLOURS[colour % len(COLOURS)],
                linestyle=_DASHES[colour // len(COLOURS) % len(_DASHES)],
                alpha=1.0 if by_seed or len(of_seeds) == 1 else 0.6,
                linewidth=1.2,
                marker="o" if len(points) == 1 else None,
                markersize=3,
                label=f"seed {seed}" if by_seed else drawable(label) if position == 0 else f"_{position}",
            )
