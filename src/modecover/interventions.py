"""Interventions: maps of the latent space that leave the prior N(0, I) unchanged (IVGAN, Definition 1).

A family holds `count` of them. `O(code, index, noise)` applies intervention number `index[b]` to row b, with fresh
standard normal `noise` of the code's shape for the family to use. Add a family by subclassing `Intervention` and
entering it in `INTERVENTIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from modecover.errors import UserError


@dataclass(frozen=True)
class Intervention(ABC):
    """A family of `count` maps that each leave N(0, I) unchanged."""

    count: int

    @abstractmethod
    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """Apply intervention `index` (B,) in [0, count) to each row of `code` (B, d), with `noise` (B, d) ~ N(0, I)."""

    def check(self, latent: int) -> None:
        """Raise `UserError` where the family does not fit a latent space of this dimension."""
        if self.count < 2:
            raise UserError(f"k is {self.count}: a classifier of interventions needs at least two of them.")


class BlockSubstitution(Intervention):
    """O_i replaces block i of k equal blocks of coordinates by fresh noise (IVGAN, section 3).

    Complete: the only law that every O_i leaves unchanged is N(0, I), for each block must be standard normal and
    independent of the others.
    """

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        block_of = torch.arange(code.shape[1], device=code.device) * self.count // code.shape[1]
        return torch.where(block_of == index[:, None], noise, code)

    def check(self, latent: int) -> None:
        super().check(latent)
        if latent % self.count:
            fits = [str(k) for k in range(2, latent + 1) if latent % k == 0]
            cure = f"use k = {', '.join(fits)}" if fits else "use at least 2 latent dimensions"
            raise UserError(f"k = {self.count} equal blocks do not divide {latent} latent dimensions: {cure}.")


class Identity(Intervention):
    """Every O_i leaves the code as it is: a control, whose intervention loss is the constant -log k at best."""

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return code


INTERVENTIONS: dict[str, type[Intervention]] = {"block": BlockSubstitution, "identity": Identity}
