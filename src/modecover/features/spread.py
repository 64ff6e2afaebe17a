"""How far samples lie from the centres of clusters, in coarse content, which no moderate blur changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from modecover.features.kept import Floats32, Samples, blocks
from modecover.metrics.arrays import Floats, Integers

COARSE_SIDE = 4
"""Images are reduced to this side to see their coarse content."""

FEWEST = 10
"""Rows of either side that a cluster needs, for its spread to be compared."""

Side = tuple[Integers, Floats]
"""Of some rows the cluster and the distance from its centre, (n,) each."""


def centres_of(samples: Samples, clusters: Integers, count: int) -> Floats:
    """The mean coarse content of the samples (n, ...) of each cluster, whose numbers are (n,): (count, d); NaN where it
    has none."""
    sums: Floats = np.zeros((count, coarse(samples[:1]).shape[1]))
    for place, block in blocks(samples):
        np.add.at(sums, clusters[place], coarse(block))
    sizes = np.bincount(clusters, minlength=count)[:, None]
    return np.divide(sums, sizes, out=np.full_like(sums, np.nan), where=sizes > 0)


def distances(samples: Samples, clusters: Integers, centres: Floats) -> Side:
    """How far samples (n, ...) lie from the centre of their cluster, in coarse content; NaN where it has none."""
    lengths = [np.linalg.norm(coarse(block) - centres[clusters[place]], axis=1) for place, block in blocks(samples)]
    return clusters, np.concatenate(lengths)


def coarse(block: Floats32) -> Floats32:
    """The coarse content of images (n, C, H, W) as rows; points (n, d) as they are."""
    if block.ndim != 4 or min(block.shape[2:]) <= COARSE_SIDE:
        return block.reshape(len(block), -1)
    reduced = functional.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(block)), COARSE_SIDE)
    return np.asarray(reduced.flatten(1).numpy())


def log_ratio(sides: Sequence[Side], draw: tuple[np.random.Generator, tuple[int, int]] | None = None) -> float:
    """The logarithm of the fake rows' distance over the real ones', of the rows or of a bootstrap draw of so many of
    each; nan where no cluster has rows enough.

    Distances are medians (which a few samples off the manifold do not move), and the mean over clusters is geometric,
    each with the weight of its rows.

    Args:
        sides: of the real rows and of the fake ones.
    """
    drawn = []
    for number, (cells, lengths) in enumerate(sides):
        rows = np.arange(len(cells)) if draw is None else draw[0].integers(len(cells), size=draw[1][number])
        order = rows[np.argsort(cells[rows], kind="stable")]
        labels, starts = np.unique(cells[order], return_index=True)
        parts = np.split(lengths[order], starts[1:])
        drawn.append(dict(zip(labels.tolist(), parts, strict=True)))
    ratios, weights = [], []
    for cluster, real in drawn[0].items():
        fake = drawn[1].get(cluster)
        if fake is None or min(len(real), len(fake)) < FEWEST or (own := float(np.median(real))) == 0:
            continue
        ratios.append(math.log(max(float(np.median(fake)), 1e-6 * own) / own))
        weights.append(1 / (1 / len(real) + 1 / len(fake)))
    return float(np.average(ratios, weights=weights)) if ratios else math.nan
