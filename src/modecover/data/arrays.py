"""Arrays as data sets in memory: points as floats, or images as bytes that are decoded when fetched."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from modecover.data.base import Asked, Dataset, Progress, digest, rows_at
from modecover.data.pixels import Array, decoded, images_resized, levels, middle, with_channels
from modecover.data.scaling import Scaling
from modecover.errors import UserError
from modecover.kinds import LARGEST, first_line
from modecover.limits import require_memory

POINTS = "points"
LAYOUTS = ("NHWC", "NCHW", "NHW", POINTS)
"""Images with channels last or first, grey images without an axis of channels, and rows of numbers of any shape."""
LOST = 1e-3
"""Of a column's standard deviation: where float32 rounds by more (seconds since 1970), float64 is kept."""


class Points(Dataset):
    """Rows of numbers (N, d), given as float32; kept as float64 where that would lose what tells rows apart."""

    own_units = True

    def __init__(self, points: Tensor, labels: Tensor | None = None, name: str = "points"):
        self.name, self.points, self.labels = name, points, labels
        self.shape, self.size = tuple(points.shape[1:]), len(points)
        self.fingerprint = digest("points", points, labels)

    def fetch(self, keys: Tensor) -> Tensor:
        return self.exact(keys).float()

    def exact(self, keys: Tensor) -> Tensor:
        return rows_at(self.points, keys)


class Images(Dataset):
    """Images kept as uint8 (N, C, H, W) and given as float32 in [-1, 1]."""

    value_range = (-1.0, 1.0)
    read_as: str | None = None
    """In which of `pixels.VALUE_RANGES` float pixels were read; None where there were none."""

    def __init__(self, pixels: Tensor, labels: Tensor | None = None, name: str = "images"):
        self.name, self.pixels, self.labels = name, pixels, labels
        self.shape, self.size = tuple(pixels.shape[1:]), len(pixels)
        self.fingerprint = digest("images", pixels, labels)

    def fetch(self, keys: Tensor) -> Tensor:
        return decoded(rows_at(self.pixels, keys))

    def _at_side(self, side: int, memory_limit: int, progress: Progress) -> Images:
        pixels = np.array(images_resized(self.pixels.numpy(), side, progress))
        return Images(torch.from_numpy(pixels), self.labels, self.name)


def as_array(source: ArrayLike | Tensor) -> Array:
    """Anything array-like as an array, without a copy where there need be none.

    Tensors of types that NumPy lacks (bfloat16, float8) become float32. Raises `UserError` for tensors that are sparse,
    quantised, nested or hold no data (meta), for masked values, and for lists whose rows differ in length.
    """
    if isinstance(source, np.ma.MaskedArray):
        if (hidden := int(np.ma.getmaskarray(source).sum())) > 0:
            raise UserError(f"{hidden:,} of its values are masked; fill them, or leave out their rows.")
        source = source.data
    if isinstance(source, Tensor):
        for wrong, kind, cure in (
            (source.is_nested, "nested", "give rows of one shape"),
            (source.device.type == "meta", "on the device meta, which holds no data", "give it data"),
            (source.is_quantized, "quantised", "give tensor.dequantize()"),
            (not source.is_nested and source.layout != torch.strided, "sparse", "give tensor.to_dense()"),
            (source.is_complex(), "complex", "give torch.view_as_real(tensor), or its absolute values"),
        ):
            if wrong:
                raise UserError(f"the tensor is {kind}; {cure}.")
        require_memory(f"Numbers of shape {tuple(source.shape)}", source.numel(), "give fewer rows")
    try:
        if not isinstance(source, Tensor):
            return np.asarray(source)
        rare = source.is_floating_point() and source.dtype not in (torch.float16, torch.float32, torch.float64)
        array: Array = (source.float() if rare else source).detach().cpu().resolve_neg().numpy()
        return array
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        reason = first_line(error)
        raise UserError(f"its rows differ in length or are no numbers ({reason}); give an array.") from error


