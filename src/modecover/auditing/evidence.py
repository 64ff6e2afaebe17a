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
from modecover.metrics.arrays import Floats, Integers
from modecover.metrics.bins import BinComparison, Bins, compare_bins, fit_bins
from modecover.metrics.missing import MissingModes, missing_modes, noise_unit
from modecover.metrics.neighbours import Neighbours, NeighbourStatistics, neighbour_statistics

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

K = 5
"""Precision, recall, density and coverage look at the fifth neighbour, as their papers do."""

BINS = 20
"""Cells of the data: about as coarse as modes are, as finer ones tell shrink from the middle of a mode outwards."""


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


@dataclass(frozen=True, eq=False)
class View:
    """The samples in some features, and what the distances between them say."""

    extractor: Extractor
    real: Features
    """Shape (n, f)."""
    fake: Features
    """Shape (m, f)."""
    near: NeighbourStatistics
    left: LeftOut


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was measured of n real and m fake rows. Pairs are (of the real rows, of the fake ones)."""

    real: Samples
    fake: Samples
    train: Samples
    """What the generator learnt from: the real samples, unless others were named."""
    labels: Integers | None
    """The classes of the real rows, (n,), where they are known."""
    encoder: Extractor | None
    """Codes whose law over the real data is compared with N(0, I), where there is such an encoder."""
    seed: int
    """Of every random choice."""
    chosen: View
    """In the features that were asked for: where missing modes and imbalance are looked for."""
    surface: View
    """In pixels, whatever the features: where copies and samples off the manifold are looked for."""
    sweep: MissingModes
    """The missing-mode estimator on the chosen features, at every level of noise."""
    bins: Bins
    """Fitted to the real rows in the chosen features."""
    cells: tuple[Integers, Integers]
    """The bin of every row, (n,) and (m,)."""
    comparison: BinComparison
    """In which bins there are too few or too many fake rows."""
    outside: tuple[Flags, Flags]
    """Rows (of the real ones each left out in turn) that lie in no real row's ball on the surface and equal no real
    row. Balls are open, and among repeated rows they have no inside."""
    different: float
    """The effective number of different fake rows over their number."""
    to_train: Neighbours
    """From every fake row to its nearest training row, (m,), on the surface."""
    train_spacing: Floats
    """The distance of every training row to the nearest other one."""
    unseen_distance: Floats
    """To the nearest training row, of real rows that were not learnt from (where no training rows were named, of each
    real row left out)."""
    unseen_closeness: Floats
    """That distance over the training row's own spacing."""


def gather(
    parts: Mapping[str, Samples],
    extractor: Extractor,
    *,
    labels: Integers | None,
    encoder: Extractor | None,
    noise: Sequence[float],
    seed: int,
    memory: int,
    tell: Progress,
) -> Evidence:
    """Take all measurements.

    Args:
        parts: "real" and "fake" samples, and "train" and "test" where there are any.
        extractor: the chosen features; `labels`, `encoder` and `seed` as `Evidence` has them.
        noise: levels of the missing-mode estimator, in units of `noise_unit`.
        memory: bytes that distances may take.
        tell: called as work goes on.
    """
    real, fake = parts["real"], parts["fake"]
    k = min(K, len(real) - 1, len(fake) - 1)

    def seen(extractor: Extractor, stage: str) -> View:
        x, y = extractor(real.kept), extractor(fake.kept)
        near = neighbour_statistics(x, y, k=k, memory=memory, seed=seed, progress=_of(tell, stage))
        return View(extractor, x, y, near, left_out(near))

    tell("features", 0.0)
    plain = extractor.name.startswith("pixels-")
    surface = seen(extractor if plain else pixels(real.kept, memory=memory), "distances")
    chosen = surface if plain else seen(extractor, "distances of features")

    # Of equal rows the unit is 0, and any noise will do.
    unit = noise_unit(chosen.real, seed=seed) or 1.0
    levels = [factor * unit for factor in noise]
    told = _of(tell, "missing modes")
    sweep = missing_modes(chosen.real, chosen.fake, levels=levels, seed=seed, progress=told)

    tell("verdicts", 0.0)
    bins = fit_bins(chosen.real, bins=BINS, seed=seed)
    cells = bins.of(chosen.real), bins.of(chosen.fake)

    # Without training rows the real ones are meant, and each of them, left out, is a row that was not learnt from.
    near, left = surface.near, surface.left
    to_train, train_spacing = near.fake_to_real, near.real_to_real.distance
    unseen_distance, unseen_closeness = left.spacing, left.closeness
    if "train" in parts:
        train = surface.extractor(parts["train"].kept)
        unseen = surface.extractor(parts["test"].kept) if "test" in parts else surface.real
        of_fake, of_unseen = (
            neighbour_statistics(train, rows, k=min(K, len(train) - 1, len(rows) - 1), memory=memory, seed=seed)
            for rows in (surface.fake, unseen)
        )
        to_train, train_spacing = of_fake.fake_to_real, of_fake.real_to_real.distance
        unseen_distance = of_unseen.fake_to_real.distance
        unseen_closeness = closeness(unseen_distance, train_spacing[of_unseen.fake_to_real.index])
    return Evidence(
        real=real,
        fake=fake,
        train=parts.get("train", real),
        labels=labels,
        encoder=encoder,
        seed=seed,
        chosen=chosen,
        surface=surface,
        sweep=sweep,
        bins=bins,
        cells=cells,
        comparison=compare_bins(*cells, len(bins)),
        outside=(~left.inside, (near.holding_fake == 0) & (near.fake_to_real.distance > 0)),
        different=independent_share(groups_of_equals(surface.fake)),
        to_train=to_train,
        train_spacing=train_spacing,
        unseen_distance=unseen_distance,
        unseen_closeness=unseen_closeness,
    )


def left_out(near: NeighbourStatistics) -> LeftOut:
    """Leave each real row out in turn, from the k >= 2 nearest real rows of every real row alone.

    A ball that holds the left-out row i is that of a row j of whose k nearest neighbours i is one: drawn without i it
    reaches further, to the next neighbour.
    """
    first, second = near.nearest_real[:2]
    inside = first.distance == 0
    for neighbours in near.nearest_real:
        inside[neighbours.index] = True
    mutual = first.index[first.index] == np.arange(len(inside))
    own = np.where(mutual, second.distance[first.index], first.distance[first.index])
    return LeftOut(inside, closeness(first.distance, own), first.distance)


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


def _of(tell: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(stage, done / total)
