"""How many different samples a generator makes, from how often two of its samples are (nearly) the same.

Two of N samples drawn evenly from S values agree with probability 1 / S: the birthday paradox (Arora and Zhang 2018).
For values of unequal probability p the same estimate reads 1 / sum p^2, the effective number of values.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch

from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Integers, as_array
from modecover.metrics.rows import as_rows, parts


@dataclass(frozen=True)
class SupportSize:
    """The effective number of different samples, with its 95 % interval; infinite where no two agree."""

    samples: int
    pairs: int
    """Pairs of samples that agree."""
    value: float
    low: float
    high: float


def support_size(matches: ArrayLike) -> SupportSize:
    """The effective number of different samples.

    The number of agreeing pairs is Poisson where all values are equally frequent, and varies more where they are not:
    the spread of `matches` over the samples says by how much, and the Poisson interval (Garwood 1936) is widened so.

    Args:
        matches: for each of N samples, how many of the others it agrees with, shape (N,): `equal_rows`, or the
            `Collisions` of `neighbour_statistics`.

    Raises:
        UserError: there are fewer than 2 samples, or the numbers are no such counts.
    """
    counts = as_array(matches)
    if counts.ndim != 1 or len(counts) < 2 or counts.dtype.kind not in "iu" or counts.min() < 0:
        raise UserError(f"matches have shape {counts.shape}; give a count of at least 0 for each of at least 2 samples")
    count = len(counts)
    pairs = int(counts.sum()) // 2
    all_pairs = count * (count - 1) / 2
    dispersion = 1.0
    if pairs:
        # Hoeffding: a sample's own probability to agree varies with variance `own` around the mean probability.
        own = max(0.0, float(counts.var()) - float(counts.mean())) / (count - 1) ** 2
        dispersion += count * (count - 1) ** 2 * own / pairs
    fewest, most = _poisson_interval(pairs / dispersion)
    return SupportSize(
        samples=count,
        pairs=pairs,
        value=all_pairs / pairs if pairs else math.inf,
        low=all_pairs / (most * dispersion),
        high=all_pairs / (fewest * dispersion) if fewest else math.inf,
    )


def equal_rows(samples: ArrayLike) -> Integers:
    """How many other rows equal each row in every number, shape (n,).

    Raises:
        UserError: the samples are not rows of finite numbers.
    """
    rows = as_rows(samples, "samples")
    digests = []
    for _, part in parts(rows):
        # Adding zero turns -0.0, whose bytes differ, into 0.0.
        values = part.cpu().numpy() if part.dtype != torch.bfloat16 else part.float().cpu().numpy()
        values = np.ascontiguousarray(values + values.dtype.type(0))
        digests += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in values]
    _, group, sizes = np.unique(np.array(digests, dtype="S16"), return_inverse=True, return_counts=True)
    return np.asarray(sizes[group] - 1, dtype=np.int64)


def _poisson_interval(count: float) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean (Garwood), continued to counts that are not whole."""
    from scipy.special import gammaincinv

    low = float(gammaincinv(count, 0.025)) if count > 0 else 0.0
    return low, float(gammaincinv(count + 1, 0.975))
