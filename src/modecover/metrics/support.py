"""How many different samples a generator effectively makes.

By how often two of its samples are (nearly) the same: two of N samples drawn evenly from S values agree with
probability 1 / S, the birthday paradox (Arora and Zhang 2018). For values of unequal probability p the same estimate
reads 1 / sum p^2, the effective number of values. By the directions of samples: the Vendi score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Integers, as_array, as_rows, parts


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
        matches: for each of N >= 2 samples, how many of the others it agrees with, shape (N,): `equal_rows`, or the
            `Collisions` of `neighbour_statistics`.
    """
    counts = as_array(matches)
    if counts.ndim != 1 or len(counts) < 2 or counts.dtype.kind not in "iu" or counts.min() < 0:
        raise UserError(f"matches have shape {counts.shape}; give a count of at least 0 for each of at least 2 samples")
    from scipy.special import gammaincinv

    count, pairs = len(counts), int(counts.sum()) // 2
    all_pairs = count * (count - 1) / 2
    dispersion = 1.0
    if pairs:
        # Hoeffding: a sample's own probability to agree varies with variance `own` around the mean probability.
        own = max(0.0, float(counts.var()) - float(counts.mean())) / (count - 1) ** 2
        dispersion += count * (count - 1) ** 2 * own / pairs
    # Garwood's interval is exact for whole counts, and continued to others.
    fewest = float(gammaincinv(pairs / dispersion, 0.025)) if pairs else 0.0
    most = float(gammaincinv(pairs / dispersion + 1, 0.975))
    return SupportSize(
        samples=count,
        pairs=pairs,
        value=all_pairs / pairs if pairs else math.inf,
        low=all_pairs / (most * dispersion),
        high=all_pairs / (fewest * dispersion) if fewest else math.inf,
    )


def equal_rows(samples: ArrayLike) -> Integers:
    """How many other rows equal each row of finite numbers (n, d) in every number, shape (n,)."""
    _, group, sizes = torch.unique(as_rows(samples, "samples"), dim=0, return_inverse=True, return_counts=True)
    return np.asarray((sizes[group] - 1).cpu().numpy())


def vendi_score(samples: ArrayLike) -> float:
    """The exponential of the entropy of the eigenvalues of K / n, K the cosines between all pairs of rows (Friedman and
    Dieng 2022): how many different samples a set effectively has.

    It is 1 for equal rows and n for n orthogonal ones. K / n and the d x d matrix of the normalised rows' products have
    the same eigenvalues but for zeros, so that the smaller of the two is taken: memory and time grow with n no faster
    than linearly. A row of zeros, which has no direction, counts as one of its own, equal to other such rows. Cosines
    depend on the origin: where it means nothing, centre the features (n, d) first.
    """
    rows = as_rows(samples, "samples")
    count, dimensions = rows.shape
    if count <= dimensions:
        directions = _directions(rows)
        products = directions @ directions.T
    else:
        products = torch.zeros(dimensions + 1, dimensions + 1, dtype=torch.float64, device=rows.device)
        for _, part in parts(rows):
            directions = _directions(part)
            products.addmm_(directions.T, directions)
    shares = torch.linalg.eigvalsh(products / count).clamp(min=0)
    return float(torch.special.entr(shares).sum().exp())


def _directions(rows: Tensor) -> Tensor:
    """Rows of length 1, with one column more, which is 1 for rows of zeros and 0 for all others."""
    values = rows.double()
    # Divided by their largest number first, rows neither overflow nor underflow when squared.
    largest = values.abs().amax(dim=1, keepdim=True)
    none = largest == 0
    scaled = torch.cat([values / torch.where(none, 1.0, largest), none.double()], dim=1)
    return scaled / scaled.norm(dim=1, keepdim=True)
