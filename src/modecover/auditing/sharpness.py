"""Real images as they would look with the sharpness of generated ones: what blur, noise and loss of detail alone do.

Features see blur as well as absence. So whatever is asked of modes is asked of real images with the same spectrum: for
every band of spatial frequencies the power of the fake images over that of the real ones, beside the same ratio for
coarse content, says how much detail is lost (which a filter takes away) or added (which noise brings in).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from modecover.features.kept import Floats32, Kept, blocks
from modecover.random import derive_seed

SMALLEST_SIDE = 8
"""Of images that have fine detail."""

COARSE_BAND = 0.15
"""Cycles per pixel: below lies coarse content."""

BANDS = 12
"""Of frequencies, up to the highest."""

ALIKE = 0.1
"""Power that differs by less than this share, in every band, is as sharp."""


def as_sharp_as(fake: Kept, real: Kept, *, seed: int = 0) -> Kept:
    """The real images (n, C, H, W) with the sharpness of the fake ones (m, C, H, W); the same where they are as sharp,
    and where they are points or images of fewer than 8 pixels a side."""
    if real.ndim != 4 or min(real.shape[2:]) < SMALLEST_SIDE:
        return real
    height, width = real.shape[2:]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    band = torch.from_numpy(np.minimum((radius / radius.max() * BANDS).astype(np.int64), BANDS - 1))
    powers = [_power(images, band) for images in (real, fake)]
    coarse = torch.from_numpy(radius < COARSE_BAND)
    own = torch.zeros(BANDS, dtype=torch.float64).index_add_(0, band[coarse], torch.ones(int(coarse.sum())).double())
    level = float((own * powers[1]).sum() / (own * powers[0]).sum().clamp(min=1e-300))
    if not 0 < level < float("inf"):
        return real
    ratio = powers[1] / powers[0].clamp(min=1e-300) / level
    # Bands of coarse content are left alone: how much of that there is, is asked of shrink.
    ratio[own > 0] = 1.0
    if bool(((ratio - 1).abs() < ALIKE).all()):
        return real
    gain = ratio.clamp(max=1.0).sqrt()[band]
    added = ((ratio - 1).clamp(min=0.0) * powers[0]).sqrt()[band]
    random = torch.Generator().manual_seed(derive_seed(seed, "sharpness"))

    def distorted() -> list[Floats32]:
        found = []
        for _, block in blocks(real):
            images = torch.from_numpy(block).double()
            spectrum = torch.fft.rfft2(images, norm="ortho") * gain
            if bool((added > 0).any()):
                noise = torch.randn(images.shape, generator=random, dtype=torch.float64)
                spectrum = spectrum + torch.fft.rfft2(noise, norm="ortho") * added
            found.append(torch.fft.irfft2(spectrum, s=(height, width), norm="ortho").float().numpy())
        return found

    return Kept.of(iter(distorted()), len(real))


def _power(images: Kept, band: Tensor) -> Tensor:
    """The mean power of each band around the mean image, (BANDS,)."""
    mean = torch.zeros(images.shape[1:], dtype=torch.float64)
    for _, block in blocks(images):
        mean += torch.from_numpy(block).double().sum(dim=0)
    mean /= len(images)
    sums, sizes = torch.zeros(BANDS, dtype=torch.float64), torch.bincount(band.reshape(-1), minlength=BANDS)
    for _, block in blocks(images):
        power = torch.fft.rfft2(torch.from_numpy(block).double() - mean, norm="ortho").abs().square().sum(dim=(0, 1))
        sums.index_add_(0, band.reshape(-1), power.reshape(-1))
    return sums / sizes.clamp(min=1) / (len(images) * images.shape[1])
