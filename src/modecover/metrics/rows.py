"""What the metrics of sets of points accept: rows of finite numbers, NumPy's or torch's, of any numeric type."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, as_tensor, readable_tensor

LARGEST = 1e152
"""Of numbers whose squares are summed over rows and coordinates, in float64."""

_BYTES_AT_A_TIME = 2**20
"""What stays in a processor's cache."""


def as_rows(values: ArrayLike, name: str, *, fewest: int = 1) -> Tensor:
    """`values` as a tensor (n, d) in its own number type and on its own device; nothing is copied unless torch must.

    Args:
        name: what the message calls them.
        fewest: rows that the caller needs at least.

    Raises:
        UserError: they are not rows of at least one real number each, there are too few, or one is not finite.
    """
    rows = readable_tensor(values) if isinstance(values, Tensor) else as_tensor(values)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise UserError(f"{name} has shape {tuple(rows.shape)}; give rows of features, shape (samples, dimensions)")
    if rows.is_complex():
        raise UserError(f"{name} has type {rows.dtype}; give real numbers")
    if len(rows) < fewest:
        raise UserError(f"{name} has {len(rows)} row(s), and {fewest} are needed; give more samples")
    # One value that is not finite makes the sum so (as may large ones by overflow): a cheap test that mostly suffices.
    if not math.isfinite(float(rows.sum(dtype=torch.float64))):
        bad = ~torch.cat([part.isfinite().all(dim=1) for _, part in parts(rows)])
        if bad.any():
            first = int(bad.nonzero()[0, 0])
            raise UserError(f"row {first} of {name} has a value that is nan or infinite; remove or mend it")
    return rows


def as_pair(real: ArrayLike, fake: ArrayLike, *, fewest: int = 1) -> tuple[Tensor, Tensor]:
    """`as_rows` of both, which must have equally many columns; `fake` is brought to the device of `real`.

    Raises:
        UserError: see `as_rows`; the dimensions differ, or a number is too large for distances.
    """
    first, second = as_rows(real, "real", fewest=fewest), as_rows(fake, "fake", fewest=fewest)
    if first.shape[1] != second.shape[1]:
        raise UserError(
            f"real has {first.shape[1]} dimensions and fake {second.shape[1]}; take the same features of both"
        )
    for rows, name in ((first, "real"), (second, "fake")):
        if rows.dtype == torch.float64 and (largest := float(rows.abs().max())) > LARGEST:
            raise UserError(f"{name} has numbers of up to {largest:.3g}, whose squares have no end; rescale both")
    return first, second.to(first.device)


def parts(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Consecutive pieces of `rows`, each small in float64, with the index of its first row."""
    size = max(1, _BYTES_AT_A_TIME // (8 * rows.shape[1]))
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def mean_of(rows: Tensor) -> Tensor:
    """The mean row (d,), in float64."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for _, part in parts(rows):
        total += part.sum(dim=0, dtype=torch.float64)
    return total / len(rows)
