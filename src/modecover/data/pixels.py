"""Pixels: any picture or array of pictures as uint8 of shape (C, H, W) or (N, C, H, W).

The rules, the same for arrays and for files:

- transparent pixels are shown on white;
- colour turns grey by the luma of ITU-R 601 (as Pillow's mode "L"), grey turns colour by repetition;
- 16-bit grey is rounded to 8 bits;
- a new size is reached by resampling so that the short side fits (bicubic, antialiased, Pillow) and cutting the centre.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.data.base import Progress
from modecover.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

ORIENTATION = 0x0112  # the EXIF mark of how the camera was held; 5 to 8 swap width and height


def decoded(pixels: Tensor) -> Tensor:
    """uint8 levels 0 .. 255 as float32 in [-1, 1]: level / 127.5 - 1."""
    return pixels.to(torch.float32).div_(127.5).sub_(1.0)


UNIT, SIGNED = "0..1", "-1..1"
VALUE_RANGES = (UNIT, SIGNED)
"""What float pixels from black to white may run through."""

SLIP = 1e-4
"""So far outside a range a value is still taken for its end."""

DARK = -0.5
"""Pictures of [-1, 1] have pixels darker than this. Where the least value of all is between it and 0, it is more likely
a slip in pictures of [0, 1]."""


def levels(array: Array, span: tuple[float, float], value_range: str | None) -> tuple[Bytes, str | None]:
    """An array of pixels, the smallest and the largest of which are `span`, as uint8 levels; and in which of
    `VALUE_RANGES` its floats were read, if they are floats: without `value_range` in [0, 1] where none is below 0.

    uint8 stays as it is, and so do other whole numbers from 0 to at most 255; booleans become 0 and 255; floats are
    rounded to the nearest of the 256 levels. Raises `UserError` for floats outside their range or in a range that
    cannot be told, and for any other type.
    """
    low, high = span
    if array.dtype == np.uint8:
        return array, None
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255), None
    if array.dtype.kind in "iu":
        if low >= 0 and 1 < high <= 255:
            return array.astype(np.uint8), None
        what = f"pixels of type {array.dtype}, from {low:g} to {high:g}"
        raise UserError(f"{what}, have no known range; convert them to uint8 (0..255).")
    read_as = value_range or (UNIT if low >= -SLIP else SIGNED)
    if low < (0 if read_as == UNIT else -1) - SLIP or high > 1 + SLIP:
        allowed = "[0, 1] or [-1, 1]" if value_range is None else f"{read_as}, as which they are to be read"
        cure = "clip or rescale them, or convert them to uint8 (0..255)"
        raise UserError(f"float pixels must lie in {allowed}, but run from {low:g} to {high:g}; {cure}.")
    if value_range is None and read_as == SIGNED and low > DARK:
        raise UserError(
            f"float pixels run from {low:g} to {high:g}, which is neither [0, 1] nor surely [-1, 1]; clip them to "
            f"[0, 1], or say value_range='{SIGNED}'."
        )
    unit = array if read_as == UNIT else (array + 1) / 2
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8), read_as


def with_channels(pixels: Bytes, channels: int) -> Bytes:
    """Images (..., C, H, W), C one of 1, 3, 4, with `channels` 1 or 3."""
    if pixels.shape[-3] == 4:
        colour, alpha = pixels[..., :3, :, :].astype(np.uint16), pixels[..., 3:, :, :].astype(np.uint16)
        pixels = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if pixels.shape[-3] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-3)
    red, green, blue = (pixels[..., i : i + 1, :, :].astype(np.uint32) for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def middle(pixels: Bytes, side: int | None) -> Bytes:
    """The square of that side in the middle of images (..., H, W), which stay as they are where it is None. Raises
    `UserError` where they are smaller."""
    if side is None:
        return pixels
    height, width = pixels.shape[-2:]
    if min(height, width) < side:
        raise UserError(f"{width}x{height} pixels have no {side}x{side} in their middle: give a smaller crop.")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]


def resized(pixels: Bytes, size: int) -> Bytes:
    """An image (C, H, W), C = 1 or 3, as (C, size, size): the short side is fitted, then the centre cut."""
    from PIL import Image

    _, height, width = pixels.shape
    if height == width == size:
        return pixels
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    scale = size / min(height, width)
    fitted = max(size, round(width * scale)), max(size, round(height * scale))
    left, top = (fitted[0] - size) // 2, (fitted[1] - size) // 2
    picture = picture.resize(fitted, Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
    array = np.asarray(picture)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def images_resized(pixels: Bytes, size: int | None, progress: Progress) -> Bytes:
    """Images (N, C, H, W) as (N, C, size, size); unchanged where size is None or theirs already."""
    if size is None or pixels.shape[2:] == (size, size):
        return np.ascontiguousarray(pixels)
    made = np.empty((*pixels.shape[:2], size, size), dtype=np.uint8)
    for index, image in enumerate(pixels):
        made[index] = resized(image, size)
        progress("images at another size", index + 1, len(pixels))
    return made


def is_grey(mode: str) -> bool:
    """Whether a Pillow mode holds no colour."""
    return mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16")


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """(height, width) of a picture that is turned upright by the EXIF mark in its header."""
    width, height = picture.size
    # Where a PNG has no mark Pillow would decode the whole file to look for one at its end.
    marked = picture.format != "PNG" or "exif" in picture.info
    return (width, height) if marked and picture.getexif().get(ORIENTATION, 1) >= 5 else (height, width)


def picture_pixels(picture: Image.Image) -> Bytes:
    """A Pillow image of any mode, turned upright by its EXIF mark, as uint8 (C, H, W), C one of 1, 3, 4. Raises
    `ValueError` for pixels of float type or beyond 16 bits, whose range is not known."""
    from PIL import ImageOps

    if picture.getexif().get(ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        deep = np.asarray(picture).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("its pixels are neither 8 nor 16 bits deep")
        return ((deep + 128) // 257).astype(np.uint8)[None]
    if picture.mode == "F":
        raise ValueError("its pixels are floats of unknown range")
    if picture.mode in ("1", "L") and "transparency" not in picture.info:
        return np.asarray(picture if picture.mode == "L" else picture.convert("L"))[None]
    transparent = picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info
    mode = "RGBA" if transparent else "RGB"
    return np.asarray(picture if picture.mode == mode else picture.convert(mode)).transpose(2, 0, 1)
