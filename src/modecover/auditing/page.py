"""The page of an audit: one HTML file that needs nothing else. What it says stands in page.html.jinja, its plots here.

They are SVG that takes its colours from the page: no library, no raster, sharp in light and dark. Classes used: `real`,
`fake`, `alarm` (what should worry), `grid`, `axis`.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modecover.auditing import findings, results
from modecover.auditing.findings import LARGEST_TILE
from modecover.auditing.results import Bins, Findings, Gallery, Verdict
from modecover.pictures.images import image_grid

if TYPE_CHECKING:
    from modecover.auditing.versus import Comparison

Range = tuple[float, float]

SIGNIFICANT = 0.05
"""Corrected p value below which a bin counts as different."""

_HISTOGRAM_BINS = 40


def page(audit: Findings, template: str = "page.html.jinja", **more: object) -> str:
    """`audit` as one HTML text: no script, and nothing loaded from elsewhere. Pictures come from its gallery.

    Args:
        template: of this folder, which may extend the page of an audit; `more` is what it sees beside that.
    """
    # The template calls the functions of these modules, and sees their constants, by their names.
    names = {**vars(results), **vars(findings), **globals()}
    return templates().get_template(template, globals=names).render(audit=audit, **more)


def templates(*folders: Path) -> Environment:
    """Where templates are found: these folders, then this file's. What they print is escaped."""
    return Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def png_of(image: npt.NDArray[np.float32]) -> dict[str, object]:
    """An image of at most `LARGEST_TILE` pixels in base64, and whether it is small enough to be shown enlarged."""
    picture = image_grid(image[None], scale=1)
    small = max(picture.size) < LARGEST_TILE
    picture.thumbnail((LARGEST_TILE, LARGEST_TILE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return {"code": base64.b64encode(file.getvalue()).decode(), "small": small}


class Plot:
    """A drawing in user units. `box`: its width and height, and the margins of its data at top, right, bottom, left."""

    def __init__(self, title: str, x: Range, y: Range, box: Sequence[float] = (370, 250, 12, 8, 42, 42)):
        self.title, self.x_range, self.y_range = title, x, y
        self.width, self.height, self.top, right, bottom, self.left = box
        self.end, self.floor = self.width - right, self.height - bottom
        self.parts: list[str] = []

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1.0) * (self.end - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.floor - (value - low) / ((high - low) or 1.0) * (self.floor - self.top)

    def add(self, tag: str, words: str = "", **attributes: str | float) -> None:
        head = f"<{tag}"
        for name, value in attributes.items():
            text = escape(value) if isinstance(value, str) else f"{value:.1f}"
            head += f' {"class" if name == "cls" else name.replace("_", "-")}="{text}"'
        self.parts.append(f"{head}>{escape(words)}</{tag}>" if words else f"{head}/>")

    def draw(self, tag: Literal["polyline", "polygon"], points: Sequence[tuple[float, float]], kind: str) -> None:
        """A curve through finite data points, or the region that they enclose."""
        ends = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points if math.isfinite(x + y))
        self.add(tag, points=ends, cls=f"{'line' if tag == 'polyline' else 'area'} {kind}")

    def axes(self, x_ticks: Iterable[tuple[float, str]], highest: float, x_label: str) -> None:
        """Horizontal grid lines up to a share, with their numbers; the numbers and the name of the horizontal axis."""
        for value in ticks(0.0, highest):
            height = self.y(value)
            self.add("line", x1=self.left, x2=self.end, y1=height, y2=height, cls="grid")
            self.add("text", f"{100 * value:.3g}%", x=self.left - 8, y=height + 4, text_anchor="end")
        for value, words in x_ticks:
            self.add("text", words, x=self.x(value), y=self.floor + 17, text_anchor="middle")
        self.add("line", x1=self.left, x2=self.end, y1=self.floor, y2=self.floor, cls="axis")
        middle = (self.left + self.end) / 2
        self.add("text", x_label, x=middle, y=self.height - 6, text_anchor="middle", cls="name")

    def svg(self) -> str:
        head = f'<svg viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(self.title)}">'
        return f"{head}<title>{escape(self.title)}</title>{''.join(self.parts)}</svg>"


def bins_plot(bins: Bins) -> str:
    """Each bin's share of the real samples as a bar, of the generated ones as a dot; largest bins first."""
    real, fake = (np.asarray(counts, dtype=float) / max(1, sum(counts)) for counts in (bins.real, bins.fake))
    order = np.argsort(-real, kind="stable")
    highest = float(max(real.max(initial=0.0), fake.max(initial=0.0))) or 1.0
    plot = Plot("Share of real and generated samples in each cluster", (-0.6, len(order) - 0.4), (0.0, 1.05 * highest))
    plot.axes((), highest, f"{len(order)} clusters, by size")
    width = 0.72 * (plot.x(1) - plot.x(0))
    for place, number in enumerate(order):
        top = plot.y(real[number])
        plot.add("rect", x=plot.x(place) - width / 2, y=top, width=width, height=plot.floor - top, cls="bar real")
    radius = float(np.clip(0.45 * width, 1.7, 4.0))
    for place, number in enumerate(order):
        different = bins.p_values[number] < SIGNIFICANT
        kind = "quiet" if not different else "alarm" if fake[number] < real[number] else "fake"
        size = max(3.6, radius) if different else radius
        plot.add("circle", cx=plot.x(place), cy=plot.y(fake[number]), r=size, cls=f"dot {kind}")
    return plot.svg()


def histograms(real: npt.ArrayLike, fake: npt.ArrayLike, title: str, x_label: str) -> str:
    """Shares of real and generated numbers in common bins; the outermost 1 % of either may be cut off."""
    sides = [side[np.isfinite(side)] for side in (np.asarray(given, dtype=float) for given in (real, fake))]
    ends = [np.quantile(side, [0.005, 0.995]) for side in sides if len(side)]
    if not ends:
        return ""
    low, high = float(min(end[0] for end in ends)), float(max(end[1] for end in ends))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _HISTOGRAM_BINS + 1)
    heights = [np.histogram(np.clip(side, low, high), edges)[0] / max(1, len(side)) for side in sides]
    highest = float(max(height.max() for height in heights)) or 1.0
    plot = Plot(title, (low, high), (0.0, 1.05 * highest))
    plot.axes([(value, _signed(value)) for value in ticks(low, high, 4)], highest, x_label)
    for side, height, kind in zip(sides, heights, ("real", "fake"), strict=True):
        if len(side):
            steps = list(zip(edges.repeat(2)[1:-1].tolist(), height.repeat(2).tolist(), strict=True))
            plot.draw("polygon", [(low, 0.0), *steps, (high, 0.0)], kind)
            plot.draw("polyline", steps, kind)
    return plot.svg()


