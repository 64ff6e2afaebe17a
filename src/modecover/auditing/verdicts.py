"""The five verdicts: a statistic of its own for each way to fail, held against what real data would score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modecover.auditing.nulls import Flags, closeness, excess, share, share_of
from modecover.auditing.results import Estimate, Verdict
from modecover.auditing.spread import spread_ratio
from modecover.metrics.arrays import Floats, Integers
from modecover.metrics.missing import CERTAIN, PARTS, MissingModes
from modecover.metrics.support import SupportSize

LARGEST_SOUND = {"missing mass": 0.01, "imbalance": 0.04, "shrink": 0.9, "low quality": 0.04, "copying": 0.04}
"""Effects that are let pass: a verdict fires where the interval lies beyond this and beyond the null."""

FOUND_ENOUGH = 0.35
"""Of a planted gap the estimator must find this share, for a level of noise to count."""

CONTRADICTED = 2.0, 0.1
"""A missing mass beyond so many times the share of the real rows that have no fake row near, and this, is not true."""

LARGEST_CORRECTION = 2.0
"""For the share of the planted gap that is not found."""

DOUBTFUL = 0.7
"""Rows below this discrimination value are surely not missed: no correction counts them."""

STABLE = 0.02
"""Readings that differ by no more belong to one plateau."""

COPY, REPEAT = 0.5, 0.05
"""A sample is a copy, or a repetition, where it is this much closer than the training rows are to each other."""

BY_CHANCE = 0.01
"""Of real rows that were not learnt from, at most this share may look like copies, and like repetitions."""


@dataclass(frozen=True)
class Reading:
    """The missing mass at the noise that was chosen, divided by the share of a planted gap that is found there."""

    level: int
    plateau: tuple[int, int]
    missing: Estimate
    null: Estimate
    flags: Flags
    """Real rows judged missing, (n,)."""


def read_sweep(sweep: MissingModes, uncovered: float) -> Reading:
    """The reading at the strongest noise that still leaves modes apart, and the plateau that it belongs to.

    The strongest, because noise is what hides blur from the discriminator; and whether modes are still apart is seen
    from the planted gap, of which enough must be found. The share that is not found is corrected for, up to a factor
    of 2 and as far as there are rows that may be missed and are not counted. Where at no level enough is found, the
    level that finds most is read.

    In features that do not keep modes apart no noise hides blur without hiding modes as well, and everything can look
    missing. So a reading that is far above the share of real rows without fake neighbours is no reading (nan).

    Args:
        uncovered: that share, less what real rows in the generator's place would leave.
    """
    found = np.nan_to_num(sweep.found)
    usable = np.flatnonzero(found >= FOUND_ENOUGH)
    level = int(usable[-1]) if len(usable) else int(found.argmax())
    possible = (sweep.odds > math.log(DOUBTFUL / (1 - DOUBTFUL))).mean(axis=1)
    readings = np.minimum(sweep.missing / np.maximum(found, 1 / LARGEST_CORRECTION), possible)
    factor = float(readings[level] / sweep.missing[level]) if sweep.missing[level] else 1.0
    first = level
    while first > 0 and abs(readings[first - 1] - readings[level]) <= STABLE + 2 * factor * sweep.standard_error[level]:
        first -= 1
    count = sweep.odds.shape[1]
    missing = reading_of(float(sweep.missing[level]), float(sweep.standard_error[level]), count)
    # The null has one discriminator, and there is no second to see how much these differ but the effect's own.
    between = math.sqrt(PARTS) * _between(float(sweep.missing[level]), float(sweep.standard_error[level]), count)
    null = share_of(float(sweep.null[level]), count / PARTS, between)
    flags = sweep.odds[level] > math.log(CERTAIN / (1 - CERTAIN))
    effect = _times(missing, factor)
    if effect.low > CONTRADICTED[0] * uncovered + CONTRADICTED[1]:
        effect, flags = Estimate(math.nan, math.nan, math.nan), np.zeros_like(flags)
    return Reading(level, (first, level), effect, _times(null, factor), flags)


def reading_of(value: float, standard_error: float, count: int) -> Estimate:
    """The share of `count` rows judged missing, with its interval: of a share, widened where discriminators differ."""
    return share_of(value, count, _between(value, standard_error, count))


def _between(value: float, standard_error: float, count: int) -> float:
    """The part of a reading's standard error that its number of rows does not explain."""
    return math.sqrt(max(0.0, standard_error**2 - value * (1 - value) / count))


