"""The page of an audit: one HTML file that needs nothing else. What it says stands in page.html.jinja."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from modecover.auditing import plots
from modecover.auditing.findings import BIN_EXAMPLES, BINS_SHOWN, PICTURES
from modecover.auditing.results import ROLES, Findings, Gallery, interval, number, quantity

_LARGEST_TILE = 152
"""Pixels: larger images are reduced, to twice the size at which they are shown."""

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def page(audit: Findings) -> str:
    """`audit` as one HTML text: no script, and nothing loaded from elsewhere. Pictures come from its gallery."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.jinja").render(
        audit=audit,
        roles=ROLES,
        pictures=PICTURES,
        bins_shown=BINS_SHOWN,
        bin_examples=BIN_EXAMPLES,
        in_words=lambda count: _COUNTS[count] if count < len(_COUNTS) else str(count),
        interval=interval,
        number=number,
        quantity=quantity,
        png_of=_png,
        plots=plots,
        plane=_plane,
    )


def _plane(audit: Findings, shown: Gallery) -> tuple[str, str]:
    rows = {example.index for example in audit.missed}.union(*audit.starved.values())
    marked = [shown.real[row] for row in sorted(rows) if row in shown.real]
    real, fake = (np.stack(list(rows.values())) for rows in (shown.real, shown.fake))
    return plots.plane_plots(real, fake, np.array(marked).reshape(-1, 2))


def _png(image: npt.NDArray[np.float32]) -> dict[str, object]:
    """An image of at most `_LARGEST_TILE` pixels in base64, and whether it is small enough to be shown enlarged."""
    from modecover.pictures.images import image_grid

    picture = image_grid(image[None], scale=1)
    small = max(picture.size) < _LARGEST_TILE
    picture.thumbnail((_LARGEST_TILE, _LARGEST_TILE))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return {"code": base64.b64encode(file.getvalue()).decode(), "small": small}
