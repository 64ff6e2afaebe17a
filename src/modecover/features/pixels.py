"""The samples themselves, on the principal axes of the real ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from modecover.features.base import BATCH, Extractor, Samples, hash_of

COMPONENTS = 64

FEW = 500
"""Up to so many numbers in a sample, all axes are found at once."""

ROWS_FOR_AN_AXIS = 10
"""Real samples, at least: axes fitted to few samples are theirs, and not those of other samples of the same law."""


def pixels(real: Samples, components: int = COMPONENTS) -> Extractor:
    """Coordinates on the first principal axes of `real`, in the samples' own units: distances keep their meaning.

    Where the axes leave something out, the length of what they leave out is one feature more, so that noise which no
    real sample has does not go unseen. The axes are those of the covariance (or, of fewer samples than numbers in each,
    of the samples' products), each with the sign that makes its largest entry positive: nothing is left to chance.

    Args:
        real: points or images, (n, ...); of points with no more numbers than `components` nothing is lost.
        components: axes at most.
    """
    rows = torch.from_numpy(np.ascontiguousarray(real)).flatten(1).double()
    centre = rows.mean(dim=0)
    axes, whole = _principal_axes(rows - centre, components)

    def project(samples: Samples) -> Tensor:
        parts = torch.split(torch.from_numpy(np.ascontiguousarray(samples)).flatten(1), BATCH)
        return torch.cat([_coordinates(part.double() - centre, axes, whole) for part in parts])

    return Extractor(f"pixels-{axes.shape[1]}", hash_of("pixels", centre, axes), project)


def _coordinates(centred: Tensor, axes: Tensor, whole: bool) -> Tensor:
    along = centred @ axes
    if whole:
        return along
    rest = (centred - along @ axes.T).norm(dim=1, keepdim=True)
    return torch.cat([along, rest], dim=1)


def _principal_axes(centred: Tensor, components: int) -> tuple[Tensor, bool]:
    """Orthonormal columns (d, f), by descending variance, at least one; and whether they span all of space
    (then they are the coordinates' own)."""
    count, dimensions = centred.shape
    if dimensions <= components:
        return torch.eye(dimensions, dtype=centred.dtype), True
    most = max(1, min(components, count // ROWS_FOR_AN_AXIS))
    if count >= dimensions:
        values, axes = _largest(centred.T @ centred, most)
    else:
        values, mixes = _largest(centred @ centred.T, most)
        axes = centred.T @ mixes / values.clamp(min=1e-300).sqrt()
    kept = max(1, int((values > 1e-12 * values[0]).sum()))
    axes = axes[:, :kept] if values[0] > 0 else torch.eye(dimensions, 1, dtype=centred.dtype)
    largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    return axes * largest.sign(), False


def _largest(products: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues, descending, and their eigenvectors (as columns) of a positive semi-definite matrix."""
    if len(products) <= FEW or not products.any():
        return _of_all(products, count)
    from scipy.sparse.linalg import ArpackError, eigsh

    # Lanczos' iterations are many times faster than all eigenvectors. They begin at a fixed vector.
    start = np.random.default_rng(0).standard_normal(len(products))
    try:
        values, vectors = eigsh(products.numpy(), k=count, v0=start)
    except ArpackError:  # as may be where the rank is low
        return _of_all(products, count)
    order = np.argsort(-values, kind="stable")
    return torch.from_numpy(values[order]), torch.from_numpy(np.ascontiguousarray(vectors[:, order]))


def _of_all(products: Tensor, count: int) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(products)
    return values.flip(0)[:count], vectors.flip(1)[:, :count]
