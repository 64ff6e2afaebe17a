"""Shrink: samples that vary too little inside modes, in coarse content, which no moderate blur changes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from modecover.auditing.evidence import Evidence, groups_of_equals
from modecover.auditing.results import NORMAL, UNKNOWN, Estimate, Verdict
from modecover.auditing.verdicts.missing_mass import comparable
from modecover.features.kept import Floats32, Samples, blocks
from modecover.metrics.arrays import Integers

LARGEST_SOUND = 0.9
"""The verdict fires where the interval of the ratio lies below this and below the null."""

COARSE_SIDE = 4
"""Images are reduced to this side to see their coarse content."""

FEWEST = 5.0
"""Different rows of either side that a bin needs at least, for its spread to be compared."""

HALVINGS = 10
"""Of the real data, for the null."""


def shrink(evidence: Evidence) -> Verdict:
    """How much less the samples vary inside the bins than the data.

    Samples off the manifold do not count: their mere distance would add spread.
    """
    sides = zip((evidence.real, evidence.fake), evidence.cells, comparable(evidence), strict=True)
    (real, real_cells), (fake, fake_cells) = ((coarse(s.kept)[rows], cells[rows]) for s, cells, rows in sides)
    unit = "ratio of standard deviations"
    value, error = spread_ratio(real, fake, (real_cells, fake_cells))
    if not math.isfinite(value):
        return Verdict("shrink", False, UNKNOWN, unit, UNKNOWN, "Too few samples in each bin to see a shrink.")
    random = np.random.default_rng(evidence.seed)
    halvings = [random.permutation(len(real)) % 2 == 0 for _ in range(HALVINGS)]
    halves = [spread_ratio(real[one], real[~one], (real_cells[one], real_cells[~one]))[0] for one in halvings]
    finite = [half for half in halves if math.isfinite(half)]
    spread = float(np.std(np.log(finite), ddof=1)) if len(finite) > 1 else error
    effect, null = (
        Estimate(middle, middle * math.exp(-NORMAL * deviation), middle * math.exp(NORMAL * deviation))
        for middle, deviation in ((value, error), (1.0, spread))
    )
    fires = effect.high < min(LARGEST_SOUND, null.low)
    less = f"Inside modes the samples vary only {value:.2f} times as much as the data."
    sentence = less if fires else "Inside modes the samples vary as much as the data, or more."
    return Verdict("shrink", fires, effect, unit, null, sentence)


def coarse(samples: Samples) -> Floats32:
    """The coarse content of images (n, C, H, W) as rows; points (n, d) as they are."""
    if samples.ndim != 4 or min(samples.shape[2:]) <= COARSE_SIDE:
        return samples[:].reshape(len(samples), -1)
    parts = (torch.from_numpy(np.ascontiguousarray(block)) for _, block in blocks(samples))
    return np.concatenate([functional.adaptive_avg_pool2d(part, COARSE_SIDE).flatten(1).numpy() for part in parts])


def spread_ratio(real: Floats32, fake: Floats32, cells: tuple[Integers, Integers]) -> tuple[float, float]:
    """The fake rows' standard deviation inside bins over the real ones', and the standard error of its logarithm.

    The mean is geometric, over bins with at least five different rows of either side, each with the weight of its
    rows; NaN where none has enough. Equal rows count as one draw, so that a small support does not pass for a small
    spread.
    """
    ratios, weights = [], []
    groups_real, groups_fake = groups_of_equals(real), groups_of_equals(fake)
    for cell in np.intersect1d(*cells):
        own, made = cells[0] == cell, cells[1] == cell
        first, count_real = _variance(real[own], groups_real[own])
        second, count_fake = _variance(fake[made], groups_fake[made])
        if min(count_real, count_fake) < FEWEST or first == 0:
            continue
        ratios.append(0.5 * math.log(max(second, 1e-12 * first) / first))
        weights.append(1 / (1 / count_real + 1 / count_fake))
    if not ratios:
        return math.nan, math.nan
    logs, shares = np.array(ratios), np.array(weights) / np.sum(weights)
    mean = float(shares @ logs)
    error = math.sqrt(float(np.square(shares) @ np.square(logs - mean)) * len(logs) / max(1, len(logs) - 1))
    return math.exp(mean), error


def _variance(rows: Floats32, groups: Integers) -> tuple[float, float]:
    """The summed variance of rows of which equal ones are one draw, and the effective number of draws."""
    if len(rows) < 2:
        return 0.0, float(len(rows))
    shares = np.bincount(groups) / len(rows)
    same = float(np.square(shares).sum())
    if same > 0.999:
        return 0.0, 1.0
    return float(rows.astype(np.float64).var(axis=0).sum()) / (1 - same), 1 / same
