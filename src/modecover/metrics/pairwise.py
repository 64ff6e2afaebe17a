"""Squared distances between all pairs of rows, by matrix products, with bounds on their rounding.

    |x - y|^2 = |x|^2 + |y|^2 - 2 x.y

A matrix product is fast, in float32 twice as fast as in float64, but its distances are wrong by some epsilon times the
squared norms, however close the points. So what is made here are *lower bounds*; adding the slack of both rows gives
upper bounds. Most comparisons are decided by the bounds, and the few others by differences in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from modecover.metrics.arrays import mean_of, parts

FEW_DIMENSIONS = 64
"""Up to here, products in float64 cost little beside the rest, and small tight clusters need them."""
LITTLE_WORK = 2e10
"""So many multiplications (about a second) are also done in float64."""
_EXACT_BYTES = 2**19
_SPARE = 4
"""Candidates held beyond those asked for, so that near ties seldom need a second search."""
_SPARE_IN_DOUBLE = 16
_ROWS_AGAIN = 1024


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
        """The frame of sets of rows (n, d), as `as_pair` lets them through."""
        centre = torch.stack([mean_of(rows) for rows in sets]).mean(dim=0)
        largest = max(float((part.double() - centre).abs_().max()) for rows in sets for _, part in parts(rows))
        scale = 2.0 ** math.frexp(largest)[1]
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
        """Products of the rows in the frame with its centre."""
        self._kept = torch.empty(rows.shape, dtype=frame.dtype, device=rows.device) if keep else None
        for start, part in parts(rows):
            stop = start + len(part)
            framed = self.framed(part)
            self.squares[start:stop] = framed.square().sum(dim=1)
            self.along[start:stop] = framed @ frame.centre
            if self._kept is not None:
                self._kept[start:stop] = framed
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

    def framed(self, rows: Tensor) -> Tensor:
        return (rows.double() - self.frame.centre) / self.frame.scale

    def block(self, part: slice) -> Tensor:
        """Rows of the products' number type."""
        return self.framed(self.rows[part]).to(self.frame.dtype) if self._kept is None else self._kept[part]


def blocks(p: Points, q: Points) -> Iterator[tuple[slice, slice, Tensor]]:
    """Every block of `p` with every block of `q`, with lower bounds of their rows' squared distances in the frame.

    Those near 0 may be negative. Of one set's blocks every unordered pair comes once, and a block with itself contains
    every pair twice.
    """
    for number, i in enumerate(p.slices):
        for j in q.slices[number if p is q else 0 :]:
            yield i, j, torch.addmm(q.low[j], p.block(i), q.block(j).T, alpha=-2).add_(p.low[i, None])