def missing_mass(sweep: MissingModes, reading: Reading) -> Verdict:
    """MDGAN's estimator: the share of the real mass where the generator does not go."""
    effect, null = reading.missing, reading.null
    fires = excess(effect, null).low > LARGEST_SOUND["missing mass"]
    level = sweep.levels[reading.level]
    sentence = (
        f"The generator does not go where {effect.value:.1%} of the real data lie."
        if fires
        else "No part of the real data is missed."
    )
    if math.isnan(effect.value):
        sentence = (
            "It cannot be told in these features what is missed: they show no modes, only that the samples differ; "
            "give labels of the real data, or other features."
        )
    evidence = {
        "noise": level,
        "planted gap found": float(sweep.found[reading.level]),
        "share before correction": float(sweep.missing[reading.level]),
    }
    return Verdict("missing mass", fires, effect, "share of the real mass", null, sentence, evidence)


def imbalance(
    cells: tuple[Integers, Integers], kept: tuple[Flags, Flags], different: float, bins: int, seed: int
) -> Verdict:
    """How differently modes are weighted, where neither missing modes nor samples of low quality explain it.

    Args:
        cells: the bin of every real and every fake row.
        kept: real rows that are not missed, and fake rows of good quality.
        different: the fake rows' effective number of different ones over their number.
    """
    counts = [np.bincount(c[k], minlength=bins).astype(float) for c, k in zip(cells, kept, strict=True)]
    random = np.random.default_rng(seed)
    unit = "share of the samples in the wrong bins"
    n, m = counts[0].sum(), counts[1].sum() * different
    if min(n, m) < bins:
        unknown = Estimate(math.nan, math.nan, math.nan)
        return Verdict("imbalance", False, unknown, unit, unknown, "Too few comparable samples to see an imbalance.")
    real, fake = counts[0] / n, counts[1] / counts[1].sum()
    distance = float(np.abs(real - fake).sum() / 2)
    pooled = (counts[0] + counts[1] * different) / (n + m)
    nulls = _distances(pooled, pooled, n, m, random)
    bootstrapped = _distances(real, fake, n, m, random)
    low, high = np.quantile(bootstrapped - bootstrapped.mean(), [0.025, 0.975])
    effect = Estimate(distance, max(0.0, distance + float(low)), min(1.0, distance + float(high)))
    null = Estimate(float(nulls.mean()), *(float(q) for q in np.quantile(nulls, [0.025, 0.975])))
    fires = excess(effect, null).low > LARGEST_SOUND["imbalance"]
    sentence = (
        f"Modes that the generator has are weighted wrongly: {excess(effect, null).value:.1%} of its samples are in "
        "excess somewhere and missing elsewhere."
        if fires
        else "The modes that the generator has are weighted like the data's."
    )
    return Verdict("imbalance", fires, effect, unit, null, sentence, {"bins": bins})


def _distances(p: Floats, q: Floats, n: float, m: float, random: np.random.Generator, draws: int = 500) -> Floats:
    first = random.multinomial(int(n), p, size=draws) / int(n)
    second = random.multinomial(max(1, int(m)), q, size=draws) / max(1, int(m))
    return np.asarray(np.abs(first - second).sum(axis=1) / 2)


def shrink(
    real: npt.NDArray[np.float32],
    fake: npt.NDArray[np.float32],
    cells: tuple[Integers, Integers],
    kept: tuple[Flags, Flags],
    seed: int,
) -> Verdict:
    """How much less the samples vary inside the bins: coarse content of images, so that blur does not count.

    Args:
        real, fake: rows whose spread is compared, `coarse` content or features.
        cells: the bin of every real and every fake row.
        kept: rows that count: not those outside the real manifold, whose mere distance would add spread.
    """
    (real_cells, fake_cells), (real_kept, fake_kept) = cells, kept
    unit = "ratio of standard deviations"
    value, error = spread_ratio(real[real_kept], fake[fake_kept], (real_cells[real_kept], fake_cells[fake_kept]))
    random = np.random.default_rng(seed)
    rows, bins = real[real_kept], real_cells[real_kept]
    halves = []
    for _ in range(10):
        side = random.permutation(len(rows)) % 2 == 0
        halves.append(spread_ratio(rows[side], rows[~side], (bins[side], bins[~side]))[0])
    finite = [h for h in halves if math.isfinite(h)]
    if not math.isfinite(value):
        unknown = Estimate(math.nan, math.nan, math.nan)
        return Verdict("shrink", False, unknown, unit, unknown, "Too few samples in each bin to see a shrink.")
    effect = Estimate(value, value * math.exp(-1.96 * error), value * math.exp(1.96 * error))
    spread = float(np.std(np.log(finite), ddof=1)) if len(finite) > 1 else error
    null = Estimate(1.0, math.exp(-1.96 * spread), math.exp(1.96 * spread))
    fires = effect.high < min(LARGEST_SOUND["shrink"], null.low)
    sentence = (
        f"Inside modes the samples vary only {value:.2f} times as much as the data."
        if fires
        else "Inside modes the samples vary as much as the data, or more."
    )
    return Verdict("shrink", fires, effect, unit, null, sentence, {})


