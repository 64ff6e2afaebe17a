"""Arrays in files: .npy, .npz and idx (the format of MNIST), each with its labels where there are some.

What a file announces is held against its length, and against memory, before anything is allocated for it.
"""

from __future__ import annotations

import gzip
import lzma
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from modecover.data.places import counted
from modecover.data.room import require_memory, require_unfolded
from modecover.errors import UserError, printable

Array = NDArray[Any]

LABEL_KEYS = ("labels", "label", "y", "targets", "target", "classes", "class")
NO_LABELS = "none"
"""What is given in the place of a name of labels so that none are taken."""

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# What NumPy, zipfile and the decompressors raise on files that are cut short, scrambled or locked.
_DAMAGE = (
    ValueError,
    OSError,
    EOFError,
    OverflowError,
    RuntimeError,  # an encrypted archive; a header nested too deep; a method of compression that is not known
    MemoryError,
    KeyError,
    SyntaxError,
    TypeError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


def is_idx(path: Path) -> bool:
    """Whether a file's name says that it is idx, gzipped or not."""
    return re.search(r"(\bidx\d?|-ubyte)", path.name) is not None


def read_array_file(
    path: Path, key: str | None, label_key: str | None, split: str, limit: int
) -> tuple[Array, Array | None]:
    """Data and labels (None: there are none) of a .npy, .npz or idx file.

    Args:
        path: the file.
        key, label_key, split: which arrays of a .npz file, as for `read_npz`.
        limit: bytes that a compressed file may unfold to.

    Raises:
        UserError: where the file is damaged, holds no numbers, or announces more than there is or memory holds.
    """
    if path.suffix == ".npz":
        return read_npz(path, key, label_key, split, limit)
    named = [name for name in (key, label_key) if name not in (None, NO_LABELS)]
    if named:
        raise UserError(
            f"{printable(path)} holds one array and no names, so there is no {named[0]!r} in it; leave out key and "
            "labels, or give labels as an array."
        )
    if path.suffix == ".npy":
        return read_npy(path), None
    labels = None if label_key == NO_LABELS else idx_labels(path)
    return read_idx(path, limit), None if labels is None else read_idx(labels, limit)


@dataclass(frozen=True)
class _Header:
    """What a .npy file, or a member of a .npz file, says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    length: int
    """Bytes of the header itself."""

    @property
    def whole(self) -> int:
        """Bytes of header and numbers together."""
        return self.length + self.dtype.itemsize * math.prod(self.shape)


def _header(file: IO[bytes], what: str) -> _Header:
    """The header that `file` begins with; what follows are the numbers."""
    start = file.read(6)
    if start != npy.MAGIC_PREFIX:
        if not start:
            raise EOFError("it is empty")
        raise UserError(f"{what} is no .npy file, whatever its name says: save the array with numpy.save.")
    version = file.read(2)
    readers: dict[bytes, Callable[[Any], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
        b"\1\0": npy.read_array_header_1_0,
        b"\2\0": npy.read_array_header_2_0,
    }
    if version not in readers:
        raise UserError(f"{what} is of a version of the format that is not for plain numbers; save it with numpy.save.")
    shape, _, dtype = readers[version](file)
    if any(isinstance(axis, bool) or axis < 0 for axis in shape):
        raise ValueError(f"its header announces the shape {shape}")
    return _Header(tuple(shape), dtype, file.tell())


def _require_whole(header: _Header, length: int, what: str) -> None:
    """Raise `UserError` where the array cannot be read: objects, another length than announced, too much for memory."""
    if header.dtype.hasobject:
        raise UserError(f"{what} holds pickled Python objects, which are never loaded; save it as a plain array.")
    if header.whole != length:
        more = " (one file holds one array; .npz holds several)" if header.whole < length else ""
        raise UserError(
            f"{what} is damaged: it announces {header.dtype} of shape {header.shape}, {header.whole:,} bytes in all, "
            f"and has {length:,}{more}; write it again."
        )
    require_memory(header.whole, f"{what}, {header.dtype} of shape {header.shape},", "give a part of it")


def read_npy(path: Path) -> Array:
    """The array of a .npy file. Raises `UserError` where it is damaged, does not fit or holds pickled objects."""
    what = printable(path)
    with _told(what):
        with open(path, "rb") as file:
            _require_whole(_header(file, what), path.stat().st_size, what)
        array = np.load(path, allow_pickle=False)
        assert isinstance(array, np.ndarray)
        return array


def read_npz(path: Path, key: str | None, label_key: str | None, split: str, limit: int) -> tuple[Array, Array | None]:
    """Data and labels of a .npz file.

    Without `key` the data is the only array that is not labels, or the one named x_SPLIT, X_SPLIT or SPLIT_images.
    Labels are `label_key`, or an array named like one of `LABEL_KEYS`, y_SPLIT or SPLIT_labels; none where `label_key`
    is `NO_LABELS`. `limit`: bytes that one array may unfold to.
    """
    what = printable(path)
    with _told(what), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if not names:
            raise UserError(f"{what} holds no arrays; write it with numpy.savez.")
        of_split = [n for n in (f"x_{split}", f"X_{split}", f"{split}_images") if n in names]
        label_names = (*LABEL_KEYS, f"y_{split}", f"{split}_labels")
        if key is None and not of_split and split != "train":
            raise UserError(f"{what} has no array of the split {split!r}; it holds {counted(names)}.")
        if key is None:
            key = of_split[0] if of_split else _only([n for n in names if n not in label_names], what)
        if label_key is None:
            label_key = next((n for n in label_names if n in names and n != key), None)
        wanted = [key, *([] if label_key in (None, NO_LABELS) else [str(label_key)])]
        for name in wanted:
            if name not in names:
                raise UserError(f"{what} has no array {name!r}; it holds {counted(names)}.")
        arrays = [_member(archive, f"{name}.npy", f"{name!r} in {what}", limit) for name in wanted]
        return arrays[0], arrays[1] if len(arrays) > 1 else None


def _member(archive: zipfile.ZipFile, name: str, what: str, limit: int) -> Array:
    """One array of a .npz file."""
    info = archive.getinfo(name)
    if info.flag_bits & 1:
        raise UserError(f"{what} is encrypted; write it again without a password.")
    with archive.open(info) as member:
        _require_whole(_header(member, what), info.file_size, what)
    require_unfolded(info.file_size, info.compress_size, what, limit)
    with archive.open(info) as member:
        array: Array = npy.read_array(member, allow_pickle=False)
    return array


def _only(candidates: list[str], what: str) -> str:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UserError(f"{what} holds no array of samples; save one into it.")
    raise UserError(f"{what} holds several arrays ({counted(candidates)}): say which one with key={candidates[0]!r}.")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Within the block, what a damaged file makes of its readers is told as one sentence."""
    try:
        yield
    except UserError:
        raise
    except _DAMAGE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{what} is damaged or not what its name says ({reason}); write it again.") from error


def read_idx(path: Path, limit: int) -> Array:
    """The array of an idx file, plain or gzipped (the format: http://yann.lecun.com/exdb/mnist).

    Two zero bytes, a type byte, the number of axes, each axis as a big-endian 32-bit count, then the numbers. A gzipped
    one may unfold to `limit` bytes. Raises `UserError` where the file is cut short or is no idx file.
    """
    what, stored = printable(path), path.stat().st_size
    with _told(what), open(path, "rb") as plain:
        folded = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        file: IO[bytes] = gzip.GzipFile(fileobj=plain) if folded else plain  # type: ignore[assignment]  # reads alike
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES:
            raise UserError(f"{what} is no idx file: its first bytes are not those of the format; check the download.")
        kind, axes = np.dtype(_IDX_TYPES[start[2]]), start[3]
        if not 1 <= axes <= 4:
            raise UserError(f"{what} announces {axes} axes; samples have one to four: check the download.")
        shape = struct.unpack(f">{axes}I", file.read(4 * axes))
        size = kind.itemsize * math.prod(shape)
        if folded:
            require_unfolded(size, stored, what, limit)
        require_memory(size, f"{what}, {kind} of shape {shape},", "check the download")
        # One byte more than announced tells a file that is too long, and unfolds no bomb to the end.
        numbers = file.read(min(size, stored) + 1 if not folded else size + 1)
        if len(numbers) != size:
            raise UserError(
                f"{what} is damaged: it announces {shape} numbers of {kind.itemsize} bytes but is of another length; "
                "fetch it again."
            )
        return np.frombuffer(numbers, dtype=kind).reshape(shape).astype(kind.newbyteorder("="))


def idx_labels(images: Path) -> Path | None:
    """The file of labels that stands beside an idx file of images; None where there is none."""
    for plain in (images.name, images.name.removesuffix(".gz")):
        for name in (plain, plain + ".gz"):
            swapped = re.sub(r"idx\d", "idx1", name.replace("images", "labels"))
            if swapped != images.name and "labels" in swapped and (images.parent / swapped).is_file():
                return images.parent / swapped
    return None


def find_mnist(folder: Path, split: str) -> Path | None:
    """The idx file of MNIST's "train" or "test" images in `folder`; None where it is not there."""
    stem = {"train": "train", "test": "t10k"}.get(split)
    for separator in "-.":
        for ending in ("", ".gz"):
            path = folder / f"{stem}-images{separator}idx3-ubyte{ending}"
            if path.is_file():
                return path
    return None
