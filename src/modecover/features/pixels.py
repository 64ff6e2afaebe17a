"""The samples themselves, on the principal axes of the real ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from modecover.features.kept import Extractor, Floats32, Kept, Samples, blocks, hash_of

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

COMPONENTS = 64
MEMORY = 10**9
"""Bytes that a table of products may take, where nothing else is said."""
PANEL_BYTES = 2**24
"""Of a panel of rows as float64."""
FEW = 500
"""Up to so many numbers in a sample, all axes are found at once."""
ROWS_FOR_AN_AXIS = 10
"""Real samples, at least: axes fitted to few samples are theirs, and not those of other samples of the same law."""
ENOUGH = 2500
"""Real samples that axes are fitted to, evenly spread, where there are more: 39 for each axis."""
SIDE = 64
"""Of larger images axes are those of the means over squares, at most so many a side: the first axes are coarse."""


def pixels(real: Samples, components: int = COMPONENTS, *, memory: int = MEMORY) -> Extractor:
    """Coordinates on the first principal axes of `real`, in the samples' own units: distances keep their meaning.

    Where the axes leave something out, the length of what they leave out is one feature more, so that noise which no
    real sample has does not go unseen. The axes are those of the covariance (or, of fewer samples than numbers in each,
    of the samples' products), each with the sign that makes its largest entry positive: nothing is left to chance. They
    are fitted to at most 2,500 samples, and to images of more than 64 pixels a side as their means over squares.

    Args:
        real: points or images, (n, ...); of points with no more numbers than `components` nothing is lost.
        components: axes at most.
        memory: bytes that the table of products may take; where it would take more it is never made, and each of the
            products with it goes through all samples once more, which is slower and gives the same to rounding.
    """
    rows = real if isinstance(real, Kept) else Kept(real)  # an array is not copied
    if len(rows) > ENOUGH:
        rows = rows.part(np.arange(ENOUGH) * len(rows) // ENOUGH)
    reduced = _reduction(rows.shape[1:])
    centre = torch.zeros(math.prod(rows.shape[1:]), dtype=torch.float64)
    for _, block in blocks(rows):
        centre += _flat(block).sum(dim=0)
    centre /= len(rows)
    whole = len(centre) <= components
    axes = (
        torch.eye(len(centre), dtype=torch.float64)
        if whole
        else _axes(rows, lambda block: reduced(_flat(block) - centre), components, memory)
    )

    def project(block: Floats32) -> Tensor:
        centred = _flat(block) - centre
        if whole:
            return centred @ axes
        coarse = reduced(centred)
        along = coarse @ axes
        finer = (centred.square().sum(dim=1) - coarse.square().sum(dim=1)).clamp(min=0)
        rest = (coarse - along @ axes.T).square().sum(dim=1) + finer
        return torch.cat([along, rest.sqrt()[:, None]], dim=1)

    return Extractor(
        f"pixels-{axes.shape[1]}", hash_of("pixels", centre, axes), project, row_wise=True, fitted=not whole
    )


def _flat(block: Floats32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block)).flatten(1).double()


def _reduction(shape: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """What makes rows (n, d) of samples of this shape into rows of the same or fewer numbers: of large images the means
    over squares, times the root of their pixels, so that images which are even on squares keep their lengths."""
    factor = math.ceil(max(shape[1:]) / SIDE) if len(shape) == 3 else 1
    if factor == 1:
        return lambda rows: rows

    def means(images: Tensor) -> Tensor:
        return functional.avg_pool2d(images, factor, ceil_mode=True, count_include_pad=False)

    # The pixels in each square, of which the rim cuts off some.
    inside = functional.avg_pool2d(
        torch.ones(1, 1, *shape[1:], dtype=torch.float64), factor, ceil_mode=True, divisor_override=1
    )
    return lambda rows: means(rows.unflatten(1, shape)).mul_(inside.sqrt()).flatten(1)


def _axes(rows: Kept, centred: Callable[[Floats32], Tensor], components: int, memory: int) -> Tensor:
    """Orthonormal columns (d, f), by descending variance, at least one; only blocks of centred rows (., d) are made."""
    count, dimensions = len(rows), centred(rows[:1]).shape[1]
    most = max(1, min(components, count // ROWS_FOR_AN_AXIS))

    def summed(columns: int, factor: Callable[[slice, Tensor], Tensor]) -> Tensor:
        """The sum over blocks of their transposed with `factor(place, block)`, (rows, columns): (d, columns)."""
        total = torch.zeros(dimensions, columns, dtype=torch.float64)
        for place, block in blocks(rows):
            own = centred(block)
            total.addmm_(own.T, factor(place, own))
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
        # The products of panels of rows with each other, each pair of panels once.
        products = torch.zeros(count, count, dtype=torch.float64)
        step = max(1, min(memory // 4, PANEL_BYTES) // (8 * dimensions))
        panels = torch.empty(2, min(step, count), dimensions, dtype=torch.float64)

        def panel(number: int, start: int) -> Tensor:
            own = rows.part(np.arange(start, min(start + step, count))).quiet()
            for place, block in blocks(own):
                panels[number, place] = centred(block)
            return panels[number, : len(own)]

        for start in range(0, count, step):
            if rows.told is not None:
                rows.told(start, count)
            upper = panel(0, start)
            for other in range(start, count, step):
                lower = upper if other == start else panel(1, other)
                found = upper @ lower.T
                products[start : start + step, other : other + step] = found
                products[other : other + step, start : start + step] = found.T
        values, mixes = _largest(products, most)
        axes = summed(most, lambda place, _: mixes[place]).div_(values.clamp(min=1e-300).sqrt())
    kept = max(1, int((values > 1e-12 * values[0]).sum()))
    axes = axes[:, :kept] if values[0] > 0 else torch.eye(dimensions, 1, dtype=torch.float64)
    for axis in axes.unbind(dim=1):
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
