"""Kullback-Leibler divergences between finite laws, in nats."""

from __future__ import annotations

import numpy as np

from modecover.errors import UserError
from modecover.limits import require_memory
from modecover.metrics.arrays import ArrayLike, Floats, Integers, as_floats


def as_law(weights: ArrayLike | None, size: int) -> Floats:
    """Probabilities (size,) from unnormalised `weights`; None is the uniform law.

    Raises:
        UserError: the weights are not `size` finite, non-negative numbers with a positive sum, or memory does not
            hold them.
    """
    require_memory(f"The shares of {size:,} modes", 16.0 * size, "count fewer modes")
    if weights is None:
        return np.full(size, 1.0 / size)
    law = as_floats(weights)
    if law.shape != (size,) or not np.isfinite(law).all() or (law < 0).any() or law.sum() <= 0:
        raise UserError(f"a law over {size} modes needs {size} finite weights, none negative, with a positive sum")
    return np.asarray(law / law.sum())


def kl(p: Floats, q: Floats) -> float:
    """KL(p || q) = sum p log(p / q); infinite where q misses an outcome of p."""
    seen = p > 0
    if (q[seen] == 0).any():
        return float("inf")
    # Rounding may leave a few 1e-17 below zero, where the divergence cannot be.
    return max(0.0, float(np.sum(p[seen] * np.log(p[seen] / q[seen]))))


def kl_of_counts(counts: Integers, law: Floats) -> float:
    """KL(model || law) of the plain frequencies of `counts`; nan where nothing was counted."""
    total = counts.sum()
    return kl(counts / total, law) if total else float("nan")


def reverse_kl_of_counts(counts: Integers, law: Floats) -> float:
    """KL(law || model) with one added to every count (Laplace), so that a missed mode costs a finite amount.

    nan where nothing was counted: the added ones alone would read as a uniform model.
    """
    total = counts.sum()
    return kl(law, (counts + 1) / (total + len(counts))) if total else float("nan")
