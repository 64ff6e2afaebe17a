"""Imbalance: modes that are there, weighted wrongly."""

from __future__ import annotations

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.naming import named
from modecover.auditing.results import NORMAL, UNKNOWN, Estimate, Verdict
from modecover.auditing.verdicts.low_quality import DISPLACED, displaced, odd_rows
from modecover.features.choice import are_natural
from modecover.metrics.arrays import Floats, Integers
from modecover.random import derive_seed

LARGEST_SOUND = 0.02
"""What is let pass: the verdict fires where the interval lies beyond this."""

DRAWS, SPLITS = 200, 20
"""Of the bootstrap and of samples under the null; and splits of the fake rows."""

FEW_DIFFERENT = 0.5
"""Of the samples, effectively."""

FEWEST = 5
"""Comparable rows of either side for every cluster, on average."""


def imbalance(evidence: Evidence) -> Verdict:
    """How differently modes are weighted, where neither missing modes nor samples of low quality explain it."""
    random = np.random.default_rng(evidence.seed)
    unit = "share of the samples in the wrong modes"
    tables = [(_counts(real, count), _counts(fake, count)) for real, fake, count in _comparable(evidence)]
    if any(counts.sum() < FEWEST * len(counts) for table in tables for counts in table):
        return Verdict("imbalance", False, UNKNOWN, unit, UNKNOWN, "Too few comparable samples to see an imbalance.")

    if displaced(evidence):
        return Verdict("imbalance", False, UNKNOWN, unit, UNKNOWN, DISPLACED)
    value = float(np.mean([_displaced(real, fake, random) for real, fake in tables for _ in range(SPLITS)]))
    drawn, chance = displacements(evidence), []
    for _ in range(DRAWS):
        alike = []
        for real, fake in tables:
            sizes = int(real.sum()), _telling(fake, evidence)
            alike.append([random.multinomial(size, _law(real)) for size in sizes])
        chance.append(np.mean([_displaced(real, fake, random) for real, fake in alike]))
    error, noise = float(np.std(drawn)), float(np.quantile(chance, 0.975))
    effect = Estimate(*(min(1.0, max(0.0, value + side * NORMAL * error)) for side in (0, -1, 1)))
    null = Estimate(0.0, 0.0, max(0.0, noise))
    fires = effect.low > max(LARGEST_SOUND, 0.0) and value > noise
    so_far = f"up to {effect.high:.1%} of the samples may be in the wrong ones"
    sentence = f"It is not seen that modes are weighted otherwise than the data's; {so_far}."
    if natural := are_natural(evidence.real.kept.shape):
        sentence = f"It is not seen that regions have too many samples or too few; {so_far}, and kinds may mix in them."
    if fires:
        least = "at least " * natural
        wrong = "Modes that the generator has are weighted wrongly"
        if natural and evidence.classes is None:
            wrong = "Kinds are too frequent or too rare, or missing, which looks alike without labels"
        sentence = (
            f"{wrong}: {least}{effect.value:.1%} of its samples are in "
            f"excess somewhere and lacking elsewhere{_told(evidence, *tables[0])}."
        )
    return Verdict("imbalance", fires, effect, unit, null, sentence, {"clusters": float(len(tables[0][0]))})


def displacements(evidence: Evidence, *, splits: int = 1) -> Floats:
    """The effect in draws of the bootstrap, (DRAWS,): every generator that is judged by the same halves meets the same
    draws of the real rows, so that of the difference of two generators' draws their sampling is no part."""
    of_real, random = (np.random.default_rng(derive_seed(evidence.seed, name)) for name in ("real rows", "fake rows"))
    sides, drawn = _comparable(evidence), []
    for _ in range(DRAWS):
        found = []
        for real, fake, count in sides:
            rows, made = of_real.integers(len(real), size=len(real)), _counts(fake, count)
            again = random.multinomial(_telling(made, evidence), _law(made)) if made.any() else made
            found += [_displaced(_counts(real[rows], count), again, random) for _ in range(splits)]
        drawn.append(np.mean(found))
    return np.array(drawn)


def _comparable(evidence: Evidence) -> list[tuple[Integers, Integers, int]]:
    """For each half the cluster of every judged row, (k,), and of every fake one, (m,), and the number of clusters; -1
    stands for rows that are missed or odd, which other verdicts explain, and for repetitions."""
    # Halves of rows that repeat each other much share their chance: then each different one is counted once.
    again = np.zeros(len(evidence.fake), bool)
    if evidence.different < FEW_DIFFERENT:
        again[:] = True
        again[np.unique(evidence.repeated, return_index=True)[1]] = False
    sides = []
    for half, real_odd, fake_odd in zip(evidence.halves, *odd_rows(evidence), strict=True):
        real = half.regions.clusters[half.regions.cells.of(half.sharpened)]
        left_out = evidence.missed.flags[half.judged] | real_odd
        sides.append(
            (np.where(left_out, -1, real), np.where(fake_odd | again, -1, half.clusters[1]), half.regions.count)
        )
    return sides


def _counts(clusters: Integers, count: int) -> Integers:
    return np.bincount(clusters + 1, minlength=count + 1)[1:]


def _telling(counts: Integers, evidence: Evidence) -> int:
    """Rows that repeat each other say less: as many fake ones are drawn as are different."""
    each = 1.0 if evidence.different < FEW_DIFFERENT else evidence.different
    return max(2, round(float(counts.sum()) * each))


def _told(evidence: Evidence, real: Integers, fake: Integers) -> str:
    """The clusters of the first half that are most crowded and most lacking, where words are found for them."""
    more, found = _law(fake) - _law(real), []
    for said, cluster, sign in (("most in excess", more.argmax(), 1), ("most lacking", more.argmin(), -1)):
        region = named(evidence.real, evidence.fake, evidence.halves[0].clusters[0] == cluster)
        if region is not None and sign * (region.of_fake - region.of_real) > LARGEST_SOUND / 2:
            found.append(f"{said}: {region.words} ({region.of_fake:.1%}, {region.of_real:.1%} of the real ones)")
    return "; " + ", ".join(found) if found else ""


def _displaced(real: Integers, fake: Integers, random: np.random.Generator) -> float:
    """The total variation between the clusters' shares, without the part that chance alone would add.

    Which clusters are crowded is read off one half of the rows, and by how much off the other: chance has no sign.
    """
    parts = [random.multivariate_hypergeometric(counts, int(counts.sum()) // 2) for counts in (real, fake)]
    one = _law(parts[1]) - _law(parts[0])
    other = _law(fake - parts[1]) - _law(real - parts[0])
    return float(np.sign(one) @ other + np.sign(other) @ one) / 4


def _law(counts: Integers) -> Floats:
    return np.asarray(counts / max(1, counts.sum()))
