"""The nearest rows of each row, found by bounds of the distances and settled exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from modecover.metrics.pairwise import Points, blocks_between, count_of, exact_distances, places_of

_SPARE = 4
"""Candidates held beyond those asked for, so that near ties seldom need a second search."""
_SPARE_IN_DOUBLE = 16
_ROWS_AGAIN = 1024


@dataclass(frozen=True)
class Found:
    """For each row, one other row and the squared distance to it in the frame."""

    index: Tensor
    squares: Tensor


class Candidates:
    """The rows of `q` with the smallest lower bounds for each row of `p`, gathered block by block.

    Args:
        order: `settle` will be asked for at most the order-th nearest.
        own: for each row of `p`, the row of `q` that is itself and does not count; None: there is none.
    """

    def __init__(self, p: Points, q: Points, order: int, own: Tensor | None = None):
        self.p, self.q, self.own = p, q, own
        self.others = len(q) - (own is not None)
        spare = _SPARE_IN_DOUBLE if p.frame.dtype == torch.float64 else _SPARE
        shape = (len(p), order + spare)
        self.low = torch.full(shape, torch.inf, dtype=p.frame.dtype, device=p.rows.device)
        """Lower bounds, ascending."""
        self.index = torch.zeros(shape, dtype=torch.int64, device=p.rows.device)

    def offer(self, i: slice, j: slice, bounds: Tensor) -> None:
        """Take what is nearer than the candidates so far. `bounds`: rows `i` of `p` by rows `j` of `q`."""
        low = self.low[i]
        nearer = bounds < low[:, -1:]
        survivors = count_of(nearer)
        if not survivors:
            return
        if survivors > bounds.numel() // 8:
            few = min(low.shape[1], bounds.shape[1])
            new, places = torch.topk(bounds, few, dim=1, largest=False)
            self._merge(torch.arange(i.start, i.stop, device=low.device), new, places + j.start)
            return
        # Survivors are few: lay them out as a narrow matrix, one line for each row that has any.
        rows, columns = places_of(nearer)
        lines, line, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
        place = torch.arange(len(rows), device=low.device) - (counts.cumsum(0) - counts)[line]
        shape = (len(lines), int(counts.max()))
        new = torch.full(shape, torch.inf, dtype=low.dtype, device=low.device)
        index = torch.zeros(shape, dtype=torch.int64, device=low.device)
        new[line, place] = bounds[rows, columns]
        index[line, place] = columns + j.start
        self._merge(lines + i.start, new, index)

    def _merge(self, rows: Tensor, new: Tensor, index: Tensor) -> None:
        both = torch.cat([self.low[rows], new], dim=1)
        indices = torch.cat([self.index[rows], index], dim=1)
        self.low[rows], places = torch.topk(both, self.low.shape[1], dim=1, largest=False, sorted=True)
        self.index[rows] = indices.gather(1, places)

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
        settled = (low[:, -1] > ceiling) | (found == 0) | (low.shape[1] >= self.others)
        if self.p.frame.dtype != torch.float64 and not settled.all():
            again = (~settled).nonzero()[:, 0]
            for part in again.split(_ROWS_AGAIN):
                better = self._in_double(part, order)
                index[part], found[part] = better.index, better.squares
        return Found(index, found)

    def _in_double(self, rows: Tensor, order: int) -> Found:
        frame = replace(self.p.frame, dtype=torch.float64)
        p = Points(self.p.rows[rows], frame, keep=True, block=_ROWS_AGAIN)
        q = Points(self.q.rows, frame, keep=False, block=_ROWS_AGAIN)
        return nearest(p, q, order, None if self.own is None else self.own[rows])

    def closer_than(self, limit: float) -> Tensor:
        """How many candidates of each row lie at most at the squared distance `limit`; at most all that are held."""
        rows, columns = places_of(self.low.double() <= limit)
        close = exact_distances(self.p, rows, self.q, self.index[rows, columns]) <= limit
        return torch.bincount(rows[close], minlength=len(self.p))


def nearest(p: Points, q: Points, order: int = 1, own: Tensor | None = None) -> Found:
    """The order-th nearest row of `q` for every row of `p`; `own` as in `Candidates`."""
    candidates = Candidates(p, q, order, own)
    for i, j, bounds in blocks_between(p, q):
        if own is not None:
            here = ((own[i] >= j.start) & (own[i] < j.stop)).nonzero()[:, 0]
            bounds[here, own[i][here] - j.start] = torch.inf
        candidates.offer(i, j, bounds)
    return candidates.settle(order)
