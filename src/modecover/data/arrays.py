"""Finite sets that live in memory: points as floats, images as bytes that are decoded when fetched."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from modecover.data.base import Dataset, Progress, digest, silent
from modecover.data.layouts import as_rows, channels_first, flattened_images, is_points
from modecover.data.pixels import Bytes, decoded, images_resized, levels, value_range_of, with_channels
from modecover.data.room import require_memory
from modecover.data.scaling import Scaling
from modecover.errors import UserError

LOST = 1e-3
"""Of a column's standard deviation: where float32 rounds by more (seconds since 1970), float64 is kept."""


class Points(Dataset):
    """Rows of numbers (N, d), given as float32; kept as float64 where that would lose what tells rows apart."""

    own_units = True

    def __init__(self, points: Tensor, labels: Tensor | None = None, name: str = "points"):
        self.name = name
        self.points = points
        self.labels = labels
        self.shape, self.size = tuple(points.shape[1:]), len(points)
        self.fingerprint = digest("points", points, labels)

    def fetch(self, keys: Tensor) -> Tensor:
        return self.exact(keys).float()

    def exact(self, keys: Tensor) -> Tensor:
        return self.points.index_select(0, keys.to(self.device))


class Images(Dataset):
    """Images kept as uint8 (N, C, H, W) and given as float32 in [-1, 1]."""

    value_range = (-1.0, 1.0)
    read_as: str | None = None
    """In which of `pixels.VALUE_RANGES` float pixels were read; None where there were none."""

    def __init__(self, pixels: Tensor, labels: Tensor | None = None, name: str = "images", modes: int | None = None):
        self.name = name
        self.pixels = pixels
        self.labels = labels
        self.modes = modes
        self.shape, self.size = tuple(pixels.shape[1:]), len(pixels)
        self.fingerprint = digest("images", pixels, labels)

    def fetch(self, keys: Tensor) -> Tensor:
        return decoded(self.pixels.index_select(0, keys.to(self.device)))


def as_array(source: ArrayLike | Tensor, what: str) -> NDArray[Any]:
    """Anything array-like as an array, without a copy where there need be none.

    Tensors of types that NumPy lacks (bfloat16, float8) become float32.

    Raises:
        UserError: for tensors that are sparse, quantised, nested or hold no data (meta), for masked values, and for
            lists whose rows differ in length.
    """
    if isinstance(source, Tensor):
        return _tensor_as_array(source, what)
    if isinstance(source, np.ma.MaskedArray):
        if (hidden := int(np.ma.getmaskarray(source).sum())) > 0:
            raise UserError(f"{what}: {hidden:,} of its values are masked; fill them, or leave out their rows.")
        return np.asarray(source.data)
    try:
        return np.asarray(source)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise UserError(f"{what}: its rows differ in length or are no numbers; give an array of one shape.") from error


def _tensor_as_array(tensor: Tensor, what: str) -> NDArray[Any]:
    for wrong, kind, cure in (
        (tensor.is_nested, "nested", "give rows of one shape"),
        (tensor.device.type == "meta", "on the device meta, which holds no data", "give it data"),
        (tensor.is_quantized, "quantised", "give tensor.dequantize()"),
        (not tensor.is_nested and tensor.layout != torch.strided, "sparse", "give tensor.to_dense()"),
        (tensor.is_complex(), "complex", "give torch.view_as_real(tensor), or its absolute values"),
    ):
        if wrong:
            raise UserError(f"{what}: the tensor is {kind}; {cure}.")
    require_memory(tensor.numel(), f"{what} of shape {tuple(tensor.shape)}", "give fewer rows")
    try:
        tensor = tensor.detach()
        if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
            tensor = tensor.float()
        array: NDArray[Any] = tensor.cpu().resolve_neg().numpy()
        return array
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:150]
        raise UserError(f"{what}: a tensor of type {tensor.dtype} cannot be read ({reason}); give floats.") from error


def from_array(
    array: NDArray[Any],
    labels: NDArray[Any] | None = None,
    *,
    name: str = "array",
    size: int | None = None,
    channels: int | None = None,
    layout: str | None = None,
    value_range: str | None = None,
    modes: int | None = None,
    progress: Progress = silent,
) -> Points | Images:
    """Points from an array of shape (N, d), images from one of 3 or 4 axes (see `pixels` for the accepted forms).

    `layout`: one of `layouts.LAYOUTS`, or None for what the shape tells. `value_range`: in which of
    `pixels.VALUE_RANGES` floats are read, or None for what they tell. What was guessed stands in the set's `notes`.

    Raises:
        UserError: where the array is empty, holds objects, NaN or infinity, does not fit into memory, or has an unknown
            shape, type or range.
    """
    progress("array", 0, 1)
    span = _checked_span(array, name, layout)
    classes = None if labels is None else class_labels(labels, len(array), name)
    data: Points | Images
    if is_points(array, layout, name):
        data = Points(_points(array, name, size, channels, layout, span), classes, name)
        if layout is None and (shape := flattened_images(array, *span)):
            data.notes = (
                f"{name}: rows of {array.shape[1]} floats are read as points (for images: reshape to {shape})",
            )
    else:
        pixels, notes = channels_first(array, layout, name)
        channels = channels or (1 if pixels.shape[1] == 1 else 3)
        if size is not None:
            require_memory(
                len(array) * channels * size * size, f"{name} at {size}x{size} pixels", "say a smaller size="
            )
        pixels = with_channels(levels(pixels, name, value_range), channels)
        data = Images(own_tensor(images_resized(pixels, size, progress)), classes, name, modes)
        if array.dtype.kind in "iu" and array.dtype != np.uint8:
            notes += (f"{name}: whole numbers from {span[0]:g} to {span[1]:g} are read as pixels of 256 levels",)
        data.notes = notes
        if array.dtype.kind == "f":
            data.read_as = value_range or value_range_of(*span, name)
    data.source_range = span
    return data


