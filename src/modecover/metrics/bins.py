"""Which regions of the data a generator starves or crowds: a signed form of NDB (Richardson and Weiss 2018).

The regions (bins) are the cells of a k-means clustering of the real rows alone. In each, the share of fake rows is
compared with the share of real rows by a two-proportion test, and Holm's correction keeps the chance of any false
alarm below the level, which the published count of single tests at 5 % does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Floats, Integers, as_floats, as_labels, as_rows, parts, require_squares

LEVEL = 0.05
ROWS_IN_A_BIN = 20
"""Of real rows, at least on average, so that a test can tell an empty bin from chance."""


@dataclass(frozen=True)
class Bins:
    """A partition of space: the cell of each centre is where it is the nearest."""

    centres: Tensor
    """Shape (bins, d), float64."""

    def __len__(self) -> int:
        return len(self.centres)

    def of(self, rows: ArrayLike) -> Integers:
        """The bin of every row, (n,), of finite rows (n, d) in the bins' dimensions."""
        points = as_rows(rows, "rows")
        require_squares(points, "rows")
        if points.shape[1] != self.centres.shape[1]:
            raise UserError(f"rows have {points.shape[1]} dimensions and the bins {self.centres.shape[1]}")
        return np.asarray(_nearest(points, self.centres.to(points.device)).cpu().numpy())


@dataclass(frozen=True)
class BinComparison:
    """How real and fake rows spread over the bins. All arrays have one element for each bin."""

    real: Integers
    """Real rows in each bin."""
    fake: Integers
    z: Floats
    """The two-proportion statistic: negative where fake rows are too few, 0 in a bin without any rows."""
    p_values: Floats
    """Two-sided, of each single test."""
    corrected: Floats
    """The same after Holm's correction: below 0.05, the bin differs with all bins considered."""
    level: float

    @property
    def starved(self) -> Integers:
        """Bins with significantly too few fake rows."""
        return np.flatnonzero((self.corrected < self.level) & (self.z < 0))

    @property
    def crowded(self) -> Integers:
        """Bins with significantly too many."""
        return np.flatnonzero((self.corrected < self.level) & (self.z > 0))

    @property
    def dropped(self) -> Integers:
        """Starved bins without a single fake row."""
        return self.starved[self.fake[self.starved] == 0]

    @property
    def different(self) -> float:
        """Share of the bins that differ: NDB / K, with the correction."""
        return (len(self.starved) + len(self.crowded)) / len(self.z)


@held(bins=1, seed=0, rounds=1, rows_in_a_bin=1)
def fit_bins(
    real: ArrayLike, *, bins: int = 100, seed: int = 0, rounds: int = 30, rows_in_a_bin: int = ROWS_IN_A_BIN
) -> Bins:
    """Cluster finite real rows (n, d) by k-means (k-means++ start, at most `rounds` >= 1 of Lloyd's rounds).

    At most `bins` >= 1 are made: no more than let so many real rows fall into each on
    average, or than there are different rows.
    """
    rows = as_rows(real, "real")
    require_squares(rows, "real")
    random = np.random.default_rng(seed)

    # Arthur and Vassilvitskii 2007: each next centre is a row drawn by its squared distance from those before.
    centres = rows[int(random.integers(len(rows)))].double()[None]
    closest = torch.full((len(rows),), torch.inf, dtype=torch.float64, device=rows.device)
    while len(centres) < min(bins, len(rows) // rows_in_a_bin):
        for start, part in parts(rows):
            own = closest[start : start + len(part)]
            torch.minimum(own, (part.double() - centres[-1]).square().sum(dim=1), out=own)
        weights = closest.cpu().numpy()
        if not weights.any():
            break  # every row is a centre
        weights = weights / weights.max()
        chosen = int(random.choice(len(rows), p=weights / weights.sum()))
        centres = torch.cat([centres, rows[chosen].double()[None]])

    # Lloyd's rounds.
    labels = torch.full((len(rows),), -1, device=rows.device)
    for _ in range(rounds):
        found = _nearest(rows, centres)
        if torch.equal(found, labels):
            break
        labels = found
        sums = torch.zeros_like(centres)
        for start, part in parts(rows):
            sums.index_add_(0, labels[start : start + len(part)], part.double())
        sizes = torch.bincount(labels, minlength=len(centres))
        # A centre that lost all its rows stays where it was.
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return Bins(centres)


@held(bins=1)
def compare_bins(real_bins: ArrayLike, fake_bins: ArrayLike, bins: int, *, level: float = LEVEL) -> BinComparison:
    """Test in every bin whether the share of fake rows is that of real rows.

    Args:
        real_bins, fake_bins: the bin of every row, shapes (n,) and (m,), in [0, bins): from `Bins.of`, or any labels.
        level: the chance allowed for any false alarm at all, between 0 and 1.
    """
    if not 0 < level < 1:
        raise UserError(f"level is {level}; choose one between 0 and 1, such as 0.05")
    real = np.bincount(as_labels(real_bins, bins), minlength=bins).astype(np.int64)
    fake = np.bincount(as_labels(fake_bins, bins), minlength=bins).astype(np.int64)
    n, m = int(real.sum()), int(fake.sum())
    pooled = (real + fake) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = np.divide(fake / m - real / n, error, out=np.zeros(bins), where=error > 0)
    p_values = torch.special.erfc(torch.from_numpy(np.abs(z) / np.sqrt(2))).numpy()
    return BinComparison(real, fake, z, p_values, holm(p_values), level)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down correction: p-values (n,) that may each be compared with the level for all n tests together."""
    values = as_floats(p_values)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise UserError(f"p-values have shape {values.shape}; give a row of probabilities, from 0 to 1")
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(steps, 1)
    return corrected


def _nearest(rows: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of every row (n,); both are centred, for the digits' sake."""
    middle = centres.mean(dim=0)
    offsets = centres - middle
    norms = offsets.square().sum(dim=1)
    return torch.cat([(norms - 2 * (part.double() - middle) @ offsets.T).argmin(dim=1) for _, part in parts(rows)])
