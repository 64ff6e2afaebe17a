"""The audit itself: samples in, five verdicts and what they rest on out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modecover import __version__
from modecover.auditing import verdicts
from modecover.auditing.arguments import FEWEST, memory_in_bytes, require_arguments
from modecover.auditing.gallery import with_gallery
from modecover.auditing.inputs import SAMPLES, Samples, range_like, read_samples, require_alike
from modecover.auditing.measuring import Evidence, Progress, measure
from modecover.auditing.numbers import metrics_of
from modecover.auditing.results import ROLES, Audit, Bins, Copy, Curves, Missed, NeighbourDistances, NoiseSweep, Verdict
from modecover.auditing.spread import coarse
from modecover.errors import UserError
from modecover.features import Extractor, by_function, fit_features
from modecover.limits import within_limits
from modecover.metrics.arrays import Integers, as_array
from modecover.metrics.bins import BinComparison, compare_bins
from modecover.metrics.missing import LEVELS
from modecover.metrics.support import support_size

SHOWN = 200
"""Examples that are named: of missed real samples, of each starved bin, and of copies."""


@within_limits()
def audit(
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    test: Any = None,
    labels: npt.ArrayLike | None = None,
    features: str | Extractor | Callable[[Any], Any] = "auto",
    encoder: Callable[[Any], Any] | None = None,
    noise: Sequence[float] = LEVELS,
    samples: int = SAMPLES,
    seed: int = 0,
    memory: int | str = 10**9,
    of_seed: int | None = None,
    real_options: Mapping[str, Any] | None = None,
    fake_options: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Audit:
    """Judge samples of any generator against real data.

    Args:
        real, fake: arrays, tensors, files, folders of images, data sets by name, models and runs of modecover, or
            functions that make samples: see `modecover.auditing.inputs.read_samples`.
        train: what the generator learnt from, where `real` is not that: copies are looked for among these.
        test: real samples that it did not learn from, to compare with; None: with `train` the real ones, and without
            it each real sample held against the others.
        labels: classes of the real samples, whole numbers (n,); None: those of the data set, where it has any.
        features: what missing modes and imbalance are looked for in: "pixels", "random-convolutions", "classifier" (of
            the labels), "inception:FILE" (weights for torch-fidelity's network), an `Extractor`, or a function of
            samples (n, ...). "auto": the classifier for images with labels, else pixels.
        encoder: a function from samples to codes, whose law over the real data is compared with N(0, I).
        noise: levels of the missing-mode estimator's sweep, in units of `modecover.metrics.missing.noise_unit`.
        samples: of each side at most.
        seed: of every random choice: the same call gives the same audit.
        memory: bytes that distances and tables of products may take at a time, as a number or in words such as "1GB".
            Beside them the samples are kept, images as bytes; only a function as `features` is given all of them as
            float32 at once.
        of_seed: which of a run's models is judged, where several seeds were trained together.
        real_options, fake_options: of `open_data`.
        device: where features are computed.
        progress: called with the stage and the share of it that is done.

    Raises:
        UserError: samples cannot be opened, are too few, differ in shape or are not finite, or a setting is wrong.
    """
    require_arguments(
        features=features,
        encoder=encoder,
        noise=noise,
        samples=samples,
        seed=seed,
        of_seed=of_seed,
        real_options=real_options,
        fake_options=fake_options,
        device=device,
        progress=progress,
    )
    memory = memory_in_bytes(memory)
    tell: Progress = progress or (lambda stage, done: None)
    tell("samples", 0.0)
    parts = _read(real, fake, train, test, samples, seed, of_seed, real_options or {}, fake_options or {})
    known = _labels(parts["real"], labels)
    extractor = fit_features(
        features,
        parts["real"].kept,
        known,
        seed=seed,
        device=device,
        memory=memory,
        progress=lambda i, n: tell("classifier", i / n),
    )
    evidence = measure(parts, extractor, noise=noise, seed=seed, memory=memory, tell=tell)
    comparison = compare_bins(*evidence.cells, len(evidence.bins))
    found = Audit(
        verdicts=_verdicts(evidence, parts.get("train", parts["real"]), seed),
        metrics=metrics_of(evidence, known, None if encoder is None else by_function(encoder), seed),
        curves=_curves(evidence, comparison),
        missed=_missed(evidence),
        starved=_starved(evidence, comparison),
        copies=_copies(evidence),
        settings={
            "features": extractor.identity,
            "surface": evidence.surface.identity,
            "neighbour": evidence.near.k,
            "bins": len(evidence.bins),
            "samples": samples,
            "seed": seed,
        },
        versions={
            "modecover": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        inputs={role: part.facts() for role, part in parts.items()},
    )
    return with_gallery(found, parts["real"], parts["fake"], parts.get("train"))


def _read(
    real: Any,
    fake: Any,
    train: Any,
    test: Any,
    samples: int,
    seed: int,
    of_seed: int | None,
    real_options: Mapping[str, Any],
    fake_options: Mapping[str, Any],
) -> dict[str, Samples]:
    """The samples of every role that was given, alike in shape and enough."""
    parts = {"real": read_samples(real, "real", count=samples, seed=seed, options=real_options)}
    # What a number of a pixel means is said once, by the real side: else one odd fake pixel would recast all fakes.
    fake_options, real_options = ({**range_like(parts["real"]), **options} for options in (fake_options, real_options))
    parts["fake"] = read_samples(fake, "fake", count=samples, seed=seed, of_seed=of_seed, options=fake_options)
    for role, source in (("train", train), ("test", test)):
        if source is not None:
            parts[role] = read_samples(source, role, count=samples, seed=seed, options=real_options)
    require_alike(parts["real"], {role: part for role, part in parts.items() if role != "real"})
    for role, part in parts.items():
        if len(part) < FEWEST:
            raise UserError(
                f"There are {len(part)} {ROLES[role]} samples; an audit needs at least {FEWEST}: give more."
            )
    return parts


def _labels(real: Samples, labels: npt.ArrayLike | None) -> Integers | None:
    """The classes of the real rows that were taken: as given, or as the data set has them."""
    if labels is None:
        return real.labels
    given = np.asarray(as_array(labels))
    if real.of is not None and given.shape[:1] == (real.of,):
        given = given[real.index]
    if given.shape != (len(real),) or given.dtype.kind not in "iu":
        raise UserError(
            f"labels have type {given.dtype} and shape {given.shape}; give a whole number for each real sample."
        )
    return given.astype(np.int64)


def _verdicts(evidence: Evidence, learnt: Samples, seed: int) -> tuple[Verdict, ...]:
    left, outside = evidence.outside
    contents = coarse(evidence.real.kept), coarse(evidence.fake.kept)
    real_odd, odd = evidence.odd
    return (
        verdicts.missing_mass(evidence.sweep, evidence.reading),
        verdicts.imbalance(evidence.cells, evidence.kept, evidence.different, len(evidence.bins), seed),
        verdicts.shrink(contents[0], contents[1], evidence.cells, evidence.kept, seed),
        verdicts.low_quality((left, outside), (real_odd, odd), evidence.different),
        verdicts.copying(evidence.copies, support_size(evidence.near.collisions.fake), len(learnt), learnt.of),
    )


def _curves(evidence: Evidence, comparison: BinComparison) -> Curves:
    sweep, plateau = evidence.sweep, evidence.reading.plateau
    shares = zip(sweep.missing, sweep.standard_error, strict=True)
    return Curves(
        noise=NoiseSweep(
            levels=sweep.levels,
            missing=tuple(verdicts.reading_of(float(s), float(e), sweep.odds.shape[1]) for s, e in shares),
            null=tuple(map(float, sweep.null)),
            plateau=(sweep.levels[plateau[0]], sweep.levels[plateau[1]]),
        ),
        bins=Bins(
            real=tuple(map(int, comparison.real)),
            fake=tuple(map(int, comparison.fake)),
            p_values=tuple(map(float, comparison.corrected)),
        ),
        neighbours=NeighbourDistances(
            fake_to_train=tuple(map(float, evidence.to_train.distance)),
            test_to_train=tuple(map(float, evidence.held_out)),
        ),
    )


def _missed(evidence: Evidence) -> tuple[Missed, ...]:
    """Real rows judged missed, surest first."""
    odds = evidence.sweep.odds[evidence.reading.level]
    order = np.argsort(-odds, kind="stable")[:SHOWN]
    return tuple(Missed(int(row), float(odds[row])) for row in order if evidence.reading.flags[row])


def _starved(evidence: Evidence, comparison: BinComparison) -> dict[int, tuple[int, ...]]:
    """Real rows of each bin with too few fake ones, nearest to its centre first; the most starved bin first."""
    cells, centres = evidence.cells[0], evidence.bins.centres.cpu().numpy()
    typical = np.argsort(np.square(evidence.x - centres[cells]).sum(axis=1), kind="stable")
    starved = comparison.starved[np.argsort(comparison.z[comparison.starved], kind="stable")]
    return {int(b): tuple(int(row) for row in typical[cells[typical] == b][:SHOWN]) for b in starved}


def _copies(evidence: Evidence) -> tuple[Copy, ...]:
    """The fake rows nearest to training rows."""
    near = evidence.to_train
    order = np.argsort(near.distance, kind="stable")[:SHOWN]
    return tuple(Copy(int(row), int(near.index[row]), float(near.distance[row])) for row in order)
