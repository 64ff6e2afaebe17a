"""What an audit shows beside its verdicts, each a function of the evidence: metrics, curves, and examples by their row
in the sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from modecover.auditing import results
from modecover.auditing.evidence import Evidence
from modecover.auditing.inputs import Samples
from modecover.auditing.naming import cells_in_words
from modecover.auditing.verdicts.low_quality import far_rows, lie_apart
from modecover.features import Classifier
from modecover.features.kept import Floats32, Kept
from modecover.metrics.classes import class_weights, errors_of
from modecover.metrics.clumps import clumps
from modecover.metrics.frechet import frechet_distance, frechet_latent_distance
from modecover.metrics.labels import inception_score, label_law, label_modes, mode_scores
from modecover.metrics.modes import mixture_modes
from modecover.metrics.support import support_size, vendi_score
from modecover.pictures.images import to_pixels
from modecover.random import derive_seed

METRICS: dict[str, results.Better] = {
    **dict.fromkeys(("frechet", "kernel", "kernel-subsets", "kl", "reverse-kl", "frechet-latent"), "lower"),
    **dict.fromkeys(("precision", "recall", "coverage", "coverage-ratio", "support", "high-quality"), "higher"),
    **dict.fromkeys(("modes", "modes-5", "modes-20", "inception-score", "mode-score", "mode-score-printed"), "higher"),
    **dict.fromkeys(("density", "vendi"), None),
}
"""Keys of all metrics that an audit may have, each with the direction that is better. Those of classes, mixtures and
codes are there only where the audit knows them."""

SHOWN = 200
"""Examples that are named: of missed real samples, of each starved bin, and of copies."""

PICTURES, POINTS, LISTED = 24, 2000, 12
"""Images on a contact sheet, points in a scatter, and rows of numbers or of a table."""

STRIP, MOST_CLASSES = 12, 100
"""Pictures of either side above the verdicts, and classes of which the page has a row each."""

LARGEST_TILE = 152
"""Pixels: larger images are reduced, to twice the size at which they are shown."""

BINS_SHOWN, BIN_EXAMPLES = 6, 10
"""Starved bins, and modes that the data do not have, on the page, and examples of each."""

ODD_ONES = 2000
"""Modes that the data do not have are looked for among so many of the samples that are far from the data at most."""

FEWEST_INVENTED, SMALLEST_INVENTED = 10, 0.005
"""Rows, and share of the samples, that such a mode has at least."""

WIDEST = 3.0
"""Times the real rows' spacing that its own may be: farther apart, samples are scattered."""


def metrics(evidence: Evidence) -> tuple[results.Metric, ...]:
    """All metrics that the samples allow: the field's numbers, each with what real data would score."""
    groups = (_of_neighbours, _of_laws, _of_classes, _of_mixture, _of_codes)
    return tuple(metric for group in groups for metric in group(evidence))


def _metric(key: str, name: str, value: float, null: float | None = None, *ends: float) -> results.Metric:
    low, high = ends or (None, None)
    return results.Metric(name, key, value, null, low, high, METRICS[key])


def _of_neighbours(evidence: Evidence) -> Iterable[results.Metric]:
    near = evidence.chosen.near
    name = f"[{evidence.chosen.extractor.identity}]"
    balls = f"(k={near.k}) {name}"
    # A left-out real row is in another's ball as often as a fresh real row would be, and on average in k of them.
    inside = near.nearest_real[0].distance == 0
    for neighbours in near.nearest_real:
        inside[neighbours.index] = True
    share = float(inside.mean())
    yield _metric("precision", f"precision {balls}", near.precision, share)
    yield _metric("recall", f"recall {balls}", near.recall, share)
    yield _metric("density", f"density {balls}", near.density, 1.0)
    yield _metric("coverage", f"coverage {balls}", near.coverage, near.expected_coverage)
    ratio = near.coverage / near.expected_coverage
    yield _metric("coverage-ratio", f"coverage over expected {balls}", ratio, 1.0)
    of_fake, of_real = map(support_size, (evidence.surface.near.collisions.fake, evidence.surface.near.collisions.real))
    name = f"different samples [{evidence.surface.extractor.identity}]"
    yield _metric("support", name, of_fake.value, of_real.value, of_fake.low, of_fake.high)


