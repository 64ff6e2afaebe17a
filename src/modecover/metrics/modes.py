"""Modes covered of a mixture of equal, round Gaussians whose centres are known.

The number of modes and the share of high-quality samples are the two numbers of the literature (VEEGAN, Srivastava
et al. 2017; PacGAN, Lin et al. 2018). Neither sees a model that contracts inside each mode: the within-mode standard
deviation ratio does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from modecover.arguments import held
from modecover.errors import UserError
from modecover.limits import require_memory
from modecover.metrics.arrays import ArrayLike, Floats, as_floats
from modecover.metrics.labels import as_law, divergences

RADIUS = 3.0
"""A sample within this many standard deviations (L2) of its nearest centre is of high quality."""

MANY, MANY_OF = 20, 2048
"""The stricter mode count asks for more than `MANY` high-quality samples among `MANY_OF`."""


@dataclass(frozen=True)
class MixtureModes:
    """What `samples` points say about a mixture of `modes` Gaussians. HQ is short for high-quality."""

    samples: int
    modes: int
    modes_any: int
    """Modes with at least one HQ sample."""
    modes_many: int
    """Modes with more than 20 HQ samples of 2048; for N samples, with more than 20 N / 2048."""
    high_quality: float
    """Share of HQ samples, in [0, 1]: within 3 standard deviations (L2) of the nearest centre."""
    ideal_high_quality: float
    """The share an ideal sampler has. A larger one with few modes means contracted modes."""
    kl: float
    """KL(model || target) of the HQ counts, nats; nan without HQ samples."""
    reverse_kl: float
    """KL(target || model) of the HQ counts with one added to each, nats; nan without HQ samples."""
    std_ratio: float
    """Spread of the HQ samples about their centres over an ideal sampler's: 1 is ideal; nan without HQ samples."""
    counts: tuple[int, ...]
    """HQ samples of each mode, in the order of the centres."""


@held()
def mixture_modes(samples: ArrayLike, centres: ArrayLike, std: float, weights: ArrayLike | None = None) -> MixtureModes:
    """Count the modes of a Gaussian mixture that `samples` cover, and measure how well.

    Args:
        samples: points, shape (N, d), N >= 1. A row that is not finite is simply not of high quality.
        centres: the modes' centres, shape (K, d). Where two are closer than 6 `std`, their HQ balls overlap and the
            ideal share and spread, which are those of separate balls, hold only approximately.
        std: the modes' standard deviation in every dimension.
        weights: the modes' positive weights, shape (K,), of any sum; None: equal.
    """
    points, (middles, law) = as_floats(samples), _mixture(centres, std, weights)
    if points.ndim != 2 or not len(points) or points.shape[1] != middles.shape[1]:
        wanted = f"at least one row of {middles.shape[1]} numbers, like the centres"
        raise UserError(f"samples have shape {points.shape}; give {wanted}")
    from scipy.spatial import cKDTree

    finite = np.asarray(np.isfinite(points).all(axis=1))
    distance, mode = cKDTree(middles).query(np.where(finite[:, None], points, 0.0))
    with np.errstate(over="ignore"):
        square: Floats = np.square(distance)
    good = finite & (square <= (RADIUS * std) ** 2)
    counts = np.bincount(mode[good], minlength=len(middles)).astype(np.int64)
    dimensions = middles.shape[1]
    kl, reverse_kl = divergences(counts, law)
    spread = math.sqrt(square[good].mean() / dimensions) / std if good.any() else math.nan
    return MixtureModes(
        samples=len(points),
        modes=len(middles),
        modes_any=int((counts > 0).sum()),
        modes_many=int((counts > MANY * len(points) / MANY_OF).sum()),
        high_quality=float(good.mean()),
        ideal_high_quality=ideal_high_quality(dimensions),
        kl=kl,
        reverse_kl=reverse_kl,
        std_ratio=spread / truncated_std(dimensions),
        counts=tuple(counts.tolist()),
    )


def ideal_high_quality(dimensions: int) -> float:
    """The share of a d-dimensional Gaussian within 3 standard deviations: chi2_d's law at 9 (2-D: 1 - e^-4.5)."""
    half = torch.tensor([dimensions, RADIUS**2], dtype=torch.float64) / 2
    return float(torch.special.gammainc(half[0], half[1]))


def truncated_std(dimensions: int) -> float:
    """Per-dimension standard deviation of a standard Gaussian cut off at radius 3.

    With R^2 chi-square of d degrees, r^2 times its density is d times the density of d + 2 degrees, so that
    E[R^2 | R <= 3] / d = F_{d+2}(9) / F_d(9).
    """
    return math.sqrt(ideal_high_quality(dimensions + 2) / ideal_high_quality(dimensions))


@held(count=1, seed=0)
def draw_mixture(
    centres: ArrayLike, std: float, weights: ArrayLike | None = None, *, count: int = 2500, seed: int = 0
) -> Floats:
    """`count` >= 1 points of a mixture, given as to `mixture_modes`: shape (count, d), a function of `seed` that leaves
    global draws alone."""
    middles, law = _mixture(centres, std, weights)
    require_memory(f"{count:,} points", 16.0 * count * middles.shape[1], "ask for fewer")
    random = np.random.default_rng(seed)
    mode = random.choice(len(middles), size=count, p=law)
    return np.asarray(middles[mode] + std * random.standard_normal((count, middles.shape[1])))


@held(seed=0)
def ideal_sampler_row(
    centres: ArrayLike, std: float, weights: ArrayLike | None = None, *, count: int = 2500, seed: int = 0
) -> MixtureModes:
    """`mixture_modes` of the mixture's own samples: the control to print beside every model's row."""
    return mixture_modes(draw_mixture(centres, std, weights, count=count, seed=seed), centres, std, weights)


def _mixture(centres: ArrayLike, std: float, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """Centres (modes, d) and probabilities (modes,) of a mixture; `UserError` where there is none such."""
    middles = as_floats(centres)
    if middles.ndim != 2 or not middles.size or not np.isfinite(middles).all():
        raise UserError(f"centres have shape {middles.shape}; give finite numbers of shape (modes, dimensions)")
    if not (math.isfinite(std) and std > 0):
        raise UserError(f"std is {std}; the modes need a positive standard deviation")
    law = as_law(weights, len(middles))
    if (law == 0).any():
        raise UserError("a mode has weight 0; leave its centre out, since nothing is expected there")
    return middles, law
