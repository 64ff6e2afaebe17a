"""Arrays in files: .npy, .npz and idx (the format of MNIST), each with its labels where there are some.

All go through one reader: what a header announces is held against the file's length, against what it may unfold to and
against memory, before anything is allocated for it.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from modecover.data.base import NO_LABELS, Asked
from modecover.data.names import counted
from modecover.data.pixels import Array
from modecover.errors import UserError, about
from modecover.kinds import first_line
from modecover.limits import readable, require_memory

LABEL_KEYS = ("labels", "label", "y", "targets", "target", "classes", "class")

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_Header = Callable[[IO[bytes]], tuple[tuple[int, ...], bool, "np.dtype[Any]"]]
"""Reads a header: the shape of the numbers that follow it, whether the first axis runs fastest, and their type."""


def is_idx(path: Path) -> bool:
    """Whether a file's name says that it is idx, gzipped or not."""
    return re.search(r"(\bidx\d?|-ubyte)", path.name) is not None


def read_array_file(path: Path, asked: Asked) -> tuple[Array, Array | None]:
    """Data and labels (None: there are none) of a .npy, .npz or idx file.

    Raises:
        UserError: where the file is damaged, holds no numbers, or announces more than there is or memory holds.
    """
    key, label_key, limit = asked.key, asked.label_key, asked.memory_limit
    if key is not None and len(key) > 1:
        raise UserError("it is learned from one array; give one name as key=.")
    if path.suffix == ".npz":
        with undamaged(), zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            wanted = _npz_names(names, key[0] if key else None, label_key, asked.split)
            arrays = [_member(archive, name, limit) for name in wanted]
        return arrays[0], arrays[1] if len(arrays) > 1 else None
    asked.require_nameless(of_split=path.suffix != ".npy")
    if path.suffix == ".npy":
        length = path.stat().st_size
        with undamaged(), open(path, "rb") as file:
            return _numbers(file, _npy_header, length, length, limit), None
    labels = None if label_key == NO_LABELS else idx_labels(path)
    return read_idx(path, limit), None if labels is None else read_idx(labels, limit)


def read_idx(path: Path, limit: int) -> Array:
    """The array of an idx file, plain or gzipped. A gzipped one may unfold to `limit` bytes.

    Raises `UserError` where the file is cut short or is no idx file.
    """
    stored = path.stat().st_size
    with undamaged(), open(path, "rb") as plain:
        folded = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        file: IO[bytes] = gzip.GzipFile(fileobj=plain) if folded else plain  # type: ignore[assignment]  # reads alike
        return _numbers(file, _idx_header, None if folded else stored, stored, limit)


def _npz_names(names: list[str], key: str | None, label_key: str | None, split: str) -> list[str]:
    """The array of a .npz file to learn and, where there are some, that of its labels.

    Without `key` the data is the only array that is not labels, or the one named x_SPLIT, X_SPLIT or SPLIT_images.
    Labels are `label_key`, or an array named like one of `LABEL_KEYS`, y_SPLIT or SPLIT_labels; none where `label_key`
    is `NO_LABELS`.
    """
    if not names:
        raise UserError("it holds no arrays; write it with numpy.savez.")
    label_names = (*LABEL_KEYS, f"y_{split}", f"{split}_labels")
    if key is None:
        of_split = [name for name in (f"x_{split}", f"X_{split}", f"{split}_images") if name in names]
        if not of_split and split != "train":
            raise UserError(f"it has no array of the split {split!r}; it holds {counted(names)}.")
        candidates = of_split[:1] or [name for name in names if name not in label_names]
        if not candidates:
            raise UserError("it holds no array of samples; save one into it.")
        key = candidates[0]
        if len(candidates) > 1:
            raise UserError(f"it holds several arrays ({counted(candidates)}): say which one with key={key!r}.")
    if label_key is None:
        label_key = next((name for name in label_names if name in names and name != key), NO_LABELS)
    if label_key == key:
        raise UserError(f"the array {key!r} cannot be learned and hold the classes too; say another.")
    wanted = [key] if label_key == NO_LABELS else [key, label_key]
    for name in wanted:
        if name not in names:
            raise UserError(f"it has no array {name!r}; it holds {counted(names)}.")
    return wanted


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> Array:
    """One array of a .npz file."""
    info = archive.getinfo(f"{name}.npy")
    with about(f"the array {name!r}"):
        if info.flag_bits & 1:
            raise UserError("it is encrypted; write it again without a password.")
        with archive.open(info) as file:
            return _numbers(file, _npy_header, info.file_size, info.compress_size, limit)


