"""Everything that distances between two sets of points say, from one pass over all pairs.

Improved precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), the kernel distance,
nearest neighbours, and collisions share the same inner products, so these are computed once. A pair's product is used
for both of its rows, sets are never paired as a whole matrix, and no comparison is decided by rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Floats, Integers, Report, as_pair
from modecover.metrics.kernel import KernelDistance, KernelSums
from modecover.metrics.pairwise import Candidates, Found, Frame, Points, blocks, inside

Flags = npt.NDArray[np.bool_]

MEMORY = 512 * 2**20
LARGEST_BLOCK, SMALLEST_BLOCK = 1024, 64
MATRICES_OF_A_BLOCK = 8
"""Of a block's size at most at once: the bounds, the kernel, masks and what doubtful pairs need."""
CLOSE = 0.01
"""Share of the real rows whose nearest other real row lies within the collision radius."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest row of another set (or the nearest other row of the same one) for every row of a set."""

    index: Integers
    distance: Floats


@dataclass(frozen=True)
class Collisions:
    """Pairs of rows of one set within a small radius: a generator of few different samples has many."""

    radius: float
    """The distance, in the features' units, within which 1 % of the real rows have another real row."""
    real: Integers
    """For every real row, the other real rows within the radius; counted up to k + 4."""
    fake: Integers
    """For every fake row, the other fake rows within the radius."""

    @property
    def fake_pairs(self) -> int:
        return int(self.fake.sum()) // 2


@dataclass(frozen=True)
class NeighbourStatistics:
    """What one pass over the pairs of n real and m fake rows finds.

    A row's *ball* is open and reaches to its k-th nearest other row of its own set.
    """

    real_count: int
    fake_count: int
    k: int
    precision: float
    """Share of the fake rows that lie in some real row's ball."""
    recall: float
    """Share of the real rows that lie in some fake row's ball."""
    density: float
    """Real balls that hold a fake row, on average, divided by k: about 1 for equal laws, and not bounded by 1."""
    coverage: float
    """Share of the real rows whose ball holds some fake row."""
    expected_coverage: float
    """The coverage expected of n and m rows of one law: see `expected_coverage`."""
    covered: Flags
    """Shape (n,): whether each real row's ball holds a fake row."""
    real_radius: Floats
    """Shape (n,), like all distances in the features' units."""
    fake_radius: Floats
    """Shape (m,)."""
    holding_fake: Integers
    """Shape (m,): real balls that hold each fake row."""
    holding_real: Integers
    """Shape (n,): fake balls that hold each real row."""
    real_to_fake: Neighbours
    fake_to_real: Neighbours
    real_to_real: Neighbours
    fake_to_fake: Neighbours
    nearest_real: tuple[Neighbours, ...]
    """For every real row its nearest other real row, its second nearest, and so on to the k-th."""
    kernel: KernelDistance
    collisions: Collisions


@dataclass(frozen=True)
class Held:
    """Rows held against a reference that they are not part of. All arrays have one element for each row."""

    nearest: Neighbours
    """The row of the reference that is nearest."""
    spacing: Floats
    """The distance of that one to the nearest other row of the reference."""
    radius: Floats
    """Its distance to the k-th."""


