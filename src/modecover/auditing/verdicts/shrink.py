"""Shrink: samples that vary too little inside modes, in coarse content, which no moderate blur changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import NORMAL, UNKNOWN, Estimate, Verdict
from modecover.features.kept import Floats32, Kept, blocks
from modecover.metrics.arrays import Floats, Integers

LARGEST_SOUND = 0.95
"""The verdict fires where the interval of the ratio lies below this."""

COARSE_SIDE = 4
"""Images are reduced to this side to see their coarse content."""

FEWEST = 10
"""Rows of either side that a cluster needs, for its spread to be compared."""

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
    if fires:
        sentence = f"Inside modes the samples vary only {effect.value:.2f} times as much as the data."
    return Verdict("shrink", fires, effect, unit, null, sentence)


def contracted(evidence: Evidence) -> tuple[Estimate, Estimate]:
    """The fake rows' distance from the centres of clusters over the real rows', with its 95 % interval; and the same
    where the judged rows stand on both sides, which gives the range of the ratio where nothing shrinks.

    Centres are means of the reference, distances medians (which a few samples off the manifold do not move), and the
    mean over clusters is geometric, each with the weight of its rows. Real rows have the sharpness of the fake ones.
    Those of missed cells count, too: among them are the rims that a contraction empties.

    Not finite where no cluster has rows enough.
    """
    measured: list[list[tuple[Integers, Floats]]] = []
    for half in evidence.halves:
        of_real_rows, of_fake = half.clusters
        reference, own = evidence.real.kept.part(half.reference), of_real_rows[half.reference]
        centres = _centres(reference, own, half.regions.count)
        judged = half.stand_in, half.regions.clusters[half.regions.cells.of(half.sharpened)]
        measured.append(
            [(cells, _distances(rows, cells, centres)) for rows, cells in (judged, (evidence.fake.kept, of_fake))]
        )
    return _ratio(evidence, measured, of_real=False), _ratio(evidence, measured, of_real=True)


def _ratio(evidence: Evidence, measured: Sequence[Sequence[tuple[Integers, Floats]]], *, of_real: bool) -> Estimate:
    """The ratio over both halves. Of each: cells and distances of the judged rows, and of the fake ones; if `of_real`,
    the judged ones stand in for these."""
    random = np.random.default_rng(evidence.seed)
    logs, errors = [], []
    for real, fake in measured:
        sides = (real, real) if of_real else (real, fake)
        logs.append(0.0 if of_real else _log_ratio(sides, None))
        # Rows that repeat each other say less: as many fake ones are drawn as are different.
        sizes = len(sides[0][0]), max(2, round(len(sides[1][0]) * (1.0 if of_real else evidence.different)))
        errors.append(float(np.std([_log_ratio(sides, (random, sizes)) for _ in range(DRAWS)])))
    if not all(map(math.isfinite, (*logs, *errors))):
        return UNKNOWN
    # Both halves look at the same fake rows, so that their errors are not independent: the larger one counts.
    middle, error = float(np.mean(logs)), max(errors)
    return Estimate(*(math.exp(middle + side * NORMAL * error) for side in (0, -1, 1)))


def _centres(samples: Kept, cells: Integers, count: int) -> Floats:
    """The mean coarse content of each cluster, (count, d); nan where it has no rows."""
    sums: Floats = np.zeros((count, coarse(samples[:1]).shape[1]))
    for place, block in blocks(samples):
        np.add.at(sums, cells[place], coarse(block))
    sizes = np.bincount(cells, minlength=count)[:, None]
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)


def _distances(samples: Kept, cells: Integers, centres: Floats) -> Floats:
    """From the coarse content of every row to the centre of its cluster, (n,)."""
    parts = [np.linalg.norm(coarse(block) - centres[cells[place]], axis=1) for place, block in blocks(samples)]
    return np.concatenate(parts)


def coarse(samples: Floats32) -> Floats32:
    """The coarse content of images (n, C, H, W) as rows; points (n, d) as they are."""
    if samples.ndim != 4 or min(samples.shape[2:]) <= COARSE_SIDE:
        return samples.reshape(len(samples), -1)
    reduced = functional.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(samples)), COARSE_SIDE)
    return np.asarray(reduced.flatten(1).numpy())


def _log_ratio(
    sides: Sequence[tuple[Integers, Floats]], draw: tuple[np.random.Generator, tuple[int, int]] | None
) -> float:
    """The logarithm of the ratio, of the rows or of a bootstrap draw of so many of each; nan where no cluster has
    rows enough."""
    drawn = []
    for number, (cells, distances) in enumerate(sides):
        rows = np.arange(len(cells)) if draw is None else draw[0].integers(len(cells), size=draw[1][number])
        order = rows[np.argsort(cells[rows], kind="stable")]
        labels, starts = np.unique(cells[order], return_index=True)
        parts = np.split(distances[order], starts[1:])
        drawn.append(dict(zip(labels.tolist(), parts, strict=True)))
    ratios, weights = [], []
    for cluster, real in drawn[0].items():
        fake = drawn[1].get(cluster)
        if fake is None or min(len(real), len(fake)) < FEWEST or (own := float(np.median(real))) == 0:
            continue
        ratios.append(math.log(max(float(np.median(fake)), 1e-6 * own) / own))
        weights.append(1 / (1 / len(real) + 1 / len(fake)))
    return float(np.average(ratios, weights=weights)) if ratios else math.nan
