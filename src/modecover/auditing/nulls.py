"""What real data would score in the generator's place, and how sure a share or a ratio is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from modecover.auditing.results import Estimate
from modecover.metrics.arrays import Floats, Integers

Flags = npt.NDArray[np.bool_]

NORMAL = 1.96
"""Standard errors to each side of a 95 % interval."""

_PAIRS_AT_A_TIME = 2**22


@dataclass(frozen=True)
class LeftOut:
    """Every real row as if it were a generated one, held against all other real rows: the exact null of n - 1 rows.

    All arrays have shape (n,).
    """

    inside: Flags
    """Whether the row equals another one, or lies in its ball, that ball being drawn without the row."""
    closeness: Floats
    """The distance to the nearest other row over that row's own distance to *its* nearest among the rest."""
    spacing: Floats
    """The distance to the nearest other row."""


def left_out(rows: npt.ArrayLike, k: int) -> LeftOut:
    """Leave each row out in turn, at the cost of one search for k nearest neighbours.

    A ball that holds the left-out row i is that of a row j of whose k nearest neighbours i is one: drawn without i it
    reaches further, to the next neighbour.

    Args:
        rows: features (n, d), n > k >= 1 and n >= 3.
    """
    index, distance = _nearest_others(np.asarray(rows), max(k, 2))
    count = len(index)
    inside = np.zeros(count, dtype=bool)
    inside[index[:, :k].ravel()] = True
    nearest = index[:, 0]
    mutual = index[nearest, 0] == np.arange(count)
    own = np.where(mutual, distance[nearest, 1], distance[nearest, 0])
    inside |= distance[:, 0] == 0
    return LeftOut(inside, closeness(distance[:, 0], own), distance[:, 0])


def closeness(distance: Floats, own: Floats) -> Floats:
    """`distance / own`; 0 where both are 0, as among equal rows."""
    return np.divide(distance, own, out=np.where(distance > 0, np.inf, 0.0), where=own > 0)


def share(flags: Flags, weight: float = 1.0) -> Estimate:
    """The share of true flags with its Wilson interval; `weight` is the number of different rows over that of rows."""
    return share_of(float(flags.mean()) if len(flags) else 0.0, max(1.0, len(flags) * weight))


def share_of(value: float, count: float, extra: float = 0.0) -> Estimate:
    """A share seen among `count` rows with its Wilson interval, widened by a further standard error `extra`."""
    z = NORMAL**2 / count
    middle = (value + z / 2) / (1 + z)
    half = math.sqrt(z * value * (1 - value) + z * z / 4) / (1 + z)
    low, high = middle - half, middle + half
    low, high = min(low, value), max(high, value)
    low = value - math.hypot(value - low, NORMAL * extra)
    high = value + math.hypot(high - value, NORMAL * extra)
    return Estimate(value, max(0.0, low), min(1.0, high))


def excess(effect: Estimate, null: Estimate) -> Estimate:
    """How far `effect` lies above `null`, with the interval of a difference (Newcombe's, from those of the two)."""
    value = effect.value - null.value
    below = math.hypot(effect.value - effect.low, null.high - null.value)
    above = math.hypot(effect.high - effect.value, null.value - null.low)
    return Estimate(value, value - below, value + above)


def independent_share(groups: Integers) -> float:
    """The effective number of different rows over the number of rows: (sum n)^2 / (n sum n^2) over groups of equals."""
    sizes = np.bincount(groups)
    return float(len(groups) / np.square(sizes, dtype=float).sum())


def _nearest_others(rows: npt.NDArray[np.float32], k: int) -> tuple[Integers, Floats]:
    """Indices and distances (n, k) of the nearest other rows."""
    points = torch.from_numpy(np.ascontiguousarray(rows)).double()
    points = points - points.mean(dim=0)
    norms = points.square().sum(dim=1)
    k = min(k, len(points) - 1)
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    step = max(1, _PAIRS_AT_A_TIME // len(points))
    for start in range(0, len(points), step):
        part = points[start : start + step]
        squares = norms - 2 * part @ points.T + norms[start : start + step, None]
        here = torch.arange(len(part))
        squares[here, start + here] = torch.inf
        index = squares.topk(k, largest=False).indices
        # Anew from the differences: of near-equal rows the products leave only rounding.
        distances = (part[:, None] - points[index]).norm(dim=2)
        distances, order = distances.sort(dim=1, stable=True)
        found.append((index.gather(1, order).numpy(), distances.numpy()))
    indices, distances_ = zip(*found, strict=True)
    index_, distance_ = np.concatenate(indices), np.concatenate(distances_)
    if index_.shape[1] == 1:
        index_, distance_ = np.repeat(index_, 2, axis=1), np.repeat(distance_, 2, axis=1)
    return index_, distance_