def _of_laws(evidence: Evidence) -> Iterable[results.Metric]:
    x, y, kernel = evidence.chosen.real, evidence.chosen.fake, evidence.chosen.near.kernel
    name = f"[{evidence.chosen.extractor.identity}]"
    order = np.random.default_rng(evidence.seed).permutation(len(x))
    halves = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
    # The distance of samples of one law goes with 1/n + 1/m: halves read too much, by a factor that is known.
    factor = (1 / len(x) + 1 / len(y)) / (1 / len(halves[0]) + 1 / len(halves[1]))
    yield _metric("frechet", f"Frechet distance {name}", frechet_distance(x, y), factor * frechet_distance(*halves))
    subsets = f", {kernel.subsets} subsets of {kernel.subset_size}"
    for key, kind, value, deviation in (
        ("kernel", "", kernel.value, kernel.standard_error),
        ("kernel-subsets", subsets, kernel.subset_mean, kernel.subset_std),
    ):
        ends = value - results.NORMAL * deviation, value + results.NORMAL * deviation
        yield _metric(key, f"kernel distance{kind} {name}", value, 0.0, *ends)
    centre = x.mean(axis=0)
    yield _metric("vendi", f"Vendi score {name}", vendi_score(y - centre), vendi_score(x - centre))


def _of_classes(evidence: Evidence) -> Iterable[results.Metric]:
    """Modes by class, as a classifier of the real images' labels sees them: that of the features, or Fisher's
    discriminant of whatever features there are."""
    if evidence.labels is None:
        return
    judge, half = evidence.chosen.extractor, evidence.halves[0]
    unseen = evidence.real.kept.part(half.judged)  # nothing was learnt from these
    if isinstance(judge, Classifier):
        opinions, control = judge.probabilities(evidence.fake.kept), judge.probabilities(unseen)
        classes, name = judge.classes, f"[{judge.identity}]"
    elif evidence.real.kept.ndim == 4 and (known := evidence.opinions(half, half.real[half.judged])) is not None:
        control, opinions = known
        classes, name = np.unique(evidence.labels), f"[discriminant of {judge.identity}]"
    else:
        return
    count = len(classes)
    law = label_law(np.searchsorted(classes, evidence.labels), count)
    found, real = (label_modes(rows.argmax(axis=1), count, reference=law) for rows in (opinions, control))
    scores, ideal = mode_scores(opinions, law), mode_scores(control, law)
    assert found.kl_reference is not None and found.reverse_kl_reference is not None
    yield _metric("modes", f"classes with a sample, of {count} {name}", found.modes_any, real.modes_any)
    yield _metric("modes-5", f"classes with 5 samples, of {count} {name}", found.modes_enough, real.modes_enough)
    yield _metric("kl", f"KL(generated || real) of classes {name}", found.kl_reference, real.kl_reference)
    reverse = found.reverse_kl_reference, real.reverse_kl_reference
    yield _metric("reverse-kl", f"KL(real || generated) of classes {name}", *reverse)
    yield _metric("inception-score", f"inception score {name}", inception_score(opinions), inception_score(control))
    yield _metric("mode-score-printed", f"MODE score, as printed {name}", scores.as_printed, ideal.as_printed)
    yield _metric("mode-score", f"MODE score, penalised {name}", scores.penalised, ideal.penalised)


def _of_mixture(evidence: Evidence) -> Iterable[results.Metric]:
    """Modes by distance, where the real samples come from a mixture that is known."""
    data = evidence.real.dataset
    if data is None or data.mixture is None or evidence.real.kept.ndim != 2:
        return
    known = data.mixture.centres, data.mixture.std, data.mixture.weights
    found, real = (mixture_modes(part.rows, *known) for part in (evidence.fake, evidence.real))
    yield _metric("modes", f"modes with a high-quality sample, of {found.modes}", found.modes_any, real.modes_any)
    yield _metric("modes-20", f"modes with over 20 in 2048, of {found.modes}", found.modes_many, real.modes_many)
    yield _metric("high-quality", "share of high-quality samples", found.high_quality, found.ideal_high_quality)


