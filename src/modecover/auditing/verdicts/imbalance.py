"""Imbalance: modes that are there, weighted wrongly."""

from __future__ import annotations

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import UNKNOWN, Estimate, Verdict, excess
from modecover.auditing.verdicts.missing_mass import comparable
from modecover.metrics.arrays import Floats

LARGEST_SOUND = 0.04
"""What is let pass: the verdict fires where the interval lies beyond this and beyond the null."""

DRAWS = 500
"""Of the bootstrap, and of samples under the null."""


def imbalance(evidence: Evidence) -> Verdict:
    """How differently modes are weighted, where neither missing modes nor samples of low quality explain it."""
    bins, different = len(evidence.bins), evidence.different
    kept = zip(evidence.cells, comparable(evidence), strict=True)
    counts = [np.bincount(cells[rows], minlength=bins).astype(float) for cells, rows in kept]
    random = np.random.default_rng(evidence.seed)
    unit = "share of the samples in the wrong bins"
    n, m = counts[0].sum(), counts[1].sum() * different
    if min(n, m) < bins:
        return Verdict("imbalance", False, UNKNOWN, unit, UNKNOWN, "Too few comparable samples to see an imbalance.")
    real, fake = counts[0] / n, counts[1] / counts[1].sum()
    distance = float(np.abs(real - fake).sum() / 2)
    pooled = (counts[0] + counts[1] * different) / (n + m)
    nulls = _distances(pooled, pooled, n, m, random)
    bootstrapped = _distances(real, fake, n, m, random)
    low, high = np.quantile(bootstrapped - bootstrapped.mean(), [0.025, 0.975])
    effect = Estimate(distance, max(0.0, distance + float(low)), min(1.0, distance + float(high)))
    null = Estimate(float(nulls.mean()), *(float(q) for q in np.quantile(nulls, [0.025, 0.975])))
    above = excess(effect, null)
    fires = above.low > LARGEST_SOUND
    sentence = "The modes that the generator has are weighted like the data's."
    if fires:
        sentence = (
            f"Modes that the generator has are weighted wrongly: {above.value:.1%} of its samples are in excess "
            "somewhere and missing elsewhere."
        )
    return Verdict("imbalance", fires, effect, unit, null, sentence, {"bins": bins})


def _distances(p: Floats, q: Floats, n: float, m: float, random: np.random.Generator) -> Floats:
    """Total variation between the shares of n rows drawn from p and of m rows drawn from q, (DRAWS,)."""
    first = random.multinomial(int(n), p, size=DRAWS) / int(n)
    second = random.multinomial(max(1, int(m)), q, size=DRAWS) / max(1, int(m))
    return np.asarray(np.abs(first - second).sum(axis=1) / 2)
