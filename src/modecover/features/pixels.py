"""The samples themselves, on the principal axes of the real ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.features.base import Extractor, hash_of
from modecover.features.kept import BLOCK_BYTES, Floats32, Kept, Samples, blocks

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
    axes, whole = _principal_axes(_Centred(rows, centre), components, memory)

    def project(block: Floats32) -> Tensor:
        centred = _flat(block) - centre
        along = centred @ axes
        return along if whole else torch.cat([along, (centred - along @ axes.T).norm(dim=1, keepdim=True)], dim=1)

    return Extractor(
        f"pixels-{axes.shape[1]}", hash_of("pixels", centre, axes), project, row_wise=True, fitted=not whole
    )


def _flat(block: Floats32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block)).flatten(1).double()


class _Centred:
    """The matrix of all samples less their mean, (n, d) in float64, of which only blocks are ever made."""

    def __init__(self, rows: Kept, centre: Tensor):
        self.rows, self.centre, self.shape = rows, centre, (len(rows), len(centre))

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        for place, block in blocks(self.rows):
            yield place, _flat(block) - self.centre

    def summed(self, columns: int, factor: Callable[[slice, Tensor], Tensor]) -> Tensor:
        """The sum over blocks of their transposed with `factor(place, block)`, (rows, columns): (d, columns)."""
        total = torch.zeros(self.shape[1], columns, dtype=torch.float64)
        for place, block in self.blocks():
            total.addmm_(block.T, factor(place, block))
        return total

    def unmade_covariances(self) -> LinearOperator:
        """Of the columns, times n, as what multiplies vectors (d,) or (d, 1); each goes through all samples."""
        from scipy.sparse.linalg import LinearOperator

        dimensions = self.shape[1]

        def product(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            right = torch.from_numpy(np.ascontiguousarray(vector)).reshape(dimensions, -1)
            return np.asarray(self.summed(right.shape[1], lambda _, block: block @ right).numpy())

        return LinearOperator((dimensions, dimensions), matvec=product, matmat=product, dtype=np.float64)

    def products(self) -> Tensor:
        """Of the rows with each other, (n, n): column by column, as no two rows need be there as a whole."""
        count, dimensions = self.shape
        total = torch.zeros(count, count, dtype=torch.float64)
        step = max(1, BLOCK_BYTES // (8 * count))
        for start in range(0, dimensions, step):
            part = slice(start, min(start + step, dimensions))
            columns = torch.from_numpy(np.ascontiguousarray(self.rows.columns(part))).double() - self.centre[part]
            total.addmm_(columns, columns.T)
        return total


def _principal_axes(centred: _Centred, components: int, memory: int) -> tuple[Tensor, bool]:
    """Orthonormal columns (d, f), by descending variance, at least one; and whether they span all of space
    (then they are the coordinates' own)."""
    count, dimensions = centred.shape
    if dimensions <= components:
        return torch.eye(dimensions, dtype=torch.float64), True
    most = max(1, min(components, count // ROWS_FOR_AN_AXIS))
    fits = 8 * min(count, dimensions) ** 2 <= max(memory, 8 * FEW**2)
    if not fits:
        values, axes = _largest(centred.unmade_covariances(), most)
    elif count >= dimensions:
        values, axes = _largest(centred.summed(dimensions, lambda _, block: block), most)
    else:
        values, mixes = _largest(centred.products(), most)
        axes = centred.summed(most, lambda place, _: mixes[place]).div_(values.clamp(min=1e-300).sqrt())
    kept_axes = max(1, int((values > 1e-12 * values[0]).sum()))
    axes = axes[:, :kept_axes] if values[0] > 0 else torch.eye(dimensions, 1, dtype=torch.float64)
    for axis in axes.unbind(dim=1):  # one by one and in place: of large images they are large
        axis.mul_(axis[axis.abs().argmax()].sign())
    return axes, False


def _largest(table: Tensor | LinearOperator, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues, descending, and their eigenvectors (as columns) of a positive semi-definite matrix."""
    from scipy.sparse.linalg import ArpackError, eigsh

    made = isinstance(table, Tensor)
    if not made or (len(table) > FEW and table.any()):
        # Lanczos' iterations are many times faster than all eigenvectors. They begin at a fixed vector.
        start = np.random.default_rng(0).standard_normal(table.shape[0])
        try:
            values, vectors = eigsh(table.numpy() if made else table, k=count, v0=start)
        except ArpackError:  # as may be where the rank is low
            if not made:
                raise
        else:
            order = np.argsort(-values, kind="stable")
            return torch.from_numpy(values[order]), torch.from_numpy(np.ascontiguousarray(vectors[:, order]))
    values, vectors = torch.linalg.eigh(table)
    return values.flip(0)[:count], vectors.flip(1)[:, :count]
