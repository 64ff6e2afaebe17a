"""Mixtures of Gaussians in the plane: the ring, the grid and the circle that papers count modes on, see `PRESETS`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from modecover.arguments import held
from modecover.data.base import Dataset, digest
from modecover.errors import UserError
from modecover.kinds import bounded, checked, first_line, nearest, shown

OptionValue = int | float | str | bool
_TRUTH = {"true": True, "1": True, "false": False, "0": False}

MOST_MODES = 100_000
FARTHEST = 1e12
WITHIN = (1e-12, FARTHEST)
"""Of lengths, as float32 asks."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """sum_k weights_k N(centres_k, std^2 I). Raises `UserError` where centres coincide, or std or a weight is not
    positive."""

    centres: Tensor
    """(K, d) float, no two equal."""
    std: float
    """The standard deviation of each coordinate about its centre, the same for all components."""
    weights: Tensor
    """(K,) float, positive; they are scaled to sum to 1."""

    def __post_init__(self) -> None:
        try:
            centres, weights = torch.as_tensor(self.centres), torch.as_tensor(self.weights)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"a mixture needs centres and weights that are numbers ({first_line(error)}).") from error
        if centres.ndim != 2 or not len(centres) or weights.shape != centres.shape[:1]:
            shapes = f"{tuple(centres.shape)} and {tuple(weights.shape)}"
            raise UserError(f"a mixture needs centres of shape (K, d) and K weights; got {shapes}.")
        object.__setattr__(self, "std", bounded("std", checked("std", self.std, float), WITHIN))
        bounded("a mixture's farthest coordinate", float(centres.abs().max()), (0.0, FARTHEST))
        if not bool((weights > 0).all()):
            raise UserError("a mixture needs positive weights.")
        if len(torch.unique(centres.float(), dim=0)) < len(centres):
            raise UserError("two centres of the mixture are equal as float32, so it has fewer modes than it says.")
        object.__setattr__(self, "centres", centres.float())
        object.__setattr__(self, "weights", (weights.double() / weights.double().sum()).float())

    @classmethod
    def even(cls, centres: Tensor, std: float) -> Self:
        """The mixture with equal weights; centres (K, d)."""
        return cls(centres, std, torch.ones(len(centres)))

    def __len__(self) -> int:
        return len(self.centres)

    @cached_property
    def _even(self) -> bool:
        return bool((self.weights == self.weights[0]).all())

    @held(count=0)
    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` samples, float32 (count, d), and their components, int64 (count,), on the generator's device."""
        device = generator.device
        if self._even:
            picked = torch.randint(len(self), (count,), generator=generator, device=device)
        else:
            picked = torch.multinomial(self.weights.to(device), count, replacement=True, generator=generator)
        noise = torch.randn((count, self.centres.shape[1]), generator=generator, device=device)
        return torch.add(self.centres.to(device).index_select(0, picked), noise, alpha=self.std), picked

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` samples, float32 of shape (count, d), on the generator's device."""
        return self.draw(count, generator)[0]


class MixtureData(Dataset):
    """Endless samples of a mixture; a key is the sample itself."""

    size = None

    def __init__(self, mixture: Mixture, name: str = "mixture"):
        self.name = name
        self.mixture: Mixture = mixture
        self.shape = (mixture.centres.shape[1],)
        self.modes = len(mixture)
        self.fingerprint = digest("mixture", mixture.centres, mixture.weights, repr(float(mixture.std)))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return self.mixture.sample(count, generator)

    def fetch(self, keys: Tensor) -> Tensor:
        if getattr(keys, "shape", ())[1:] != self.shape:
            raise UserError(f"keys is {shown(keys)}: give what draw gives, a tensor of shape (n, {self.shape[0]}).")
        return torch.as_tensor(keys).to(self.device, copy=True)

    @property
    def memory(self) -> int:
        return 4 * (self.mixture.centres.numel() + self.mixture.weights.numel())


@held(modes=(1, MOST_MODES), radius=WITHIN, std=WITHIN)
def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Mixture:
    """`modes` Gaussians evenly spaced on a circle about the origin, the first on the positive x axis."""
    # At 2 pi i / modes, i < modes: with the end point, as in some public notebooks, the first and the last coincide.
    angles = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return Mixture.even(radius * torch.stack([angles.cos(), angles.sin()], dim=1), std)


@held(side=(1, math.isqrt(MOST_MODES)), step=WITHIN, std=WITHIN)
def grid(side: int = 5, step: float = 2.0, std: float = 0.05) -> Mixture:
    """`side`^2 Gaussians on a square grid about the origin, neighbours `step` apart."""
    ticks = step * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return Mixture.even(torch.cartesian_prod(ticks, ticks), std)


_RING: Mapping[str, OptionValue] = {"modes": 8, "radius": 1.0, "std": 0.01}
_GRID: Mapping[str, OptionValue] = {"side": 5, "step": 2.0, "std": 0.05}
_CIRCLE: Mapping[str, OptionValue] = {"modes": 6, "radius": 5.0, "std": 0.1}

PRESETS: dict[str, Mapping[str, OptionValue]] = {
    **dict.fromkeys(("ring", "ring-pacgan", "ring-veegan", "ring-ldmgan"), _RING),
    "ring-unrolled": {**_RING, "radius": 2.0, "std": 0.02},
    **dict.fromkeys(("grid", "grid-pacgan", "grid-veegan", "grid-ldmgan"), _GRID),
    **dict.fromkeys(("circle", "circle-mdgan"), _CIRCLE),
}
"""Name to the parameters of `grid` (names that begin so) or `ring` (all others).

Ring and grid are those of PacGAN (Lin et al. 2018), section 4.1; VEEGAN (Srivastava et al. 2017) has the same grid and
does not say which ring, LDMGAN gives neither. The others are from Unrolled GAN (Metz et al. 2017), and the circle from
Mode Regularized GAN (Che et al. 2017)."""


def preset(name: str, options: str = "") -> Mixture:
    """The mixture of that name; `options` such as "modes=8,radius=2,std=0.05" change its parameters."""
    chosen: dict[str, Any] = parse_options(name, options, PRESETS[name])
    return grid(**chosen) if name.startswith("grid") else ring(**chosen)


def parse_options(name: str, text: str, defaults: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """`defaults` changed by `text`, "key=value,...", each value of its default's type; a truth value may stand as its
    key alone. Raises `UserError` for an unknown key and for a value of another type."""
    chosen = dict(defaults)
    for item in filter(None, (item.strip() for item in text.split(","))):
        key, equals, value = (word.strip() for word in item.partition("="))
        if key not in defaults:
            known = f"its options are: {', '.join(defaults)}" if defaults else "it takes none"
            raise UserError(f"{name} has no option {key!r}{nearest(key, defaults)}; {known}.")
        kind = type(defaults[key])
        try:
            chosen[key] = _TRUTH[value.lower() if equals else "true"] if kind is bool else kind(value)
        except (ValueError, KeyError) as error:
            noun = {bool: "a switch", int: "a whole number", float: "a number"}[kind]
            example = f"{key}={defaults[key]}"
            raise UserError(f"{name}: {key} must be {noun}, for example {example}; got {value[:60]!r}.") from error
    return chosen
