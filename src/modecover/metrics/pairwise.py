"""Squared distances between all pairs of rows, by matrix products, with bounds on their rounding.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y

A matrix product in float32 is twice as fast as one in float64, but its distances are wrong by some epsilon times the
squared norms, however close the points. So what is made here are *lower bounds* of the squared distances; adding the
slack of both rows gives upper bounds. Whoever compares distances decides most comparisons by the bounds and asks for
the few others exactly, by differences in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.metrics.rows import mean_of, parts

Progress = Callable[[int, int], None]
"""Called after every block with the blocks done and the blocks in all."""

FEW_DIMENSIONS = 64
"""Up to here, products in float64 cost little beside the rest, and small tight clusters need them."""
LITTLE_WORK = 2e10
"""So many multiplications (about a second) are also done in float64."""

_EXACT_BYTES = 2**19


@dataclass(frozen=True)
class Frame:
    """The common centre and scale of several sets: distances are taken between (row - centre) / scale."""

    centre: Tensor
    """Shape (d,), float64: the mean of the sets' means."""
    scale: float
    """A power of two above every coordinate, so that nothing overflows and dividing by it is exact."""
    dtype: torch.dtype
    """Of the products: float32 or float64."""

    @classmethod
    def around(cls, sets: Sequence[Tensor]) -> Frame:
        """The frame of sets of finite rows (n, d).

        Raises:
            UserError: values are so large that their sums or differences overflow float64.
        """
        centre = torch.stack([mean_of(rows) for rows in sets]).mean(dim=0)
        largest = max(_largest(part.double() - centre) for rows in sets for _, part in parts(rows))
        if not math.isfinite(largest):
            raise UserError("the features are so large that their differences overflow; divide all by one large number")
        scale = 2.0 ** min(math.frexp(largest)[1], 1023) if largest else 1.0
        work = sum(len(rows) for rows in sets) ** 2 * len(centre)
        # Whoever allows products in a lower precision would have our bounds broken by them.
        plain = torch.get_float32_matmul_precision() == "highest"
        small = len(centre) <= FEW_DIMENSIONS or work <= LITTLE_WORK
        return cls(centre, scale, torch.float32 if plain and not small else torch.float64)


class Points:
    """A set of rows in a frame, with what the bounds of their distances need.

    Args:
        rows: finite numbers, shape (n, d).
        keep: hold all rows as the products need them in memory, rather than making them anew for every block.
        block: rows in a block.
    """

    def __init__(self, rows: Tensor, frame: Frame, *, keep: bool, block: int):
        self.rows, self.frame = rows, frame
        self.slices = [slice(start, min(start + block, len(rows))) for start in range(0, len(rows), block)]
        self.squares = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
        """Squared norms in the frame."""
        self.along = torch.empty_like(self.squares)
        """Products with the frame's centre."""
        self._kept: Tensor | None = None
        kept = torch.empty(rows.shape, dtype=frame.dtype, device=rows.device) if keep else None
        for start, part in parts(rows):
            stop = start + len(part)
            framed = self._framed(part)
            self.squares[start:stop] = framed.square().sum(dim=1)
            self.along[start:stop] = framed @ frame.centre
            if kept is not None:
                kept[start:stop] = framed
        self._kept = kept
        precision = torch.finfo(frame.dtype)
        dimensions = rows.shape[1]
        # Rounding of sums of d products grows like sqrt(d) (Higham and Mary 2019); the rest is for the rounding of the
        # rows, the norms and the final sums. What underflows is at most `lost`.
        relative = precision.eps / 2 * (4 * math.sqrt(dimensions) + 16)
        lost = 8 * dimensions * precision.tiny
        self.low = (self.squares * (1 - relative) - lost).to(frame.dtype)
        """What a row adds to the lower bound of its distances."""
        self.slack = 2 * (self.squares * relative + lost)
        """What to add, for both rows, to a lower bound to have an upper one."""

    def __len__(self) -> int:
        return len(self.rows)

    def _framed(self, rows: Tensor) -> Tensor:
        return (rows.double() - self.frame.centre) / self.frame.scale

    def block(self, part: slice) -> Tensor:
        """Rows of the products' number type."""
        return self._framed(self.rows[part]).to(self.frame.dtype) if self._kept is None else self._kept[part]


