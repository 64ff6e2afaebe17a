"""The evidence of an audit, gathered once: all that verdicts, metrics, curves and examples rest on.

The real rows are divided into halves. Whatever is fitted (axes, classifiers, cells, spacings) is fitted to one half,
the reference, and judges the other half and the fake rows alike; then the halves change places. So real rows and fake
rows of the same law are told apart by nothing but chance. What only one verdict looks at it works out itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modecover.auditing.expected import Stages, time_left
from modecover.auditing.inputs import Samples
from modecover.errors import printable
from modecover.features import Extractor, pixels
from modecover.features.kept import Features, Floats32, Kept, blocks, places
from modecover.features.sharpness import as_sharp_as
from modecover.metrics.arrays import Floats, Integers, groups_of_equals
from modecover.metrics.bins import BinComparison, compare_bins
from modecover.metrics.classes import opinions
from modecover.metrics.neighbours import Held, Neighbours, NeighbourStatistics, held_against, neighbour_statistics
from modecover.metrics.planes import separation
from modecover.metrics.regions import Counted, Regions, count_missed, fit_regions, halves
from modecover.random import derive_seed

Fit = Callable[[Kept, Integers | None], Extractor]
"""The chosen features, fitted to rows and their classes where they need that."""

K = 5
"""Precision, recall, density and coverage look at the fifth neighbour, as their papers do."""

FEWEST_TELLING = 150
"""Fake rows, if there are so many, that are enough for ten cells, however often they repeat each other."""

USUAL = 2.0
"""Times as often as the real rows, fake ones may repeat each other where those do."""

FARTHEST = 100.0
"""Times the spacing of the rows around: what is farther is no odder. Among equal rows all distances are so far."""


@dataclass(frozen=True, eq=False)
class RealHalf:
    """Half of the real rows, the reference, what is fitted to it, and what it says of the others."""

    reference: Integers
    judged: Integers
    """The other real rows; both by their numbers, ascending."""
    features: Extractor
    real: Features
    """All real rows in the chosen features, (n, f)."""
    regions: Regions
    real_cells: Integers
    """(n,)"""
    surface: Extractor
    among: Features
    """The reference in pixels whatever the chosen features."""
    real_held: Held
    """The judged rows beside it, (k,)."""


@dataclass(frozen=True, eq=False)
class Half(RealHalf):
    """The same, and what it says of the fake rows."""

    fake: Features
    """(m, f)."""
    fake_cells: Integers
    """(m,)"""
    stand_in: Kept
    """The judged rows with the sharpness of the fake ones, (k, ...): what modes are compared with."""
    sharpened: Features
    """Their features, (k, f)."""
    fake_held: Held
    """(m,)"""

    @property
    def clusters(self) -> tuple[Integers, Integers]:
        """The cluster of every real row and of every fake one, (n,) and (m,)."""
        return self.regions.clusters[self.real_cells], self.regions.clusters[self.fake_cells]


@dataclass(frozen=True, eq=False)
class View:
    """Samples in features that these real rows did not shape, (., f) and (m, f), and what their distances say."""

    extractor: Extractor
    real: Features
    fake: Features
    near: NeighbourStatistics


class Generated:
    """Fake rows, and how far they repeat each other."""

    def __init__(self, samples: Samples, real: Samples):
        self.samples = samples
        rows = samples.kept
        self.repeated = (
            repetitions(real.kept, rows) if rows.ndim == 2 else groups_of_equals(map(rows.as_stored, places(rows)))
        )
        """A number for each fake row, (m,), the same for equal ones, but where real points repeat each other, too."""
        self.different = independent_share(self.repeated)
        """The effective number of different fake rows over their number."""
        self.telling = max(self.different, min(1.0, FEWEST_TELLING / len(rows)))
        """The fake rows that tell where the generator goes, over their number: at least `FEWEST_TELLING`, for to be a
        single point is no excuse for missing all else."""


def fit_halves(
    real: Kept,
    fit: Fit,
    *,
    labels: Integers | None,
    generated: Sequence[Generated],
    seed: int,
    memory: int,
    stages: Stages,
) -> tuple[RealHalf, RealHalf]:
    """Both halves of the real rows, each with all that is fitted to it: what any number of generators is judged by.

    Args:
        fit: the features that were asked for.
        labels: the classes of the real rows, (n,), where they are known.
        generated: what will be judged: the one with the fewest rows that tell something decides how fine cells are.
        memory: bytes that all of it may take: distances a quarter.
        stages: told as work goes on, and, where it will be long, once how long it takes.
    """
    memory = memory // 4
    fewest = min(each.telling * len(each.samples) for each in generated)
    seen: dict[str, Features] = {}  # features that nothing is fitted for are computed once for both halves

    def half(number: int, reference: Integers, judged: Integers) -> RealHalf:
        stages.begin("features of the data")
        # What is fitted looks at its rows more than once: of that nothing is told.
        start, own, others = time.perf_counter(), real.part(reference).quiet(), real.part(judged).quiet()
        chosen = fit(own, None if labels is None else labels[reference])
        plain = chosen.name.startswith("pixels-")
        surface = chosen if plain else pixels(own, memory=memory)
        if number == 0:
            used, took = (chosen,) if plain else (chosen, surface), time.perf_counter() - start
            fakes = [each.samples.kept for each in generated]
            if (left := time_left(real, fakes, used, took, memory=memory)) is not None:
                stages.tell(left, 0.0)
        if chosen.identity not in seen:
            seen.clear()
            seen[chosen.identity] = chosen(real)
        x = seen[chosen.identity]
        regions = fit_regions(x[reference], fakes=max(1, round(fewest)), seed=derive_seed(seed, "regions", number))

        stages.begin("distances in the data")
        among, rows = (x[reference], x[judged]) if plain else (surface(own), surface(others))
        held = held_against(among, rows, k=min(K, len(reference) - 1), memory=memory, progress=stages.so_far)
        return RealHalf(reference, judged, chosen, x, regions, regions.cells.of(x), surface, among, held)

    first, second = halves(len(real), 1, seed=seed)
    return half(0, *first), half(1, *second)


class Evidence:
    """All that was measured of n real and m fake rows. Pairs are (of real rows, of fake ones).

    Args:
        parts: "real" samples, and "train" and "test" where there are any.
        generated: the fake ones.
        fitted: both halves of the real rows.
        labels: the classes of the real rows, (n,), where they are known.
        encoder: codes whose law over the real data is compared with N(0, I), where there is such an encoder.
        seed: of every random choice.
        memory: bytes that all of it may take: distances a quarter.
        stages: told as work goes on.
        name: behind the names of stages: of the generator, where there are several.
    """

    def __init__(
        self,
        parts: Mapping[str, Samples],
        generated: Generated,
        fitted: tuple[RealHalf, RealHalf],
        *,
        labels: Integers | None,
        encoder: Extractor | None,
        seed: int,
        memory: int,
        stages: Stages,
        name: str = "",
    ):
        self.parts = {"real": parts["real"], "fake": generated.samples, **parts}
        self.real, self.fake = parts["real"], generated.samples
        self.labels, self.encoder, self.seed = labels, encoder, seed
        self.classes = None if labels is None else np.unique(labels, return_inverse=True)[1].reshape(-1)
        """The classes of the real rows, numbered from 0, (n,), where they are known."""
        data = self.real.dataset
        own = data is not None and labels is self.real.labels  # not those that the user gives in their place
        self.class_names = data.class_names if data is not None and own else None
        self.train = parts.get("train", self.real)
        """What the generator learnt from: the real samples, unless others were named."""
        self.repeated, self.different, self.telling = generated.repeated, generated.different, generated.telling
        real, fake = self.real.kept, self.fake.kept
        self.room, self.memory = memory // 16, (memory := memory // 4)
        """Bytes that a table of images may take in memory, as of means of bins; and that distances may take."""
        self.stages, self.name = stages, name
        seen: dict[str, Features] = {}

        def half(number: int, by: RealHalf) -> Half:
            self.begin("features of the samples")
            if by.features.identity not in seen:
                seen.clear()
                seen[by.features.identity] = by.features(fake)
            y = seen[by.features.identity]
            cells = by.regions.cells.of(y)
            those = y if by.surface is by.features else by.surface(fake)
            self.begin("distances to the data")
            k = min(K, len(by.reference) - 1)
            held = held_against(by.among, those, k=k, memory=memory, progress=stages.so_far)
            clusters = by.regions.clusters[by.real_cells[by.judged]], by.regions.clusters[cells]
            stand_in, sharpened = real.part(by.judged), by.real[by.judged]
            distorted = as_sharp_as(fake, stand_in, clusters, seed=seed, room=self.room)
            if distorted is not stand_in:
                # Which kinds are made changes the spectrum, too, and no filter makes one kind of another: what a plane
                # tells from the fake rows more easily than the untouched rows is no likeness of them.
                tried, looks = by.features(distorted), derive_seed(seed, "likeness", number)
                far, near = (
                    separation(rows, y, self.repeated, np.random.default_rng(looks)) for rows in (sharpened, tried)
                )
                if near < far:
                    stand_in, sharpened = distorted, tried
            return Half(**vars(by), fake=y, fake_cells=cells, stand_in=stand_in, sharpened=sharpened, fake_held=held)

        self.halves = half(0, fitted[0]), half(1, fitted[1])
        self.begin("missed regions")
        self.missed = count_missed(self.counted(), len(real), seed=derive_seed(seed, "gaps"))
        """Where the generator does not go."""

        # The field's metrics are taken of real rows that shaped nothing: all of them, or those that a half judges.
        mine = self.halves[0]

        def view(extractor: Extractor, stage: str) -> View:
            self.begin(stage)
            if extractor is mine.features:
                x, y = mine.real[mine.judged] if extractor.fitted else mine.real, mine.fake
            else:
                x, y = extractor(real.part(mine.judged) if extractor.fitted else real), extractor(fake)
            k = min(K, len(x) - 1, len(y) - 1)
            near = neighbour_statistics(x, y, k=k, memory=memory, seed=seed, progress=stages.so_far)
            return View(extractor, x, y, near)

        self.viewed = mine.judged if mine.features.fitted else np.arange(len(real))
        """The numbers of the real rows that metrics are taken of."""
        self.chosen = view(mine.features, "distances")
        """In the features that were asked for."""
        plain = mine.surface is mine.features
        self.surface = self.chosen if plain else view(mine.surface, "distances of pixels")
        """In pixels, whatever the features."""

        self.comparison: BinComparison = compare_bins(
            mine.clusters[0][mine.judged], mine.clusters[1], mine.regions.count
        )
        """In which clusters of the first half there are too few or too many fake rows."""
        self._find_copies(parts, memory)

    def called(self, label: int) -> str:
        """A class by its name, where it has one."""
        return str(label) if self.class_names is None else printable(self.class_names[label])

    def begin(self, stage: str) -> None:
        """Tell that a stage begins."""
        self.stages.begin(stage + self.name)

    def counted(self, judged: Sequence[Features] | None = None) -> list[Counted]:
        """What is counted to see missed regions.

        Args:
            judged: for each half the features of its judged rows as a generator that misses nothing would make them;
                None: with the sharpness of the fake rows.
        """
        return [
            Counted(
                half.judged,
                half.regions.cells.of(rows),
                half.fake_cells,
                half.clusters[0][half.judged] if self.classes is None else self.classes[half.judged],
                half.regions.clusters,
                (rows, half.fake, self.repeated),
                self.opinions(half, rows),
                self.telling,
            )
            for half, rows in zip(self.halves, judged or [half.sharpened for half in self.halves], strict=True)
        ]

    def opinions(self, half: Half, judged: Features) -> tuple[Floats, ...] | None:
        """Of which class judged rows, (k, f), and the fake ones are, by the reference's, (k, classes) and (m, classes);
        None where classes are not known, or have too few rows."""
        if self.classes is None:
            return None
        own, count = self.classes[half.reference], int(self.classes.max()) + 1
        return opinions(half.real[half.reference], own, count, judged, half.fake)

    def _find_copies(self, parts: Mapping[str, Samples], memory: int) -> None:
        """Hold the fake rows, and real rows that were not learnt from, against what the generator learnt from.

        Without training rows the real ones are meant: each half once, and then the rows of the other one are unseen.
        """
        self.unseen: tuple[Held, ...] = tuple(half.real_held for half in self.halves)
        """Real rows that were not learnt from, beside those that were."""
        self.made: tuple[Held, ...] = tuple(half.fake_held for half in self.halves)
        """The fake rows, (m,), beside each part of what was learnt from."""
        learnt = [half.reference for half in self.halves]
        if "train" in parts:
            surface = self.halves[0].surface
            train, unseen = surface(parts["train"].kept), surface(parts.get("test", self.real).kept)
            k = min(K, len(train) - 1)
            self.unseen = (held_against(train, unseen, k=k, memory=memory),)
            self.made = (held_against(train, surface(self.fake.kept), k=k, memory=memory),)
            learnt = [np.arange(len(train))]
        distances = np.stack([held.nearest.distance for held in self.made])
        index = np.stack([rows[held.nearest.index] for rows, held in zip(learnt, self.made, strict=True)])
        nearer = distances.argmin(axis=0), np.arange(len(self.fake))
        self.to_train = Neighbours(index[nearer], distances[nearer])
        """From every fake row to its nearest training row, (m,)."""


def closeness(distance: Floats, own: Floats) -> Floats:
    """`distance / own`, at most `FARTHEST`; 0 where both are 0, as among equal rows."""
    ratio = np.divide(distance, own, out=np.where(distance > 0, np.inf, 0.0), where=own > 0)
    return np.minimum(ratio, FARTHEST)


def repetitions(real: Kept | Floats32, fake: Kept | Floats32) -> Integers:
    """Groups of equal fake points: a number for each row (m, d), the same for equal ones. Where real rows (n, d) repeat
    each other, as those of a table of words do, so may these: up to `USUAL` times as often they are groups of one."""
    both = groups_of_equals(block for rows in (real, fake) for _, block in blocks(rows))
    of_fake, times = both[len(real) :], np.bincount(both[: len(real)], minlength=int(both.max()) + 1)
    parts = np.where(times > 1, np.ceil(USUAL * times * len(fake) / len(real)), 1).astype(np.int64)
    order = np.argsort(of_fake, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(of_fake[order], of_fake[order])
    return groups_of_equals([np.stack([of_fake, rank % parts[of_fake]], axis=1)])


def independent_share(groups: Integers) -> float:
    """The effective number of different rows over the number of rows: (sum n)^2 / (n sum n^2) over groups of equals."""
    sizes = np.bincount(groups)
    return float(len(groups) / np.square(sizes, dtype=float).sum())
