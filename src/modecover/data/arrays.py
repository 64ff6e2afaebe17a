"""Finite sets that live in memory: points as floats, images as bytes that are decoded when fetched."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.data.base import Dataset, digest
from modecover.data.pixels import Bytes, channels_first, decoded, images_resized, levels, with_channels
from modecover.errors import UserError


class Points(Dataset):
    """Rows of numbers, kept as float32 (N, d) and given as they are."""

    def __init__(self, points: Tensor, labels: Tensor | None = None, name: str = "points"):
        self.name = name
        self.points = points
        self.labels = labels
        self.shape, self.size = tuple(points.shape[1:]), len(points)
        self.fingerprint = digest("points", points, labels)

    def fetch(self, keys: Tensor) -> Tensor:
        return self.points.index_select(0, keys.to(self.device))


class Images(Dataset):
    """Images kept as uint8 (N, C, H, W) and given as float32 in [-1, 1]."""

    value_range = (-1.0, 1.0)

    def __init__(self, pixels: Tensor, labels: Tensor | None = None, name: str = "images", modes: int | None = None):
        self.name = name
        self.pixels = pixels
        self.labels = labels
        self.modes = modes
        self.shape, self.size = tuple(pixels.shape[1:]), len(pixels)
        self.fingerprint = digest("images", pixels, labels)

    def fetch(self, keys: Tensor) -> Tensor:
        return decoded(self.pixels.index_select(0, keys.to(self.device)))


def from_array(
    array: NDArray[Any],
    labels: NDArray[Any] | None = None,
    *,
    name: str = "array",
    size: int | None = None,
    channels: int | None = None,
    layout: str | None = None,
    modes: int | None = None,
) -> Points | Images:
    """Points from an array of shape (N, d), images from one of 3 or 4 axes (see `pixels` for the accepted forms).

    Raises:
        UserError: where the array is empty, holds objects, NaN or infinity, or has an unknown shape, type or range.
    """
    _check_numbers(array, name)
    classes = None if labels is None else class_labels(labels, len(array), name)
    span = (float(array.min()), float(array.max()))
    data: Points | Images
    if array.ndim == 2:
        data = Points(_points(array, name, size, channels), classes, name)
    else:
        pixels = levels(channels_first(array, layout, name), name)
        pixels = with_channels(pixels, channels or (1 if pixels.shape[1] == 1 else 3))
        data = Images(own_tensor(images_resized(pixels, size)), classes, name, modes)
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
    whole = labels.dtype.kind in "iub" or (labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all()))
    if not whole:
        raise UserError(f"{what}: labels must be whole numbers or words; these are of type {labels.dtype}.")
    return torch.from_numpy(labels.astype(np.int64))


def _check_numbers(array: NDArray[Any], what: str) -> None:
    if array.dtype.kind not in "fiub":
        raise UserError(f"{what}: an array of type {array.dtype} holds no numbers to learn; give floats or uint8.")
    if array.ndim not in (2, 3, 4):
        raise UserError(
            f"{what}: shape {array.shape} is neither points (N, d) nor images (N, H, W), (N, H, W, C) or (N, C, H, W)."
        )
    if array.size == 0:
        raise UserError(f"{what} is empty (shape {array.shape}): give at least one sample.")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if bad.any():
            raise UserError(
                f"{what}: row {int(bad.argmax())} is the first of {int(bad.sum())} with NaN or infinity; "
                "remove or repair these rows."
            )


def _points(array: NDArray[Any], what: str, size: int | None, channels: int | None) -> Tensor:
    if array.dtype == np.uint8:
        raise UserError(
            f"{what}: uint8 rows of {array.shape[1]} numbers look like flattened images; reshape them to (N, H, W), "
            "or convert them to float if they are points."
        )
    if size is not None or channels is not None:
        raise UserError(f"{what}: an array of shape {array.shape} is points, not images; leave out size and channels.")
    if np.abs(array).max() > np.finfo(np.float32).max:
        raise UserError(f"{what}: some numbers are too large for float32; rescale them.")
    return torch.from_numpy(array.astype(np.float32))
