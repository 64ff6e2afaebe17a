"""What the verdicts and the metrics of an audit rest on, measured once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modecover.auditing import nulls
from modecover.auditing.inputs import Samples
from modecover.auditing.nulls import Flags, LeftOut
from modecover.auditing.spread import bin_means, detail, groups_of_equals
from modecover.auditing.verdicts import Copies, Reading, find_copies, read_sweep
from modecover.features import Extractor, pixels
from modecover.features.base import Features
from modecover.metrics.arrays import Floats, Integers
from modecover.metrics.bins import Bins, fit_bins
from modecover.metrics.missing import MissingModes, missing_modes, noise_unit
from modecover.metrics.neighbours import Neighbours, NeighbourStatistics, neighbour_statistics

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

K = 5
"""Precision, recall, density and coverage look at the fifth neighbour, as their papers do."""

BINS = 20
"""Cells of the data: about as coarse as modes are, as finer ones tell shrink from the middle of a mode outwards."""

DETAIL_TAIL, DETAIL_MARGIN = 0.005, 0.9
"""An image's fine detail is wrong where it lies beyond this quantile of the real images', by this factor."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was measured: `x`, `y` are the real and the fake rows in the chosen features, `sx`, `sy` the same on
    `surface`."""

    real: Samples
    fake: Samples
    extractor: Extractor
    surface: Extractor
    """Pixels: where copies, samples off the manifold and spread are looked for, whatever the features."""
    x: Features
    y: Features
    sx: Features
    sy: Features
    near: NeighbourStatistics
    """On the surface."""
    left: LeftOut
    near_features: NeighbourStatistics
    """In the chosen features."""
    left_features: LeftOut
    sweep: MissingModes
    reading: Reading
    bins: Bins
    cells: tuple[Integers, Integers]
    """The bin of every real and every fake row."""
    odd: tuple[Flags, Flags]
    """Real and fake images with a wrong amount of fine detail."""
    different: float
    """The effective number of different fake rows over their number."""
    copies: Copies
    to_train: Neighbours
    """From every fake row to the training rows."""
    held_out: Floats
    """Distances to the nearest training row, of rows that were not learnt from."""

    @property
    def outside(self) -> tuple[Flags, Flags]:
        """Real (left out in turn) and fake rows that lie in no real row's ball and equal no real row.

        Balls are open, and among repeated rows they have no inside.
        """
        return ~self.left.inside, (self.near.holding_fake == 0) & (self.near.fake_to_real.distance > 0)

    @property
    def kept(self) -> tuple[Flags, Flags]:
        """Real and fake rows that can be compared in law: neither missed nor outside."""
        outside_real, outside_fake = self.outside
        return ~(self.reading.flags | outside_real), ~outside_fake


def measure(
    parts: Mapping[str, Samples],
    extractor: Extractor,
    *,
    noise: Sequence[float],
    seed: int,
    memory: int,
    tell: Progress,
) -> Evidence:
    """Take all measurements.

    Args:
        parts: "real" and "fake" samples, and "train" and "test" where there are any.
        extractor: the chosen features.
        noise: levels of the missing-mode estimator, in units of `noise_unit`.
        seed: of every random choice.
        memory: bytes that distances may take.
        tell: called as work goes on.
    """
    real, fake = parts["real"], parts["fake"]
    tell("features", 0.0)
    surface = extractor if extractor.name.startswith("pixels-") else pixels(real.kept, memory=memory)
    sx, sy = surface(real.kept), surface(fake.kept)
    x, y = (sx, sy) if extractor is surface else (extractor(real.kept), extractor(fake.kept))
    k = min(K, len(x) - 1, len(y) - 1)
    near = neighbour_statistics(sx, sy, k=k, memory=memory, seed=seed, progress=_of(tell, "distances"))
    left = nulls.left_out(sx, k)
    near_features, left_features = near, left
    if extractor is not surface:
        told = _of(tell, "distances of features")
        near_features = neighbour_statistics(x, y, k=k, memory=memory, seed=seed, progress=told)
        left_features = nulls.left_out(x, k)
    # Of equal rows the unit is 0, and any noise will do.
    unit = noise_unit(x, seed=seed) or 1.0
    levels = [factor * unit for factor in noise]
    sweep = missing_modes(x, y, levels=levels, seed=seed, progress=_of(tell, "missing modes"))
    tell("verdicts", 0.0)
    bins = fit_bins(x, bins=BINS, seed=seed)
    cells = bins.of(x), bins.of(y)
    to_train, own, seen, held_out = _to_train(parts, surface, sx, sy, near, left, memory, seed)
    # Repetitions are measured by the spacing of the real rows around them.
    spacing = near.real_to_real.distance[near.fake_to_real.index]
    return Evidence(
        real=real,
        fake=fake,
        extractor=extractor,
        surface=surface,
        x=x,
        y=y,
        sx=sx,
        sy=sy,
        near=near,
        left=left,
        near_features=near_features,
        left_features=left_features,
        sweep=sweep,
        reading=read_sweep(sweep, 1 - min(1.0, near_features.coverage / near_features.expected_coverage)),
        bins=bins,
        cells=cells,
        odd=_odd_detail(real, fake, cells, len(bins)),
        different=nulls.independent_share(groups_of_equals(sy)),
        copies=find_copies(to_train.distance, own[to_train.index], near.fake_to_fake.distance, spacing, seen),
        to_train=to_train,
        held_out=held_out,
    )


def _to_train(
    parts: Mapping[str, Samples],
    surface: Extractor,
    sx: Features,
    sy: Features,
    near: NeighbourStatistics,
    left: LeftOut,
    memory: int,
    seed: int,
) -> tuple[Neighbours, Floats, Floats, Floats]:
    """Neighbours among the training rows; their own spacing; closeness and distance of rows not learnt from.

    Without training rows the real ones are meant, and each of them, left out, is a row that was not learnt from.
    """
    if "train" not in parts:
        return near.fake_to_real, near.real_to_real.distance, left.closeness, left.spacing
    train = surface(parts["train"].kept)
    unseen = surface(parts["test"].kept) if "test" in parts else sx
    passes = [
        neighbour_statistics(train, rows, k=min(K, len(train) - 1, len(rows) - 1), memory=memory, seed=seed)
        for rows in (sy, unseen)
    ]
    own, seen = passes[0].real_to_real.distance, passes[1].fake_to_real
    return passes[0].fake_to_real, own, nulls.closeness(seen.distance, own[seen.index]), seen.distance


def _odd_detail(real: Samples, fake: Samples, cells: tuple[Integers, Integers], bins: int) -> tuple[Flags, Flags]:
    """Real and fake images whose fine detail is weaker or stronger than all but a few real images'."""
    if real.kept.ndim != 4 or min(real.kept.shape[2:]) < 8:
        return np.zeros(len(real), bool), np.zeros(len(fake), bool)
    means = bin_means(real.kept, cells[0], bins)
    strengths = [detail(part.kept, means, own) for part, own in zip((real, fake), cells, strict=True)]
    low, high = np.quantile(strengths[0], [DETAIL_TAIL, 1 - DETAIL_TAIL])
    flags = [(strength < low * DETAIL_MARGIN) | (strength > high / DETAIL_MARGIN) for strength in strengths]
    return flags[0], flags[1]


def _of(tell: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(stage, done / total)
