"""The few samples that a page shows, picked from all that were audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from modecover.auditing.inputs import Samples
from modecover.auditing.results import Audit, Copy, Gallery, Missed
from modecover.features.kept import Kept

Rows = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]

SHOWN, SHOWN_POINTS = 24, 2000
"""Examples on a contact sheet, and points in a scatter."""

BINS_SHOWN, BIN_EXAMPLES = 6, 10
"""Starved bins on the page, and examples of each."""


def with_gallery(audit: Audit, real: Samples, fake: Samples, train: Samples | None = None) -> Audit:
    """`audit` with samples to show, and with rows numbered as in the sources that the samples were taken from.

    Args:
        audit: what was found; its rows are numbered as in `real`, `fake` and `train`.
        train: where training samples were given beside the real ones, these.
    """
    learned = real if train is None else train
    shown = gallery(audit, real.kept, fake.kept, learned.kept)
    return replace(
        audit,
        missed=tuple(Missed(int(real.index[m.index]), m.score) for m in audit.missed),
        starved={label: tuple(int(real.index[row]) for row in rows) for label, rows in audit.starved.items()},
        copies=tuple(Copy(int(fake.index[c.fake]), int(learned.index[c.train]), c.distance) for c in audit.copies),
        gallery=Gallery(
            *map(_numbered, (shown.real, shown.fake, shown.train), (real.index, fake.index, learned.index))
        ),
    )


def gallery(audit: Audit, real: Rows | Kept, fake: Rows | Kept, train: Rows | Kept | None = None) -> Gallery:
    """The samples that the page of `audit` shows.

    Args:
        audit: what was found; its indices are rows of the arrays.
        real, fake: (n, *shape), images in [-1, 1] or points.
        train: where training samples were given beside the real ones, these; else the real ones are meant.
    """
    shown = SHOWN if real.ndim == 4 else SHOWN_POINTS
    wanted = {m.index for m in audit.missed[:shown]}
    for rows in list(audit.starved.values())[:BINS_SHOWN]:
        wanted.update(rows[:BIN_EXAMPLES])
    if real.ndim != 4:
        wanted.update(range(min(shown, len(real))))
    copies = audit.copies[:SHOWN]
    made = {*range(min(shown, len(fake))), *(copy.fake for copy in copies)}
    learned = real if train is None else train
    return Gallery(
        real={row: real[row] for row in sorted(wanted)},
        fake={row: fake[row] for row in sorted(made)},
        train={copy.train: learned[copy.train] for copy in copies},
    )


def _numbered(rows: Mapping[int, Rows], index: Index) -> dict[int, Rows]:
    return {int(index[row]): sample for row, sample in rows.items()}
