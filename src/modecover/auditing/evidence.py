"""The evidence of an audit, gathered once: all that verdicts, metrics, curves and examples rest on.

What only one verdict looks at it works out itself, from the samples and bins that stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modecover.auditing.inputs import Samples
from modecover.auditing.results import Flags
from modecover.features import Extractor, pixels
from modecover.features.kept import Features
from modecover.metrics.arrays import Floats, Integers, Report
from modecover.metrics.bins import compare_bins, fit_bins
from modecover.metrics.missing import missing_modes, noise_unit
from modecover.metrics.neighbours import NeighbourStatistics, neighbour_statistics

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

K = 5
"""Precision, recall, density and coverage look at the fifth neighbour, as their papers do."""

BINS = 20
"""Cells of the data: about as coarse as modes are, as finer ones tell shrink from the middle of a mode outwards."""


@dataclass(frozen=True, eq=False)
class View:
    """The samples in some features, (n, f) and (m, f), and what the distances between them say."""

    extractor: Extractor
    real: Features
    fake: Features
    near: NeighbourStatistics
    inside: Flags
    """Of every real row left out in turn; see `left_out`."""
    closeness: Floats


class Evidence:
    """All that was measured of n real and m fake rows. Pairs are (of the real rows, of the fake ones).

    Args:
        parts: "real" and "fake" samples, and "train" and "test" where there are any.
        extractor: the features that were asked for.
        labels: the classes of the real rows, (n,), where they are known.
        encoder, noise, seed, memory: as `modecover.audit` has them; `memory` in bytes.
        tell: called as work goes on.
    """

    def __init__(
        self,
        parts: Mapping[str, Samples],
        extractor: Extractor,
        labels: Integers | None,
        encoder: Extractor | None,
        *,
        noise: Sequence[float],
        seed: int,
        memory: int,
        tell: Progress,
    ):
        self.real, self.fake, self.labels, self.encoder, self.seed = parts["real"], parts["fake"], labels, encoder, seed
        self.train = parts.get("train", self.real)
        """What the generator learnt from: the real samples, unless others were named."""

        telling: Callable[[str], Report] = lambda stage: lambda done, total: tell(stage, done / total)

        def neighbours(x: Features, y: Features, report: Report | None = None) -> NeighbourStatistics:
            k = min(K, len(x) - 1, len(y) - 1)
            return neighbour_statistics(x, y, k=k, memory=memory, seed=seed, progress=report)

        def seen(extractor: Extractor, stage: str) -> View:
            x, y = extractor(self.real.kept), extractor(self.fake.kept)
            near = neighbours(x, y, telling(stage))
            return View(extractor, x, y, near, *left_out(near))

        tell("features", 0.0)
        plain = extractor.name.startswith("pixels-")
        self.surface = seen(extractor if plain else pixels(self.real.kept, memory=memory), "distances")
        """In pixels, whatever the features: where copies and samples off the manifold are looked for."""
        self.chosen = self.surface if plain else seen(extractor, "distances of features")
        """In the features that were asked for: where missing modes and imbalance are looked for."""

        x, y = self.chosen.real, self.chosen.fake
        unit = noise_unit(x, seed=seed) or 1.0  # of equal rows it is 0, and any noise will do
        levels = [factor * unit for factor in noise]
        self.sweep = missing_modes(x, y, levels=levels, seed=seed, progress=telling("missing modes"))
        """The missing-mode estimator on the chosen features, at every level of noise."""

        tell("verdicts", 0.0)
        self.bins = fit_bins(x, bins=BINS, seed=seed)
        """Fitted to the real rows in the chosen features."""
        self.cells = self.bins.of(x), self.bins.of(y)
        """The bin of every row, (n,) and (m,)."""
        self.comparison = compare_bins(*self.cells, len(self.bins))
        """In which bins there are too few or too many fake rows."""

        near = self.surface.near
        self.outside = ~self.surface.inside, (near.holding_fake == 0) & (near.fake_to_real.distance > 0)
        """Rows (of the real ones each left out in turn) that lie in no real row's ball on the surface and equal no real
        row. Balls are open, and among repeated rows they have no inside."""
        self.different = independent_share(groups_of_equals(self.surface.fake))
        """The effective number of different fake rows over their number."""

        self.to_train, spacing = near.fake_to_real, near.real_to_real.distance
        """From every fake row to its nearest training row, (m,), on the surface."""
        self.unseen_distance, unseen_closeness = spacing, self.surface.closeness
        """To the nearest training row, of real rows that were not learnt from (where no training rows were named, of
        each real row left out)."""
        if "train" in parts:
            train = self.surface.extractor(parts["train"].kept)
            of_fake = neighbours(train, self.surface.fake)
            unseen = self.surface.extractor(parts["test"].kept) if "test" in parts else self.surface.real
            to_nearest = neighbours(train, unseen).fake_to_real
            self.to_train, spacing = of_fake.fake_to_real, of_fake.real_to_real.distance
            self.unseen_distance = to_nearest.distance
            unseen_closeness = closeness(to_nearest.distance, spacing[to_nearest.index])
        self.closeness = unseen_closeness, closeness(self.to_train.distance, spacing[self.to_train.index])
        """Of unseen real rows and of the fake ones: the distance to the nearest training row over that row's own
        distance to the nearest other one."""


def left_out(near: NeighbourStatistics) -> tuple[Flags, Floats]:
    """Every real row as if it were a generated one, held against all other real rows: the exact null of n - 1 rows.

    The k >= 2 nearest real rows of every real row are enough: a ball that holds the left-out row i is that of
    a row j of whose k nearest neighbours i is one, and drawn without i it reaches further, to the next neighbour.

    Returns:
        (n,), whether the row equals another one, or lies in its ball, that ball being drawn without the row; and (n,),
        the distance to the nearest other row over that row's own distance to *its* nearest among the rest.
    """
    first, second = near.nearest_real[:2]
    inside = first.distance == 0
    for neighbours in near.nearest_real:
        inside[neighbours.index] = True
    mutual = first.index[first.index] == np.arange(len(inside))
    own = np.where(mutual, second.distance[first.index], first.distance[first.index])
    return inside, closeness(first.distance, own)


def closeness(distance: Floats, own: Floats) -> Floats:
    """`distance / own`; 0 where both are 0, as among equal rows."""
    return np.divide(distance, own, out=np.where(distance > 0, np.inf, 0.0), where=own > 0)


def groups_of_equals(rows: Features) -> Integers:
    """A number for each row, the same for equal rows."""
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1].ravel(), dtype=np.int64)


def independent_share(groups: Integers) -> float:
    """The effective number of different rows over the number of rows: (sum n)^2 / (n sum n^2) over groups of equals."""
    sizes = np.bincount(groups)
    return float(len(groups) / np.square(sizes, dtype=float).sum())
