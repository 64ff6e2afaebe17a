"""How far samples spread inside bins, and how much fine detail they have: what tells shrink from blur."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from modecover.features.kept import Samples, blocks
from modecover.metrics.arrays import Floats, Integers

Rows = npt.NDArray[np.float32]

COARSE_SIDE = 4
"""Images are reduced to this side to see their coarse content, which no moderate blur changes."""

COARSE_BAND, FINE_BAND = 0.15, 0.2
"""Spatial frequencies, cycles per pixel: coarse detail lies below the first, fine detail above the second."""

FEWEST = 5.0
"""Different rows of either side that a bin needs at least, for its spread to be compared."""


def coarse(samples: Samples) -> Rows:
    """The coarse content of images (n, C, H, W) as rows; points (n, d) as they are."""
    if samples.ndim != 4 or min(samples.shape[2:]) <= COARSE_SIDE:
        return samples[:].reshape(len(samples), -1)
    parts = (torch.from_numpy(np.ascontiguousarray(block)) for _, block in blocks(samples))
    return np.concatenate([functional.adaptive_avg_pool2d(part, COARSE_SIDE).flatten(1).numpy() for part in parts])


def spread_ratio(real: Rows, fake: Rows, cells: tuple[Integers, Integers]) -> tuple[float, float]:
    """The fake rows' standard deviation inside bins over the real ones', and the standard error of its logarithm.

    The mean is geometric, over bins with at least five different rows of either side, each with the weight of its
    rows. Equal rows count as one draw, so that a small support does not pass for a small spread.

    Returns:
        (nan, nan) where no bin has rows enough.
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


def groups_of_equals(rows: Rows) -> Integers:
    """A number for each row, the same for equal rows."""
    return np.asarray(np.unique(rows, axis=0, return_inverse=True)[1].ravel(), dtype=np.int64)


def _variance(rows: Rows, groups: Integers) -> tuple[float, float]:
    """The summed variance of rows of which equal ones are one draw, and the effective number of draws."""
    if len(rows) < 2:
        return 0.0, float(len(rows))
    shares = np.bincount(groups) / len(rows)
    same = float(np.square(shares).sum())
    if same > 0.999:
        return 0.0, 1.0
    return float(rows.astype(np.float64).var(axis=0).sum()) / (1 - same), 1 / same


def detail(samples: Samples, means: Rows, cells: Integers) -> Floats:
    """For each image the strength of its fine detail over that of its coarse content, both beside its bin's mean.

    Blur lowers it, noise raises it, and shrinking towards the mean leaves it alone.

    Args:
        samples: images (n, C, H, W).
        means: the mean real image of every bin, (bins, C, H, W).
        cells: the bin of every image, (n,).
    """
    height, width = samples.shape[2:]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    fine = torch.from_numpy(radius >= FINE_BAND)
    slow = torch.from_numpy(radius < COARSE_BAND)
    found = []
    for place, block in blocks(samples):
        power = torch.fft.rfft2(torch.from_numpy(block - means[cells[place]])).abs().square().sum(dim=1)
        found.append((power[:, fine].sum(dim=1) / power[:, slow].sum(dim=1).clamp(min=1e-12)).sqrt())
    return np.asarray(torch.cat(found).double().numpy())


def bin_means(samples: Samples, cells: Integers, count: int) -> Rows:
    """The mean of the samples in every bin, zeros in an empty one: (count, ...)."""
    sums = torch.zeros(count, math.prod(samples.shape[1:]), dtype=torch.float64)
    for place, block in blocks(samples):
        sums.index_add_(0, torch.from_numpy(cells[place]), torch.from_numpy(block).flatten(1).double())
    sizes = torch.from_numpy(np.bincount(cells, minlength=count)).clamp(min=1)
    return np.asarray((sums / sizes[:, None]).float().numpy()).reshape(count, *samples.shape[1:])
