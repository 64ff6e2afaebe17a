"""Layouts: which axis of an array is what, as the user says it or as the shape tells it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modecover.errors import UserError

Array = NDArray[Any]

POINTS = "points"
LAYOUTS = ("NHWC", "NCHW", "NHW", POINTS)
"""Images with channels last or first, grey images without an axis of channels, and rows of numbers of any shape."""
LONGEST = 2
"""Floats without an axis of channels, one side more than so many times the other, are more often series than images."""


def known_layout(layout: str) -> str:
    """`layout` as `LAYOUTS` spells it. Raises `UserError` where it is none of them."""
    for name in LAYOUTS:
        if layout.lower() == name.lower():
            return name
    raise UserError(f"layout must be {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, not {layout!r}.")


def is_points(array: Array, layout: str | None, what: str) -> bool:
    """Whether the rows of an array of 2 to 4 axes are learned as they are, and not as images."""
    if layout == POINTS:
        return True
    if array.ndim == 2 and layout is not None:
        raise UserError(
            f"{what}: layout={layout!r} is one of images, and an array of shape {array.shape} is points; leave it out."
        )
    return array.ndim == 2


def channels_first(array: Array, layout: str | None, what: str) -> tuple[Array, tuple[str, ...]]:
    """(N, H, W), (N, H, W, C) or (N, C, H, W), C one of 1, 3, 4, as (N, C, H, W); and notes of what was guessed.

    Without `layout` the channel axis is the one of 1, 3 or 4; where both ends could be it, the reading that makes the
    images square is taken. Raises `UserError` where the shape fits no layout, or floats look like series.
    """
    if array.ndim == 3:
        return _grey(array, layout, what)
    if layout == "NHW":
        raise UserError(f"{what}: layout='NHW' has three axes, and the array has shape {array.shape}; say another.")
    last, first = array.shape[3] in (1, 3, 4), array.shape[1] in (1, 3, 4)
    notes: tuple[str, ...] = ()
    if layout is not None:
        last, first = last and layout == "NHWC", first and layout == "NCHW"
    if last and first:
        last, first = array.shape[1] == array.shape[2], array.shape[2] == array.shape[3]
        if last == first:
            raise UserError(f"{what}: shape {array.shape} can be read in two ways; say layout='NHWC' or 'NCHW'.")
        taken, other = ("NHWC", "NCHW") if last else ("NCHW", "NHWC")
        notes = (
            f"{what}: shape {array.shape} is read as {taken}, which makes the images square (or layout={other!r})",
        )
    if not last and not first:
        raise UserError(
            f"{what}: shape {array.shape} is no batch of images; expected (N, H, W), (N, H, W, C) or (N, C, H, W) "
            "with C = 1, 3 or 4, or layout='points' to learn the numbers of each row as they are."
        )
    array = array.transpose(0, 3, 1, 2) if last else array
    if layout is None and array.shape[1] == 1:
        notes += _shape_notes(array[:, 0], what, "NHWC" if last else "NCHW")
    return array, notes


def _grey(array: Array, layout: str | None, what: str) -> tuple[Array, tuple[str, ...]]:
    if layout in ("NHWC", "NCHW"):
        raise UserError(f"{what}: layout={layout!r} has four axes, and the array has shape {array.shape}; say another.")
    if layout is None and array.shape[2] in (3, 4) and array.shape[1] > 4:
        raise UserError(
            f"{what}: shape {array.shape} looks like one colour image; give many, of shape (N, H, W, C), or say "
            "layout='points' for series, layout='NHW' for grey images."
        )
    return array[:, None], () if layout == "NHW" else _shape_notes(array, what, "NHW")


def _shape_notes(array: Array, what: str, layout: str) -> tuple[str, ...]:
    """A note where floats (N, H, W) are images only by a guess; `UserError` where they look like series."""
    sides = array.shape[1:]
    if array.dtype.kind != "f" or sides[0] == sides[1]:
        return ()
    numbers = math.prod(sides)
    if max(sides) > LONGEST * min(sides):
        raise UserError(
            f"{what}: floats of shape {array.shape} may be series of {sides[0]} steps or grey images; say "
            f"layout='points' to learn each as {numbers} numbers, or layout={layout!r} for images."
        )
    return (
        f"{what}: floats of shape {array.shape} are read as grey images, {sides[0]} high and {sides[1]} wide "
        f"(layout='points' learns each as {numbers} numbers)",
    )


def flattened_images(array: Array, low: float, high: float) -> str | None:
    """The shape of the images that the rows of (N, d) floats in [0, 1] may be; None where that is unlikely."""
    for channels in (1, 3):
        side = math.isqrt(array.shape[1] // channels)
        if side >= 16 and channels * side * side == array.shape[1] and low >= 0 and 0.5 < high <= 1:
            return f"(N, {side}, {side})" if channels == 1 else f"(N, {side}, {side}, 3)"
    return None


def as_rows(array: Array) -> Array:
    """(N, ...) as (N, d)."""
    return np.reshape(array, (len(array), -1))
