"""How many rows are odder than rows of the data are: the excess of one sample's tail over another's.

Scores of unseen real rows say how odd rows of the data are. Where a share p of the fake rows lies beyond a score that
a share q of the real ones exceeds, at least (p - q) / (1 - q) of the generator's law is not the data's. A little more
than q is let pass: where q is a half, a shift that nobody could see would count as so many odd rows. The score at which
most is seen beyond doubt is looked for among several, and the interval holds for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modecover.metrics.arrays import ArrayLike, Floats, as_floats

SHARES = (0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005)
"""Of the real rows, beyond the scores at which the tails are compared."""

LET_PASS = 1.15
"""Times the real rows' share beyond a score: only more than that is an excess."""


@dataclass(frozen=True)
class Excess:
    """The share of a generator's law that is odder than the data, at least, with a 95 % interval for all scores."""

    value: float
    low: float
    high: float
    limit: float
    """The score beyond which it was seen."""
    noise: float
    """How large `value` becomes by chance where both laws agree: the upper end of its range."""


def excess_share(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    shares: tuple[float, ...] = SHARES,
    looks: int | None = None,
) -> Excess:
    """The excess of odd fake rows.

    Args:
        real: scores of unseen real rows, (n,); larger is odder.
        fake: of the fake rows, (m,), or (h, m) where each was scored h times.
        weights: of the real rows, at least 0, (n,), so that they stand for the fake ones' mixture of modes; None: 1.
        shares: real shares beyond the scores that are looked at.
        looks: in all, where other scores are looked at, too; the interval holds for all. None: as many as `shares`.
    """
    from scipy.stats import norm

    null, scores = as_floats(real), np.atleast_2d(as_floats(fake))
    law = np.ones(len(null)) if weights is None else as_floats(weights)
    law = law / law.sum() if law.any() else np.full(len(law), 1 / len(law))
    # Unequal weights are worth as many equal ones (Kish).
    n, m = 1 / float(law @ law), scores.shape[1]
    z = float(norm.isf(0.025 / (looks or len(shares))))
    best: Excess | None = None
    for limit in np.quantile(null, 1 - np.array(shares), method="higher"):
        q, p = float(law[null > limit].sum()), float((scores > limit).mean())
        # Shares near 0 vary more than they seem to: half a row more is assumed (Agresti and Coull's way).
        spread = [(share * (1 - share) + 0.5 / count) / count for share, count in ((q, n), (p, m))]
        real_share = min(LET_PASS * q, 1 - 1 / (n + 1))
        none = z * (q * (1 - q) * (1 / n + 1 / m)) ** 0.5 / (1 - real_share)
        value, error = (p - real_share) / (1 - real_share), z * sum(spread) ** 0.5 / (1 - real_share)
        found = Excess(max(0.0, value), max(0.0, value - error), min(1.0, max(0.0, value + error)), float(limit), none)
        # Where nothing is seen anywhere, the farthest limit says it most precisely.
        if best is None or (found.low, -found.noise) > (best.low, -best.noise):
            best = found
    assert best is not None, "there are scores to look at"
    return best


def excess_difference(
    real: ArrayLike,
    fakes: tuple[ArrayLike, ArrayLike],
    *,
    weights: tuple[ArrayLike, ArrayLike],
    counts: tuple[float, float],
) -> Excess:
    """The excess of one generator's odd rows less that of another's, beyond the score at which the larger is surest.

    Both are held against the same real rows, whose sampling cancels but for what differs in their weights.

    Args:
        real, fakes: scores of unseen real rows, and of either's rows, as for `excess_share`.
        weights: of the real rows, for either.
        counts: effective numbers of different rows of either.
    """
    from scipy.stats import norm

    null = as_floats(real)
    found = [excess_share(null, scores, weights=law) for scores, law in zip(fakes, weights, strict=True)]
    limit = max(found, key=lambda each: (each.low, -each.noise)).limit
    z, values, variance, laws, q = float(norm.isf(0.025 / len(SHARES))), [], 0.0, [], 0.0
    for scores, given, count in zip(map(as_floats, fakes), map(as_floats, weights), counts, strict=True):
        law = given / given.sum() if given.any() else np.full(len(null), 1 / len(null))
        q, p = float(law[null > limit].sum()), float((scores > limit).mean())
        let = 1 - min(LET_PASS * q, 1 - 1 / (len(null) + 1))
        values.append(max(0.0, 1 - (1 - p) / let))
        variance += (p * (1 - p) + 0.5 / count) / count / let**2
        laws.append(LET_PASS * law / let)
    variance += float(np.square(laws[0] - laws[1]).sum()) * q * (1 - q)
    value, error = values[0] - values[1], z * variance**0.5
    return Excess(value, value - error, value + error, limit, error)


def odds_of(null: Floats, scores: Floats) -> Floats:
    """How odd scores are in units that several kinds of scores share: -log of the share of `null` that is as large."""
    ordered = np.sort(null)
    beyond = len(ordered) - np.searchsorted(ordered, scores, side="left")
    # Beyond all of them it goes on with the distance, so that what is far off stays the oddest.
    tail = np.maximum(0.0, scores - ordered[-1]) / max(float(ordered[-1] - np.median(ordered)), 1e-300)
    return np.asarray(-np.log((beyond + 1) / (len(ordered) + 1)) + np.minimum(tail, 100.0))
