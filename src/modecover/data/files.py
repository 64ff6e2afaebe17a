"""Files: what a path leads to, found out before it is opened; and the arrays in .npy, .npz and idx (as MNIST's are).

All arrays go through one reader: what a header announces is held against the file's length, against what it may unfold
to and against memory, before anything is allocated for it.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from modecover.data.base import NO_LABELS, Asked
from modecover.data.pixels import Array
from modecover.errors import UserError, about
from modecover.kinds import counted, first_line
from modecover.limits import readable, require_memory

SPLIT_NAMES = ("train", "test", "val", "valid", "validation")
LABEL_KEYS = ("labels", "label", "y", "targets", "target", "classes", "class")

_SPECIAL = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]
"""Of the numbers that follow: their shape, whether the first axis runs fastest, and their type."""


def require_name(text: str) -> None:
    """Raise `UserError` where no path can be called `text`."""
    if not text.strip():
        raise UserError("the name of the data is empty; give a name or a path.")
    if "\0" in text:
        raise UserError(f"{text!r} holds a zero byte, which no path has; check how the name was made.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise UserError(f"{text!r} cannot be the name of a file here ({error.reason}); check the path.") from error


def user_path(place: str | os.PathLike[str]) -> Path:
    """The path that a user means; `~` is the home folder. Raises `UserError` where no path can have that name."""
    text = os.fspath(place)
    if not isinstance(text, str):
        raise UserError(f"a path of bytes cannot be opened; give text: {os.fsdecode(text)!r}.")
    require_name(text)
    return Path(os.path.expanduser(text))


def exists(path: Path) -> bool:
    """Whether something is at `path`. Raises `UserError` where that cannot be found out."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(
            f"{str(path)[:300]} cannot be opened: {error.strerror}. Mend that, or check the path."
        ) from error
    return True


def special(mode: int) -> str | None:
    """What has a `st_mode`, "pipe", "socket" or "device", if it is neither file nor folder: it is never opened, as a
    pipe would be waited for without end."""
    return _SPECIAL.get(stat.S_IFMT(mode))


def require_openable(path: Path) -> None:
    """Raise `UserError` where `path` is missing, or is a pipe, a socket or a device."""
    if not exists(path):
        raise UserError(f"there is no file or folder {path}; check the path.")
    if (noun := special(path.stat().st_mode)) is not None:
        raise UserError(f"{path} is a {noun}, neither file nor folder; save the samples in a file first.")


def read_array_file(path: Path, asked: Asked) -> tuple[Array, Array | None]:
    """Data and labels (None: there are none) of a .npy, .npz or idx file. Raises `UserError` where it is damaged, holds
    no numbers, or announces more than there is or memory holds."""
    if asked.key is not None and len(asked.key) > 1:
        raise UserError("it is learned from one array; give one name as key=.")
    arrays = []
    if path.suffix == ".npz":
        with undamaged(), zipfile.ZipFile(path) as archive:
            for name in _npz_names(archive.namelist(), asked):
                info = archive.getinfo(f"{name}.npy")
                with about(f"the array {name!r}"):
                    if info.flag_bits & 1:
                        raise UserError("it is encrypted; write it again without a password.")
                    with archive.open(info) as member:
                        limits = info.file_size, info.compress_size, asked.memory_limit
                        arrays.append(_numbers(member, _npy_header(member), *limits))
    else:
        is_idx = path.suffix != ".npy"
        asked.require_nameless(of_split=is_idx)
        # Beside an idx file of images stands one of labels.
        name = re.sub(r"idx\d", "idx1", path.name.removesuffix(".gz").replace("images", "labels"))
        wanted = is_idx and asked.label_key != NO_LABELS and "labels" in name
        beside = [path.with_name(name + ending) for ending in ("", ".gz")] if wanted else []
        for place in (path, *[labels for labels in beside if labels != path and labels.is_file()][:1]):
            stored = place.stat().st_size
            with undamaged(), open(place, "rb") as plain:
                folded = is_idx and plain.read(2) == b"\x1f\x8b"
                plain.seek(0)
                file: Any = gzip.GzipFile(fileobj=plain) if folded else plain
                header = _idx_header(file) if is_idx else _npy_header(file)
                arrays.append(_numbers(file, header, None if folded else stored, stored, asked.memory_limit))
    return arrays[0], arrays[1] if len(arrays) > 1 else None


def _npz_names(members: list[str], asked: Asked) -> list[str]:
    """The array of a .npz file to learn and, where there are some, that of its labels.

    Without `key` the data is the only array that is not labels, or the one named x_SPLIT, X_SPLIT or SPLIT_images.
    Labels are as named, or an array named like one of `LABEL_KEYS`, y_SPLIT or SPLIT_labels.
    """
    names = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
    if not names:
        raise UserError("it holds no arrays; write it with numpy.savez.")
    key, labels, split = asked.key[0] if asked.key else None, asked.label_key, asked.split
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
    if labels is None:
        labels = next((name for name in label_names if name in names and name != key), NO_LABELS)
    if labels == key:
        raise UserError(f"the array {key!r} cannot be learned and hold the classes too; say another.")
    wanted = [key] if labels == NO_LABELS else [key, labels]
    for name in wanted:
        if name not in names:
            raise UserError(f"it has no array {name!r}; it holds {counted(names)}.")
    return wanted


def _numbers(file: IO[bytes], header: _Header, length: int | None, stored: int, limit: int) -> Array:
    """The numbers in a file that takes `stored` bytes, unfolds to `length` (None: not known yet), may to `limit`."""
    shape, fortran, kind = header
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


def _npy_header(file: IO[bytes]) -> _Header:
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


def _idx_header(file: IO[bytes]) -> _Header:
    """Two zero bytes, a type byte, the number of axes, each axis as a big-endian 32-bit count
    (http://yann.lecun.com/exdb/mnist)."""
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
    """Raise `UserError` where a compressed file of `stored` bytes unfolds to more than `limit`. What takes no more room
    than its file (here: half as much again) was not folded, and is no matter of this limit."""
    if count > limit and count > 1.5 * stored:
        raise UserError(
            f"it unfolds from {readable(stored)} to {readable(count)}, more than the {readable(limit)} that "
            f"memory_limit allows; if it is to be trusted, say memory_limit='{count // 10**9 + 1}GB'."
        )


def find_mnist(folder: Path, split: str) -> Path | None:
    """The idx file of MNIST's "train" or "test" images in `folder`; None where it is not there."""
    stem = {"train": "train", "test": "t10k"}.get(split)
    names = [f"{stem}-images{separator}idx3-ubyte{ending}" for separator in "-." for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)
