"""The share of the data that a generator misses, counted in regions that none of the counted rows has shaped.

Half of the real rows, the reference, are cut into cells by k-means. The other real rows and the fake rows are counted
in these cells, and where there are fewer fake rows than chance allows, and fewer than a ninth of what the real rows let
expect, the generator does not go: the real rows there are missed. Then the halves change places, and the whole is done
with several divisions. Real rows counted and fake rows of the same law are treated exactly alike, so that nothing that
was fitted can speak for one side.

A row belongs to the cell whose centre is nearest, however far it is. So samples that are blurred, noisy or contracted
fall into the cells that their originals would fall into, and do not pass for missing ones: of a mixture in 16
dimensions with modes half as wide again, no mass is missed. Where there are more modes than cells, none may be empty;
then a plane may show what is missed (`modecover.metrics.planes`).

What regions can show depends on the data: where modes overlap in these features, cells hold rows of several, and a
missed mode leaves none of them empty. That is measured. The cells are joined to clusters (Ward's rule, cut where the
next join would cost most, so that clusters are modes where there are modes), each cluster in turn is taken from the
judged rows that stand in for a generator, and `found` is the share of its rows that are then called missed. What cells
show is divided by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Floats, Integers, as_labels, as_pair, as_rows, groups_of_equals
from modecover.metrics.bins import Bins, fit_bins
from modecover.metrics.classes import class_weights, errors_of, opinions
from modecover.metrics.planes import Features, cut_off, lacking_there
from modecover.random import derive_seed

ROWS_IN_A_CELL, FAKES_IN_A_CELL = 10, 15
"""On average, at least: rows of the reference, and fake rows, of which nearly none must be hard to meet by chance."""

MOST_CELLS = 500

FEWEST = 4
"""Real rows, two in each half."""

MISSED = 1 / 9
"""A cell is missed where the generator has less than this share of the data's density: what MDGAN calls certain, a
discriminator of .9, is the same."""

BY_CHANCE = 0.005
"""The chance, at most, that a cell has so few fake rows where its cluster is made as evenly as the data's."""

SELDOM = 2 / 9
"""A cluster that is made with less than this share of its weight may be missed; one with more is made, though seldom,
and its cells are to be expected as seldom."""

MADE = 0.4
"""A class that may be made with more than this share of its weight is not surely missed."""

CLUSTERS, MOST_CLUSTERS = 20, 40
"""Clusters where the joins show no modes, and of how many modes they may tell."""

JUMP = 1.35
"""The joins show modes where one costs so many times the one before it."""

DIVISIONS = 2
"""Of the real rows into halves, of which each is the reference once."""

FEWEST_PLANTED = 5
"""Rows of a cluster that can be planted as a gap."""

UNLUCKY = 0.1
"""Of the planted gaps by mass: the upper end allows for a missed mode that is found as badly as these are."""

PLAIN = 0.9
"""Where cells alone show so much of a planted gap, planes are not looked for."""

POINTS = 0.3
"""Where modes are so many times as wide as the data's, or less, they are counted by clusters."""

LEAST_FOUND = 0.25
"""A reading is divided by what is found of planted gaps, but by no less than this, beyond which it would be a guess."""


@dataclass(frozen=True)
class Regions:
    """Cells of the data, and the clusters that they are joined to."""

    cells: Bins
    clusters: Integers
    """The cluster of each cell, from 0, (cells,)."""

    @property
    def count(self) -> int:
        """Clusters."""
        return int(self.clusters.max()) + 1


