"""Missing mass: where the generator does not go, by MDGAN's estimator over a sweep of noise.

Which rows are missed is asked by others too: imbalance and shrink leave them out, and the page shows them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import UNKNOWN, Estimate, Flags, Verdict, excess, share_of
from modecover.metrics.missing import CERTAIN, PARTS

LARGEST_SOUND = 0.01
"""What is let pass: the verdict fires where the interval lies beyond this and beyond the null."""

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


@dataclass(frozen=True)
class Reading:
    """The missing mass at the noise that was chosen, divided by the share of a planted gap that is found there."""

    level: int
    plateau: tuple[int, int]
    shares: tuple[Estimate, ...]
    """Of the rows judged missing at each level, before the correction."""
    missing: Estimate
    null: Estimate
    flags: Flags
    """Real rows judged missing, (n,)."""


def missing_mass(evidence: Evidence) -> Verdict:
    """The share of the real mass where the generator does not go."""
    sweep, reading = evidence.sweep, read_sweep(evidence)
    effect, null = reading.missing, reading.null
    fires = excess(effect, null).low > LARGEST_SOUND
    found = f"The generator does not go where {effect.value:.1%} of the real data lie."
    sentence = found if fires else "No part of the real data is missed."
    if math.isnan(effect.value):
        sentence = (
            "It cannot be told in these features what is missed: they show no modes, only that the samples differ; "
            "give labels of the real data, or other features."
        )
    facts = {
        "noise": sweep.levels[reading.level],
        "planted gap found": float(sweep.found[reading.level]),
        "share before correction": float(sweep.missing[reading.level]),
    }
    return Verdict("missing mass", fires, effect, "share of the real mass", null, sentence, facts)


def read_sweep(evidence: Evidence) -> Reading:
    """The reading at the strongest noise that still leaves modes apart, and the plateau that it belongs to.

    The strongest, because noise is what hides blur from the discriminator; and whether modes are still apart is seen
    from the planted gap, of which enough must be found. The share that is not found is corrected for, up to a factor
    of 2 and as far as there are rows that may be missed and are not counted. Where at no level enough is found, the
    level that finds most is read.
    """
    sweep = evidence.sweep
    found = np.nan_to_num(sweep.found)
    usable = np.flatnonzero(found >= FOUND_ENOUGH)
    level = int(usable[-1]) if len(usable) else int(found.argmax())
    possible = (sweep.odds > math.log(DOUBTFUL / (1 - DOUBTFUL))).mean(axis=1)
    readings = np.minimum(sweep.missing / np.maximum(found, 1 / LARGEST_CORRECTION), possible)
    factor = float(readings[level] / sweep.missing[level]) if sweep.missing[level] else 1.0
    first = level
    while first > 0 and abs(readings[first - 1] - readings[level]) <= STABLE + 2 * factor * sweep.standard_error[level]:
        first -= 1

    # Discriminators differ: the part of a standard error that the number of rows does not explain widens an interval.
    # The null has one discriminator, and there is no second to see how much these differ but the effect's own.
    count = sweep.odds.shape[1]
    between = np.sqrt(np.maximum(0.0, sweep.standard_error**2 - sweep.missing * (1 - sweep.missing) / count)).tolist()
    shares = tuple(share_of(share, count, own) for share, own in zip(sweep.missing.tolist(), between, strict=True))
    null = share_of(float(sweep.null[level]), count / PARTS, math.sqrt(PARTS) * between[level])
    effect, null = (
        Estimate(*(min(1.0, factor * end) for end in (estimate.value, estimate.low, estimate.high)))
        for estimate in (shares[level], null)
    )
    flags = sweep.odds[level] > math.log(CERTAIN / (1 - CERTAIN))

    # In features that do not keep modes apart no noise hides blur without hiding modes as well, and everything can look
    # missing. So a reading that is far above the share of real rows without fake neighbours, less what real rows in the
    # generator's place would leave, is no reading.
    near = evidence.chosen.near
    uncovered = 1 - min(1.0, near.coverage / near.expected_coverage)
    if effect.low > CONTRADICTED[0] * uncovered + CONTRADICTED[1]:
        effect, flags = UNKNOWN, np.zeros_like(flags)
    return Reading(level, (first, level), shares, effect, null, flags)


def comparable(evidence: Evidence) -> tuple[Flags, Flags]:
    """Real and fake rows that can be compared in law: neither missed nor off the manifold."""
    outside_real, outside_fake = evidence.outside
    return ~(read_sweep(evidence).flags | outside_real), ~outside_fake