def _of_codes(evidence: Evidence) -> Iterable[results.Metric]:
    if evidence.encoder is not None:
        value = frechet_latent_distance(evidence.encoder(evidence.real.kept))
        yield _metric("frechet-latent", f"Frechet latent distance [{evidence.encoder.identity}]", value)


def curves(evidence: Evidence) -> results.Curves:
    """What is plotted."""
    clusters = evidence.comparison
    return results.Curves(
        results.Bins(*(tuple(numbers.tolist()) for numbers in (clusters.real, clusters.fake, clusters.corrected))),
        results.NeighbourDistances(
            tuple(evidence.made[0].nearest.distance.tolist()), tuple(evidence.unseen[0].nearest.distance.tolist())
        ),
    )


def missed(evidence: Evidence) -> tuple[results.Missed, ...]:
    """Real rows judged missed, surest first."""
    index, lacking = evidence.real.index, evidence.missed.lacking
    order = np.argsort(-lacking, kind="stable")
    order = order[evidence.missed.flags[order]][:SHOWN]
    return tuple(results.Missed(int(index[row]), float(lacking[row])) for row in order)


def starved(evidence: Evidence) -> dict[int, tuple[int, ...]]:
    """Real rows of each cluster with too few fake ones, most typical first; the most starved cluster first."""
    half, index, found = evidence.halves[0], evidence.real.index, evidence.comparison.starved
    clusters = half.clusters[0]
    examples = {}
    for cluster in found[np.argsort(evidence.comparison.z[found], kind="stable")].tolist():
        rows = np.flatnonzero(clusters == cluster)
        distances = np.square(half.real[rows] - half.real[rows].mean(axis=0)).sum(axis=1)
        examples[cluster] = tuple(index[rows[np.argsort(distances, kind="stable")][:SHOWN]].tolist())
    return examples


def copies(evidence: Evidence) -> tuple[results.Copy, ...]:
    """The fake rows nearest to training rows."""
    near, made, learnt = evidence.to_train, evidence.fake.index, evidence.train.index
    order = np.argsort(near.distance, kind="stable")[:SHOWN]
    return tuple(results.Copy(int(made[row]), int(learnt[near.index[row]]), float(near.distance[row])) for row in order)


def classes(evidence: Evidence) -> tuple[results.ClassShare, ...]:
    """How often each class is made, by the opinions of both halves (`modecover.metrics.classes`)."""
    random, made, errors = np.random.default_rng(derive_seed(evidence.seed, "classes")), [], []
    for half in evidence.halves:
        seen = evidence.opinions(half, half.sharpened)
        if seen is None or evidence.classes is None:
            return ()
        of_judged = evidence.classes[half.judged]
        made.append(class_weights(seen[0], of_judged, seen[1]))
        errors.append(errors_of(seen[0], of_judged, seen[1], random))
    assert evidence.classes is not None and evidence.labels is not None, "there are opinions of classes"
    real = np.bincount(evidence.classes) / len(evidence.classes)
    fake = np.mean(made, axis=0) * real
    # The errors are those of one half; the halves share their fake rows, so that two are not surely better than one.
    error = results.NORMAL * np.mean(errors, axis=0) * real
    ends = zip(fake, np.maximum(fake - error, 0), np.minimum(fake + error, 1), strict=True)
    known = zip(np.unique(evidence.labels).tolist(), real, ends, strict=True)
    shares = []
    for label, share, (value, low, high) in known:
        estimate = float(value), float(low), float(high)
        shares.append(results.ClassShare(label, float(share), *estimate, evidence.called(label)))
    return tuple(shares)