def plane_plots(audit: Findings, shown: Gallery) -> list[str]:
    """Real and generated points of the plane on the same axes; real ones that are missed, or in a starved bin, stand
    out, and generated ones of modes that the data do not have."""
    rows = {example.index for example in audit.missed}.union(*audit.starved.values())
    marked = [shown.real[row] for row in sorted(rows) if row in shown.real]
    invented = [row for mode in audit.invented for row in mode.examples if row in shown.fake]
    real, fake = (np.stack(list(points.values())) for points in (shown.real, shown.fake))
    return _planes(real, [(real, "real", marked), (fake, "fake", [shown.fake[row] for row in invented])])


def comparison_plots(comparison: Comparison) -> list[str]:
    """Points of the plane on the same axes: real ones, those that one generator alone covers standing out, A's, B's."""
    assert comparison.gallery and comparison.a.gallery and comparison.b.gallery, "the template asks for them"
    shown = comparison.gallery.real
    rows = [row for region in (*comparison.only_a, *comparison.only_b) for row in region.examples if row in shown]
    real = np.stack(list(shown.values()))
    panels: list[_Panel] = [(real, "real", [shown[row] for row in rows])]
    for side, gallery in ((comparison.a, comparison.a.gallery), (comparison.b, comparison.b.gallery)):
        invented = [gallery.fake[row] for mode in side.invented for row in mode.examples if row in gallery.fake]
        panels.append((np.stack(list(gallery.fake.values())), "fake", invented))
    return _planes(real, panels)


