"""What an intervention is, and the one that does nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.kinds import check_fields


@dataclass(frozen=True)
class Intervention(ABC):
    """A family of `count` maps of the latent space, numbered from 0, that each leave N(0, I) unchanged."""

    count: int

    def __post_init__(self) -> None:
        check_fields(self)

    of_any_prior: ClassVar[bool] = False
    """Whether the maps leave every law of independent, equal coordinates unchanged, given noise from that law."""

    @abstractmethod
    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """Apply map number `index` (B,) in [0, count) to each row of `code` (B, d), with `noise` (B, d) ~ N(0, I)."""

    def every(self, code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Apply all maps to each row of `code` (B, d), with one row of `noise` (B, d) ~ N(0, I) for its `count` maps.

        Returns:
            (B * count, d), the maps of row 0 first; and the numbers of the maps, (B * count,).
        """
        index = self.numbers(code)
        return self(code.repeat_interleave(self.count, 0), index, noise.repeat_interleave(self.count, 0)), index

    def numbers(self, code: Tensor) -> Tensor:
        """0, 1, ..., count - 1 for each row of `code`, (B * count,)."""
        return torch.arange(self.count, device=code.device).repeat(len(code))

    def check(self, latent: int, setting: str = "k", fewer: int = 0) -> None:
        """Raise `UserError` where the family does not fit a latent space of this dimension.

        Args:
            latent: d.
            setting: what the user calls the number that `count` comes from, for the sentence.
            fewer: by how much that number is less than `count`.
        """
        if self.count < 2:
            raise UserError(
                f"{setting} is {self.count - fewer}: a classifier of interventions needs at least two of them."
            )


class Identity(Intervention):
    """Every O_i leaves the code as it is: a control, whose intervention loss is the constant -log k at best."""

    of_any_prior = True

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return code
