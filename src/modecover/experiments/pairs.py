"""Two arms on the same seeds, seed by seed: does what one has more help, or does it not?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modecover.experiments.report import counts
from modecover.experiments.runner import Result

LEVEL = 0.05
"""Of the test: so often it sees a difference where there is none."""


@dataclass(frozen=True)
class Pair:
    """An arm without and with something, on the same seeds.

    Attributes:
        place: what both were run on.
        without, having: results of their last evaluation, a row for each seed in the same order.
    """

    place: str
    without: Result
    having: Result

    def changes(self, number: Callable[[Mapping[str, float]], float]) -> list[float]:
        """The number of each seed with it less that without it."""
        rows = zip(self.having.summary["last"], self.without.summary["last"], strict=True)
        return [number(b) - number(a) for b, a in rows]

    def line(self) -> str:
        """Its line of the table."""
        label = f"{self.having.arm.label} against {self.without.arm.label}"
        if self.having.broken or self.without.broken:
            return f"| {self.place} | {label} | one of them broke off | | | |"
        modes, distances = self.changes(_modes), self.changes(_distance)
        more, fewer = (sum(sign * change > 0 for change in modes) for sign in (1, -1))
        quality = 100 * _mean(self.changes(lambda row: row["high_quality"]))
        cells = [f"{_mean(modes):+.1f} ({more} more, {fewer} fewer)", f"{quality:+.1f}", f"{_mean(distances):+.3f}"]
        return f"| {self.place} | {label} | {' | '.join(cells)} | {verdict(modes, distances)} |"


def verdict(modes: Sequence[float], distances: Sequence[float]) -> str:
    """What the changes of all seeds come to: first in modes; where they do not tell, in the distance to the data."""
    if differs(modes):
        return "helps" if sum(modes) > 0 else "hurts"
    if differs(distances):
        return (
            "no sure change of modes, nearer to the data" if sum(distances) < 0 else "no sure change of modes, farther"
        )
    return "no difference seen"


def differs(changes: Sequence[float]) -> bool:
    """Whether changes this far to one side are rarer than `LEVEL` by chance (Wilcoxon's signed ranks, two-sided, ties
    and zeros by permutation of the signs)."""
    from scipy.stats import PermutationMethod, wilcoxon

    if not any(changes):
        return False
    exact = PermutationMethod(n_resamples=10_000)  # all signs of up to 13 seeds
    return bool(wilcoxon(changes, method=exact).pvalue < LEVEL)


def pairs_table(pairs: Sequence[Pair]) -> list[str]:
    """The lines of the table."""
    heading = "| set | | modes > 20 (seeds) | HQ, points | W1 | |"
    return [heading, "|---|---|---|---|---|---|", *(pair.line() for pair in pairs)]


def _modes(row: Mapping[str, float]) -> float:
    return counts(row)[1]


def _distance(row: Mapping[str, float]) -> float:
    return row["wasserstein"]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
