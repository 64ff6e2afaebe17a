"""Low quality: samples unlike any real one, too far from all of them or with a wrong amount of fine detail.

Which samples are odd is asked by imbalance, too, which leaves them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from modecover.auditing.evidence import Evidence, Half, closeness
from modecover.auditing.results import Estimate, Flags, Verdict
from modecover.features.kept import Kept, Samples, blocks
from modecover.features.sharpness import SMALLEST_SIDE, bin_means, frequencies, spectrum
from modecover.metrics.arrays import Floats, Integers
from modecover.metrics.excess import SHARES, Excess, excess_difference, excess_share, odds_of
from modecover.metrics.planes import along_planes
from modecover.random import derive_seed

LARGEST_SOUND = 0.01
"""What is let pass: the verdict fires where the interval lies beyond this."""

COARSE_BAND, FINE_BAND = 0.15, 0.2
"""Spatial frequencies, cycles per pixel: coarse detail lies below the first, fine detail above the second."""

APART = (0.01, 0.005)
"""Of real rows, on the samples' side of a plane that tells these apart."""

WHOLESALE = 0.1
"""Of the samples: a plane is asked what happens to them as a whole. Contraction and wrong weights part fewer."""

MOSTLY = 0.5
"""Of the samples: where so many are told from real rows of their sharpness, modes are not compared."""

SURE = 1 / 3
"""Of the median of real rows' odds, as logarithms, that they are of their class: samples beyond this are as sure. Where
classes lie far apart, real rows' odds are astronomical, and those of good samples merely large."""

DISPLACED = "Most samples look so unlike real ones in these features that they cannot be said to be of any mode."

FAR, AS_A_WHOLE = 0.02, 0.9
"""Of real rows, that lie so far from the others, in the eyes of either half, as samples that may be of no mode of the
data; and of the samples: where so many do, they lie apart from the data as a whole."""

ODD = 0.005
"""Of real rows, that count as odd: where samples are compared otherwise, those beyond are left out."""


def low_quality(evidence: Evidence) -> Verdict:
    """The share of the samples odder than real ones: too far from all real rows, or with a wrong amount of detail."""
    scored = [oddness(evidence, half) for half in evidence.halves]
    real = np.concatenate([of_real for of_real, _, _ in scored])
    weights = np.concatenate([_as_often(half) for half in evidence.halves])
    looks = len(SHARES) + len(APART)
    found = excess_share(real, np.stack([of_fake for _, of_fake, _ in scored]), weights=weights, looks=looks)
    apart = told_apart(evidence)
    if apart is not None and apart.low > max(WHOLESALE, found.low):
        found = apart
    # Samples that repeat each other say less than as many different ones.
    widening = 1 / math.sqrt(max(evidence.different, 1e-9))
    low, high = (found.value + widening * (end - found.value) for end in (found.low, found.high))
    effect, null = Estimate(found.value, max(0.0, low), min(1.0, high)), Estimate(0.0, 0.0, found.noise)
    fires = effect.low > LARGEST_SOUND
    # The upper end may be all only for what cannot be excluded.
    vague = effect.high > 0.9995 and effect.value < AS_A_WHOLE
    sentence = f"It is not seen that samples are unlike the real ones; up to {max(effect.high, 0.001):.1%} may be"
    if fires:
        many = "all" if effect.value > 0.9995 else f"at least {effect.value:.1%}"
        sentence = f"{many.capitalize()} of the samples are unlike any real ones"
        if lie_apart(evidence):
            sentence = f"The samples lie apart from the data: {many} of them are unlike any real ones"
        if vague:
            sentence += "; how many more cannot be told"
    sentence += ", as they repeat each other." if vague else "."
    facts = {"samples told from real ones by a plane": math.nan if apart is None else apart.value}
    if found is not apart:
        facts["samples beyond the limit"] = float(np.mean([of_fake > found.limit for _, of_fake, _ in scored]))
        facts["real samples beyond it"] = float((real > found.limit).mean())
    for name in scored[0][2]:
        facts[name] = float(np.mean([more[name] for _, _, more in scored]))
    return Verdict("low quality", fires, effect, "share of the samples", null, sentence, facts)


