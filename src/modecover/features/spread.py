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


def coarse(samples: Samples) -> Floats32:
    """The coarse content of images (n, C, H, W) as rows; points (n, d) as they are."""
    if samples.ndim != 4 or min(samples.shape[2:]) <= COARSE_SIDE:
        return samples[:].reshape(len(samples), -1)
    parts = (torch.from_numpy(np.ascontiguousarray(block)) for _, block in blocks(samples))
    return np.concatenate([functional.adaptive_avg_pool2d(part, COARSE_SIDE).flatten(1).numpy() for part in parts])


def centres_of(reference: Floats32, clusters: Integers) -> dict[int, Floats]:
    """The mean of the rows (n, d) of each cluster, whose numbers are (n,)."""
    return {
        int(cluster): reference[clusters == cluster].mean(axis=0, dtype=np.float64) for cluster in np.unique(clusters)
    }


def distances(rows: Floats32, clusters: Integers, centres: dict[int, Floats]) -> Side:
    """How far rows (n, d) lie from the centre of their cluster; NaN where it has none."""
    found = np.full(len(rows), np.nan)
    for cluster, centre in centres.items():
        here = clusters == cluster
        found[here] = np.linalg.norm(rows[here] - centre, axis=1)
    return clusters, found


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
