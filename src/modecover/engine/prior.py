"""The law of the latent noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modecover import random

LAWS = ("normal", "uniform", "uniform01")


@dataclass(frozen=True)
class Prior:
    """The law of the latent noise.

    Attributes:
        dimension: d.
        law: "normal" N(0, I), "uniform" on [-1, 1]^d or "uniform01" on [0, 1]^d.
    """

    dimension: int
    law: str = "normal"

    def rows(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """`count` draws, shape (count, d): from `generator`, or from the active streams."""
        empty = torch.empty(count, self.dimension, device=device)
        if generator is not None:
            draw = torch.randn if self.law == "normal" else torch.rand
            noise = draw(count, self.dimension, generator=generator, device=device)
        else:
            noise = random.normal_like(empty) if self.law == "normal" else random.uniform_like(empty)
        return 2 * noise - 1 if self.law == "uniform" else noise