def low_quality(outside: tuple[Flags, Flags], odd: tuple[Flags, Flags], different: float) -> Verdict:
    """The share of the samples off the real manifold: too far from all real rows, or with a wrong amount of detail.

    Args:
        outside: of every real row, left out in turn, and of every fake row, whether it lies in no real row's ball.
        odd: of every real and every fake image, whether its fine detail is too weak or too strong.
        different: the fake rows' effective number of different ones over their number.
    """
    effect, null = share(outside[1] | odd[1], different), share(outside[0] | odd[0])
    fires = excess(effect, null).low > LARGEST_SOUND["low quality"]
    sentence = (
        f"{effect.value:.1%} of the samples are unlike any real ones; of real data {null.value:.1%} would be."
        if fires
        else "The samples are as close to the real data as real data are to each other."
    )
    evidence = {
        "too far from all real samples": float(outside[1].mean()),
        "real samples too far from the others": float(outside[0].mean()),
        "wrong amount of fine detail": float(odd[1].mean()),
        "real samples with a wrong amount": float(odd[0].mean()),
    }
    return Verdict("low quality", fires, effect, "share of the samples", null, sentence, evidence)


@dataclass(frozen=True)
class Copies:
    """Which fake rows are copies of training rows or repetitions of each other."""

    copied: Flags
    repeated: Flags
    by_chance: Estimate
    """The share that would be one or the other among real rows that were not learnt from."""


def find_copies(to_train: Floats, own: Floats, between: Floats, spacing: Floats, held_out: Floats) -> Copies:
    """Flag copies and repetitions: rows much closer than the real rows around them are to each other.

    How much closer depends on the dimension: on a line neighbours a twentieth of the usual distance away are common.
    So the limits also keep to what at most a hundredth of the held-out real rows fall below.

    Args:
        to_train: the distance of every fake row to the nearest training row, (m,).
        own: of that training row to its own nearest other training row, (m,).
        between: of every fake row to the nearest other fake row, (m,).
        spacing: of the real row nearest to each fake row to its own nearest other real row, (m,).
        held_out: the `closeness` of real rows that were not learnt from, (n,).
    """
    chance = float(np.quantile(held_out, BY_CHANCE))
    limits = min(COPY, chance), min(REPEAT, chance)
    copied, repeated = share(held_out <= limits[0]), share(held_out <= limits[1])
    either = (1 - (1 - a) * (1 - b) for a, b in zip(_ends(copied), _ends(repeated), strict=True))
    return Copies(closeness(to_train, own) <= limits[0], closeness(between, spacing) <= limits[1], Estimate(*either))


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def copying(copies: Copies, support: SupportSize, looked_at: int, of: int | None = None) -> Verdict:
    """The share of the samples that are copies of training rows or repetitions of other samples.

    Args:
        copies: who is.
        support: how many different samples there seem to be.
        looked_at, of: so many training rows were compared with, of so many that there are. Copies of the others are not
            seen, and the sentence says so.
    """
    among = f" the {looked_at:,} of {of:,}" if of is not None and of > looked_at else ""
    effect, null = share(copies.copied | copies.repeated), copies.by_chance
    above = excess(effect, null)
    fires = above.low > LARGEST_SOUND["copying"]
    evidence = {
        "copies of training samples": float(copies.copied.mean()),
        "repetitions of other samples": float(copies.repeated.mean()),
        "different samples": support.value,
        "different samples, low": support.low,
        "different samples, high": support.high,
    }
    if not fires:
        looked = f"{among} training samples looked at" if among else " training samples"
        sentence = f"The samples are neither copies of{looked} nor repetitions of each other."
    elif copies.copied.mean() >= copies.repeated.mean():
        looked = f"{among} training samples looked at: more may be copies of the rest" if among else " training samples"
        sentence = f"{copies.copied.mean():.1%} of the samples are copies of{looked}."
    else:
        sentence = (
            f"{copies.repeated.mean():.1%} of the samples repeat another one: the generator makes about "
            f"{support.value:,.0f} different samples."
        )
    return Verdict("copying", fires, effect, "share of the samples", null, sentence, evidence)


def _times(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(*(min(1.0, factor * value) for value in (estimate.value, estimate.low, estimate.high)))
