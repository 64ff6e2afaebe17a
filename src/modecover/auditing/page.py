"""The page of an audit: one HTML file that needs nothing else. What it says stands in page.html.jinja."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modecover.auditing import plots
from modecover.auditing.findings import BIN_EXAMPLES, BINS_SHOWN, PICTURES
from modecover.auditing.results import ROLES, Findings, Gallery, interval, number, quantity

_LARGEST_TILE = 152
"""Pixels: larger images are reduced, to twice the size at which they are shown."""

_KINDS = {(1,): "line", (2,): "plane"}
"""How samples of these shapes are shown; others are images or rows of numbers."""

_KEYS = (("real block", "real"), ("fake block", "generated"))
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Panel:
    """A plot with its title, the key of its colours as (class, words), and what it says."""

    title: str
    drawn: str
    keys: Sequence[tuple[str, str]]
    words: str = ""


def page(audit: Findings) -> str:
    """`audit` as one HTML text: no script, and nothing loaded from elsewhere. Pictures come from its gallery."""
    shown = audit.gallery if audit.gallery and audit.gallery.fake else None
    shape = next(iter(shown.fake.values())).shape if shown else ()
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        audit=audit,
        roles=ROLES,
        kind="images" if len(shape) == 3 else _KINDS.get(shape, "rows") if shown else "none",
        points=_points(audit, shown, shape) if shown and shape in _KINDS else (),
        curves=_curves(audit),
        pictures=PICTURES,
        bins_shown=BINS_SHOWN,
        bin_examples=BIN_EXAMPLES,
        bin_shares=lambda label: _bin_shares(audit, label),
        count_words=lambda count: _COUNTS[count] if count < len(_COUNTS) else str(count),
        interval=interval,
        number=number,
        quantity=quantity,
        png_of=_png,
        strip=plots.strip,
    )


def _points(audit: Findings, shown: Gallery, shape: tuple[int, ...]) -> list[Panel]:
    """Points of the line as two histograms in one plot, points of the plane as two scatters."""
    real, fake = (np.stack(list(rows.values())) for rows in (shown.real, shown.fake))
    if shape == (1,):
        title = "Real and generated numbers"
        drawn = plots.histograms(real[:, 0], fake[:, 0], title=title, x_label="the one feature")
        return [Panel(title, drawn, _KEYS)]
    rows = {example.index for example in audit.missed}.union(*audit.starved.values())
    marked = np.array([shown.real[row] for row in sorted(rows) if row in shown.real]).reshape(-1, 2)
    limits = plots.plane_limits(real)
    missed = [("alarm", "real points missed, or in a starved bin")] if len(marked) else []
    return [
        Panel("Real points", plots.scatter_plot(real, "real", marked, limits), [("real", "real"), *missed]),
        Panel("Generated points", plots.scatter_plot(fake, "fake", marked[:0], limits), [("fake", "generated")]),
    ]


def _curves(audit: Findings) -> list[Panel]:
    curves, panels = audit.curves, []
    if curves.noise is not None:
        words = "How much real mass a discriminator finds missing when noise blurs what it sees. Without noise it also "
        words += "counts blur and flaws as missing; on the plateau only whole regions are left."
        keys = [("alarm", "generated"), ("real", "held-out real samples")]
        panels.append(Panel("Noise sweep", plots.sweep_plot(curves.noise), keys, words))
    if curves.bins is not None:
        words = "Bins are fixed on the real samples; coloured dots differ significantly (two-proportion test, Holm)."
        keys = [("real block", "real"), ("quiet", "generated"), ("alarm", "too few"), ("fake", "too many")]
        panels.append(Panel("Bins of the real data", plots.bins_plot(curves.bins), keys, words))
    if curves.neighbours is not None:
        words = "Copies of training samples lie to the left of what unseen real samples show."
        keys = [("real block", "unseen real samples"), ("fake block", "generated")]
        panels.append(Panel("Neighbour distances", plots.distances_plot(curves.neighbours), keys, words))
    return panels


def _bin_shares(audit: Findings, label: int) -> str:
    bins = audit.curves.bins
    if bins is None or label >= len(bins.real):
        return ""
    real, fake = (counts[label] / max(1, sum(counts)) for counts in (bins.real, bins.fake))
    return f"{100 * real:.2g}% of the real samples, {100 * fake:.2g}% of the generated ones"


def _png(image: npt.NDArray[np.float32]) -> dict[str, object]:
    """An image of at most `_LARGEST_TILE` pixels in base64, and whether it is small enough to be shown enlarged."""
    from modecover.pictures.drawing import image_grid

    picture = image_grid(image[None], scale=1)
    small = max(picture.size) < _LARGEST_TILE
    picture.thumbnail((_LARGEST_TILE, _LARGEST_TILE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return {"code": base64.b64encode(file.getvalue()).decode(), "small": small}
