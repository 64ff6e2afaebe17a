"""Samples kept small (images of 256 levels stay bytes, and become numbers block by block), and what makes rows of
features of them: an extractor, with a name and a hash."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.data.arrays import Images
from modecover.data.base import Dataset, Progress, silent
from modecover.data.pictures import StreamedImages
from modecover.data.pixels import decoded
from modecover.data.scaling import Scaling
from modecover.errors import UserError
from modecover.features.scratch import Scratch
from modecover.metrics.arrays import Report, as_rows

Floats32 = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]
"""One row of features for each sample, (n, f)."""

BLOCK_ROWS, BLOCK_BYTES = 512, 2**20
"""A block has at most so many rows, and takes at most so many bytes as float32 (but holds at least one row):
small, so that what is freed leaves holes in memory which the next one fits."""


class Kept:
    """Points (n, d) as float32, or images (n, C, H, W) in [-1, 1]: as bytes where each value is one of 256 levels.

    Rows are float32 and the same numbers as were given, bit for bit. Parts are views. Where memory has no room for
    them, rows stay in a temporary file, and only those asked for are read.

    Args:
        stored: all rows, as bytes or floats.
        rows: the numbers of those that are meant, (n,); None: all.
        told: is called as all rows are gone through block by block.
    """

    def __init__(
        self,
        stored: npt.NDArray[np.uint8] | Floats32 | Scratch,
        rows: npt.NDArray[np.int64] | None = None,
        told: Report | None = None,
    ):
        self.stored, self.rows, self.told = stored, rows, told

    @classmethod
    def of(cls, blocks: Iterator[npt.NDArray[Any]], count: int, room: float = math.inf) -> Kept:
        """Keep `count` rows that come in blocks (., *shape), of bytes or of float32.

        Args:
            room: bytes that they may take in memory; if they take more they are kept in a file.

        Raises:
            UserError: the disk does not hold that file.
        """
        kept: npt.NDArray[Any] | Scratch | None = None
        done = 0

        def begun(shape: tuple[int, ...], kind: type[np.generic]) -> npt.NDArray[Any] | Scratch:
            size = count * math.prod(shape[1:]) * np.dtype(kind).itemsize
            return Scratch((count, *shape[1:]), kind) if size > room else np.empty((count, *shape[1:]), kind)

        def put(block: npt.NDArray[Any]) -> None:
            nonlocal done
            if isinstance(kept, Scratch):
                kept.append(block)
            elif kept is not None:
                kept[done : done + len(block)] = block
            done += len(block)

        for block in blocks:
            as_bytes = block if block.dtype == np.uint8 else None
            if as_bytes is None and block.ndim == 4 and (kept is None or kept.dtype == np.uint8):
                as_bytes = _levels(block)
            if kept is None:
                kept = begun(block.shape, np.float32 if as_bytes is None else np.uint8)
            elif as_bytes is None and kept.dtype == np.uint8:  # the first values that are no levels: all become floats
                before, kept, written, done = cls(kept), begun(block.shape, np.float32), done, 0
                step = block_rows(block.shape[1:])
                for start in range(0, written, step):
                    put(before[start : min(start + step, written)])
            put(block if as_bytes is None else as_bytes)
        assert kept is not None and done == count, "as many rows as were announced"
        return cls(kept)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.stored.shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.stored.shape)

    def __len__(self) -> int:
        return len(self.stored if self.rows is None else self.rows)

    def __getitem__(self, rows: int | slice | npt.NDArray[np.int64]) -> Floats32:
        if isinstance(rows, int | np.integer):
            return self[np.array([rows])][0]
        return _floats(self.as_stored(rows))

    def as_stored(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows as they are kept: bytes or floats, of all rows the same."""
        return self.stored[rows if self.rows is None else self.rows[rows]]

    def part(self, rows: npt.NDArray[np.int64]) -> Kept:
        """The rows of these numbers; nothing is copied."""
        return Kept(self.stored, rows if self.rows is None else self.rows[rows], self.told)

    def quiet(self) -> Kept:
        """The same rows, of which nothing is told."""
        return Kept(self.stored, self.rows)

    def changed(self, change: Callable[[Floats32, npt.NDArray[np.int64]], Floats32]) -> Kept:
        """All rows as `change` makes them of a block of these and their numbers in it, whenever they are asked for: the
        same shape, the same for a row wherever the block begins."""
        return _Changed(self, change)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.float32, copy=False)


class _Changed(Kept):
    def __init__(self, before: Kept, change: Callable[[Floats32, npt.NDArray[np.int64]], Floats32]):
        super().__init__(before.stored, before.rows, before.told)
        self.before, self.change = before, change

    def __getitem__(self, rows: int | slice | npt.NDArray[np.int64]) -> Floats32:
        if isinstance(rows, int | np.integer):
            return self[np.array([rows])][0]
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return self.change(self.before[numbers], numbers)

    def as_stored(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self[rows]

    def part(self, rows: npt.NDArray[np.int64]) -> Kept:
        return _Changed(self.before.part(rows), lambda block, numbers: self.change(block, rows[numbers]))

    def quiet(self) -> Kept:
        return _Changed(self.before.quiet(), self.change)


Samples = Floats32 | Kept
"""Points (n, d), or images (n, C, H, W) in [-1, 1]."""


def block_rows(shape: tuple[int, ...]) -> int:
    """Rows of samples of this shape that make a block."""
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * math.prod(shape))))


