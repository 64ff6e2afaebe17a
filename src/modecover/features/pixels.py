"""The samples themselves, on the principal axes of the real ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.features.kept import BLOCK_BYTES, Extractor, Floats32, Kept, Samples, blocks, hash_of

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

COMPONENTS = 64
MEMORY = 10**9
"""Bytes that a table of products may take, where nothing else is said."""
FEW = 500
"""Up to so many numbers in a sample, all axes are found at once."""
ROWS_FOR_AN_AXIS = 10
"""Real samples, at least: axes fitted to few samples are theirs, and not those of other samples of the same law."""


def pixels(real: Samples, components: int = COMPONENTS, *, memory: int = MEMORY) -> Extractor:
    """Coordinates on the first principal axes of `real`, in the samples' own units: distances keep their meaning.

    Where the axes leave something out, the length of what they leave out is one feature more, so that noise which no
    real sample has does not go unseen. The axes are those of the covariance (or, of fewer samples than numbers in each,
    of the samples' products), each with the sign that makes its largest entry positive: nothing is left to chance.

    Args:
        real: points or images, (n, ...); of points with no more numbers than `components` nothing is lost.
        components: axes at most.
        memory: bytes that the table of products may take; where it would take more it is never made, and each of the
            products with it goes through all samples once more, which is slower and gives the same to rounding.
    """
    rows = real if isinstance(real, Kept) else Kept(real)  # an array is not copied
    centre = torch.zeros(math.prod(rows.shape[1:]), dtype=torch.float64)
    for _, block in blocks(rows):
        centre += _flat(block).sum(dim=0)
    centre /= len(rows)
    whole = len(centre) <= components
    axes = torch.eye(len(centre), dtype=torch.float64) if whole else _axes(rows, centre, components, memory)

    def project(block: Floats32) -> Tensor:
        centred = _flat(block) - centre
        along = centred @ axes
        return along if whole else torch.cat([along, (centred - along @ axes.T).norm(dim=1, keepdim=True)], dim=1)

    return Extractor(
        f"pixels-{axes.shape[1]}", hash_of("pixels", centre, axes), project, row_wise=True, fitted=not whole
    )


def _flat(block: Floats32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block)).flatten(1).double()


def _axes(rows: Kept, centre: Tensor, components: int, memory: int) -> Tensor:
    """Orthonormal columns (d, f), by descending variance, at least one; only blocks of centred rows are ever made."""
    count, dimensions = len(rows), len(centre)
    most = max(1, min(components, count // ROWS_FOR_AN_AXIS))

    def summed(columns: int, factor: Callable[[slice, Tensor], Tensor]) -> Tensor:
        """The sum over blocks of their transposed with `factor(place, block)`, (rows, columns): (d, columns)."""
        total = torch.zeros(dimensions, columns, dtype=torch.float64)
        for place, block in blocks(rows):
            centred = _flat(block) - centre
            total.addmm_(centred.T, factor(place, centred))
        return total

    if 8 * min(count, dimensions) ** 2 > max(memory, 8 * FEW**2):
        from scipy.sparse.linalg import LinearOperator

        # The covariance as what multiplies vectors (d,) or (d, 1); each goes through all samples.
        def product(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            right = torch.from_numpy(np.ascontiguousarray(vector)).reshape(dimensions, -1)
            return np.asarray(summed(right.shape[1], lambda _, block: block @ right).numpy())

        unmade = LinearOperator((dimensions, dimensions), matvec=product, matmat=product, dtype=np.float64)
        values, axes = _largest(unmade, most)
    elif count >= dimensions:
        values, axes = _largest(summed(dimensions, lambda _, block: block), most)
    else:
        # The products of rows with each other, column by column, as no two rows need be there as a whole.
        products = torch.zeros(count, count, dtype=torch.float64)
        step = max(1, BLOCK_BYTES // (8 * count))
        for start in range(0, dimensions, step):
            part = slice(start, min(start + step, dimensions))
            columns = _flat(rows.columns(part)) - centre[part]
            products.addmm_(columns, columns.T)
        values, mixes = _largest(products, most)
        axes = summed(most, lambda place, _: mixes[place]).div_(values.clamp(min=1e-300).sqrt())
    kept = max(1, int((values > 1e-12 * values[0]).sum()))
    axes = axes[:, :kept] if values[0] > 0 else torch.eye(dimensions, 1, dtype=torch.float64)
    for axis in axes.unbind(dim=1):  # one by one and in place: of large images they are large
        axis.mul_(axis[axis.abs().argmax()].sign())
    return axes


def _largest(table: Tensor | LinearOperator, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues, descending, and their eigenvectors (as columns) of a positive semi-definite matrix."""
    from scipy.sparse.linalg import ArpackError, eigsh

    made = isinstance(table, Tensor)
    if not made or (len(table) > FEW and table.any()):
        # Lanczos' iterations are many times faster than all eigenvectors. They begin at a fixed vector.
        start = np.random.default_rng(0).standard_normal(table.shape[0])
        try:
            values, vectors = eigsh(table.numpy() if made else table, k=count, v0=start)
            order = np.argsort(-values, kind="stable")
            return torch.from_numpy(values[order]), torch.from_numpy(np.ascontiguousarray(vectors[:, order]))
        except ArpackError:  # as may be where the rank is low
            if not made:
                raise
    values, vectors = torch.linalg.eigh(table)
    return values.flip(0)[:count], vectors.flip(1)[:, :count]
