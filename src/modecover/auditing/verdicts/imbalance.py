"""Imbalance: modes that are there, weighted wrongly."""

from __future__ import annotations

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.naming import named
from modecover.auditing.results import NORMAL, UNKNOWN, Estimate, Verdict
from modecover.auditing.verdicts.low_quality import odd_rows
from modecover.metrics.arrays import Floats, Integers

LARGEST_SOUND = 0.02
"""What is let pass: the verdict fires where the interval lies beyond this."""

DRAWS, SPLITS = 200, 20
"""Of the bootstrap and of samples under the null; and splits of the fake rows."""

FEWEST = 5
"""Comparable rows of either side for every cluster, on average."""


def imbalance(evidence: Evidence) -> Verdict:
    """How differently modes are weighted, where neither missing modes nor samples of low quality explain it."""
    random = np.random.default_rng(evidence.seed)
    unit = "share of the samples in the wrong modes"
    odd_real, odd_fake = odd_rows(evidence)
    tables = []
    for half, real_odd, fake_odd in zip(evidence.halves, odd_real, odd_fake, strict=True):
        there = ~evidence.missed.flags[half.judged] & ~real_odd
        rows = half.regions.clusters[half.regions.cells.of(half.sharpened)][there], half.clusters[1][~fake_odd]
        real, fake = (np.bincount(cells, minlength=half.regions.count) for cells in rows)
        tables.append((real, fake))
    if any(counts.sum() < FEWEST * len(counts) for table in tables for counts in table):
        return Verdict("imbalance", False, UNKNOWN, unit, UNKNOWN, "Too few comparable samples to see an imbalance.")

    value = float(np.mean([_displaced(real, fake, random) for real, fake in tables for _ in range(SPLITS)]))
    drawn, chance = [], []
    for _ in range(DRAWS):
        resampled, alike = [], []
        for real, fake in tables:
            # Rows that repeat each other say less: as many fake ones are drawn as are different.
            sizes = int(real.sum()), max(2, round(float(fake.sum()) * evidence.different))
            laws = _law(real), _law(fake)
            resampled.append((random.multinomial(sizes[0], laws[0]), random.multinomial(sizes[1], laws[1])))
            alike.append((random.multinomial(sizes[0], laws[0]), random.multinomial(sizes[1], laws[0])))
        drawn.append(np.mean([_displaced(real, fake, random) for real, fake in resampled]))
        chance.append(np.mean([_displaced(real, fake, random) for real, fake in alike]))
    error, noise = float(np.std(drawn)), float(np.quantile(chance, 0.975))
    effect = Estimate(*(min(1.0, max(0.0, value + side * NORMAL * error)) for side in (0, -1, 1)))
    null = Estimate(0.0, 0.0, max(0.0, noise))
    fires = effect.low > max(LARGEST_SOUND, 0.0) and value > noise
    sentence = "The modes that the generator has are weighted like the data's."
    if fires:
        sentence = (
            f"Modes that the generator has are weighted wrongly: {effect.value:.1%} of its samples are in excess "
            f"somewhere and lacking elsewhere{_told(evidence, *tables[0])}."
        )
    return Verdict("imbalance", fires, effect, unit, null, sentence, {"clusters": float(len(tables[0][0]))})


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