def told_apart(evidence: Evidence, *, sharpened: bool = False) -> Excess | None:
    """The share of the samples that a plane in the chosen features tells from nearly all real ones; None where rows are
    too few for one.

    Where modes are missing or too frequent no side of a plane has many more samples than real rows; where samples look
    otherwise as a whole, as after compression, nearly all of them lie beyond nearly all real rows.

    Args:
        sharpened: the real rows have the samples' sharpness, of which then nothing is seen.
    """
    random, places = np.random.default_rng(derive_seed(evidence.seed, "planes")), []
    for half in evidence.halves:
        rows = half.sharpened if sharpened else half.real[half.judged]
        found = along_planes(rows, half.fake, evidence.repeated, random)
        if found is None:
            return None
        places.append(found)
    real, fake = np.concatenate([each[0] for each in places]), np.stack([each[1] for each in places])
    return excess_share(real, fake, shares=APART, looks=len(SHARES) + len(APART))


def displaced(evidence: Evidence) -> bool:
    """Whether most samples cannot be said to be of any mode: they look otherwise than real ones as a whole, or are of
    no class as surely as real ones are. Those far from all real ones can be said to be of none."""
    if float(np.mean([flags.mean() for flags in odd_rows(evidence)[1]])) >= MOSTLY:
        return False
    found = told_apart(evidence, sharpened=True), of_no_class(evidence)
    return any(each is not None and each.low > MOSTLY for each in found)


def of_no_class(evidence: Evidence) -> Excess | None:
    """The share of the samples that are less surely of one class than real rows of their sharpness are, and not sure
    of one at all; None where classes are not known, or have too few rows.

    Blurred images are recognised as real ones that are blurred alike; smudges between two classes are not.
    """
    opinions = [evidence.opinions(half, half.sharpened) for half in evidence.halves]
    known = [each for each in opinions if each is not None]
    if len(known) < len(opinions):
        return None
    # -log(1 - p), in the range in which 1 - p is more than rounding.
    real, fake = ([-np.log(np.maximum(1 - each[side].max(axis=1), 1e-15)) for each in known] for side in (0, 1))
    surely = SURE * float(np.median(np.concatenate(real)))
    return excess_share(-np.minimum(np.concatenate(real), surely), -np.minimum(np.stack(fake), surely))


def more_odd(one: Evidence, other: Evidence) -> Estimate:
    """How much larger a share of one generator's samples is odder than real ones than of another's, at one limit."""
    scored = [[oddness(evidence, half) for half in evidence.halves] for evidence in (one, other)]
    fakes, weights = (
        tuple(np.stack([of_fake for _, of_fake, _ in each]) for each in scored),
        tuple(np.concatenate([_as_often(half) for half in evidence.halves]) for evidence in (one, other)),
    )
    real = np.concatenate([of_real for of_real, _, _ in scored[0]])
    counts = [max(1.0, evidence.different * len(evidence.fake)) for evidence in (one, other)]
    found = excess_difference(
        real, (fakes[0], fakes[1]), weights=(weights[0], weights[1]), counts=(counts[0], counts[1])
    )
    return Estimate(found.value, found.low, found.high)


def _as_often(half: Half) -> Floats:
    """Weights of the judged rows, (k,), with which clusters count as much as among the fake ones: some kinds of rows
    are odder than others, which a generator that makes more of them is not to blame for."""
    of_real, of_fake = half.clusters
    real, fake = (np.bincount(of, minlength=half.regions.count) for of in (of_real[half.judged], of_fake))
    return np.asarray((fake / np.maximum(real, 1))[of_real[half.judged]] / len(of_fake))


