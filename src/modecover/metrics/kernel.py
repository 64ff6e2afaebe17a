"""The kernel distance of Binkowski et al. (2018), "KID": the squared MMD under k(x, y) = (x.y / d + 1)^3.

    mean of k(x, x') over pairs of real rows + mean of k(y, y') over pairs of fake rows - 2 x mean of k(x, y)

A row is not paired with itself, so the estimate is unbiased and falls below zero for about half of equal laws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modecover.metrics.arrays import ArrayLike, as_pair, parts
from modecover.metrics.pairwise import Points

DEGREE = 3


@dataclass(frozen=True)
class KernelDistance:
    """The kernel distance of two sets, and how uncertain it is."""

    value: float
    """The U-statistic of all pairs."""
    standard_error: float
    """Of `value`, from the spread of the rows' influence on it; up to twice too large where the laws agree."""
    subset_mean: float
    """Mean over random subsets, the form in which papers report it."""
    subset_std: float
    """Standard deviation over the subsets; it says how a subset varies, not how `value` does."""
    subsets: int
    subset_size: int


def kernel_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """The kernel distance of features (n, d) and (m, d), n and m at least 2, by its definition and in float64."""
    x, y = as_pair(real, fake, fewest=2)

    def kernel(products: Tensor) -> float:
        return float((products / x.shape[1] + 1).pow(DEGREE).sum())

    def total(a: Tensor, b: Tensor) -> float:
        return sum(kernel(left.double() @ right.double().T) for _, left in parts(a) for _, right in parts(b))

    def within(a: Tensor) -> float:
        own = sum(kernel(part.double().square().sum(1)) for _, part in parts(a))
        return (total(a, a) - own) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * total(x, y) / (len(x) * len(y))


class KernelSums:
    """The sums of the kernel that `KernelDistance` needs, from the same blocks of distances as everything else.

    Every random subset is a column of zeros and ones, after a first column of ones for all rows; the product of the
    kernel's block with them gives the sums of all subsets at once.

    Args:
        x, y: real and fake rows in one frame, at least 2 of each.
        subsets, size: how many random subsets of how many rows of each.
    """

    def __init__(self, x: Points, y: Points, *, subsets: int, size: int, seed: int):
        self.subsets, self.size = subsets, size
        frame, dimensions = x.frame, x.rows.shape[1]
        centre = float(frame.centre @ frame.centre)
        norms = [frame.scale**2 * p.squares + 2 * frame.scale * p.along + centre for p in (x, y)]
        # No value of the kernel exceeds the largest of a row with itself: divided by that, nothing overflows.
        self.unit = 1 + max(float(norm.max()) for norm in norms) / dimensions
        self.slope = -(frame.scale**2) / (2 * dimensions) / self.unit
        random = np.random.default_rng(seed)
        self.halves, self.members = [], []
        for p in (x, y):
            half = (frame.scale**2 * p.low.double() / 2 + frame.scale * p.along + centre / 2) / dimensions + 0.5
            self.halves.append((half / self.unit).to(frame.dtype))
            members = np.zeros((len(p), 1 + subsets), dtype=np.float32)
            members[:, 0] = 1
            for column in range(1, 1 + subsets):
                members[random.choice(len(p), size, replace=False), column] = 1
            self.members.append(torch.from_numpy(members).to(half.device, frame.dtype))
        self.totals = torch.zeros(3, 1 + subsets, dtype=torch.float64, device=x.rows.device)
        self.sums = [torch.zeros(len(p), 2, dtype=torch.float64, device=x.rows.device) for p in (x, y)]
        """For every row, the sums of its kernel with the real and with the fake rows, itself left out."""

    def add(self, first: int, second: int, i: slice, j: slice, bounds: Tensor) -> None:
        """Add a block of lower bounds of the squared distances; `first`, `second`: 0 real rows, 1 fake ones."""
        root = torch.add(self.halves[second][j], bounds, alpha=self.slope).add_(self.halves[first][i, None])
        kernel = root.square().mul_(root)
        twice = first == second and i != j
        if first == second and i == j:
            kernel.fill_diagonal_(0)
        product = kernel @ self.members[second][j]
        self.totals[first + second] += (1 + twice) * (self.members[first][i] * product).double().sum(dim=0)
        self.sums[first][i, second] += product[:, 0].double()
        if twice or first != second:
            self.sums[second][j, first] += kernel.sum(dim=0).double()

    def result(self) -> KernelDistance:
        """The distance, once every block has been added."""
        n, m = len(self.members[0]), len(self.members[1])
        volume = self.unit**DEGREE if self.unit < 1e100 else math.inf  # then the result is nan, as by the definition
        real, cross, fake = self.totals * volume
        value = float(real[0] / (n * (n - 1)) + fake[0] / (m * (m - 1)) - 2 * cross[0] / (n * m))
        pairs = self.size * (self.size - 1)
        each = (real[1:] + fake[1:]) / pairs - 2 * cross[1:] / self.size**2
        variance = 0.0
        for own, count, others in ((0, n, m), (1, m, n)):
            sums = self.sums[own] * volume
            influence = 2 * (sums[:, own] / (count - 1) - sums[:, 1 - own] / others)
            variance += float(influence.var()) / count
        return KernelDistance(
            value=value,
            standard_error=variance**0.5,
            subset_mean=float(each.mean()),
            subset_std=float(each.std(correction=0)),
            subsets=self.subsets,
            subset_size=self.size,
        )
