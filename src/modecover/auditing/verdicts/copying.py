"""Copying: samples that are copies of training rows, or repetitions of few different ones."""

from __future__ import annotations

import numpy as np

from modecover.auditing.evidence import Evidence, closeness
from modecover.auditing.results import LARGEST_SOUND, Estimate, Verdict, excess, share
from modecover.metrics.support import support_size

COPY, REPEAT = 0.5, 0.05
"""A sample is a copy, or a repetition, where it is this much closer than the training rows are to each other."""

BY_CHANCE = 0.01
"""Of real rows that were not learnt from, at most this share may look like copies, and like repetitions."""


def copying(evidence: Evidence) -> Verdict:
    """The share of the samples much closer to a training row, or to another sample, than real rows are to each other.

    How much closer depends on the dimension: on a line neighbours a twentieth of the usual distance away are common.
    So the limits also keep to what at most a hundredth of the unseen real rows fall below.
    """
    near, (unseen, fake) = evidence.surface.near, evidence.closeness
    chance = float(np.quantile(unseen, BY_CHANCE))
    copy, repeat = min(COPY, chance), min(REPEAT, chance)
    copied = fake <= copy
    # Repetitions are measured by the spacing of the real rows around them.
    spacing = near.real_to_real.distance[near.fake_to_real.index]
    repeated = closeness(near.fake_to_fake.distance, spacing) <= repeat
    effect = share(copied | repeated)

    # What would be one or the other among real rows that were not learnt from.
    a, b = share(unseen <= copy), share(unseen <= repeat)
    null = Estimate(*(1 - (1 - p) * (1 - q) for p, q in ((a.value, b.value), (a.low, b.low), (a.high, b.high))))

    fires = excess(effect, null).low > LARGEST_SOUND
    support = support_size(near.collisions.fake)
    # Copies of training rows that were not looked at are not seen, and the sentence says so.
    looked_at, of = len(evidence.train), evidence.train.of
    every = of is None or of <= looked_at
    training = "training samples" if every else f"the {looked_at:,} of {of:,} training samples looked at"
    if not fires:
        sentence = f"The samples are neither copies of {training} nor repetitions of each other."
    elif copied.mean() >= repeated.mean():
        rest = "" if every else ": more may be copies of the rest"
        sentence = f"{copied.mean():.1%} of the samples are copies of {training}{rest}."
    else:
        sentence = (
            f"{repeated.mean():.1%} of the samples repeat another one: the generator makes about {support.value:,.0f} "
            "different samples."
        )
    facts = {
        "copies of training samples": float(copied.mean()),
        "repetitions of other samples": float(repeated.mean()),
        "different samples": support.value,
        "different samples, low": support.low,
        "different samples, high": support.high,
    }
    return Verdict("copying", fires, effect, "share of the samples", null, sentence, facts)