def oddness(evidence: Evidence, half: Half) -> tuple[Floats, Floats, dict[str, float]]:
    """How odd the judged rows and the fake ones are beside the reference, (k,) and (m,); and facts by name.

    A row is as odd as the oddest of its signs: its distance from the nearest row of the reference, in units of the
    distances there; where the reference lies along few axes, how far it lies off them; and, of images, the strength of
    its fine detail, too weak or too strong. All signs are put on one scale, the share of judged rows that show as much.
    """
    far = distances(half)
    signs: list[Sequence[Floats]] = [far]
    facts = {"distance over real ones'": float(np.median(far[1]) / max(float(np.median(far[0])), 1e-12))}
    real, fake = evidence.real.kept, evidence.fake.kept
    if half.surface.fitted:
        # What the principal axes leave out, over what lies along them: noise that no real sample has.
        sides = (half.surface(rows) for rows in (real.part(half.judged), fake))
        along = [(rows[:, -1], np.linalg.norm(rows[:, :-1], axis=1)) for rows in sides]
        signs.append([np.asarray(np.log(np.maximum(rest, 1e-9) / np.maximum(length, 1e-9))) for rest, length in along])
    if real.ndim == 4 and min(real.shape[2:]) >= SMALLEST_SIDE:
        of_real, of_fake = half.real_cells, half.fake_cells
        means = bin_means(real.part(half.reference), of_real[half.reference], len(half.regions.cells), evidence.room)
        strengths = [
            np.log(np.maximum(detail(rows, means, clusters), 1e-9))
            for rows, clusters in ((real.part(half.judged), of_real[half.judged]), (fake, of_fake))
        ]
        signs += [strengths, [-strength for strength in strengths]]
        facts["fine detail over real ones'"] = float(np.exp(np.median(strengths[1]) - np.median(strengths[0])))
    odds = [np.max([odds_of(sign[0], sign[side]) for sign in signs], axis=0) for side in (0, 1)]
    return odds[0], odds[1], facts


def odd_rows(evidence: Evidence) -> tuple[tuple[Flags, ...], tuple[Flags, ...]]:
    """For each half the rows far from all of the reference, among those that it judges, (k,), and the fake ones, (m,).

    Detail does not count here: among images that are all blurred, the few that pass would be a choice of the sharpest.
    """
    found = []
    for half in evidence.halves:
        real, fake = distances(half)
        limit = np.quantile(real, 1 - ODD, method="higher")
        found.append((real > limit, fake > limit))
    return tuple(real for real, _ in found), tuple(fake for _, fake in found)


def far_rows(evidence: Evidence) -> Flags:
    """The fake rows, (m,), farther from the data, in the eyes of either half, than all but `FAR` of the real ones."""
    found = np.zeros(len(evidence.fake), bool)
    for half in evidence.halves:
        real, fake = distances(half)
        found |= fake > np.quantile(real, 1 - FAR, method="higher")
    return found


def lie_apart(evidence: Evidence) -> bool:
    """Whether hardly any samples are of a mode of the data: then they are elsewhere, and no mode beside the data's."""
    return float(far_rows(evidence).mean()) >= AS_A_WHOLE


def distances(half: Half) -> tuple[Floats, Floats]:
    """From every judged row and every fake one to the nearest row of the reference, in units of the distances there,
    (k,) and (m,)."""
    real, fake = (closeness(held.nearest.distance, held.radius) for held in (half.real_held, half.fake_held))
    return real, fake


def detail(samples: Samples, means: Kept, cells: Integers) -> Floats:
    """For each image (n, C, H, W) the strength of its fine detail over that of its coarse content, both beside the mean
    real image (bins, C, H, W) of the image's bin: `cells`, (n,).

    Blur lowers it, noise raises it, and shrinking towards the mean leaves it alone.
    """
    radius = frequencies(samples.shape[2:])
    fine, slow = (torch.from_numpy(part) for part in (radius >= FINE_BAND, radius < COARSE_BAND))
    found = []
    for place, block in blocks(samples):
        power = spectrum(block - means[cells[place]]).square().sum(dim=1)
        found.append((power[:, fine].sum(dim=1) / power[:, slow].sum(dim=1).clamp(min=1e-12)).sqrt())
    return np.asarray(torch.cat(found).numpy())