def lower_bounds(p: Points, i: slice, q: Points, j: slice) -> Tensor:
    """Lower bounds of the squared distances of block `i` of `p` from block `j` of `q`; those near 0 may be negative."""
    found = torch.addmm(q.low[j], p.block(i), q.block(j).T, alpha=-2)
    return found.add_(p.low[i, None])


def double_distances(p: Points, i: slice, q: Points, j: slice) -> Tensor:
    """The same squared distances by products in float64: right to about 1e-15 of the squared norms."""
    x, y = p._framed(p.rows[i]), q._framed(q.rows[j])
    return x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * (x @ y.T)


def exact_distances(p: Points, i: Tensor, q: Points, j: Tensor) -> Tensor:
    """Squared distances, in the frame, of the rows `i` of `p` from the rows `j` of `q`, pair by pair, in float64."""
    found = torch.empty(len(i), dtype=torch.float64, device=i.device)
    size = max(2, _EXACT_BYTES // (8 * p.rows.shape[1]))
    for start in range(0, len(i), size):
        part = slice(start, start + size)
        difference = p.rows[i[part]].double() - q.rows[j[part]].double()
        found[part] = difference.div_(p.frame.scale).square_().sum(dim=1)
    return found


def blocks_within(p: Points) -> Iterator[tuple[slice, slice, Tensor]]:
    """Every unordered pair of blocks of `p`, with its lower bounds; a block with itself contains every pair twice."""
    for number, i in enumerate(p.slices):
        for j in p.slices[number:]:
            yield i, j, lower_bounds(p, i, p, j)


def blocks_between(p: Points, q: Points) -> Iterator[tuple[slice, slice, Tensor]]:
    """Every block of `p` with every block of `q`, with its lower bounds."""
    for i in p.slices:
        for j in q.slices:
            yield i, j, lower_bounds(p, i, q, j)


def count_of(mask: Tensor) -> int:
    """How many elements are true. (On a CPU NumPy is many times as fast at it as torch.)"""
    return int(np.count_nonzero(mask.numpy())) if mask.device.type == "cpu" else int(mask.count_nonzero())


def places_of(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every true element, row by row."""
    if mask.device.type != "cpu":
        rows, columns = mask.nonzero(as_tuple=True)
        return rows, columns
    if mask.is_contiguous():
        found = torch.from_numpy(np.flatnonzero(mask.numpy()))
        return found // mask.shape[1], found % mask.shape[1]
    columns, rows = places_of(mask.T.contiguous())
    rows, order = rows.sort(stable=True)
    return rows, columns[order]


def inside(p: Points, i: slice, q: Points, j: slice, bounds: Tensor, limits: Tensor, *, closed: bool = False) -> Tensor:
    """Which pairs of two blocks are closer than `limits`, decided exactly.

    Args:
        bounds: `lower_bounds` of the blocks.
        limits: squared distances in the frame, float64, shape (|i|, 1) or (1, |j|).
        closed: a distance equal to the limit is inside too.

    Returns:
        Shape (|i|, |j|), bool.
    """
    epsilon = torch.finfo(bounds.dtype).eps
    wide, narrow = p.slack[i, None], q.slack[None, j]
    slack = wide + narrow.max() if limits.shape[0] > 1 or len(bounds) == 1 else wide.max() + narrow
    maybe = bounds <= (limits * (1 + 2 * epsilon)).to(bounds.dtype)
    surely = bounds < (limits * (1 - 2 * epsilon) - slack).to(bounds.dtype)
    if count_of(maybe) == count_of(surely):
        return maybe
    rows, columns = places_of(maybe & ~surely)
    # Many doubtful pairs mean that the points are far closer to each other than to the centre.
    if len(rows) > bounds.numel() // 32 and len(rows) > 1000:
        squares = double_distances(p, i, q, j)[rows, columns]
    else:
        squares = exact_distances(p, rows + i.start, q, columns + j.start)
    limit = limits.expand_as(bounds)[rows, columns]
    maybe[rows, columns] = squares <= limit if closed else squares < limit
    return maybe


def _largest(values: Tensor) -> float:
    low, high = values.aminmax()
    return max(-float(low), float(high))