@held(fakes=1, seed=0)
def fit_regions(reference: ArrayLike, *, fakes: int, seed: int = 0) -> Regions:
    """The regions of reference rows (n, d), fine enough for so many fake rows to tell an empty cell from chance.

    Args:
        fakes: fake rows that will be counted.
        seed: of the k-means start.

    Raises:
        UserError: the rows are not as described, or not finite.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    rows = as_rows(reference, "reference")
    count = min(len(rows) // ROWS_IN_A_CELL, fakes // FAKES_IN_A_CELL, MOST_CELLS)
    cells = fit_bins(rows, bins=max(1, count), seed=seed, rows_in_a_bin=1)
    if len(cells) < 3:
        return Regions(cells, np.arange(len(cells)))

    # The join from k clusters to k - 1 has a height: where one is far above the one before it, k clusters are modes.
    joins = linkage(cells.centres.cpu().numpy(), "ward")
    heights, counts = joins[:, 2], np.arange(2, min(MOST_CLUSTERS, len(cells) - 1) + 1)
    jumps = heights[len(cells) - counts] / np.maximum(heights[len(cells) - counts - 1], np.finfo(float).tiny)
    clusters = int(counts[jumps.argmax()]) if jumps.max() > JUMP else CLUSTERS
    return Regions(cells, np.asarray(fcluster(joins, clusters, "maxclust"), np.int64) - 1)


@dataclass(frozen=True, eq=False)
class Counted:
    """The rows of one division in the regions of its reference."""

    judged: Integers
    """The real rows outside of the reference, by their number, (k,)."""
    real: Integers
    """The cell of each of them, (k,), as a generator that misses nothing would make it: that of the row itself, or of
    the row with the distortion that the fake rows show."""
    fake: Integers
    """The cell of each fake row, (m,)."""
    groups: Integers
    """The cluster or class of each judged row, (k,): what is planted as a gap."""
    clusters: Integers
    """The cluster of each cell, (cells,)."""
    features: tuple[Features, Features, Integers] | None = None
    """Of the judged rows, (k, d), distorted likewise, and of the fake ones, (m, d), which planes are laid through; and
    a number for each fake row, (m,), the same for equal ones, from 0. None: without planes."""
    opinions: tuple[Floats, ...] | None = None
    """Of which class each of these is, (k, classes) and (m, classes), where `groups` are classes, from 0; or None."""
    different: float = 1.0
    """The effective number of different fake rows over their number: repeated rows say less."""

    def by_clusters(self) -> Counted:
        """The same in clusters for cells: of modes contracted to points, which cell of a mode they are in is chance."""
        cells = {side: self.clusters[getattr(self, side)] for side in ("real", "fake")}
        return replace(self, **cells, clusters=np.arange(int(self.clusters.max()) + 1), features=None)


@dataclass(frozen=True, eq=False)
class MissedMass:
    """The share of the real mass where a generator does not go."""

    value: float
    low: float
    """Of the 95 % interval."""
    high: float
    counted: float
    """The share of real rows in missed cells, of which `value` is the correction."""
    found: float
    """Of planted gaps, the share that is counted: 1 where cells keep modes apart, 0 where rows are too few for any."""
    null: float
    """What is counted of a generator that misses nothing."""
    finest: float
    """The share of a cell on average: what is smaller cannot be seen."""
    unsure: float
    """The standard error of `counted` by way of the fake rows: by chance, cells that hold few are missed or not."""
    flags: npt.NDArray[np.bool_]
    """For each real row, whether its cell was missed in most divisions, (n,)."""
    lacking: Floats
    """For each real row, how many fake rows its cell lacks of those that are to be expected, on average, (n,)."""


def halves(count: int, divisions: int = DIVISIONS, *, seed: int = 0) -> list[tuple[Integers, Integers]]:
    """Pairs of a reference and the rows that it judges, ascending: each of `count` rows is judged `divisions` times."""
    random = np.random.default_rng(derive_seed(seed, "halves"))
    parts = [[np.sort(part) for part in np.array_split(random.permutation(count), 2)] for _ in range(divisions)]
    return [(one, other) for pair in parts for one, other in (pair, pair[::-1])]


def count_missed(divisions: Sequence[Counted], count: int, *, seed: int = 0) -> MissedMass:
    """Count the missed real rows of all divisions, and what such counting finds of gaps that are planted.

    Args:
        count: n, the number of real rows, each judged in equally many divisions.
        seed: of the planted gaps' counts.
    """
    from scipy.stats import nbinom, poisson

    random = np.random.default_rng(seed)
    votes, lacking, nulls, finest, beyond, unsure = np.zeros(count), np.zeros(count), [], 0.0, 0.0, 0.0
    planted: list[tuple[float, float]] = []
    lost, doubtful, possible = _lost_classes(divisions, random)
    doubt = chance = 0.0
    for division in divisions:
        cells = len(division.clusters)
        rows, fakes = len(division.judged), len(division.fake) * division.different
        # Each row is judged by the others: alone in a cell it says nothing of what to expect there.
        others = np.maximum(np.bincount(division.real, minlength=cells) - 1, 0)
        expected = others / max(rows - 1, 1) * fakes
        made = division.different * np.bincount(division.fake, minlength=cells).astype(np.float64)
        hoped, there = (np.bincount(division.clusters, counts) for counts in (expected, made))
        often = np.divide(there, hoped, out=np.ones(len(hoped)), where=hoped > 0)
        often = np.where(often < SELDOM, 1, np.minimum(often, 1))[division.clusters]
        fewest = np.minimum(MISSED * expected, poisson.ppf(BY_CHANCE, often * expected))
        cut = np.isin(division.groups, lost)
        doubt += float(np.isin(division.groups, doubtful).mean()) / len(divisions)
        chance += float(np.isin(division.groups, possible).mean()) / len(divisions)
        if division.features is not None:
            of_real, of_fake, repeated = division.features
            cut |= _cut_off(division, of_real, of_fake, repeated, expected, made, random)
        votes[division.judged] += (made < fewest)[division.real] | cut
        beyond += float(cut.mean()) / len(divisions)
        # Of a cell with c fake rows another sample would have about c + 1/2, give or take twice a Poisson's variance.
        again = nbinom.cdf(np.ceil(fewest) - 1, made + 0.5, 0.5)
        unsure += float(np.square((others + 1) * (others > 0)) @ (again * (1 - again)))
        lacking[division.judged] += (expected - made)[division.real]
        finest = max(finest, 1 / cells)

        # What would be counted of a generator that misses nothing, and of one that misses a cluster, for every cluster.
        groups, sizes = np.unique(division.groups, return_counts=True)
        for group in [None, *groups[(sizes >= FEWEST_PLANTED) & (sizes < rows)]]:
            gap = division.groups == group if group is not None else np.zeros(rows, bool)
            law = _law(np.bincount(division.real[~gap], often[division.real[~gap]], minlength=cells))
            drawn = random.poisson(law * fakes).astype(np.float64)
            counted = (drawn < fewest)[division.real]
            if group is not None and division.features is not None and counted[gap].mean() < PLAIN:
                chosen = random.choice(rows, size=len(division.fake), p=_law(often[division.real] * ~gap))
                of_real, groups_of_rows = division.features[0], np.unique(chosen, return_inverse=True)[1]
                counted |= _cut_off(division, of_real, of_real[chosen], groups_of_rows, expected, drawn, random)
                if division.opinions is not None:
                    one = random.random(rows) < 0.5
                    real, fake = division.opinions[0][one], division.opinions[0][~one & ~gap]
                    counted |= gap & bool(class_weights(real, division.groups[one], fake)[group] < MISSED)
            if group is None:
                nulls.append(counted.mean())
            else:
                planted.append((counted[gap].mean(), gap.mean()))

    each = sum(len(division.judged) for division in divisions) / count
    share = float(votes.mean() / each)
    # With a single cell there are no regions to miss; with several and one group, no gap to plant.
    found = unlucky = float(finest < 1)
    if planted and found:
        shares, weights = np.array(sorted(planted)).T
        found = float(np.average(shares, weights=weights))
        unlucky = float(shares[np.searchsorted(weights.cumsum(), UNLUCKY * weights.sum())])
    # Wilson's interval of a share; what is smaller than a cell cannot be seen.
    z = 1.96**2 / count
    middle, half = (share + z / 2) / (1 + z), math.sqrt(z * share * (1 - share) + z * z / 4) / (1 + z)
    return MissedMass(
        # What planes show they show whole.
        value=min(1.0, beyond + max(0.0, share - beyond) / max(found, LEAST_FOUND)),
        low=max(0.0, middle - half - doubt),
        high=min(1.0, max(beyond + (middle + half - beyond) / max(unlucky, LEAST_FOUND) + chance, finest)),
        counted=share,
        found=found,
        null=float(np.mean(nulls)),
        finest=finest,
        # All divisions look at the same fake rows: what chance does to one it does to the others.
        unsure=math.sqrt(len(divisions) * unsure) / (count * each),
        flags=votes > each / 2,
        lacking=lacking / each,
    )


def _lost_classes(divisions: Sequence[Counted], random: np.random.Generator) -> tuple[Integers, Integers, Integers]:
    """The classes that are hardly ever made; those of them of which chance may have made it look so; and others of
    which chance may hide it."""
    found, errors = [], []
    for division in divisions:
        if division.opinions is not None:
            real, fake = division.opinions
            found.append(class_weights(real, division.groups, fake))
            errors.append(errors_of(real, division.groups, fake, random))
    if not found:
        return (np.zeros(0, np.int64),) * 3
    weights, error = np.mean(found, axis=0), np.sqrt(np.mean(np.square(errors), axis=0) / len(errors))
    lost = weights < MISSED + error / 2
    least, most = weights - 1.96 * error, weights + 1.96 * error
    return np.flatnonzero(lost), np.flatnonzero(lost & (most > MADE)), np.flatnonzero(~lost & (least < MISSED))


def _cut_off(
    division: Counted,
    real: Features,
    fake: Features,
    groups: Integers,
    expected: Floats,
    made: Floats,
    random: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """The judged rows, (k,), that a plane cuts off, where the cells bear it out."""
    flags = cut_off(real, fake, groups, missed=MISSED, by_chance=BY_CHANCE, weight=division.different, random=random)
    return flags if lacking_there(flags, division.real, expected, made) else np.zeros_like(flags)


def _law(weights: Floats | Integers) -> Floats:
    return np.asarray(weights / max(float(weights.sum()), np.finfo(float).tiny))


@held(seed=0)
def missed_mass(real: ArrayLike, fake: ArrayLike, *, labels: npt.ArrayLike | None = None, seed: int = 0) -> MissedMass:
    """The share of the real mass that fake rows miss, in features that were fitted on neither.

    Args:
        real, fake: features, shapes (n, d) and (m, d), n at least 4 and m at least 1.
        labels: classes of the real rows, whole numbers (n,), whose finding is measured; None: clusters of the rows.
        seed: of the divisions, the cells and the planted gaps' counts.

    Raises:
        UserError: the rows do not fit, or are too few, or labels do not fit them.
    """
    x, y = as_pair(real, fake)
    if len(x) < FEWEST:
        raise UserError(f"real has {len(x)} rows, and {FEWEST} are needed to judge one half by the other")
    classes = None if labels is None else as_labels(labels, np.iinfo(np.int64).max)
    if classes is not None and len(classes) != len(x):
        raise UserError(f"there are {len(classes)} labels for {len(x)} real rows; give one for each")
    numbers = None if classes is None else np.unique(classes, return_inverse=True)[1].reshape(-1)
    a, b = x.cpu().numpy(), y.cpu().numpy()
    divisions, repeated = [], groups_of_equals([b])
    for number, (reference, judged) in enumerate(halves(len(x), seed=seed)):
        regions = fit_regions(x[reference], fakes=len(y), seed=derive_seed(seed, "regions", number))
        cells = regions.cells.of(x[judged])
        groups = regions.clusters[cells] if numbers is None else numbers[judged]
        found = None
        if numbers is not None:
            found = opinions(a[reference], numbers[reference], int(numbers.max()) + 1, a[judged], b)
        counted = Counted(judged, cells, regions.cells.of(y), groups, regions.clusters, (a[judged], b, repeated), found)
        divisions.append(counted)
    return count_missed(divisions, len(x), seed=derive_seed(seed, "planted gaps"))
