"""Ways through the space of codes that stay where a prior has its mass."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_ANGLE = 1e-6
"""Radians. Of directions that are nearer to equal, or to opposite, rounding would choose the plane they turn in."""

MOST_STEPS = 10_000
"""Of one way."""

RANGES = {"normal": (-2.0, 2.0), "uniform": (-1.0, 1.0), "uniform01": (0.0, 1.0)}
"""Of one coordinate, by the prior's law: all of a uniform law, the middle 95 % of the normal one."""


def between(a: Tensor, b: Tensor, steps: int, law: str) -> Tensor:
    """Codes on the way from each row of a (n, d) to that of b, ends included: (n, steps, d), float32, steps >= 2.

    A uniform law is even over a cube, which is convex: the straight line never leaves it. N(0, I) lies near the sphere
    of radius sqrt(d), and the middle of a straight line between two draws only at sqrt(d / 2), where of 100 dimensions
    next to no draws are. So directions turn evenly on a great circle, and lengths change evenly from that of a to that
    of b. Where there is no one great circle (one dimension, or an end at 0) the line is straight; opposite ends turn
    about the origin by way of the coordinate that they use least.
    """
    start, end = a.double()[:, None], b.double()[:, None]
    share = torch.linspace(0, 1, steps, dtype=torch.float64)[None, :, None]
    straight = (1 - share) * start + share * end
    if law != "normal" or a.shape[1] < 2:
        return straight.float()
    lengths = [rows.norm(dim=2, keepdim=True) for rows in (start, end)]
    one, other = (rows / length.clamp_min(1e-300) for rows, length in zip((start, end), lengths, strict=True))
    # In the plane of both ends: `one`, and at a right angle to it `aside`.
    along = (one * other).sum(dim=2, keepdim=True)
    aside = other - along * one
    opposite = (aside.norm(dim=2, keepdim=True) < LEAST_ANGLE) & (along < 0)
    least = torch.zeros_like(one).scatter_(2, one.abs().argmin(dim=2, keepdim=True), 1.0)
    aside = torch.where(opposite, least - (least * one).sum(dim=2, keepdim=True) * one, aside)
    across = aside.norm(dim=2, keepdim=True)
    angle = torch.atan2(torch.where(opposite, 0.0, across), along) * share
    turned = torch.cos(angle) * one + torch.sin(angle) * aside / across.clamp_min(1e-300)
    curved = turned * ((1 - share) * lengths[0] + share * lengths[1])
    curved[:, -1:] = end  # which rounding would miss by a little
    no_circle = (torch.minimum(*lengths) == 0) | ((across < LEAST_ANGLE) & ~opposite)
    return torch.where(no_circle, straight, curved).float()


def varied(codes: Tensor, dimension: int, values: Tensor) -> Tensor:
    """Each code (n, d) with one coordinate set to each of the values (k,): (n, k, d)."""
    rows = codes[:, None].repeat(1, len(values), 1)
    rows[:, :, dimension] = values.to(codes)
    return rows
