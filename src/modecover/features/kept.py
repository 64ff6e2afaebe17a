"""Samples kept small (images of 256 levels stay bytes, and become numbers block by block), and what makes rows of
features of them: an extractor, with a name and a hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modecover.data.arrays import Images
from modecover.data.base import Dataset, Progress, silent
from modecover.data.pixels import decoded
from modecover.data.scaling import Scaling
from modecover.errors import UserError
from modecover.metrics.arrays import as_rows

Floats32 = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]
"""One row of features for each sample, (n, f)."""

BLOCK_ROWS, BLOCK_BYTES = 512, 2**23
"""A block has at most so many rows, and takes at most so many bytes as float32 (but holds at least one row)."""


class Kept:
    """Points (n, d) as float32, or images (n, C, H, W) in [-1, 1]: as bytes where each value is one of 256 levels.

    Slices and rows are float32 and the same numbers as were given, bit for bit.
    """

    def __init__(self, stored: npt.NDArray[np.uint8] | Floats32):
        self.stored = stored

    @classmethod
    def of(cls, blocks: Iterator[Floats32], count: int) -> Kept:
        """Keep `count` rows that come in blocks, each float32 of shape (., *shape)."""
        kept: npt.NDArray[Any] | None = None
        done = 0
        for block in blocks:
            as_bytes = _levels(block) if block.ndim == 4 and (kept is None or kept.dtype == np.uint8) else None
            if kept is None:
                kept = np.empty((count, *block.shape[1:]), np.float32 if as_bytes is None else np.uint8)
            elif as_bytes is None and kept.dtype == np.uint8:
                kept = cls(kept)[:]  # the first values that are no levels: from here on all are floats
            kept[done : done + len(block)] = block if as_bytes is None else as_bytes
            done += len(block)
        assert kept is not None and done == count, "as many rows as were announced"
        return cls(kept)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.stored.shape)

    @property
    def ndim(self) -> int:
        return self.stored.ndim

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: int | slice) -> Floats32:
        return _floats(self.stored[rows])

    def part(self, rows: npt.NDArray[np.int64]) -> Kept:
        """The rows of these numbers, as they are stored."""
        return Kept(self.stored[rows])

    def columns(self, part: slice) -> Floats32:
        """Some of the numbers of every row, (n, c)."""
        return _floats(self.stored.reshape(len(self.stored), -1)[:, part])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.float32, copy=False)


Samples = Floats32 | Kept
"""Points (n, d), or images (n, C, H, W) in [-1, 1]."""


def block_rows(shape: tuple[int, ...]) -> int:
    """Rows of samples of this shape that make a block."""
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * math.prod(shape))))


def blocks(samples: Samples) -> Iterator[tuple[slice, Floats32]]:
    """Consecutive pieces of `samples` as float32, each with its place."""
    step = block_rows(tuple(samples.shape[1:]))
    for start in range(0, len(samples), step):
        part = slice(start, min(start + step, len(samples)))
        yield part, samples[part]


def raw(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array, as a hash takes them: without a copy where they lie in one piece."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def kept_rows(data: Dataset, keys: Tensor, progress: Progress = silent, scaling: Scaling | None = None) -> Kept:
    """The rows of these keys, as a scaling sees them, read block by block, which is told."""
    if isinstance(data, Images) and data.device.type == "cpu":  # bytes already, which need no second copy
        return Kept((data.pixels if data.size == len(keys) else data.pixels.index_select(0, keys)).numpy())

    def read() -> Iterator[Floats32]:
        parts = torch.split(keys, block_rows(data.shape))
        for number, part in enumerate(parts):
            progress("samples", number, len(parts))
            rows = data.fetch(part) if scaling is None else scaling.apply(data.exact(part))
            yield rows.cpu().numpy()

    return Kept.of(read(), len(keys))


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
        found = []
        for block in (block for _, block in blocks(samples)) if self.row_wise else [np.asarray(samples, np.float32)]:
            rows = as_rows(self.function(block), f"what the features {self.name} gave")
            if len(rows) != len(block):
                raise UserError(f"{self.name} gave {len(rows)} rows for {len(block)} samples; give one row for each")
            found.append(np.asarray(rows.float().cpu().numpy()))
        return np.concatenate(found)


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
