"""Interventions that put fresh noise in the place of blocks of coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.interventions.base import Intervention


class BlockSubstitution(Intervention):
    """O_i replaces block i of k equal blocks of coordinates by fresh noise (IVGAN, section 3).

    Complete: the only law that every O_i leaves unchanged is N(0, I), for each block must be standard normal and
    independent of the others.
    """

    of_any_prior = True

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return torch.where(_block_of(code, self.count) == index[:, None], noise, code)

    def check(self, latent: int, setting: str = "k", fewer: int = 0) -> None:
        super().check(latent, setting, fewer)
        _require_blocks(self.count, latent, setting, self.count - fewer, least=2)


class CumulativeSubstitution(Intervention):
    """T_i replaces the first i of k - 1 equal blocks by fresh noise: from the code (i = 0) to the prior (IVAAE)."""

    of_any_prior = True

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return torch.where(_block_of(code, self.count - 1) < index[:, None], noise, code)

    def check(self, latent: int, setting: str = "k", fewer: int = 0) -> None:
        super().check(latent, setting, fewer)
        _require_blocks(self.count - 1, latent, setting, self.count - fewer, least=1)


def _block_of(code: Tensor, blocks: int) -> Tensor:
    """The number of each coordinate's block, (d,)."""
    return torch.arange(code.shape[1], device=code.device) * blocks // code.shape[1]


def _require_blocks(blocks: int, latent: int, setting: str, value: int, least: int) -> None:
    """Refuse `blocks` that do not divide d, naming the values of the setting that would: blocks from `least` on."""
    if latent % blocks == 0:
        return
    fits = [str(b + value - blocks) for b in range(least, latent + 1) if latent % b == 0]
    cure = f"use {setting} = {', '.join(fits)}" if fits else "use at least 2 latent dimensions"
    made = "equal blocks" if value == blocks else f"makes {blocks} equal blocks, which"
    raise UserError(f"{setting} = {value} {made} do not divide {latent} latent dimensions: {cure}.")
