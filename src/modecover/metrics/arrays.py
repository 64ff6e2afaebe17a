"""The one place where a metric's input becomes a NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modecover.errors import UserError
from modecover.kinds import first_line, shown

ArrayLike = npt.ArrayLike | torch.Tensor
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def as_array(values: ArrayLike) -> npt.NDArray[Any]:
    """An array of `values` in their own type, save that a tensor's floating-point numbers become float64.

    The tensor may live on any device and may need gradients.

    Raises:
        UserError: they are no numbers, their rows differ in length, some are masked, or a tensor holds none (see
            `readable_tensor`).
    """
    if isinstance(values, torch.Tensor):
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


def readable_tensor(values: torch.Tensor) -> torch.Tensor:
    """`values` without its gradients.

    Raises:
        UserError: it is sparse, nested, quantised, or on torch's device meta.
    """
    odd = "sparse" if values.layout is not torch.strided else "quantised" if values.is_quantized else ""
    odd = "nested" if values.is_nested else odd
    if odd:
        raise UserError(f"a tensor is {odd}; give a plain one (to_dense(), dequantize(), to_padded_tensor())")
    if values.is_meta:
        raise UserError("a tensor is on the device meta and holds no numbers; give one that does")
    return values.detach()


def as_tensor(values: ArrayLike) -> torch.Tensor:
    """A tensor of `values` on the CPU. Read-only or reversed arrays, which torch does not take, are copied."""
    return torch.from_numpy(np.require(as_array(values), requirements=["C", "W"]))


def as_floats(values: ArrayLike) -> Floats:
    """A float64 array of `values`; `UserError` where they are not real numbers."""
    array = as_array(values)
    if array.dtype.kind == "c":
        raise UserError(f"an array has type {array.dtype}; give real numbers")
    return np.asarray(array, dtype=np.float64)


def as_labels(values: ArrayLike, classes: int) -> Integers:
    """An int64 array (N,) of labels in [0, classes).

    Raises:
        UserError: there are none, they are not whole numbers in one row, or one lies outside the range.
    """
    labels = as_array(values)
    if labels.ndim != 1 or labels.size == 0:
        raise UserError(f"labels have shape {labels.shape}; give a row of at least one label, shape (N,)")
    if labels.dtype.kind not in "iu":
        raise UserError(f"labels have type {labels.dtype}; give whole numbers of an integer type")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"labels run from {labels.min()} to {labels.max()}; they must lie in 0..{classes - 1}")
    return labels.astype(np.int64)
