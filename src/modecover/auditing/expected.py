"""How far an audit is, and how long it will take, worked out from a few blocks that are timed where it runs."""

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


Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole audit that is done, 0 to 1."""

READING = "reading samples"
"""The first stage, told before it is known how long others are: each side is opened, and then read."""

PAGE = "page"
"""The last one, for whoever writes it."""

READ_FIRST = [*[(READING, 0.2)] * 10, ("", 98)]

FEATURES: dict[str, tuple[float, float, float, float]] = {
    "pixels": (1, 1, 1, 1),
    "classifier": (20, 20, 1, 1),
    "network": (20, 1, 15, 1),
}
"""How long features take, in units of a verdict: of the data for either half, and of the samples. A classifier is
trained for each half; what a network sees is the same for both."""


def plan(kind: str, generators: Sequence[str], verdicts: Sequence[str]) -> list[tuple[str, float]]:
    """The stages of an audit in their order, each with how long it usually takes, in units of a verdict.

    Args:
        kind: of the features, of `FEATURES`.
        generators: what stands behind the names of stages that each of them has.
    """
    *fitted, first, second = FEATURES[kind]
    stages: list[tuple[str, float]] = [(READING, 2)]
    for length in fitted:
        stages += [("features of the data", length), ("distances in the data", 1)]
    for name in generators:
        for length in (first, second):
            stages += [(f"features of the samples{name}", length), (f"distances to the data{name}", 1)]
        stages += [(f"missed regions{name}", 2), (f"distances{name}", 3), (f"distances of pixels{name}", 1)]
    for name in generators:
        stages += [(f"{stage}{name}", 1) for stage in (*verdicts, "metrics and examples")]
    return [*stages, ("differences", 3), (PAGE, 1)] if len(generators) > 1 else [*stages, (PAGE, 1)]


class Stages:
    """Tells what is being done, and how far the whole is, which never goes back.

    Args:
        plan: the stages in their order; some may be left out.
    """

    def __init__(self, tell: Progress, plan: Sequence[tuple[str, float]]):
        self.tell, self._plan, self._at, self._share = tell, plan, -1, 0.0

    def begin(self, stage: str) -> None:
        """A stage begins, the next of its name."""
        self._at = next(at for at in range(self._at + 1, len(self._plan)) if self._plan[at][0] == stage)
        self._share = -1.0
        self.so_far(0, 1)

    def so_far(self, done: int, total: int) -> None:
        """`done` of `total` of the stage are done; where it goes through its samples more than once, the first time
        counts."""
        if done / total <= self._share:
            return
        self._share = done / total
        lengths = [length for _, length in self._plan]
        so_far = sum(lengths[: self._at]) + self._share * lengths[self._at]
        self.tell(self._plan[self._at][0], so_far / sum(lengths))


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
