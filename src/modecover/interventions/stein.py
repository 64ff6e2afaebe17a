"""Stein variational gradient descent (SVGD) from a minibatch of codes toward the prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from modecover import random
from modecover.errors import UserError
from modecover.interventions.base import Intervention


@dataclass(frozen=True)
class SteinBridge(Intervention):
    """T_i moves the minibatch's codes i times toward N(0, I) by SVGD; the last map is the prior itself (IVAAE).

    IVAAE, equation 2 and section 4; Liu and Wang 2016, Algorithm 1. The rows of a minibatch are the particles, so they
    move together: not the same in smaller micro-batches. Gradients flow back through every iteration; the bandwidth,
    chosen anew in each from the particles, is a constant to them. With few particles in many dimensions the limit is
    narrower than the prior; N(0, I) stays as it is only up to that and to `jitter`.
    """

    step_size: float = 1.0
    """Length of a step (epsilon)."""
    bandwidth: float = 100.0
    """h over h_0 = med^2 / log n, med the median distance between two of the n particles."""
    iterations: int = 2
    """Iterations from one map to the next."""
    jitter: float = 0.1
    """Std of the Gaussian noise added after each iteration."""

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        stages, _ = self.every(code, noise)
        first = torch.arange(len(code), device=code.device) * self.count
        return stages[first + index]

    def every(self, code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        stages = [code]
        for _ in range(self.count - 2):
            moved = stages[-1]
            for _ in range(self.iterations):
                moved = moved + self.step_size * stein_direction(moved, self.bandwidth)
                moved = moved + self.jitter * random.normal_like(moved)
            stages.append(moved)
        return torch.stack([*stages, noise], dim=1).flatten(0, 1), self.numbers(code)


def stein_direction(particles: Tensor, bandwidth: float = 1.0) -> Tensor:
    """The direction phi in which SVGD moves each of n particles toward N(0, I), both of shape (n, d).

    phi(z_i) = 1/n sum_j [k(z_j, z_i) grad log p(z_j) + grad_{z_j} k(z_j, z_i)] with k(z, z') = exp(-||z - z'||^2 / h),
    h = bandwidth * med^2 / log n (IVAAE, equation 2). Stacked seeds each move their own particles.

    Raises:
        UserError: there is one particle alone.
    """
    z = random.by_seed(particles)
    n = z.shape[1]
    if n < 2:
        raise UserError("SVGD moves the codes of a minibatch together: use a batch of at least 2.")
    centred = z - z.mean(dim=1, keepdim=True)  # distances from products cancel least around the origin
    norms = centred.square().sum(dim=2)
    squares = (norms[:, :, None] + norms[:, None, :] - 2 * centred @ centred.mT).clamp_min(0)
    h = (bandwidth * _median_distance(squares.detach()).square() / math.log(n)).clamp_min(
        torch.finfo(z.dtype).eps  # most particles at one point
    )[:, None, None]
    kernel = (-squares / h).exp()
    attraction = -(kernel @ z)  # grad log p(z) = -z
    repulsion = 2 / h * (kernel.sum(dim=2, keepdim=True) * z - kernel @ z)
    return ((attraction + repulsion) / n).flatten(0, 1)


def _median_distance(squares: Tensor) -> Tensor:
    """The median distance of two different points from squared distances (S, n, n), (S,)."""
    n = squares.shape[1]
    i, j = torch.triu_indices(n, n, offset=1, device=squares.device)
    distances = squares[:, i, j].sqrt().sort(dim=1).values
    pairs = distances.shape[1]
    return (distances[:, (pairs - 1) // 2] + distances[:, pairs // 2]) / 2
