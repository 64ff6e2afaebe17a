"""What metrics accept: the one place where their input becomes an array, or rows of finite numbers on any device."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.kinds import first_line, shown

ArrayLike = npt.ArrayLike | Tensor
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Report = Callable[[int, int], None]
"""Called now and then with what is done (steps, blocks) and what there is in all."""

LARGEST = 1e152
"""Of numbers whose squares are summed over rows and coordinates, in float64."""

_BYTES_AT_A_TIME = 2**20
"""What stays in a processor's cache."""


def as_array(values: ArrayLike) -> npt.NDArray[Any]:
    """An array of `values` in their own type, a tensor's floats as float64; `UserError` where they are no numbers, rows
    differ in length, some are masked, or see `readable_tensor`."""
    if isinstance(values, Tensor):
        values = readable_tensor(values).cpu()
        # NumPy has no bfloat16.
        return np.asarray((values.double() if values.is_floating_point() else values).numpy())
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{shown(values)} is no array of numbers ({first_line(error)}); give one") from error
    if array.dtype.kind not in "biufc":
        raise UserError(f"{shown(values)} is no array of numbers (its type is {array.dtype}); give one")
    if np.ma.is_masked(values):
        raise UserError("an array has masked values; leave out their rows, or fill them in")
    # Torch takes this machine's byte order alone.
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def readable_tensor(values: Tensor) -> Tensor:
    """`values` without its gradients; `UserError` where it is sparse, nested, quantised, or on torch's device meta."""
    odd = "sparse" if values.layout is not torch.strided else "quantised" if values.is_quantized else ""
    odd = "nested" if values.is_nested else odd
    if odd:
        raise UserError(f"a tensor is {odd}; give a plain one (to_dense(), dequantize(), to_padded_tensor())")
    if values.is_meta:
        raise UserError("a tensor is on the device meta and holds no numbers; give one that does")
    return values.detach()


def as_tensor(values: ArrayLike) -> Tensor:
    """A tensor of `values` in their own number type and on their own device; only what torch cannot share is copied."""
    if isinstance(values, Tensor):
        return readable_tensor(values)
    return torch.from_numpy(np.require(as_array(values), requirements=["C", "W"]))


def as_floats(values: ArrayLike) -> Floats:
    """A float64 array of `values`; `UserError` where they are not real numbers."""
    array = as_array(values)
    if array.dtype.kind == "c":
        raise UserError(f"an array has type {array.dtype}; give real numbers")
    return np.asarray(array, dtype=np.float64)


def as_labels(values: ArrayLike, classes: int) -> Integers:
    """Labels (N,), N >= 1, as int64; `UserError` where they are not whole numbers in [0, classes) in one row."""
    labels = as_array(values)
    if labels.ndim != 1 or labels.size == 0:
        raise UserError(f"labels have shape {labels.shape}; give a row of at least one label, shape (N,)")
    if labels.dtype.kind not in "iu":
        raise UserError(f"labels have type {labels.dtype}; give whole numbers of an integer type")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"labels run from {labels.min()} to {labels.max()}; they must lie in 0..{classes - 1}")
    return labels.astype(np.int64)


def as_rows(values: ArrayLike, name: str, *, fewest: int = 1) -> Tensor:
    """`as_tensor` of at least `fewest` rows (n, d), d >= 1, of finite real numbers; `UserError` about `name` where they
    are not that."""
    rows = as_tensor(values)
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
    """`as_rows` of both, on the device of `real`; `UserError` also where dimensions differ or a number is too large for
    distances."""
    first, second = as_rows(real, "real", fewest=fewest), as_rows(fake, "fake", fewest=fewest)
    if first.shape[1] != second.shape[1]:
        what = f"real has {first.shape[1]} dimensions and fake {second.shape[1]}"
        raise UserError(f"{what}; take the same features of both")
    for rows, name in ((first, "real"), (second, "fake")):
        require_squares(rows, name)
    return first, second.to(first.device)


def require_squares(rows: Tensor, name: str) -> None:
    """Raise `UserError` about `name` where a number is too large for distances."""
    if rows.dtype == torch.float64 and (largest := float(rows.abs().max())) > LARGEST:
        raise UserError(f"{name} has numbers of up to {largest:.3g}, whose squares have no end; rescale all rows")


def parts(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Consecutive pieces of `rows`, each small in float64, with the index of its first row."""
    size = max(1, _BYTES_AT_A_TIME // (8 * rows.shape[1]))
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def groups_of_equals(blocks: Iterable[npt.NDArray[Any]]) -> Integers:
    """A number for each row of consecutive blocks (., ...) of one type, from 0, the same for equal rows, and whatever
    order the rows come in. What is kept of a row is 16 bytes of its hash."""
    hashes = bytearray()
    for block in blocks:
        # Zeros of either sign are equal.
        rows = np.ascontiguousarray(block + block.dtype.type(0)).reshape(len(block), -1).view(np.uint8)
        for row in rows:
            hashes += hashlib.blake2b(row.data, digest_size=16).digest()
    halves = np.frombuffer(hashes, np.dtype([("first", np.uint64), ("second", np.uint64)]))
    return np.asarray(np.unique(halves, return_inverse=True)[1].ravel(), dtype=np.int64)


def mean_of(rows: Tensor) -> Tensor:
    """The mean row (d,), in float64."""
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for _, part in parts(rows):
        total += part.sum(dim=0, dtype=torch.float64)
    return total / len(rows)