def _numbers(file: IO[bytes], header: _Header, length: int | None, stored: int, limit: int) -> Array:
    """The numbers that follow a header.

    Args:
        file: at its beginning.
        header: reads the header.
        length: bytes that the file unfolds to, where that is known beforehand.
        stored: bytes that it takes on the disk.
        limit: bytes that it may unfold to, if these are more than it takes on the disk.
    """
    shape, fortran, kind = header(file)
    if kind.hasobject:
        raise UserError("it holds pickled Python objects, which are never loaded; save it as a plain array.")
    size = kind.itemsize * math.prod(shape)
    whole = file.tell() + size
    announced = f"it is damaged: it announces {kind} of shape {shape}, {whole:,} bytes in all, and has"
    if length is not None and whole != length:
        more = " (one file holds one array; .npz holds several)" if whole < length else ""
        raise UserError(f"{announced} {length:,}{more}; write it again.")
    require_unfolded(whole, stored, limit)
    require_memory(f"Numbers of type {kind} and shape {shape}", size, "give a part of them")
    # One byte more than announced tells a file that is too long, and unfolds no bomb to the end.
    numbers = file.read(size + 1)
    if len(numbers) != size:
        raise UserError(f"{announced} {'more' if len(numbers) > size else 'fewer'}; write it again.")
    flat = np.frombuffer(numbers, dtype=kind).astype(kind.newbyteorder("="), copy=False)
    return flat.reshape(shape, order="F" if fortran else "C")


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    start = file.read(len(npy.MAGIC_PREFIX))
    if not start:
        raise EOFError("it is empty")
    if start != npy.MAGIC_PREFIX:
        raise UserError("it is no .npy file, whatever its name says: save the array with numpy.save.")
    readers = {b"\1\0": npy.read_array_header_1_0, b"\2\0": npy.read_array_header_2_0}
    if (version := file.read(2)) not in readers:
        raise UserError("it is of a version of the format that is not for plain numbers; save it with numpy.save.")
    shape, fortran, kind = readers[version](file)
    if any(isinstance(axis, bool) or axis < 0 for axis in shape):
        raise ValueError(f"its header announces the shape {shape}")
    return shape, fortran, kind


def _idx_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Two zero bytes, a type byte, the number of axes, each axis as a big-endian 32-bit count.

    The format: http://yann.lecun.com/exdb/mnist.
    """
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES:
        raise UserError("it is no idx file: its first bytes are not those of the format; check the download.")
    if not 1 <= start[3] <= 4:
        raise UserError(f"it announces {start[3]} axes; samples have one to four: check the download.")
    return struct.unpack(f">{start[3]}I", file.read(4 * start[3])), False, np.dtype(_IDX_TYPES[start[2]])


@contextmanager
def undamaged() -> Iterator[None]:
    """Within the block, whatever a damaged file makes of its readers is told as one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # NumPy, zipfile, the decompressors and Arrow raise a score of unrelated types
        raise UserError(f"it is damaged or not what its name says ({first_line(error)}); write it again.") from error


def require_unfolded(count: int, stored: int, limit: int) -> None:
    """Raise `UserError` where a compressed file of `stored` bytes unfolds to more than `limit`.

    What takes no more room than its file (here: half as much again) was not folded, and is no matter of this limit.
    """
    if count > limit and count > 1.5 * stored:
        raise UserError(
            f"it unfolds from {readable(stored)} to {readable(count)}, more than the {readable(limit)} that "
            f"memory_limit allows; if it is to be trusted, say memory_limit='{count // 10**9 + 1}GB'."
        )


def idx_labels(images: Path) -> Path | None:
    """The file of labels that stands beside an idx file of images; None where there is none."""
    bare = images.name.removesuffix(".gz").replace("images", "labels")
    for name in (re.sub(r"idx\d", "idx1", bare), re.sub(r"idx\d", "idx1", bare) + ".gz"):
        if "labels" in name and name != images.name and (images.parent / name).is_file():
            return images.parent / name
    return None


def find_mnist(folder: Path, split: str) -> Path | None:
    """The idx file of MNIST's "train" or "test" images in `folder`; None where it is not there."""
    stem = {"train": "train", "test": "t10k"}.get(split)
    names = [f"{stem}-images{separator}idx3-ubyte{ending}" for separator in "-." for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)
