"""Shrink: samples that vary too little inside modes, in coarse content, which no moderate blur changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import NORMAL, UNKNOWN, Estimate, Verdict, quantity
from modecover.features.spread import Side, centres_of, distances, log_ratio

WIDER = 1.2
"""Ratios of spreads beyond this are told."""

LARGEST_SOUND = 0.95
"""The verdict fires where the interval of the ratio lies below this."""

DRAWS = 100
"""Of the bootstrap."""


def shrink(evidence: Evidence) -> Verdict:
    """How much less the samples vary around the centres of modes than the data."""
    effect, null = contracted(evidence)
    unit = "ratio of standard deviations"
    if not math.isfinite(effect.value):
        return Verdict("shrink", False, UNKNOWN, unit, UNKNOWN, "Too few samples in each mode to see a shrink.")
    fires = effect.high < LARGEST_SOUND
    sentence = "Inside modes the samples vary as much as the data, or more."
    if effect.low > WIDER:
        times = quantity(effect.value, unit)
        sentence = f"Inside modes the samples do not shrink: they vary {times} times as much as the data."
    if fires:
        sentence = f"Inside modes the samples vary only {effect.value:.2f} times as much as the data."
    return Verdict("shrink", fires, effect, unit, null, sentence)


def contracted(evidence: Evidence) -> tuple[Estimate, Estimate]:
    """The fake rows' distance from the centres of clusters over the real rows', with its 95 % interval; and the same
    where the judged rows stand on both sides, which gives the range of the ratio where nothing shrinks.

    Centres are means of the reference. Real rows have the sharpness of the fake ones. Those of missed cells count, too:
    among them are the rims that a contraction empties.

    Not finite where no cluster has rows enough.
    """
    measured: list[tuple[Side, Side]] = []
    for half in evidence.halves:
        of_real_rows, of_fake = half.clusters
        reference, own = evidence.real.kept.part(half.reference), of_real_rows[half.reference]
        centres = centres_of(reference, own, half.regions.count)
        judged = half.stand_in, half.regions.clusters[half.regions.cells.of(half.sharpened)]
        sides = [distances(rows, clusters, centres) for rows, clusters in (judged, (evidence.fake.kept, of_fake))]
        measured.append((sides[0], sides[1]))
    return _ratio(evidence, measured, of_real=False), _ratio(evidence, measured, of_real=True)


def _ratio(evidence: Evidence, measured: Sequence[tuple[Side, Side]], *, of_real: bool) -> Estimate:
    """The ratio over both halves, of each of which the judged rows and the fake ones are given; if `of_real`, the
    judged ones stand in for these."""
    random = np.random.default_rng(evidence.seed)
    logs, errors = [], []
    for real, fake in measured:
        sides = (real, real) if of_real else (real, fake)
        logs.append(0.0 if of_real else log_ratio(sides))
        # Rows that repeat each other say less: as many fake ones are drawn as are different.
        sizes = len(sides[0][0]), max(2, round(len(sides[1][0]) * (1.0 if of_real else evidence.different)))
        errors.append(float(np.std([log_ratio(sides, (random, sizes)) for _ in range(DRAWS)])))
    if not all(map(math.isfinite, (*logs, *errors))):
        return UNKNOWN
    # Both halves look at the same fake rows, so that their errors are not independent: the larger one counts.
    middle, error = float(np.mean(logs)), max(errors)
    return Estimate(*(math.exp(middle + side * NORMAL * error) for side in (0, -1, 1)))