def places(samples: Samples) -> Iterator[slice]:
    """Where each of the consecutive blocks of `samples` lies."""
    step = block_rows(tuple(samples.shape[1:]))
    return (slice(start, min(start + step, len(samples))) for start in range(0, len(samples), step))


def blocks(samples: Samples) -> Iterator[tuple[slice, Floats32]]:
    """Consecutive pieces of `samples` as float32, each with its place."""
    told = samples.told if isinstance(samples, Kept) else None
    for place in places(samples):
        yield place, samples[place]
        if told is not None:
            told(place.stop, len(samples))


def raw(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array, as a hash takes them: without a copy where they lie in one piece."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def kept_rows(
    data: Dataset, keys: Tensor, progress: Progress = silent, scaling: Scaling | None = None, room: float = math.inf
) -> Kept:
    """The rows of these keys, as a scaling sees them, read block by block, which is told; `room` as for `Kept.of`."""
    if isinstance(data, Images) and data.device.type == "cpu":  # bytes already, which need no second copy
        return Kept(data.pixels.numpy(), None if data.size == len(keys) else keys.numpy())
    return Kept.of(_read(data, keys, progress, scaling), len(keys), room)


def _read(
    data: Dataset, keys: Tensor, progress: Progress, scaling: Scaling | None
) -> Iterator[npt.NDArray[np.uint8] | Floats32]:
    """The rows of these keys in blocks, bytes or float32; pictures are decoded by a thread for each core."""
    parts = torch.split(keys, block_rows(data.shape))
    if not isinstance(data, StreamedImages):
        for number, part in enumerate(parts):
            progress("samples", number, len(parts))
            rows = data.fetch(part) if scaling is None else scaling.apply(data.exact(part))
            yield rows.cpu().numpy()
        return
    threads = min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(parts), threads):  # no more blocks wait than there are threads
            for number, block in enumerate(pool.map(data.read, parts[start : start + threads]), start):
                progress("samples", number, len(parts))
                yield block.numpy()


@dataclass(frozen=True, eq=False)
class Extractor:
    """Features of samples, and what identifies them.

    Two extractors of equal `name` and `hash` give equal features, so that numbers taken with them can be compared.
    """

    name: str
    """What it is, with its size: "pca-64"."""
    hash: str
    """The first 8 hexadecimal digits of the SHA-256 of everything that decides the features."""
    function: Callable[[Floats32], npt.ArrayLike | Tensor]
    row_wise: bool = field(default=False, kw_only=True)
    """Whether a sample's features depend on no other sample: then the function is given one block after another."""
    fitted: bool = field(default=False, kw_only=True)
    """Whether they were fitted to samples, whose own features then say more than those of others would."""

    @property
    def identity(self) -> str:
        """The name with the hash, as it stands in the names of metrics."""
        return f"{self.name}:{self.hash}"

    def __call__(self, samples: Samples) -> Features:
        """The features of all samples; `UserError` where the function gives no row of finite numbers for each."""
        found: Features | None = None
        every = slice(0, len(samples))
        for place, block in blocks(samples) if self.row_wise else [(every, np.asarray(samples, np.float32))]:
            rows = as_rows(self.function(block), f"what the features {self.name} gave")
            if len(rows) != len(block):
                raise UserError(f"{self.name} gave {len(rows)} rows for {len(block)} samples; give one row for each")
            if found is None:
                found = np.empty((len(samples), rows.shape[1]), np.float32)
            found[place] = rows.float().cpu().numpy()
        assert found is not None, "samples are not empty"
        return found


def hash_of(*parts: bytes | str | npt.NDArray[np.generic] | Tensor) -> str:
    """Eight hexadecimal digits that identify `parts`: texts, bytes, and arrays by type, shape and content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype} {part.shape}\n".encode())
            digest.update(raw(part))
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:8]


def in_batches(network: Callable[[Tensor], Tensor], samples: Samples, device: torch.device | str) -> Tensor:
    """What `network` makes of all samples, block by block, on the CPU, without gradients."""
    with torch.no_grad():
        batches = (torch.from_numpy(np.ascontiguousarray(block)) for _, block in blocks(samples))
        return torch.cat([network(batch.to(device)).cpu() for batch in batches])


def _floats(stored: npt.NDArray[Any]) -> Floats32:
    if stored.dtype == np.uint8:
        return np.asarray(decoded(torch.from_numpy(np.ascontiguousarray(stored))).numpy())
    return stored


def _levels(block: Floats32) -> npt.NDArray[np.uint8] | None:
    """Images as their levels; None where decoding these would not give the same numbers."""
    found = np.rint((np.clip(block, -1, 1) + 1) * 127.5).astype(np.uint8)
    return found if np.array_equal(_floats(found), block) else None