def own_tensor(pixels: Bytes) -> Tensor:
    """A tensor with memory of its own, so that later changes of the array do not reach the data set."""
    return torch.from_numpy(np.array(pixels, order="C"))


def class_labels(labels: NDArray[Any], count: int, what: str) -> Tensor:
    """Labels as int64 (count,). Whole numbers stay as they are; words are numbered in sorted order.

    Raises:
        UserError: where there are not `count` of them or they are neither whole numbers nor words.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise UserError(f"{what}: {count} samples need labels of shape ({count},); got {labels.shape}.")
    if labels.dtype == object and all(isinstance(label, str) for label in labels):
        labels = labels.astype(str)
    if labels.dtype.kind in "US":
        labels = np.unique(labels, return_inverse=True)[1]
    if not are_whole(labels):
        kind = f"of type {labels.dtype}" if labels.dtype.kind not in "fiu" else f"such as {_odd_one(labels):g}"
        raise UserError(f"{what}: labels must be whole numbers or words; there are some {kind}.")
    return torch.from_numpy(labels.astype(np.int64))


def are_whole(labels: NDArray[Any]) -> bool:
    """Whether all are whole numbers that 64 bits hold."""
    if labels.dtype.kind == "f":
        return bool((np.isfinite(labels) & (labels == np.floor(labels)) & (np.abs(labels) < 2.0**63)).all())
    return labels.dtype.kind in "iub" and (labels.dtype != np.uint64 or bool((labels < 2**63).all()))


def _odd_one(labels: NDArray[Any]) -> float:
    """The first label that is no whole number of 64 bits."""
    return next(float(label) for label in labels if not are_whole(labels.dtype.type(label)[None]))


def _checked_span(array: NDArray[Any], what: str, layout: str | None) -> tuple[float, float]:
    """Smallest and largest number of an array that can be learned; `UserError` where it cannot be."""
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what}: an array of type {array.dtype} holds no numbers to learn; give floats or uint8.")
    if array.ndim not in (2, 3, 4) and not (layout == "points" and array.ndim > 4):
        cure = "give (N, 1) for one number each" if array.ndim == 1 else "or say layout='points' to learn all numbers"
        raise UserError(
            f"{what}: shape {array.shape} is neither points (N, d) nor images (N, H, W), (N, H, W, C) or (N, C, H, W); "
            f"{cure}."
        )
    if array.size == 0:
        raise UserError(f"{what} is empty (shape {array.shape}): give at least one sample.")
    # Of float32 points, and of uint8 pixels; an array may be larger than memory where it repeats itself (strides of 0).
    kept = array.size * (4 if array.ndim == 2 or layout == "points" else 1)
    require_memory(kept, f"{what} of shape {array.shape}", "give fewer rows")
    low, high = float(array.min()), float(array.max())  # a NaN comes through
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = ~np.isfinite(as_rows(array)).all(axis=1)
        if bad.any():
            raise UserError(
                f"{what}: row {int(bad.argmax())} is the first of {int(bad.sum())} with NaN or infinity; "
                "remove or repair these rows."
            )
    return low, high


def require_exact(dtype: np.dtype[Any], span: tuple[float, float], what: str) -> None:
    """Raise `UserError` where whole numbers are too large for any float: they are names of something, no measure."""
    if dtype.kind in "iu" and max(abs(span[0]), abs(span[1])) > 2.0**53:
        raise UserError(
            f"{what}: whole numbers from {span[0]:g} to {span[1]:g} are beyond 2^53 and no float holds them; "
            "leave them out, or convert them to floats if they are measures."
        )


def _points(
    array: NDArray[Any],
    what: str,
    size: int | None,
    channels: int | None,
    layout: str | None,
    span: tuple[float, float],
) -> Tensor:
    if array.dtype == np.uint8 and layout is None:
        raise UserError(
            f"{what}: uint8 rows of {array.shape[1]} numbers look like flattened images; reshape them to (N, H, W), "
            "or say layout='points' if they are points."
        )
    if size is not None or channels is not None:
        raise UserError(f"{what}: an array of shape {array.shape} is points, not images; leave out size and channels.")
    require_exact(array.dtype, span, what)
    if max(abs(span[0]), abs(span[1])) > float(np.finfo(np.float32).max):
        raise UserError(f"{what}: some numbers are too large for float32; rescale them.")
    points = torch.from_numpy(np.array(as_rows(array), dtype=np.float32))
    if array.dtype not in (np.float16, np.float32):
        exact = torch.from_numpy(np.array(as_rows(array), dtype=np.float64))
        lost = (points.double() - exact).abs().amax(dim=0)
        if bool((lost > LOST * torch.tensor(Scaling.of(exact).scale)).any()):
            return exact
    return points
