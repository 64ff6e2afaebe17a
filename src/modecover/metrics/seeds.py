"""What the numbers of several seeds say: a mean with its interval, and whether two ways differ by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.05
"""Of the test of a difference: so often it sees one where there is none."""

RESAMPLES = 10_000


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t interval of those that are numbers; NaN for the ends where there are fewer than two."""
    from scipy.stats import t

    numbers = [value for value in values if math.isfinite(value)]
    count = len(numbers)
    if not count:
        return math.nan, math.nan, math.nan
    mean = math.fsum(numbers) / count
    if count < 2:
        return mean, math.nan, math.nan
    variance = math.fsum((value - mean) ** 2 for value in numbers) / (count - 1)
    half = float(t.isf(0.025, count - 1)) * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def signed_ranks(changes: Sequence[float]) -> float:
    """How often changes are this far to one side by chance (Wilcoxon's signed ranks, two-sided, ties and zeros by
    permutation of the signs: of all of them up to 13 seeds, of more by 10,000 draws, so that it is at least 0.0002)."""
    from scipy.stats import PermutationMethod, wilcoxon

    if len(changes) < 2 or not any(changes):
        return 1.0
    exact = PermutationMethod(n_resamples=RESAMPLES, random_state=0)
    return float(wilcoxon(changes, method=exact).pvalue)


def p_in_words(p: float) -> str:
    """A p value as tables have it; what 10,000 draws cannot tell from 0 is below .001."""
    return f"{p:.2g}" if p > 0.001 else "< .001"


def differs(changes: Sequence[float]) -> bool:
    """Whether changes this far to one side are rarer than `LEVEL` by chance, see `signed_ranks`."""
    return signed_ranks(changes) < LEVEL


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given (Holm 1979)."""
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected
