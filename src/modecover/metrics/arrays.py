"""The one place where a metric's input becomes a NumPy array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from modecover.errors import UserError

ArrayLike = npt.ArrayLike | torch.Tensor
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def as_array(values: ArrayLike) -> npt.NDArray[Any]:
    """An array of `values` in their own type, save that a tensor's floating-point numbers become float64.

    The tensor may live on any device and may need gradients.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        return np.asarray((values.double() if values.is_floating_point() else values).numpy())
    return np.asarray(values)


def as_tensor(values: ArrayLike) -> torch.Tensor:
    """A tensor of `values` on the CPU. Read-only or reversed arrays, which torch does not take, are copied."""
    return torch.from_numpy(np.require(as_array(values), requirements=["C", "W"]))


def as_floats(values: ArrayLike) -> Floats:
    """A float64 array of `values`."""
    return np.asarray(as_array(values), dtype=np.float64)


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
