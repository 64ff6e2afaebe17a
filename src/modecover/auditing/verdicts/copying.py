"""Copying: samples that are copies of training rows, or repetitions of few different ones."""

from __future__ import annotations

import math

import numpy as np

from modecover.auditing.evidence import Evidence, closeness
from modecover.auditing.results import Estimate, Flags, Verdict, excess, share
from modecover.features.kept import Floats32
from modecover.metrics.arrays import Floats
from modecover.metrics.neighbours import held_against
from modecover.metrics.support import support_size

LARGEST_SOUND = 0.01
"""What is let pass: the verdict fires where the interval of the excess lies beyond this."""

COPY, REPEAT = 0.5, 0.05
"""A sample is a copy, or a repetition, where it is this much closer than the rows around are to each other."""

COLLAPSED, MOST = 0.2, 0.5
"""A generator has collapsed where more than `MOST` of its samples are so much closer to another one than real rows are
to real ones. A mode that shrinks is denser, too: below a fifth of its width in many dimensions, and in the plane below
a tenth, it counts as collapsed."""

BY_CHANCE = 0.005
"""Of real rows that were not learnt from, at most this share may look like copies, and like repetitions."""


def copying(evidence: Evidence) -> Verdict:
    """The share of the samples that are copies or repetitions, beyond what unseen real rows would be.

    How much closer than others a copy is depends on the dimension: on a line neighbours a twentieth of the usual
    distance away are common. So the limits also keep to what few unseen real rows fall below. Samples are held against
    as many rows as the real ones are.
    """
    unseen, made = (
        [closeness(held.nearest.distance, held.spacing) for held in side] for side in (evidence.unseen, evidence.made)
    )
    copied, by_chance, closest = _beyond(
        np.concatenate(unseen), np.concatenate(made), COPY, len(evidence.fake), len(made)
    )

    # Repetitions: one half of the samples held against the other, and real rows against as many real ones.
    features, half = evidence.surface.fake, evidence.halves[0]
    random = np.random.default_rng(evidence.seed)
    size = min(len(features) // 2, len(half.reference))
    order = random.permutation(len(features))
    among = random.permutation(half.reference)[:size]
    real = half.surface(evidence.real.kept.part(np.concatenate([among, half.judged])))
    pairs = (real[:size], real[size:]), (features[order[:size]], features[order[size:]])
    close = []
    for reference, rows in pairs:
        held = held_against(reference, rows, k=min(1, size - 1), memory=evidence.memory)
        close.append(closeness(held.nearest.distance, held.spacing))
    repeated, repeated_by_chance, _ = _beyond(close[0], close[1], REPEAT, len(close[1]), 1)
    collapsed, collapsed_by_chance = _collapsed(real[size:], features[order], memory=evidence.memory)
    if excess(collapsed, collapsed_by_chance).low > MOST:
        repeated, repeated_by_chance = collapsed, collapsed_by_chance

    # Real rows that repeat each other look like copies, too. Where the generator's own samples repeat each other as
    # often (counts, small alphabets), that is the law of the data; where they do not, it is how the data were gathered.
    learnt, size = len(evidence.train) // len(made), len(features) // 2
    again = held_against(features[order[:size]], features[order[size:]], k=min(1, size - 1), memory=evidence.memory)
    alike = share(closeness(again.nearest.distance, again.spacing) <= closest, evidence.different)
    # Among more rows there are as many more that one may be equal to.
    times = len(made) * max(1.0, learnt / size)
    if times * alike.value < by_chance.value:
        by_chance = Estimate(*(min(1.0, times * end) for end in vars(alike).values()))

    kinds = excess(copied, by_chance), excess(repeated, repeated_by_chance)
    worst = max(kinds, key=lambda kind: kind.low)
    effect = Estimate(*(max(0.0, end) for end in (worst.value, worst.low, worst.high)))
    null = Estimate(0.0, 0.0, max(by_chance.high, repeated_by_chance.high))
    fires = effect.low > LARGEST_SOUND
    support = support_size(evidence.surface.near.collisions.fake)
    # Copies of training rows that were not looked at are not seen, and the sentence says so.
    looked_at, of = len(evidence.train), evidence.train.of
    every = of is None or of <= looked_at
    training = "training samples" if every else f"the {looked_at:,} of {of:,} training samples looked at"
    if not fires:
        sentence = (
            f"No more of the samples are copies of {training}, or repeat each other, than of unseen real ones; up to "
            f"{effect.high:.1%} may be."
        )
    elif worst is kinds[0]:
        rest = "" if every else ": more may be copies of the rest"
        sentence = f"{effect.value:.1%} of the samples are copies of {training}{rest}."
    else:
        sentence = f"{effect.value:.1%} of the samples repeat another one, or nearly"
        if math.isfinite(support.value):  # else none are near enough to tell how many there are
            count = max(1, round(support.value))
            sentence += f": the generator makes about {count:,} different sample{'s' * (count > 1)}"
        sentence += "."
    facts = {
        "copies of training samples": copied.value,
        "unseen real samples as close to one": by_chance.value,
        "repetitions of other samples": repeated.value,
        "different samples": support.value,
        "different samples, low": support.low,
        "different samples, high": support.high,
    }
    return Verdict("copying", fires, effect, "share of the samples", null, sentence, facts)


def _collapsed(real: Floats32, fake: Floats32, memory: int) -> tuple[Estimate, Estimate]:
    """The shares of the fake rows that are nearer to other ones, and of real rows to other real ones, than hardly any
    real row is, in units of the real rows' spacing there.

    Samples that vary a little about one, or few, are as near to each other as those around them are, so that their own
    spacing does not tell. All rows here are such that no axes were fitted to: rows that axes know lie farther apart.
    """
    size = min(len(real), len(fake)) // 2
    halves = [(rows[:size], rows[size : 2 * size]) for rows in (real, fake)]
    k = min(1, size - 1)
    of_real, of_fake = (held_against(halves[0][0], rows[1], k=k, memory=memory) for rows in halves)
    among = held_against(*halves[1], k=k, memory=memory)
    own = closeness(of_real.nearest.distance, of_real.spacing)
    limit = min(COLLAPSED, float(np.quantile(own, BY_CHANCE, method="lower")))
    return share(closeness(among.nearest.distance, of_fake.spacing) <= limit), share(own <= limit)


def _beyond(real: Floats, fake: Floats, limit: float, count: int, times: int) -> tuple[Estimate, Estimate, float]:
    """The shares of fake rows, and of unseen real ones, that are closer than the limit and than most real rows are; and
    how close that is.

    Args:
        count: fake rows, each of which stands `times` in `fake`: held once against each part of the rows that were
            learnt from, it is a copy where it is one of either.
    """
    closest = min(limit, float(np.quantile(real, BY_CHANCE, method="lower")))
    flags: tuple[Flags, Flags] = (fake <= closest, real <= closest)
    of_fake = share(flags[0], count / len(fake))
    of_real = share(flags[1])
    found = [Estimate(*(min(1.0, times * end) for end in (e.value, e.low, e.high))) for e in (of_fake, of_real)]
    return found[0], found[1], closest
