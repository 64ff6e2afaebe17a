"""Imbalance: modes that are there, weighted wrongly."""

from __future__ import annotations

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import LARGEST_SOUND, UNKNOWN, Estimate, Verdict, excess
from modecover.auditing.verdicts.missing_mass import comparable
from modecover.metrics.arrays import Floats

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

    def distances(p: Floats, q: Floats) -> Floats:
        """Total variation between the shares of n rows drawn from p and of m rows drawn from q, (DRAWS,)."""
        sides = ((int(n), p), (max(1, int(m)), q))
        first, second = (random.multinomial(count, law, size=DRAWS) / count for count, law in sides)
        return np.asarray(np.abs(first - second).sum(axis=1) / 2)

    nulls = distances(pooled, pooled)
    bootstrapped = distances(real, fake)
    low, high = np.quantile(bootstrapped - bootstrapped.mean(), [0.025, 0.975])
    effect = Estimate(distance, max(0.0, distance + float(low)), min(1.0, distance + float(high)))
    null = Estimate(float(nulls.mean()), *(float(q) for q in np.quantile(nulls, [0.025, 0.975])))
    above = excess(effect, null)
    fires = above.low > LARGEST_SOUND
    sentence = (
        f"Modes that the generator has are weighted wrongly: {above.value:.1%} of its samples are in excess somewhere "
        "and missing elsewhere."
        if fires
        else "The modes that the generator has are weighted like the data's."
    )
    return Verdict("imbalance", fires, effect, unit, null, sentence, {"bins": bins})