@held(k=1)
def held_against(
    reference: ArrayLike, rows: ArrayLike, *, k: int, memory: int = MEMORY, progress: Report | None = None
) -> Held:
    """The nearest row of the reference (n, d), with its own neighbourhood, for each of the rows (m, d).

    Args:
        k: of `radius`; at most n - 1.
        memory, progress: as for `neighbour_statistics`.

    Raises:
        UserError: the shapes do not fit, or a number is not finite.
    """
    x, y = _points(as_pair(reference, rows), memory)
    near, within = Candidates(y, x, 1), Candidates(x, x, k)
    a, b = len(x.slices), len(y.slices)
    done = itertools.count(1)

    def told(p: Points, q: Points) -> Iterator[tuple[slice, slice, Tensor]]:
        for block in blocks(p, q):
            yield block
            if progress is not None:
                progress(next(done), a * b + a * (a + 1) // 2)

    for i, j, bounds in told(y, x):
        near.offer(i, j, bounds)
    for i, j, bounds in told(x, x):
        if i != j:
            within.offer(j, i, bounds.T)
        within.offer(i, j, bounds)
    found = near.settle(1)
    index = found.index.cpu().numpy()
    own = [within.settle(order).squares.sqrt().mul(x.frame.scale).cpu().numpy()[index] for order in (1, k)]
    return Held(Neighbours(index, found.squares.sqrt().mul(x.frame.scale).cpu().numpy()), *own)


@held()
def expected_coverage(real_count: int, fake_count: int, k: int) -> float:
    """The coverage expected where n real and m fake rows come from one continuous law.

    A real row is missed when, of the n - 1 + m other rows in the order of their distance, the first k are all real.
    Every order being equally likely, that has the probability prod_{j<k} (n - 1 - j) / (n + m - 1 - j); 1 <= k < n.
    """
    if not 1 <= k < real_count or fake_count < 1:
        rows = f"{real_count} real and {fake_count} fake rows"
        raise UserError(f"k is {k} for {rows}; it must be at least 1 and below the real rows")
    others = real_count + fake_count - 1
    return 1 - math.prod((real_count - 1 - j) / (others - j) for j in range(k))


@held(memory=2**20, subsets=1, subset_size=2, seed=0)
def neighbour_statistics(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    k: int = 5,
    memory: int = MEMORY,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
    progress: Report | None = None,
) -> NeighbourStatistics:
    """Compare two sets of points by the distances of all their pairs.

    Precision, recall, density and coverage are those of the `prdc` package, exactly: distances are compared as
    float64 arithmetic finds them, and a distance equal to a radius is outside. (Where rows are repeated, `prdc` itself
    is at the mercy of rounding; here the distance of equal rows is 0.) Up to 64 dimensions or for little work the
    kernel distance is right to float64's rounding, else to about 1e-6 of the kernel's largest value.

    Args:
        real, fake: features, shapes (n, d) and (m, d), on any device, of any number type.
        k: which neighbour a ball reaches to; 1 <= k < min(n, m).
        memory: bytes that may be used beside the inputs, roughly; what does not fit is computed in smaller blocks.
            A megabyte at least.
        subsets, subset_size, seed: of the kernel distance's random subsets. None is larger than half of a set.
    """
    x_rows, y_rows = as_pair(real, fake, fewest=2)
    smallest = min(len(x_rows), len(y_rows))
    if not 1 <= k < smallest:
        what = f"k is {k} and the smaller set has {smallest} rows"
        raise UserError(f"{what}; choose a k of at least 1 and below that number")
    x, y = _points((x_rows, y_rows), memory)
    size = max(2, min(subset_size, len(x) // 2, len(y) // 2))
    kernel = KernelSums(x, y, subsets=subsets, size=size, seed=seed)

    a, b = len(x.slices), len(y.slices)
    total, done = a * (a + 1) // 2 + b * (b + 1) // 2 + a * b, itertools.count(1)

    def told(p: Points, q: Points) -> Iterator[tuple[slice, slice, Tensor]]:
        """Hands blocks on and reports each, once it has been dealt with, to `progress`."""
        for block in blocks(p, q):
            yield block
            if progress is not None:
                progress(next(done), total)

    def named(found: Found) -> Neighbours:
        return Neighbours(found.index.cpu().numpy(), found.squares.sqrt().mul(x.frame.scale).cpu().numpy())

    # Within each set: the balls, the nearest other rows, and the fake rows that collide.
    near_x, near_y = Candidates(x, x, k), Candidates(y, y, k)
    holding_x, holding_y, collided = (torch.zeros(len(p), dtype=torch.int64, device=p.rows.device) for p in (x, y, y))
    collision = torch.zeros(1, 1, dtype=torch.float64, device=x.rows.device)
    for number, near in enumerate((near_x, near_y)):
        for i, j, bounds in told(near.p, near.p):
            kernel.add(number, number, i, j, bounds)
            if i != j:
                near.offer(j, i, bounds.T)
            near.offer(i, j, bounds)
            if number == 1:
                hits = inside(y, i, y, j, bounds, collision.expand(len(bounds), 1), closed=True)
                collided[i] += hits.sum(dim=1)
                if i != j:
                    collided[j] += hits.sum(dim=0)
        if number == 0:
            closest_x = near_x.settle(1)
            collision[:] = closest_x.squares.sort().values[int(CLOSE * (len(x) - 1))]
    radius_x, radius_y = near_x.settle(k), near_y.settle(k)

    # Between the sets: which balls hold which rows of the other set.
    near_xy, near_yx = Candidates(x, y, 1), Candidates(y, x, 1)
    for i, j, bounds in told(x, y):
        kernel.add(0, 1, i, j, bounds)
        near_xy.offer(i, j, bounds)
        near_yx.offer(j, i, bounds.T)
        holding_y[j] += inside(x, i, y, j, bounds, radius_x.squares[i, None]).sum(dim=0)
        holding_x[i] += inside(x, i, y, j, bounds, radius_y.squares[None, j]).sum(dim=1)
    to_y = near_xy.settle(1)
    covered = to_y.squares < radius_x.squares

    return NeighbourStatistics(
        real_count=len(x),
        fake_count=len(y),
        k=k,
        precision=float((holding_y > 0).double().mean()),
        recall=float((holding_x > 0).double().mean()),
        density=float(holding_y.sum()) / (k * len(y)),
        coverage=float(covered.double().mean()),
        expected_coverage=expected_coverage(len(x), len(y), k),
        covered=covered.cpu().numpy(),
        real_radius=named(radius_x).distance,
        fake_radius=named(radius_y).distance,
        holding_fake=holding_y.cpu().numpy(),
        holding_real=holding_x.cpu().numpy(),
        real_to_fake=named(to_y),
        fake_to_real=named(near_yx.settle(1)),
        real_to_real=named(closest_x),
        fake_to_fake=named(near_y.settle(1)),
        nearest_real=tuple(named(near_x.settle(order)) for order in range(1, k + 1)),
        kernel=kernel.result(),
        collisions=Collisions(
            radius=math.sqrt(collision) * x.frame.scale,
            real=near_x.closer_than(float(collision)).cpu().numpy(),
            fake=collided.cpu().numpy(),
        ),
    )


def _points(sets: tuple[Tensor, Tensor], memory: int) -> list[Points]:
    """The sets in a common frame: kept ready where half of `memory` holds them, in blocks that the rest holds."""
    frame, dimensions = Frame.around(sets), sets[0].shape[1]
    keep = sum(map(len, sets)) * dimensions * frame.dtype.itemsize <= memory / 2
    block = LARGEST_BLOCK
    while block > SMALLEST_BLOCK and block * 8 * (MATRICES_OF_A_BLOCK * block + 4 * dimensions) > memory / 2:
        block //= 2
    return [Points(rows, frame, keep=keep, block=block) for rows in sets]
