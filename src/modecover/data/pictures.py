"""Encoded pictures (PNG, JPEG, ...) in a folder or in a table: decoded once into memory, or streamed."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from modecover.data.arrays import Images
from modecover.data.base import Dataset, digest
from modecover.data.pixels import Bytes, decoded, is_grey, on_its_side, picture_pixels, resized, with_channels
from modecover.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
MEMORY_LIMIT = 2 * 2**30
"""Bytes that decoded pictures may take before they are streamed, unless the user says otherwise."""
SPLIT_NAMES = ("train", "test", "val", "valid", "validation")

# What Pillow raises on files that are cut short or are no images at all.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, MemoryError)


class Pictures(Protocol):
    """A sequence of encoded pictures."""

    labels: Tensor | None

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What to call picture `index` in a message."""

    def content(self, index: int) -> Path | io.BytesIO:
        """The encoded picture."""

    def identity(self) -> str:
        """A text that changes when the pictures do, found without decoding them."""


class FolderPictures:
    """The image files under a folder, in sorted order, found however deep they lie.

    Where no image lies directly in the folder and there are two or more subfolders, these are the classes, numbered
    in sorted order. A folder whose subfolders are named train, test, ... stands for the one named `split`.
    """

    def __init__(self, folder: Path, split: str = "train"):
        subfolders = {path.name: path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
        if subfolders and all(name in SPLIT_NAMES for name in subfolders):
            if split not in subfolders:
                raise UserError(f"{folder} has no split {split!r}; it has {', '.join(sorted(subfolders))}.")
            folder = subfolders[split]
        self.folder = folder
        self.paths = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES and not _hidden(path.relative_to(folder)) and path.is_file()
        )
        if not self.paths:
            raise UserError(f"{folder} holds no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}.")
        self.labels: Tensor | None = None
        parents = [path.relative_to(folder).parts[:-1] for path in self.paths]
        classes = sorted({parts[0] if parts else "" for parts in parents})
        if "" not in classes and len(classes) > 1:
            numbers = {name: number for number, name in enumerate(classes)}
            self.labels = torch.tensor([numbers[parts[0]] for parts in parents])

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def content(self, index: int) -> Path:
        return self.paths[index]

    def identity(self) -> str:
        return "\n".join(f"{path.relative_to(self.folder).as_posix()} {path.stat().st_size}" for path in self.paths)


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


