"""Where a generator does not go, asked again and again of one body of real samples, which is fitted once.

It is the audit's missing mass (`modecover.metrics.regions`, one division of the real rows into halves) at a fraction of
its cost: features, cells and clusters of the real rows are kept, and a look only places the fake rows among them. As in
the audit, real rows are compared with the sharpness and the contraction of the fake ones, so that neither blur nor
narrow modes pass for missing ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from modecover.features.choice import fit_features
from modecover.features.kept import Extractor, Features, Kept, places
from modecover.features.pixels import MEMORY
from modecover.features.sharpness import as_sharp_as, bin_means
from modecover.features.spread import centres_of, distances, log_ratio
from modecover.metrics.arrays import Floats, Integers, Report, groups_of_equals
from modecover.metrics.classes import opinions
from modecover.metrics.regions import POINTS, Counted, MissedMass, Regions, count_missed, fit_regions, halves
from modecover.random import derive_seed

REAL_FOR_A_FAKE = 2
"""Real rows for each fake one, so that each half has as many."""

CONTRACTED = 0.97
"""Fake rows that vary less than so many times as much as real ones are compared with real rows contracted likewise."""

LEAST_FOUND = 0.1
"""Of planted gaps: where fewer of their rows are found, these features do not show what is missed."""


class Reading(NamedTuple):
    """A number with its 95 % interval; the number is NaN where the interval alone can be told."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class _Half:
    """One half of the real rows, fitted, and the other, which it judges."""

    judged: Integers
    rows: Kept
    """Those judged, (k, ...)."""
    chosen: Extractor
    features: Features
    """Of the judged rows, (k, f)."""
    regions: Regions
    cells: Integers
    """Of the judged rows, (k,)."""
    reference: tuple[Features, Integers] | None
    """The reference's features, and its classes where they are known, from 0."""
    groups: Integers
    """The class of each judged row, where there are classes, else its cluster, (k,)."""
    centres: Floats
    """Of each cluster the mean of the reference, in coarse content, (clusters, d)."""
    means: Kept
    """The same in whole, (clusters, ...)."""


class Watch:
    """Real samples that fake ones are held against, as often as wanted.

    Args:
        real: points (n, d) or images (n, C, H, W) in [-1, 1], at least 4.
        labels: classes of the real rows, (n,), where they are known.
        fakes: how many fake rows a look will have, about: cells are as fine as these allow.
        features: as for `modecover.features.fit_features`.
        seed: of the halves, the features and the cells.
        device: where features are computed.
        memory: bytes that tables of products may take.
        progress: of classifiers' training.

    Raises:
        UserError: the features cannot be had for such samples.
    """

    def __init__(
        self,
        real: Kept,
        labels: Integers | None = None,
        *,
        fakes: int,
        features: object = "auto",
        seed: int = 0,
        device: torch.device | str = "cpu",
        memory: int = MEMORY,
        progress: Report | None = None,
    ):
        self.count, self.seed = len(real), seed
        classes = None if labels is None else np.unique(labels, return_inverse=True)[1].reshape(-1)
        self._halves: list[_Half] = []
        for number, (reference, judged) in enumerate(halves(len(real), 1, seed=seed)):
            own, rows = real.part(reference), real.part(judged)
            own_labels = None if labels is None else labels[reference]
            chosen = fit_features(
                features,  # type: ignore[arg-type]  # what it cannot read it refuses
                own,
                own_labels,
                seed=seed,
                device=device,
                memory=memory,
                progress=progress,
            )
            of_own, of_judged = chosen(own), chosen(rows)
            regions = fit_regions(of_own, fakes=fakes, seed=derive_seed(seed, "regions", number))
            own_clusters, cells = regions.clusters[regions.cells.of(of_own)], regions.cells.of(of_judged)
            groups = regions.clusters[cells] if classes is None else classes[judged]
            known = None if classes is None else (of_own, classes[reference])
            centres = centres_of(own, own_clusters, regions.count)
            means = bin_means(own, own_clusters, regions.count)
            self._halves.append(_Half(judged, rows, chosen, of_judged, regions, cells, known, groups, centres, means))

    def look(self, fake: Kept, keys: Iterable[str], *, seed: int = 0) -> dict[str, Reading]:
        """The numbers of these keys, of `READINGS`, for fake rows (m, ...)."""
        return {key: READINGS[key](self, fake, seed=seed) for key in keys}

    def missing(self, fake: Kept, *, seed: int = 0) -> Reading:
        """The share of the real mass where the generator does not go, beyond what its contraction empties.

        Args:
            fake: samples (m, ...) of independent noise: equal ones are no accident, and each counts.
            seed: of the planted gaps' counts.

        Returns:
            1 where a sample is not finite. Where these features do not show most of what is missed, only that it is no
            less than what they show: NaN, and an interval up to 1.
        """
        if not all(np.isfinite(fake[start : start + 512]).all() for start in range(0, len(fake), 512)):
            return Reading(1.0, 1.0, 1.0)
        repeated = groups_of_equals(map(fake.as_stored, places(fake)))
        placed: list[tuple[_Half, Features, Integers, Kept, Features]] = []
        logs = []
        for half in self._halves:
            of_fake = half.chosen(fake)
            fake_cells, clusters = half.regions.cells.of(of_fake), half.regions.clusters
            sides = clusters[half.cells], clusters[fake_cells]
            stand_in, features = as_sharp_as(fake, half.rows, sides, seed=self.seed), half.features
            if stand_in is not half.rows:
                features = half.chosen(stand_in)
            placed.append((half, of_fake, fake_cells, stand_in, features))
            here = clusters[half.regions.cells.of(features)]
            both = (stand_in, here), (fake, sides[1])
            logs.append(log_ratio([distances(rows, of, half.centres) for rows, of in both]))

        contraction = math.exp(float(np.mean(logs)))  # NaN where there are too few rows to compare
        divisions = []
        for half, of_fake, fake_cells, stand_in, features in placed:
            if contraction < CONTRACTED:
                centres = half.means[half.regions.clusters[half.cells]]
                features = half.chosen(centres + contraction * (stand_in[:] - centres))
            cells = half.cells if features is half.features else half.regions.cells.of(features)
            planes, seen = (features, of_fake, repeated), None
            if half.reference is not None:
                own, of_own = half.reference
                seen = opinions(own, of_own, int(of_own.max()) + 1, features, of_fake)
            divisions.append(Counted(half.judged, cells, fake_cells, half.groups, half.regions.clusters, planes, seen))
        if contraction < POINTS:
            divisions = [division.by_clusters() for division in divisions]
        missed: MissedMass = count_missed(divisions, self.count, seed=derive_seed(seed, "gaps"))
        hidden = missed.found < LEAST_FOUND
        return Reading(math.nan if hidden else missed.value, missed.low, 1.0 if hidden else missed.high)


READINGS = {"missing-mass": Watch.missing}
"""What a watch can tell, by the key that the audit has for it."""