def invented(evidence: Evidence) -> tuple[results.Invented, ...]:
    """Groups of fake rows far from all real rows that lie as near to each other as real rows do; none where nearly all
    are far, which low quality says."""
    from scipy.spatial.distance import cdist

    if lie_apart(evidence):
        return ()
    odd = far_rows(evidence)
    rows, features = np.flatnonzero(odd), evidence.surface.fake.astype(np.float64)
    share = len(rows) / len(odd)
    if len(rows) > ODD_ONES:
        rows = np.sort(np.random.default_rng(evidence.seed).choice(rows, ODD_ONES, replace=False))
    fewest = max(FEWEST_INVENTED, round(SMALLEST_INVENTED * len(odd) * len(rows) / max(1, odd.sum())))
    if len(rows) < fewest:
        return ()
    # What they must be apart from: all real rows, and the samples that are not odd.
    outside = np.min([half.fake_held.nearest.distance[rows] for half in evidence.halves], axis=0)
    if not odd.all():
        sound = features[~odd]
        parts = np.array_split(rows, 1 + len(rows) * len(sound) // 10**6)
        outside = np.minimum(
            outside, np.concatenate([cdist(features[part], sound).min(axis=1) for part in parts if len(part)])
        )
    spacing = float(np.median(evidence.surface.near.real_to_real.distance))
    found = []
    for members in clumps(features[rows], outside, fewest=fewest):
        own = features[rows[members]]
        among = cdist(own, own)
        np.fill_diagonal(among, np.inf)
        if float(np.median(among.min(axis=1))) <= WIDEST * spacing:
            typical = np.argsort(np.square(own - own.mean(axis=0)).sum(axis=1), kind="stable")[:SHOWN]
            examples = tuple(evidence.fake.index[rows[members[typical]]].tolist())
            found.append(results.Invented(share * len(members) / len(rows), examples))
    return tuple(found)


def gallery(found: results.Findings, real: Samples, fake: Samples, train: Samples) -> results.Gallery:
    """The few samples that the page of `found` shows, picked from all that were audited; `train` may be `real`."""
    images = real.kept.ndim == 4
    count = PICTURES if images else POINTS
    starved = [row for rows in list(found.starved.values())[:BINS_SHOWN] for row in rows[:BIN_EXAMPLES]]
    wanted = {*starved, *(example.index for example in found.missed[:count])}
    pairs = found.copies[:PICTURES]
    of_fake = {pair.fake for pair in pairs}
    # Evenly, for folders of classes come class after class.
    evenly = {}
    for name, samples, rows in (("real", real, wanted), ("fake", fake, of_fake)):
        places = np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(np.int64)
        evenly[name] = tuple(samples.index[places].tolist())
        rows.update(evenly[name])
    of_fake.update(row for mode in found.invented[:BINS_SHOWN] for row in mode.examples[:BIN_EXAMPLES])
    parts = (real, wanted), (fake, of_fake), (train, {pair.train for pair in pairs})
    real_shown, fake_shown, train_shown = (Picked(samples, rows) for samples, rows in parts)
    return results.Gallery(
        real_shown,
        fake_shown,
        train_shown,
        cells_in_words(real, [example.index for example in found.missed[:LISTED]]),
        evenly,
    )


class Picked(Mapping[int, Floats32]):
    """Samples by their row in the source, in its order. Large images are held as a page shows them."""

    def __init__(self, samples: Samples, rows: Iterable[int]):
        numbers = sorted(rows)
        self.places = {row: place for place, row in enumerate(numbers)}
        chosen = samples.kept.part(np.searchsorted(samples.index, numbers)).quiet()
        if chosen.ndim == 4 and max(chosen.shape[2:]) > LARGEST_TILE and numbers:
            self.kept = Kept(np.stack([_reduced(chosen[place]) for place in range(len(chosen))]))
        else:
            self.kept = Kept(chosen.as_stored(slice(None)))

    def __getitem__(self, row: int) -> Floats32:
        return self.kept[self.places[row]]

    def __iter__(self) -> Iterator[int]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _reduced(image: Floats32) -> npt.NDArray[np.uint8]:
    """A large image (C, H, W) with at most `LARGEST_TILE` pixels a side, as bytes."""
    scale = LARGEST_TILE / max(image.shape[1:])
    size = [max(1, round(scale * side)) for side in image.shape[1:]]
    smaller = functional.interpolate(torch.from_numpy(image)[None], size, mode="bicubic", antialias=True)
    return np.asarray(to_pixels(smaller)[0].numpy())