def exact_distances(p: Points, i: Tensor, q: Points, j: Tensor) -> Tensor:
    """Squared distances, in the frame, of the rows `i` of `p` from the rows `j` of `q`, pair by pair, in float64."""
    found = torch.empty(len(i), dtype=torch.float64, device=i.device)
    size = max(2, _EXACT_BYTES // (8 * p.rows.shape[1]))
    for start in range(0, len(i), size):
        part = slice(start, start + size)
        difference = p.rows[i[part]].double() - q.rows[j[part]].double()
        found[part] = difference.div_(p.frame.scale).square_().sum(dim=1)
    return found


def places_of(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every true element, row by row. (On a CPU NumPy is many times as fast at it as torch.)"""
    on_cpu = mask.device.type == "cpu"
    found = torch.from_numpy(np.flatnonzero(mask.numpy())) if on_cpu else mask.flatten().nonzero()[:, 0]
    return found // mask.shape[1], found % mask.shape[1]


def inside(p: Points, i: slice, q: Points, j: slice, bounds: Tensor, limits: Tensor, *, closed: bool = False) -> Tensor:
    """Which pairs of two blocks are closer than `limits`, decided exactly: shape (|i|, |j|), bool.

    Args:
        bounds: of the blocks, as `blocks` gives them.
        limits: squared distances in the frame, float64, shape (|i|, 1) or (1, |j|).
        closed: a distance equal to the limit is inside too.
    """
    epsilon = torch.finfo(bounds.dtype).eps
    wide, narrow = p.slack[i, None], q.slack[None, j]
    slack = wide + narrow.max() if limits.shape[0] > 1 or len(bounds) == 1 else wide.max() + narrow
    maybe = bounds <= (limits * (1 + 2 * epsilon)).to(bounds.dtype)
    surely = bounds < (limits * (1 - 2 * epsilon) - slack).to(bounds.dtype)
    rows, columns = places_of(maybe & ~surely)
    # Many doubtful pairs mean that the points are far closer to each other than to the centre. Products in float64 are
    # right to about 1e-15 of the squared norms.
    if len(rows) > bounds.numel() // 32 and len(rows) > 1000:
        x, y = p.framed(p.rows[i]), q.framed(q.rows[j])
        squares = (x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * (x @ y.T))[rows, columns]
    else:
        squares = exact_distances(p, rows + i.start, q, columns + j.start)
    limit = limits.expand_as(bounds)[rows, columns]
    maybe[rows, columns] = squares <= limit if closed else squares < limit
    return maybe


@dataclass(frozen=True)
class Found:
    """For each row, one other row and the squared distance to it in the frame."""

    index: Tensor
    squares: Tensor


class Candidates:
    """The rows of `q` with the smallest lower bounds for each row of `p`, gathered block by block.

    Args:
        order: `settle` will be asked for at most the order-th nearest.
        own: for each row of `p`, the row of `q` that is itself and does not count; None: its own number, where `p` is
            `q`, else there is none.
    """

    def __init__(self, p: Points, q: Points, order: int, own: Tensor | None = None):
        self.p, self.q = p, q
        self.own = torch.arange(len(p), device=p.rows.device) if p is q else own
        spare = _SPARE_IN_DOUBLE if p.frame.dtype == torch.float64 else _SPARE
        shape = (len(p), order + spare)
        self.low = torch.full(shape, torch.inf, dtype=p.frame.dtype, device=p.rows.device)
        """Lower bounds, ascending."""
        self.index = torch.zeros(shape, dtype=torch.int64, device=p.rows.device)

    def offer(self, i: slice, j: slice, bounds: Tensor) -> None:
        """Take what is nearer than the candidates so far. `bounds`: rows `i` of `p` by rows `j` of `q`, in which the
        distances of rows from themselves become infinite."""
        low = self.low[i]
        if self.own is not None:
            own = self.own[i] - j.start
            here = ((own >= 0) & (own < bounds.shape[1])).nonzero()[:, 0]
            bounds[here, own[here]] = torch.inf
        nearer = bounds < low[:, -1:]
        if int(nearer.sum()) > bounds.numel() // 8:
            lines = torch.arange(len(low), device=low.device)
            new, index = torch.topk(bounds, min(low.shape[1], bounds.shape[1]), dim=1, largest=False)
        else:
            # Survivors are few: lay them out as a narrow matrix, one line for each row that has any.
            rows, columns = places_of(nearer)
            if not len(rows):
                return
            lines, line, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
            place = torch.arange(len(rows), device=low.device) - (counts.cumsum(0) - counts)[line]
            new = torch.full((len(lines), int(counts.max())), torch.inf, dtype=low.dtype, device=low.device)
            index = torch.zeros(new.shape, dtype=torch.int64, device=low.device)
            new[line, place] = bounds[rows, columns]
            index[line, place] = columns
        lines = lines + i.start
        both = torch.cat([self.low[lines], new], dim=1)
        indices = torch.cat([self.index[lines], index + j.start], dim=1)
        self.low[lines], places = torch.topk(both, low.shape[1], dim=1, largest=False, sorted=True)
        self.index[lines] = indices.gather(1, places)

    def settle(self, order: int) -> Found:
        """The order-th nearest of every row, exactly (in float64 ties within 1e-15 of the norms are broken anyhow)."""
        low = self.low.double()
        upper = low + self.p.slack[:, None] + self.q.slack[self.index]
        ceiling = upper.sort(dim=1).values[:, order - 1]
        surely = upper < low[:, order - 1, None]
        doubtful = (low <= ceiling[:, None]) & ~surely & low.isfinite()
        squares = torch.full_like(low, torch.inf)
        squares[surely] = -1.0
        rows, columns = places_of(doubtful)
        squares[rows, columns] = exact_distances(self.p, rows, self.q, self.index[rows, columns])
        squares, places = squares.sort(dim=1)
        found = squares[:, order - 1]
        index = self.index.gather(1, places)[:, order - 1]
        others = len(self.q) - (self.own is not None)
        settled = (low[:, -1] > ceiling) | (found == 0) | (low.shape[1] >= others)
        if self.p.frame.dtype != torch.float64 and not settled.all():
            # Bounds by products in float32 are too wide for these rows: they are looked for again in float64.
            frame = replace(self.p.frame, dtype=torch.float64)
            q = Points(self.q.rows, frame, keep=False, block=_ROWS_AGAIN)
            for part in (~settled).nonzero()[:, 0].split(_ROWS_AGAIN):
                p = Points(self.p.rows[part], frame, keep=True, block=_ROWS_AGAIN)
                again = Candidates(p, q, order, None if self.own is None else self.own[part])
                for block in blocks(p, q):
                    again.offer(*block)
                better = again.settle(order)
                index[part], found[part] = better.index, better.squares
        return Found(index, found)

    def closer_than(self, limit: float) -> Tensor:
        """How many candidates of each row lie at most at the squared distance `limit`; at most all that are held."""
        rows, columns = places_of(self.low.double() <= limit)
        close = exact_distances(self.p, rows, self.q, self.index[rows, columns]) <= limit
        return torch.bincount(rows[close], minlength=len(self.p))
