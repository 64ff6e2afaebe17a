"""The samples themselves, on the principal axes of the real ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from modecover.features.base import Extractor, Samples, hash_of

COMPONENTS = 64


def pixels(real: Samples, components: int = COMPONENTS) -> Extractor:
    """Coordinates on the first principal axes of `real`, in the samples' own units: distances keep their meaning.

    The axes are those of the covariance (or, of fewer samples than numbers in each, of the samples' products), each
    with the sign that makes its largest entry positive, so that nothing is left to chance.

    Args:
        real: points or images, (n, ...); of points with no more numbers than `components` nothing is lost.
        components: axes at most.
    """
    rows = torch.from_numpy(np.ascontiguousarray(real)).flatten(1).double()
    centre = rows.mean(dim=0)
    axes = _principal_axes(rows - centre, components)

    def project(samples: Samples) -> Tensor:
        return (torch.from_numpy(np.ascontiguousarray(samples)).flatten(1).double() - centre) @ axes

    return Extractor(f"pca-{axes.shape[1]}", hash_of("pca", centre, axes), project)


def _principal_axes(centred: Tensor, components: int) -> Tensor:
    """Orthonormal columns (d, f), by descending variance; at least one."""
    count, dimensions = centred.shape
    if count >= dimensions:
        values, axes = torch.linalg.eigh(centred.T @ centred)
    else:
        values, mixes = torch.linalg.eigh(centred @ centred.T)
        axes = centred.T @ mixes / values.clamp(min=1e-300).sqrt()
    values, axes = values.flip(0), axes.flip(1)
    kept = max(1, min(components, int((values > 1e-12 * values[0]).sum())))
    axes = axes[:, :kept] if values[0] > 0 else torch.eye(dimensions, 1, dtype=centred.dtype)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return axes * largest.sign()
