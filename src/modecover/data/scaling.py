"""Standardised points: what networks see of rows whose columns have scales of their own, and the way back.

A network whose outputs start near 0 with a spread of 1 never reaches a column of salaries, or only with losses that are
no numbers. So networks see every coordinate with mean 0 and standard deviation 1; what is shown is in the data's units.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from modecover.errors import UserError
from modecover.kinds import LARGEST, checked

ROUNDING = 1e-13
"""A standard deviation that is so small beside the numbers is float64's rounding: the column is constant."""


@dataclass(frozen=True)
class Scaling:
    """An affine map of each of d coordinates: (rows - center) / scale, the scale positive; and back."""

    center: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, rows: Tensor) -> Self:
        """Mean and standard deviation of every column of rows (n, d); the scale of a constant column is 1."""
        exact = rows.double()
        center = exact.mean(dim=0)
        farthest = (exact - center).abs().amax(dim=0)  # taken out, so that no square ends beyond what float64 holds
        scale = farthest * ((exact - center) / farthest.clamp_min(1e-320)).std(dim=0, unbiased=False)
        scale = scale.masked_fill(scale <= ROUNDING * exact.abs().amax(dim=0), 1.0)
        return cls(tuple(center.tolist()), tuple(scale.tolist()))

    @classmethod
    def from_facts(cls, facts: Any, dimension: int) -> Self | None:
        """The scaling that `facts` described, None for none. Raises `UserError` unless of `dimension` columns."""
        if facts is None:
            return None
        with contextlib.suppress(UserError, KeyError, TypeError):
            center, scale = (checked(name, facts[name], tuple[float, ...]) for name in ("center", "scale"))
            within = all(s > 0 and abs(c) + 100 * s <= LARGEST for c, s in zip(center, scale, strict=False))
            if within and len(center) == len(scale) == dimension:
                return cls(center, scale)
        raise UserError(
            f"The model's scaling is no list of {dimension} finite numbers as center, and of positive ones as "
            "scale: save or download the model again."
        )

    def facts(self) -> dict[str, list[float]]:
        """What `from_facts` reads, in values that JSON can hold."""
        return {"center": list(self.center), "scale": list(self.scale)}

    def apply(self, rows: Tensor) -> Tensor:
        """Rows (..., d) in the data's units as networks see them, float32."""
        exact = rows.double()
        return ((exact - exact.new_tensor(self.center)) / exact.new_tensor(self.scale)).float()

    def undo(self, rows: Tensor) -> Tensor:
        """Rows (..., d) as networks make them in the data's units, float32."""
        exact = rows.double()
        return (exact * exact.new_tensor(self.scale) + exact.new_tensor(self.center)).float()

    def uneven(self) -> str:
        """In words, columns whose scales networks would not cope with as they are; "" where all are near 1."""
        worst = max(range(len(self.scale)), key=lambda i: abs(math.log10(self.scale[i])))
        far = max(range(len(self.center)), key=lambda i: abs(self.center[i]) / self.scale[i])
        if not 1e-2 <= self.scale[worst] <= 1e2:
            return f"coordinate {worst} has a standard deviation of {self.scale[worst]:.3g}"
        if abs(self.center[far]) > 30 * self.scale[far] and abs(self.center[far]) > 30:
            return f"coordinate {far} lies around {self.center[far]:.3g}, far from 0 beside its spread"
        return ""