def from_array(array: Array, labels: Array | None, name: str, asked: Asked) -> Points | Images:
    """Points from an array of shape (N, d), images from one of 3 or 4 axes (see `pixels` for the accepted forms). What
    was guessed stands in the set's `notes`. Raises `UserError` where the array is empty, holds objects, NaN or
    infinity, does not fit into memory, or has an unknown shape, type or range."""
    asked.progress("array", 0, 1)
    size, channels, layout, shape = asked.size, asked.channels, asked.layout, array.shape
    is_points = array.ndim == 2 or layout == POINTS
    if array.dtype.kind not in "fiub":
        raise UserError(f"an array of type {array.dtype} holds no numbers to learn; give floats or uint8.")
    if array.ndim not in (2, 3, 4) and not (layout == POINTS and array.ndim > 4):
        cure = "give (N, 1) for one number each" if array.ndim == 1 else "or say layout='points' to learn all numbers"
        raise UserError(
            f"shape {shape} is neither points (N, d) nor images (N, H, W), (N, H, W, C) or (N, C, H, W); {cure}."
        )
    if array.size == 0:
        raise UserError(f"it is empty (shape {shape}): give at least one sample.")
    # Of float32 points, and of uint8 pixels; an array may be larger than memory where it repeats itself (strides of 0).
    require_memory(f"Numbers of shape {shape}", array.size * (4 if is_points else 1), "give fewer rows")
    low, high = float(array.min()), float(array.max())  # a NaN comes through
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if count := int(bad.sum()):
            first = int(bad.argmax())
            raise UserError(f"row {first} is the first of {count} with NaN or infinity; remove or repair these rows.")
    classes, class_names = (None, None) if labels is None else class_labels(labels, len(array))
    data: Points | Images
    notes: list[str] = []
    if is_points:
        if size or asked.crop or channels or layout not in (None, POINTS):
            raise UserError(
                f"shape {shape} is points; size, crop, channels and layout are of images: give some, or leave them out."
            )
        if array.dtype == np.uint8 and layout is None:
            look = f"uint8 rows of {shape[1]} numbers look like flattened images"
            raise UserError(f"{look}; reshape them to (N, H, W), or say layout='points' if they are points.")
        require_exact(array)
        if max(-low, high) > LARGEST:
            raise UserError("some numbers are too large for float32; rescale them.")
        rows = array.reshape(len(array), -1)
        points = torch.from_numpy(np.array(rows, dtype=np.float32))
        if array.dtype not in (np.float16, np.float32):  # kept exactly where float32 loses what tells rows apart
            exact = torch.from_numpy(np.array(rows, dtype=np.float64))
            lost = (points.double() - exact).abs().amax(dim=0)
            points = exact if bool((lost > LOST * torch.tensor(Scaling.of(exact).scale)).any()) else points
        data = Points(points, classes, name)
        for axes, end in ((1, ""), (3, ", 3")) if layout is None and low >= 0 and 0.5 < high <= 1 else ():
            side = math.isqrt(shape[1] // axes)
            if side >= 16 and axes * side * side == shape[1]:
                meant = f"(N, {side}, {side}{end})"
                notes.append(f"rows of {shape[1]} floats are read as points (for images: reshape to {meant})")
    else:
        pixels, notes = _channels_first(array, layout)
        pixels = middle(pixels, asked.crop)
        channels = channels or (1 if pixels.shape[1] == 1 else 3)
        if size is not None:
            resized = len(array) * channels * size * size
            require_memory(f"Its pixels at {size}x{size}", resized, "say a smaller size=")
        pixels, read_as = levels(pixels, (low, high), asked.value_range)
        pixels = images_resized(with_channels(pixels, channels), size, asked.progress)
        # Memory of its own, so that later changes of the array do not reach the data set.
        data = Images(torch.from_numpy(np.array(pixels, order="C")), classes, name)
        data.read_as = read_as
        if array.dtype.kind in "iu" and array.dtype != np.uint8:
            notes.append(f"whole numbers from {low:g} to {high:g} are read as pixels of 256 levels")
    data.notes = tuple(f"{name}: {note}" for note in notes)
    data.source_range, data.class_names = (low, high), class_names
    return data


def class_labels(labels: Array, count: int) -> tuple[Tensor, tuple[str, ...] | None]:
    """Labels as int64 (count,), and what they are called: whole numbers stay as they are, without a name; words are
    numbered in sorted order. Raises `UserError` where there are not `count` of them or they are neither."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise UserError(
            f"{count} samples need labels of shape ({count},), one for each, not {labels.shape}: give such labels."
        )
    if labels.dtype == object and all(isinstance(label, str) for label in labels):
        labels = labels.astype(str)
    if labels.dtype.kind in "US":
        words, labels = np.unique(labels, return_inverse=True)
        return torch.from_numpy(labels.astype(np.int64)), tuple(map(str, words))
    if not (whole := are_whole(labels)).all():
        kind = f"of type {labels.dtype}" if labels.dtype.kind not in "fiu" else f"such as {labels[~whole][0]:g}"
        raise UserError(f"labels must be whole numbers or words; there are some {kind}.")
    return torch.from_numpy(labels.astype(np.int64)), None


def are_whole(labels: Array) -> NDArray[np.bool_]:
    """Of each value, whether it is a whole number that 64 bits hold."""
    if labels.dtype.kind == "f":
        exact = labels.astype(np.float64)  # 2^63 is beyond what float16 counts to
        return np.isfinite(exact) & (exact == np.floor(exact)) & (np.abs(exact) < 2.0**63)
    if labels.dtype == np.uint64:
        return labels < 2**63
    return np.full(labels.shape, labels.dtype.kind in "iub")


def require_exact(array: Array) -> None:
    """Raise `UserError` where whole numbers are too large for any float: they are names of something, no measure."""
    low, high = (float(array.min()), float(array.max())) if array.dtype.kind in "iu" and array.size else (0.0, 0.0)
    if max(-low, high) > 2.0**53:
        raise UserError(
            f"whole numbers from {low:g} to {high:g} are beyond 2^53 and no float holds them; "
            "leave them out, or convert them to floats if they are measures."
        )


def _channels_first(array: Array, layout: str | None) -> tuple[Array, list[str]]:
    """(N, H, W), (N, H, W, C) or (N, C, H, W), C one of 1, 3, 4, as (N, C, H, W); and notes of what was guessed.

    Without `layout` the channel axis is the one of 1, 3 or 4; where both ends could be it, the reading that makes the
    images square is taken. Raises `UserError` where the shape fits no layout, or floats look like series.
    """
    shape, notes = array.shape, []
    if layout is not None and len(layout) != array.ndim:
        raise UserError(f"layout={layout!r} has {len(layout)} axes, and the array has shape {shape}; say another.")
    if array.ndim == 3:
        taken, array = "NHW", array[:, None]
        if layout is None and shape[2] in (3, 4) and shape[1] > 4:
            raise UserError(
                f"shape {shape} looks like one colour image; give many, of shape (N, H, W, C), or say "
                "layout='points' for series, layout='NHW' for grey images."
            )
    else:
        last = shape[3] in (1, 3, 4) and layout in (None, "NHWC")
        first = shape[1] in (1, 3, 4) and layout in (None, "NCHW")
        if not last and not first:
            raise UserError(
                f"shape {shape} is no batch of images; expected (N, H, W), (N, H, W, C) or (N, C, H, W) "
                "with C = 1, 3 or 4, or layout='points' to learn the numbers of each row as they are."
            )
        if last and first:
            last, first = shape[1] == shape[2], shape[2] == shape[3]
            if last == first:
                raise UserError(f"shape {shape} can be read in two ways; say layout='NHWC' or 'NCHW'.")
            taken, other = ("NHWC", "NCHW") if last else ("NCHW", "NHWC")
            notes.append(f"shape {shape} is read as {taken}, which makes the images square (or layout={other!r})")
        taken, array = ("NHWC", array.transpose(0, 3, 1, 2)) if last else ("NCHW", array)
    count, channels, height, width = array.shape
    if layout is None and channels == 1 and array.dtype.kind == "f" and height != width:  # grey only by a guess
        if max(height, width) > 2 * min(height, width):  # oblong ones are more often series
            raise UserError(
                f"floats of shape {(count, height, width)} may be series of {height} steps or grey images; say "
                f"layout='points' to learn each as {height * width} numbers, or layout={taken!r} for images."
            )
        notes.append(
            f"floats of shape {(count, height, width)} are read as grey images, {height} high and {width} wide "
            f"(layout='points' learns each as {height * width} numbers)"
        )
    return array, notes
