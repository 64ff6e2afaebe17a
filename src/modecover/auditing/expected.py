"""How long an audit will take, worked out from a few blocks that are timed where it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from modecover.auditing.results import ABOUT
from modecover.features import Extractor
from modecover.features.kept import Kept, block_rows
from modecover.features.sharpness import as_sharp_as
from modecover.metrics.neighbours import held_against, neighbour_statistics

Result = TypeVar("Result")

WORTH_TELLING = 10.0
"""Seconds: less is not told beforehand."""

FEWEST_ROWS, FEWEST_NUMBERS = 10_000, 2 * 10**7
"""Of both sides together: fewer take no such time, and nothing is timed."""

TRIED = 1024
"""Rows between which distances are timed: a whole block of them."""


def time_left(
    real: Kept, fakes: Sequence[Kept], extractors: tuple[Extractor, ...], fitting: float, *, memory: int
) -> str | None:
    """How long an audit of n real and m fake samples takes once features have been fitted to the first half, in words,
    as in "about 4 minutes left"; None where it is not long.

    Args:
        fakes: of each generator that is judged.
        extractors: the features that are taken: those that were asked for, and pixels where these are others.
        fitting: seconds that fitting them took, which it will once more.
        memory: bytes that distances may take.
    """
    rows = len(real) + sum(map(len, fakes))
    if rows < FEWEST_ROWS and rows * math.prod(real.shape[1:]) < FEWEST_NUMBERS:
        return None
    seconds = fitting + _seconds(real, fakes, extractors, memory)
    if seconds < WORTH_TELLING:
        return None
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            return f"{ABOUT}{seconds / length:.0f} {unit}s left"
    return f"{ABOUT}{round(seconds, -1):.0f} seconds left"


def _seconds(real: Kept, fakes: Sequence[Kept], extractors: tuple[Extractor, ...], memory: int) -> float:
    n, counts, total = len(real), [len(fake) for fake in fakes], 0.0
    m = sum(counts)
    few = real.part(np.arange(min(n, block_rows(real.shape[1:])))).quiet()
    for extractor in extractors:
        halves = 2 if extractor.fitted else 1
        took, features = _timed(extractor, few)
        total += halves * (n + m) * took / len(few)

        # Twice over half of the real rows, and over the fake ones of each generator: against the reference, whose own
        # distances count half; and within and between the sets of which statistics are taken.
        size = min(n, *counts, TRIED)
        rows = np.random.default_rng(0).standard_normal((size, features.shape[1])).astype(np.float32)
        took, _ = _timed(held_against, rows, rows, k=1, memory=memory)
        total += n * (n / 2 + m + n / 4 * (1 + len(fakes))) * took / (1.5 * size**2)
        took, _ = _timed(neighbour_statistics, rows, rows, k=1, memory=memory)
        viewed = n / halves
        total += sum((viewed + count) ** 2 / 2 for count in counts) * took / (2 * size**2)
    if real.ndim == 4:
        # Sharpness, and then detail, are looked at likewise.
        none = np.zeros(len(few), np.int64)
        took, _ = _timed(as_sharp_as, few, few, (none, none))
        total += 2 * (n * len(fakes) + 2 * m) * took / (2 * len(few))
    return total


def _timed(work: Callable[..., Result], *args: Any, **options: Any) -> tuple[float, Result]:
    """The seconds that work takes the second time, when all is ready for it, and what it returns."""
    work(*args, **options)
    start = time.perf_counter()
    found = work(*args, **options)
    return time.perf_counter() - start, found
