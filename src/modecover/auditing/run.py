"""The audit itself: samples in, five verdicts and what they rest on out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modecover import __version__
from modecover.auditing import nulls, verdicts
from modecover.auditing.gallery import with_gallery
from modecover.auditing.inputs import SAMPLES, Samples, read_samples, require_alike
from modecover.auditing.results import (
    Audit,
    Bins,
    Copy,
    Curves,
    Estimate,
    Metric,
    Missed,
    NeighbourDistances,
    NoiseSweep,
)
from modecover.auditing.spread import bin_means, coarse, detail, groups_of_equals
from modecover.errors import UserError
from modecover.features import Extractor, fit_features, pixels
from modecover.metrics.bins import compare_bins, fit_bins
from modecover.metrics.frechet import frechet_distance
from modecover.metrics.missing import missing_modes
from modecover.metrics.neighbours import neighbour_statistics
from modecover.metrics.support import support_size
from modecover.metrics.vendi import vendi_score

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

FEWEST = 10
BINS = 20
K = 5
DETAIL_TAIL, DETAIL_MARGIN = 0.005, 0.9
SHOWN = 200


def audit(
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    test: Any = None,
    labels: npt.ArrayLike | None = None,
    features: str | Extractor | Callable[[Any], Any] = "auto",
    samples: int = SAMPLES,
    seed: int = 0,
    memory: int = 10**9,
    of_seed: int | None = None,
    real_options: Mapping[str, Any] | None = None,
    fake_options: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Audit:
    """Judge samples of any generator against real data."""
    options: dict[str, Any] = {"count": samples, "seed": seed}
    reals = read_samples(real, "real", options=real_options, **options)
    fakes = read_samples(fake, "fake", of_seed=of_seed, options=fake_options, **options)
    others: dict[str, Samples] = {"fake": fakes}
    if train is not None:
        others["train"] = read_samples(train, "train", options=real_options, **options)
    if test is not None:
        others["test"] = read_samples(test, "test", options=real_options, **options)
    require_alike(reals, others)
    for role, given in {"real": reals, **others}.items():
        if len(given) < FEWEST:
            raise UserError(f"there are {len(given)} {role} samples; an audit needs at least {FEWEST}.")

    def tell(stage: str, done: float) -> None:
        if progress is not None:
            progress(stage, done)

    known = reals.labels if labels is None else np.asarray(labels)
    surface = pixels(reals.rows)
    extractor = surface if features == "auto" else fit_features(features, reals.rows, known, seed=seed, device=device)
    x, y = extractor(reals.rows), extractor(fakes.rows)
    sx, sy = (x, y) if extractor is surface else (surface(reals.rows), surface(fakes.rows))
    k = min(K, len(x) - 1, len(y) - 1)

    def ticked(stage: str) -> Callable[[int, int], None]:
        return lambda done, total: tell(stage, done / total)

    near = neighbour_statistics(sx, sy, k=k, memory=memory, seed=seed, progress=ticked("distances"))
    left = nulls.left_out(sx, k)
    sweep = missing_modes(x, y, seed=seed, progress=ticked("missing modes"))
    reading = verdicts.read_sweep(sweep)

    bins = fit_bins(x, bins=BINS, seed=seed)
    cells = (bins.of(x), bins.of(y))
    weight = nulls.independent_share(groups_of_equals(sy))
    outside, out_real = near.holding_fake == 0, ~left.inside
    odd, odd_real = np.zeros(len(y), bool), np.zeros(len(x), bool)
    if reals.rows.ndim == 4:
        means = bin_means(reals.rows, cells[0], len(bins))
        strong_real, strong = detail(reals.rows, means, cells[0]), detail(fakes.rows, means, cells[1])
        low, high = np.quantile(strong_real, [DETAIL_TAIL, 1 - DETAIL_TAIL])
        odd, odd_real = ((s < low * DETAIL_MARGIN) | (s > high / DETAIL_MARGIN) for s in (strong, strong_real))
    kept = (~reading.flags & ~out_real, ~outside)

    if train is None:
        learned, to_train, own = reals, near.fake_to_real, near.real_to_real.distance
        held_out = left.closeness
        held_distances = near.real_to_real.distance
    else:
        learned = others["train"]
        st = surface(learned.rows)
        pass_train = neighbour_statistics(st, sy, k=min(K, len(st) - 1, len(sy) - 1), memory=memory, seed=seed)
        unseen = surface(others["test"].rows) if test is not None else sx
        pass_test = neighbour_statistics(st, unseen, k=min(K, len(st) - 1, len(unseen) - 1), memory=memory, seed=seed)
        to_train, own = pass_train.fake_to_real, pass_train.real_to_real.distance
        seen = pass_test.fake_to_real
        held_out, held_distances = nulls.closeness(seen.distance, own[seen.index]), seen.distance
    scale = near.real_to_real.distance[near.fake_to_real.index]
    copies = verdicts.find_copies(to_train.distance, own[to_train.index], near.fake_to_fake.distance, scale, held_out)
    support = support_size(near.collisions.fake)
    found = (
        verdicts.missing_mass(sweep, reading),
        verdicts.imbalance(cells, kept, weight, len(bins), seed),
        verdicts.shrink(coarse(reals.rows, sx), coarse(fakes.rows, sy), cells, kept, seed),
        verdicts.low_quality(outside, odd, out_real, odd_real, weight),
        verdicts.copying(copies, support),
    )
    comparison = compare_bins(*cells, len(bins))
    starved = sorted(comparison.starved, key=lambda b: comparison.z[b])
    centre = bins.centres.cpu().numpy()
    typical = np.argsort(np.square(x - centre[cells[0]]).sum(axis=1), kind="stable")
    order = np.argsort(-sweep.odds[reading.level], kind="stable")
    missed = [i for i in order[:SHOWN] if reading.flags[i]]
    nearest = np.argsort(to_train.distance, kind="stable")[:SHOWN]
    identity = extractor.identity
    on_surface = surface.identity

    def estimate(e: Estimate) -> dict[str, float]:
        return {"low": e.low, "high": e.high}

    reading_ = reading.missing
    half = np.random.default_rng(seed).permutation(len(x))
    first, second = x[half[: len(x) // 2]], x[half[len(x) // 2 :]]
    frechet_null = frechet_distance(first, second) * (1 / len(x) + 1 / len(y)) / (4 / len(x))
    metrics = (
        Metric(
            f"missing mass [{identity}]",
            "missing",
            reading_.value,
            reading.null.value,
            **estimate(reading_),
            better="lower",
        ),
        Metric(
            f"precision (k={k}) [{on_surface}]", "precision", near.precision, float(left.inside.mean()), better="higher"
        ),
        Metric(f"recall (k={k}) [{on_surface}]", "recall", near.recall, float(left.inside.mean()), better="higher"),
        Metric(f"density (k={k}) [{on_surface}]", "density", near.density, 1.0, better=None),
        Metric(f"coverage (k={k}) [{on_surface}]", "coverage", near.coverage, near.expected_coverage, better="higher"),
        Metric(f"kernel distance [{on_surface}]", "kernel", near.kernel.value, 0.0, better="lower"),
        Metric(f"Frechet distance [{identity}]", "frechet", frechet_distance(x, y), frechet_null, better="lower"),
        Metric(
            f"Vendi score [{identity}]",
            "vendi",
            vendi_score(y - x.mean(axis=0)),
            vendi_score(x - x.mean(axis=0)),
            better=None,
        ),
        Metric(
            f"different samples [{on_surface}]",
            "support",
            support.value,
            None,
            support.low,
            support.high,
            better="higher",
        ),
    )
    result = Audit(
        verdicts=found,
        metrics=metrics,
        curves=Curves(
            noise=NoiseSweep(
                sweep.levels,
                tuple(nulls.share_of(float(v), len(x)) for v in sweep.missing),
                tuple(map(float, sweep.null)),
                (sweep.levels[reading.plateau[0]], sweep.levels[reading.plateau[1]]),
            ),
            bins=Bins(
                *(tuple(map(int, c)) for c in (comparison.real, comparison.fake)),
                tuple(map(float, comparison.corrected)),
            ),
            neighbours=NeighbourDistances(tuple(map(float, to_train.distance)), tuple(map(float, held_distances))),
        ),
        missed=tuple(Missed(int(i), float(sweep.odds[reading.level, i])) for i in missed),
        starved={int(b): tuple(int(i) for i in typical[cells[0][typical] == b][:SHOWN]) for b in starved},
        copies=tuple(Copy(int(i), int(to_train.index[i]), float(to_train.distance[i])) for i in nearest),
        settings={"features": extractor.identity, "k": k, "bins": len(bins), "samples": samples, "seed": seed},
        versions={
            "modecover": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        inputs={"real": reals.facts(), **{role: given.facts() for role, given in others.items()}},
    )
    return with_gallery(result, reals, fakes, others.get("train"))
