"""Low quality: samples unlike any real one, too far from all of them or with a wrong amount of fine detail."""

from __future__ import annotations

import math

import numpy as np
import torch

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import LARGEST_SOUND, Verdict, excess, share
from modecover.features.kept import Floats32, Samples, blocks
from modecover.metrics.arrays import Floats, Integers

SMALLEST_SIDE = 8
"""Of images that have fine detail."""

DETAIL_TAIL, DETAIL_MARGIN = 0.005, 0.9
"""An image's fine detail is wrong where it lies beyond this quantile of the real images', by this factor."""

COARSE_BAND, FINE_BAND = 0.15, 0.2
"""Spatial frequencies, cycles per pixel: coarse detail lies below the first, fine detail above the second."""


def low_quality(evidence: Evidence) -> Verdict:
    """The share of the samples off the real manifold: too far from all real rows, or with a wrong amount of detail."""
    # Images whose fine detail is weaker or stronger than all but a few real images'.
    parts, outside = (evidence.real.kept, evidence.fake.kept), evidence.outside
    odd = [np.zeros(len(part), bool) for part in parts]
    if parts[0].ndim == 4 and min(parts[0].shape[2:]) >= SMALLEST_SIDE:
        means = bin_means(parts[0], evidence.cells[0], len(evidence.bins))
        strengths = [detail(part, means, cells) for part, cells in zip(parts, evidence.cells, strict=True)]
        low, high = np.quantile(strengths[0], [DETAIL_TAIL, 1 - DETAIL_TAIL])
        odd = [(strength < low * DETAIL_MARGIN) | (strength > high / DETAIL_MARGIN) for strength in strengths]

    effect, null = share(outside[1] | odd[1], evidence.different), share(outside[0] | odd[0])
    fires = excess(effect, null).low > LARGEST_SOUND
    sentence = (
        f"{effect.value:.1%} of the samples are unlike any real ones; of real data {null.value:.1%} would be."
        if fires
        else "The samples are as close to the real data as real data are to each other."
    )
    facts = {
        "too far from all real samples": float(outside[1].mean()),
        "real samples too far from the others": float(outside[0].mean()),
        "wrong amount of fine detail": float(odd[1].mean()),
        "real samples with a wrong amount": float(odd[0].mean()),
    }
    return Verdict("low quality", fires, effect, "share of the samples", null, sentence, facts)


def detail(samples: Samples, means: Floats32, cells: Integers) -> Floats:
    """For each image (n, C, H, W) the strength of its fine detail over that of its coarse content, both beside the mean
    real image (bins, C, H, W) of the image's bin: `cells`, (n,).

    Blur lowers it, noise raises it, and shrinking towards the mean leaves it alone.
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


def bin_means(samples: Samples, cells: Integers, count: int) -> Floats32:
    """The mean of the samples in every bin, zeros in an empty one: (count, ...)."""
    sums = torch.zeros(count, math.prod(samples.shape[1:]), dtype=torch.float64)
    for place, block in blocks(samples):
        sums.index_add_(0, torch.from_numpy(cells[place]), torch.from_numpy(block).flatten(1).double())
    sizes = torch.from_numpy(np.bincount(cells, minlength=count)).clamp(min=1)
    return np.asarray((sums / sizes[:, None]).float().numpy()).reshape(count, *samples.shape[1:])
