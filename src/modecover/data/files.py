"""Arrays in files: .npy, .npz and idx (the format of MNIST), each with its labels where there are some."""

from __future__ import annotations

import gzip
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modecover.errors import UserError

Array = NDArray[Any]

ARRAY_SUFFIXES = (".npy", ".npz", ".idx", ".gz")
LABEL_KEYS = ("labels", "label", "y", "targets", "target", "classes", "class")

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(path: Path) -> bool:
    """Whether a file's name says that it is idx, gzipped or not."""
    return re.search(r"(\bidx\d?|-ubyte)", path.name) is not None


def read_npy(path: Path) -> Array:
    """The array of a .npy file. Raises `UserError` where it is damaged or holds pickled objects."""
    try:
        with open(path, "rb") as file:
            if (first := file.read(6)) and first != b"\x93NUMPY":
                raise UserError(f"{path} is no .npy file, whatever its name says: save the array with numpy.save.")
        array = np.load(path, allow_pickle=False)
    except UserError:
        raise
    except (ValueError, OSError, EOFError) as error:
        raise UserError(_refused(path, error)) from error
    assert isinstance(array, np.ndarray)
    return array


def read_npz(path: Path, key: str | None, label_key: str | None, split: str) -> tuple[Array, Array | None]:
    """Data and labels of a .npz file.

    Without `key` the data is the only array that is not labels, or the one named x_SPLIT, X_SPLIT or SPLIT_images.
    Labels are `label_key`, or an array named like one of `LABEL_KEYS`, y_SPLIT or SPLIT_labels.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            of_split = [n for n in (f"x_{split}", f"X_{split}", f"{split}_images") if n in names]
            label_names = (*LABEL_KEYS, f"y_{split}", f"{split}_labels")
            if key is None:
                key = of_split[0] if of_split else _only([n for n in names if n not in label_names], path)
            if label_key is None:
                label_key = next((n for n in label_names if n in names and n != key), None)
            for name in (key, label_key):
                if name is not None and name not in names:
                    raise UserError(f"{path} has no array {name!r}; it holds {', '.join(names)}.")
            return archive[key], None if label_key is None else archive[label_key]
    except UserError:
        raise
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(_refused(path, error)) from error


def _only(candidates: list[str], path: Path) -> str:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UserError(f"{path} holds no array of samples; save one into it.")
    raise UserError(f"{path} holds several arrays ({', '.join(candidates)}): say which one with key={candidates[0]!r}.")


def _refused(path: Path, error: Exception) -> str:
    if "allow_pickle" in str(error):
        return f"{path} holds pickled Python objects, which are never loaded; save it as a plain array of numbers."
    return f"{path} is damaged or not what its name says ({error}); write it again."


def read_idx(path: Path) -> Array:
    """The array of an idx file, plain or gzipped (the format: http://yann.lecun.com/exdb/mnist).

    Two zero bytes, a type byte, the number of axes, each axis as a big-endian 32-bit count, then the numbers.
    Raises `UserError` where the file is cut short or is no idx file.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(_refused(path, error)) from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise UserError(f"{path} is no idx file: its first bytes are not those of the format; check the download.")
    kind, start = np.dtype(_IDX_TYPES[content[2]]), 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) != start + kind.itemsize * math.prod(shape) or len(shape) != content[3]:
        raise UserError(
            f"{path} is damaged: it announces {shape} numbers of {kind.itemsize} bytes but is of another length; "
            "fetch it again."
        )
    return np.frombuffer(content, dtype=kind, offset=start).reshape(shape).astype(kind.newbyteorder("="))


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


def read_array_file(path: Path, key: str | None, label_key: str | None, split: str) -> tuple[Array, Array | None]:
    """Data and labels (None: there are none) of a .npy, .npz or idx file."""
    if path.suffix == ".npz":
        return read_npz(path, key, label_key, split)
    if path.suffix == ".npy":
        return read_npy(path), None
    labels = idx_labels(path)
    return read_idx(path), None if labels is None else read_idx(labels)