class Column(Protocol):
    """Cells by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TablePictures:
    """A column of encoded pictures: each row holds bytes, or a mapping with "bytes" and "path" as the Hub stores it.

    Args:
        column: rows by index.
        origin: the file or data set they come from; relative paths in the rows start at its folder.
        identity: a text that changes when the pictures do.
    """

    def __init__(self, column: Column, labels: Tensor | None, origin: str, identity: str):
        self.column, self.labels, self.origin, self._identity = column, labels, origin, identity

    def __len__(self) -> int:
        return len(self.column)

    def name(self, index: int) -> str:
        return f"row {index} of {self.origin}"

    def content(self, index: int) -> Path | io.BytesIO:
        row: Any = self.column[index]
        row = row.as_py() if hasattr(row, "as_py") else row  # a cell of pyarrow's
        content = row.get("bytes") if isinstance(row, dict) else row
        if content is not None:
            return io.BytesIO(content)
        if isinstance(row, dict) and row.get("path"):
            return Path(self.origin).parent / str(row["path"])
        raise UserError(f"{self.name(index)} holds no picture; remove the row.")

    def identity(self) -> str:
        return self._identity


class StreamedImages(Dataset):
    """Images that are read and decoded whenever they are fetched, for sets larger than memory.

    `read` gives the bytes, in whatever process it is called; `fetch` decodes them on `device`.
    """

    value_range = (-1.0, 1.0)

    def __init__(self, pictures: Pictures, channels: int, size: int | None, shape: tuple[int, int, int], name: str):
        self.pictures, self.channels, self.side = pictures, channels, size
        self.name, self.shape, self.size = name, shape, len(pictures)
        self.labels = pictures.labels
        self.fingerprint = digest("pictures", pictures.identity(), repr((channels, size)), self.labels)

    def read(self, keys: Tensor) -> Tensor:
        """The images of these indices, uint8 of shape (n, C, H, W), on the CPU."""
        images = (self._one(index) for index in keys.tolist())
        return torch.from_numpy(np.stack(list(images)))

    def fetch(self, keys: Tensor) -> Tensor:
        return decoded(self.read(keys).to(self.device))

    def all(self) -> Tensor:
        """Every image, read by as many threads as there are cores."""
        pixels = np.empty((len(self.pictures), *self.shape), dtype=np.uint8)

        def put(index: int) -> None:
            pixels[index] = self._one(index)

        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            for _ in pool.map(put, range(len(pixels))):
                pass
        return torch.from_numpy(pixels)

    def _one(self, index: int) -> Bytes:
        pixels = with_channels(read_picture(self.pictures, index), self.channels)
        pixels = pixels if self.side is None else resized(pixels, self.side)
        if pixels.shape != self.shape:
            raise _mixed(self.pictures, 0, self.shape[1:], index, pixels.shape[1:])
        return pixels


def open_pictures(
    pictures: Pictures, name: str, size: int | None, channels: int | None, memory_limit: int
) -> Images | StreamedImages:
    """The pictures as one data set: in memory where they take at most `memory_limit` bytes decoded, else streamed.

    Without `channels` the images are grey where all of them are, else colour. Without `size` all must be of one
    size. Raises `UserError` where they are not, or where a picture cannot be read.
    """
    if not len(pictures):
        raise UserError(f"{name} is empty: give at least one picture.")
    side = None if size is None else (size, size)
    if side is None or channels is None:
        found, grey = _survey(pictures, size is None, channels is None)
        side, channels = side or found, channels or (1 if grey else 3)
    streamed = StreamedImages(pictures, channels, size, (channels, *side), name)
    if len(pictures) * channels * side[0] * side[1] > memory_limit:
        return streamed
    data = Images(streamed.all(), pictures.labels, name)
    data.source_range = (float(data.pixels.min()), float(data.pixels.max()))
    return data


def _survey(pictures: Pictures, sizes: bool, modes: bool) -> tuple[tuple[int, int], bool]:
    """(height, width) of the first picture and whether all are grey, from the headers alone."""
    first, grey = (0, 0), True
    for index in range(len(pictures)):
        with _open(pictures, index) as picture:
            grey = grey and is_grey(picture.mode)
            width, height = picture.size
            if sizes and on_its_side(picture):
                width, height = height, width
        if index == 0:
            first = (height, width)
        elif sizes and (height, width) != first:
            raise _mixed(pictures, 0, first, index, (height, width))
        if not sizes and modes and not grey:
            break
    return first, grey


def _open(pictures: Pictures, index: int) -> Image.Image:
    from PIL import Image

    try:
        return Image.open(pictures.content(index))
    except UserError:
        raise
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise _damaged(pictures, index, error) from error


def read_picture(pictures: Pictures, index: int) -> Bytes:
    """Picture `index` as uint8 (C, H, W). Raises `UserError` with its name where it is cut short or no image."""
    try:
        with _open(pictures, index) as picture:
            return picture_pixels(picture)
    except UserError:
        raise
    except _DAMAGE as error:
        raise _damaged(pictures, index, error) from error


def _damaged(pictures: Pictures, index: int, error: Exception) -> UserError:
    reason = "no image that Pillow knows" if type(error).__name__ == "UnidentifiedImageError" else str(error)
    return UserError(f"{pictures.name(index)} cannot be read ({reason}); repair or remove it.")


def _mixed(pictures: Pictures, one: int, size: Iterable[int], other: int, other_size: Iterable[int]) -> UserError:
    (height, width), (other_height, other_width) = size, other_size
    return UserError(
        f"images differ in size: {pictures.name(one)} is {width}x{height}, {pictures.name(other)} is "
        f"{other_width}x{other_height}; give a size (for example size=32) to which all are resized and cropped."
    )
