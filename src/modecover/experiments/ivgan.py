"""The tables of IVGAN (Liang et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from modecover.experiments.declared import Arm, Experiment, Table
from modecover.random import derive_seed


def square_fitting(settings: Mapping[str, Any], seed: int) -> dict[str, float]:
    """Example 1: two unit squares, `a` apart sideways, and the two that intervening on a coordinate makes of them.

    Returns:
        The Jensen-Shannon divergence of the two squares and of all four, as the text prints it, in closed form and by
        Monte Carlo, with its standard error.
    """
    a, count = float(settings["a"]), int(settings["samples"])
    # Lower left corners of the real square, the fake one, and of both with one coordinate of the other.
    corners = np.array([[-0.5, -0.5], [a - 0.5, 0.5], [-0.5, 0.5], [a - 0.5, -0.5]])
    random = np.random.default_rng(derive_seed(seed, "square fitting"))

    def divergence(chosen: list[int]) -> tuple[float, float]:
        """The mean of log p_i / mean_j p_j over samples of every p_i, and its standard error."""
        ratios = []
        for own in chosen:
            points = corners[own] + random.random((count, 2))
            inside = [np.all((points >= corners[each]) & (points < corners[each] + 1), axis=1) for each in chosen]
            ratios.append(-np.log(np.mean(inside, axis=0)))
        each = np.concatenate(ratios)
        return float(each.mean()), float(each.std() / math.sqrt(len(each)))

    two, four = divergence([0, 1]), divergence([0, 1, 2, 3])
    return {
        "JS of two": math.log(2),
        "by Monte Carlo": two[0],
        "JS of four": (1 + a) * math.log(2),
        "JS of four by Monte Carlo": four[0],
        "standard error": four[1],
    }


SQUARES = Experiment(
    name="square-fitting",
    question=(
        "IVGAN's Example 1: two squares that do not overlap are log 2 apart wherever they lie, so that the "
        "Jensen-Shannon divergence cannot tell a generator where to go. Does that of the four intervened squares? The "
        "text prints -(log 2) a - const; it is (1 + a) log 2: the mixture has density 1/4 on an area of 4a and 1/2 on "
        "one of 2 (1 - a)."
    ),
    tables=(
        Table(
            name="",
            data="",
            settings={"samples": 200_000},
            arms=tuple(Arm(f"a = {a:g}", "", {"a": a}) for a in (0.0, 0.25, 0.5, 0.75, 1.0)),
            scales={"smoke": {"samples": 1_000}, "full": {"samples": 2_000_000}},
            compute=square_fitting,
            reduced="200,000 samples of each square.",
            minutes=dict.fromkeys(("smoke", "cpu", "full"), 0.05),
        ),
    ),
    value=1.0,
)

EXPERIMENTS = (SQUARES,)
