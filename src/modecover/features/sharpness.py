"""Real images as they would look with the sharpness of generated ones: what blur, noise and loss of detail alone do.

Features see blur as well as absence. So whatever is asked of modes is asked of real images with the same spectrum: for
every band of spatial frequencies the power of the fake images over that of the real ones, beside the same ratio for the
coarsest content, says how much detail is lost (which a filter takes away) or added (which noise brings in).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from modecover.features.kept import Floats32, Kept, Samples, blocks
from modecover.metrics.arrays import Floats, Integers
from modecover.random import derive_seed

SMALLEST_SIDE = 8
"""Of images that have fine detail."""

BANDS = 24
"""Of spatial frequencies, up to the highest (fewer for small images); the others are held against the first, of the
coarsest content."""

ALIKE = 0.1
"""Power that differs by less than this share, in every band, is as sharp."""


def as_sharp_as(
    fake: Kept, real: Kept, clusters: tuple[Integers, Integers], *, seed: int = 0, room: float = math.inf
) -> Kept:
    """The real images (n, C, H, W) with the sharpness of the fake ones (m, C, H, W); the same where they are as sharp,
    and where they are points or images of fewer than 8 pixels a side.

    Args:
        clusters: of the real and of the fake images, (n,) and (m,): power is that around their means, so that which
            clusters there are, and how far images lie from the mean in all bands alike, changes nothing.
        seed: of the noise.
        room: bytes that the clusters' means may take in memory.

    Returns:
        Images that are made from the real ones whenever they are asked for.
    """
    if real.ndim != 4 or min(real.shape[2:]) < SMALLEST_SIDE:
        return real
    from scipy.fft import idctn

    radius = frequencies(real.shape[2:])
    bands = min(BANDS, 3 * min(real.shape[2:]) // 4)
    band = torch.from_numpy(np.minimum((radius / radius.max() * bands).astype(np.int64), bands - 1))
    own, wanted = (_power(images, of, band, room) for images, of in zip((real, fake), clusters, strict=True))
    if not (own[0] > 0 and wanted[0] > 0):
        return real
    ratio = wanted / own.clamp(min=1e-12 * float(own[0])) * (own[0] / wanted[0])
    if bool(((ratio - 1).abs() < ALIKE).all()):
        return real
    # Between the middles of bands the gain goes on evenly: a filter with steps would ring.
    middles = np.array([radius[band.numpy() == number].mean() for number in range(bands)])
    gain, added = (
        torch.from_numpy(np.interp(radius, middles, of_band.sqrt().numpy()))
        for of_band in (ratio.clamp(max=1.0), (ratio - 1).clamp(min=0.0) * own)
    )
    random = torch.Generator()

    def distorted(block: Floats32, rows: Integers) -> Floats32:
        content = spectrum(block) * gain
        if bool((added > 0).any()):
            # Of each row's own seed, so that it is the same wherever the row's block begins.
            noise = torch.empty(block.shape, dtype=torch.float64)
            for image, row in zip(noise, rows.tolist(), strict=True):
                image.normal_(generator=random.manual_seed(derive_seed(seed, "sharpness", row)))
            content = content + noise * added
        return np.asarray(idctn(content.numpy(), axes=(2, 3), norm="ortho"), np.float32)

    return real.changed(distorted)


def frequencies(shape: tuple[int, ...]) -> Floats:
    """Of every coefficient of `spectrum`, in cycles per pixel, for images of this height and width."""
    height, width = shape
    return np.hypot(np.arange(height)[:, None] / (2 * height), np.arange(width)[None] / (2 * width))


def spectrum(images: Floats32) -> Tensor:
    """Cosine coefficients of images (n, C, H, W), orthonormal, float64: unlike Fourier's they see no edge where the
    right border would meet the left one, which no blur takes away."""
    from scipy.fft import dctn

    return torch.from_numpy(dctn(images.astype(np.float64), axes=(2, 3), norm="ortho"))


def _power(images: Kept, clusters: Integers, band: Tensor, room: float) -> Tensor:
    """The mean power of each band around the means of the images' clusters, (bands,)."""
    means = bin_means(images, clusters, int(clusters.max()) + 1, room)
    sizes = torch.bincount(band.reshape(-1))
    sums = torch.zeros(len(sizes), dtype=torch.float64)
    for place, block in blocks(images):
        power = spectrum(block - means[clusters[place]]).square().sum(dim=(0, 1))
        sums.index_add_(0, band.reshape(-1), power.reshape(-1))
    return sums / sizes.clamp(min=1) / (len(images) * images.shape[1])


def bin_means(samples: Samples, cells: Integers, count: int, room: float = math.inf) -> Kept:
    """The mean of the samples in every bin, zeros in an empty one: (count, ...), in a file where they take more than
    `room` bytes. One is made after the other, so that no more than one is there in full."""

    kept = samples if isinstance(samples, Kept) else Kept(samples)

    def means() -> Iterator[Floats32]:
        for cell in range(count):
            if kept.told is not None:
                kept.told(cell, count)
            rows = kept.part(np.flatnonzero(cells == cell)).quiet()
            total = torch.zeros(kept.shape[1:], dtype=torch.float64)
            for _, block in blocks(rows):
                total += torch.from_numpy(block).double().sum(dim=0)
            yield (total / max(1, len(rows))).float().numpy()[None]

    return Kept.of(means(), count, room)
