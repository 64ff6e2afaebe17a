"""The page of compared runs: one HTML file that needs nothing else. What it says stands in page.html.jinja."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.auditing.page import Plot, templates, ticks
from modecover.errors import one_line
from modecover.experiments.report import better_side, heading, written
from modecover.pictures.animation import step_of

if TYPE_CHECKING:
    from modecover.comparing.runs import ComparedRun, Number, RunComparison

COLOURS, DASHES = 7, 5
"""Of curves; they are told apart by both."""

BANDS = 6
"""Curves at most that have the range of their seeds drawn: more would hide each other."""

THUMB = (900, 420)
"""Pixels of a run's picture at most, side by side and from top to bottom."""


def page(comparison: RunComparison) -> str:
    """The comparison as one HTML text: no script, and nothing loaded from elsewhere."""
    pictures = [None if path is None else _thumb(Path(path)) for path in comparison.gallery]
    words = {
        "comparison": comparison,
        "pictures": pictures,
        "plots": {name: curves(comparison, name) for name in comparison.names if _goes_on(comparison, name)},
        "groups": {name: groups(values, comparison.runs) for name, values in comparison.differing.items()},
    }
    names = {
        "heading": heading,
        "written": written,
        "better_side": better_side,
        "spread": spread,
        "look": look,
        "BANDS": BANDS,
    }
    return templates(Path(__file__).parent).get_template("page.html.jinja", globals=names).render(**words)


def look(place: int) -> str:
    """The classes of the curve of the run in this place."""
    return f"run{place % COLOURS} dash{place // COLOURS % DASHES}"


def spread(name: str, number: Number, which: str) -> str:
    """The interval of a number in words; empty where there is none."""
    estimate = number.last if which == "last" else number.best
    return "" if math.isnan(estimate.low) else f"{written(name, estimate.low)} to {written(name, estimate.high)}"


def groups(values: Sequence[str], runs: Sequence[ComparedRun]) -> dict[str, list[str]]:
    """The names of the runs by the value that they have, in order."""
    found: dict[str, list[str]] = {}
    for value, run in zip(values, runs, strict=True):
        found.setdefault(value, []).append(run.name)
    return found


def curves(comparison: RunComparison, name: str) -> str:
    """A number over the steps: of each run the mean over seeds, and the range of the seeds; a dashed line at what fresh
    samples of the data read. Empty where no run has it."""
    lines = {place: points for place, run in enumerate(comparison.runs) if (points := _points(run, name))}
    if not lines:
        return ""
    ideal = comparison.control.get(name, math.nan)
    drawn = [height for points in lines.values() for _, *heights in points for height in heights]
    seen = [height for height in (*drawn, ideal) if math.isfinite(height)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    margin = 0.06 * (high - low) or 0.5
    last = max(points[-1][0] for points in lines.values())
    first = min(0.0, *(points[0][0] for points in lines.values()))
    heights = (low - margin, high + margin)
    widest = max(len(written(name, value)) for value in ticks(*heights))
    box = (370, 250, 12, 12, 42, max(52, 16 + 7 * widest))
    plot = Plot(f"{heading(name)} over training", (first, last), heights, box)
    for value in ticks(*heights):
        height = plot.y(value)
        plot.add("line", x1=plot.left, x2=plot.end, y1=height, y2=height, cls="grid")
        plot.add("text", written(name, value), x=plot.left - 8, y=height + 4, text_anchor="end")
    for value in ticks(first, last, 4):
        plot.add("text", f"{value:,.0f}", x=plot.x(value), y=plot.floor + 17, text_anchor="middle")
    plot.add("text", "step", x=(plot.left + plot.end) / 2, y=plot.height - 6, text_anchor="middle", cls="name")
    if math.isfinite(ideal):
        plot.draw("polyline", [(first, ideal), (last, ideal)], "real")
    for place, points in lines.items():
        for piece in _pieces(points):
            if len(comparison.runs) <= BANDS:
                plot.draw(
                    "polygon", [(x, b) for x, _, b, _ in piece] + [(x, t) for x, _, _, t in piece[::-1]], look(place)
                )
            plot.draw("polyline", [(x, mean) for x, mean, _, _ in piece], look(place))
        for x, mean, _, _ in [point for point in points[-1:] if math.isfinite(point[1])]:
            plot.add("circle", cx=plot.x(x), cy=plot.y(mean), r=3.2, cls=f"dot {look(place)}")
    return plot.svg()


def _goes_on(comparison: RunComparison, name: str) -> bool:
    """Whether a run has the number at more than one step: one alone is no curve."""
    return any(len(_points(run, name)) > 1 for run in comparison.runs)


_Point = tuple[float, float, float, float]
"""Step, mean, least and largest of the seeds."""


def _points(run: ComparedRun, name: str) -> list[_Point]:
    found: list[_Point] = []
    for each in run.evaluations:
        numbers = [value for value in each.numbers.get(name, ()) if math.isfinite(value)]
        if numbers:
            found.append((each.step, math.fsum(numbers) / len(numbers), min(numbers), max(numbers)))
        elif found:
            found.append((each.step, math.nan, math.nan, math.nan))
    return found


def _pieces(points: Sequence[_Point]) -> list[list[_Point]]:
    """The parts of a curve between places where no seed has the number."""
    pieces: list[list[_Point]] = [[]]
    for point in points:
        if math.isnan(point[1]):
            pieces.append([])
        else:
            pieces[-1].append(point)
    return [piece for piece in pieces if piece]


def _thumb(path: Path) -> Mapping[str, str]:
    """A picture in base64, or why there is none."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return {"words": f"{path.name} cannot be read ({one_line(str(error))})"}
    picture.thumbnail(THUMB)
    file = io.BytesIO()
    picture.quantize(256).save(file, "PNG", optimize=True)
    return {"code": base64.b64encode(file.getvalue()).decode(), "words": f"step {step_of(path):,}"}
