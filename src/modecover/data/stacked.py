"""Stacked digits: k digits as the k channels of one image, 10^k modes that can be counted (stacked MNIST)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from modecover.arguments import held
from modecover.data.arrays import Images
from modecover.data.base import Dataset, digest
from modecover.data.pixels import decoded
from modecover.data.room import require_memory
from modecover.errors import UserError
from modecover.random import derive_seed

DEFAULT_COUNT = 128_000
"""As many fixed triples as PacGAN and VEEGAN train on; IVGAN takes 60,000, LDMGAN 50,000."""


class StackedDigits(Dataset):
    """Images of k channels, each a digit drawn evenly and independently from `base`.

    Images are put together when they are fetched; what is kept is the base and, for a finite set, k indices for each
    sample. The label of a sample is the number its digits write, the first channel's digit first: 0 .. 10^k - 1.

    Args:
        base: single digits, one channel, with labels 0 .. 9.
        k: digits in a stack.
        count: size of a fixed set of stacks; None for stacks that are drawn afresh for every minibatch.
        seed: draws the fixed set.

    Raises:
        UserError: where `base` is no set of grey digits, or k or count is not positive.
    """

    value_range = (-1.0, 1.0)

    @held()
    def __init__(self, base: Images, k: int = 3, count: int | None = DEFAULT_COUNT, seed: int = 0):
        if base.labels is None or base.shape[0] != 1 or not 0 <= int(base.labels.min()) <= int(base.labels.max()) <= 9:
            raise UserError(f"{base.name} cannot be stacked: stacks need grey images with labels 0 to 9.")
        self.require_possible(k, count, seed)
        self.base, self.k, self.size, self.seed, self.modes = base, k, count, seed, 10**k
        self.shape = (k, *base.shape[1:])
        self.name = f"stacked-mnist ({k} of {base.name}, {'fresh' if count is None else f'{count} fixed, seed {seed}'})"
        self.fingerprint = digest("stacked", base.fingerprint, repr((k, count, seed if count else None)))
        self.stacks: Tensor | None = None
        """Of a fixed set the indices into `base`, int64 of shape (count, k)."""
        if count is not None:
            self.stacks = self._draw(count, torch.Generator().manual_seed(derive_seed(seed, "stacked-mnist")))
            self.labels = self._numbers(self.stacks)

    @staticmethod
    def require_possible(k: int, count: int | None, seed: int) -> None:
        """Raise `UserError` where there can be no stacks of these numbers, before anything is drawn."""
        if not 1 <= k <= 9:
            raise UserError(f"stacks hold 1 to 9 digits; got k={k}.")
        if not 0 <= seed < 2**63:
            raise UserError(f"the seed of stacks must be at least 0 and below 2^63; got seed={seed}.")
        if count is not None:
            if count < 1:
                raise UserError(f"a fixed set of stacks needs count >= 1; got count={count}.")
            # The indices and the labels, int64, and as much again while they are drawn.
            require_memory(2 * 8 * (k + 1) * count, f"count={count:,} stacks", "give a smaller count, or `fresh`")

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Keys of random samples: indices (count,) into the fixed set, or for fresh stacks digits (count, k)."""
        return super().draw(count, generator) if self.stacks is not None else self._draw(count, generator)

    def fetch(self, keys: Tensor) -> Tensor:
        stacks = self._stacks_of(keys)
        images = self.base.pixels.index_select(0, stacks.flatten())
        return decoded(images.view(len(stacks), *self.shape))

    def labels_of(self, keys: Tensor) -> Tensor:
        """The numbers that the stacks write, int64 of shape (n,)."""
        return self._numbers(self._stacks_of(keys))

    def to(self, device: torch.device | str) -> Self:
        moved = super().to(device)
        moved.base = self.base.to(device)
        return moved

    @property
    def memory(self) -> int:
        return super().memory + self.base.memory

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        assert self.base.size is not None
        return torch.randint(self.base.size, (count, self.k), generator=generator, device=generator.device)

    def _stacks_of(self, keys: Tensor) -> Tensor:
        keys = keys.to(self.device)
        return keys if self.stacks is None else self.stacks.index_select(0, keys)

    def _numbers(self, stacks: Tensor) -> Tensor:
        assert self.base.labels is not None
        digits = self.base.labels[stacks]
        places = 10 ** torch.arange(self.k - 1, -1, -1, device=digits.device)
        return (digits * places).sum(dim=1)