_Panel = tuple[npt.NDArray[np.float32], str, list[npt.NDArray[np.float32]]]
"""Points of the plane, their kind, and those that stand out."""


def _planes(real: npt.NDArray[np.float32], panels: Sequence[_Panel]) -> list[str]:
    """Panels on the axes that real points need."""
    low, high = real.min(axis=0), real.max(axis=0)
    middle, half = (low + high) / 2, 0.56 * float((high - low).max()) or 1.0
    (left, right), (bottom, top) = ((float(m - half), float(m + half)) for m in middle)
    drawn = []
    for points, kind, standing_out in panels:
        plot = Plot("Points of the plane", (left, right), (bottom, top), (420, 420, 10, 10, 28, 44))
        plot.add("rect", x=44, y=10, width=366, height=382, cls="frame")
        for value in ticks(left, right):
            plot.add("text", _signed(value), x=plot.x(value), y=410, text_anchor="middle")
        for value in ticks(bottom, top):
            plot.add("text", _signed(value), x=38, y=plot.y(value) + 4, text_anchor="end")
        inside = (points >= middle - half).all(axis=1) & (points <= middle + half).all(axis=1)
        for dots, colour in ((points[inside], kind), (standing_out, "alarm")):
            if len(dots):
                # One path of zero-length strokes with round ends is a dot for each point, in ten bytes of text.
                path = "".join(f"M{plot.x(x):.1f} {plot.y(y):.1f}h0" for x, y in dots)
                plot.add("path", d=path, cls=f"dots {colour}")
        if not inside.all():
            plot.add("text", f"{100 * float(np.mean(~inside)):.2g}% outside", x=52, y=382, cls="alarm")
        drawn.append(plot.svg())
    return drawn


def strip(verdict: Verdict) -> str:
    """A verdict's effect with its interval, above the range that real samples give."""
    effect, null = verdict.effect, verdict.null
    if not math.isfinite(effect.value):
        return ""
    share = verdict.unit.startswith("share")
    numbers = [n for e in (effect, null) for n in (e.value, e.low, e.high) if math.isfinite(n)]
    high = ceiling(max(*numbers, 0.1 if share else 1.2))
    title = f"{verdict.name}: effect and the range of real samples"
    plot = Plot(title, (0.0, high), (0.0, 1.0), (240, 46, 4, 8, 18, 8))
    kind = "alarm" if verdict.fires else "fake"
    middle = plot.y(0.5)

    def x(value: float) -> float:
        return plot.x(min(max(value, 0.0), high))

    if math.isfinite(null.low) and math.isfinite(null.high):
        left = x(null.low) - 2
        plot.add("rect", x=left, y=middle - 10, width=x(null.high) + 2 - left, height=20, rx=3, cls="null")
    plot.add("line", x1=x(0.0), x2=x(high), y1=middle, y2=middle, cls="grid")
    plot.add("line", x1=x(effect.low), x2=x(effect.high), y1=middle, y2=middle, cls=f"whisker {kind}")
    plot.add("circle", cx=x(effect.value), cy=middle, r=5, cls=f"dot {kind}")
    for value, anchor in ((0.0, "start"), (high, "end")):
        words = f"{100 * value:.3g}%" if share else f"{value:.3g}"
        plot.add("text", words, x=x(value), y=plot.height - 3, text_anchor=anchor)
    return plot.svg()


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers in [low, high], about `wanted` of them, 1, 2 or 5 times a power of ten apart."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return [low]
    step = ceiling((high - low) / wanted, (1, 2, 5, 10))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]


def ceiling(value: float, round_ones: Sequence[float] = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)) -> float:
    """The least round number, one of these times a power of ten, that is not below a positive `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return power * next(factor for factor in round_ones if factor * power >= value * 0.999)


def _signed(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
