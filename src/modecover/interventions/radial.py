"""Radial interventions: a rotation from the code to noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modecover.interventions.base import Intervention


class RadialSubstitution(Intervention):
    """T_i(x) = x cos(i pi / 2t) + z sin(i pi / 2t), t = k - 1: from the code (i = 0) to the prior (IVAAE)."""

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        # The cosine as the sine of the angle that is left: both ends are exact, where cos(pi / 2) is 6e-17.
        done = index.to(code.dtype)[:, None]
        quarter, t = math.pi / 2, self.count - 1
        return code * torch.sin((t - done) * quarter / t) + noise * torch.sin(done * quarter / t)
