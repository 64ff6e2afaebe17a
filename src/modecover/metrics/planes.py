"""What a plane cuts off: real rows on a side of the features where hardly any fake rows lie.

A mode may be missed that is a part of many cells: of stacks of three digits, all whose first is a seven. Then no cell
is empty. But classes that features tell apart lie on one side of a plane. Fisher's discriminant of real and fake rows
looks for it among one half of the rows, and the other half says whether it holds.

Samples with another sharpness, or on another manifold, are separated from real ones by some plane, too. So what is
called missed must be lacking from the cells that it lies in, where such samples count as what they are meant to be.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from modecover.metrics.arrays import Floats, Integers

RIDGE = 1e-2
"""Times the mean variance, added to every direction's."""

SURELY = 1 / 2
"""Times the density that counts as missed: what the searching half must show, so that the other half will, too."""

Features = Floats | npt.NDArray[np.float32]

MOST_DIMENSIONS = 512
"""More are projected at random onto so many, which leaves what lies far from a plane on its side."""

LIMITS = 50
"""Places along the direction that are tried."""

LACKING = 0.5
"""Of the fake rows that should lie where rows are called missed: at least so many must be lacking there."""


def cut_off(
    real: Features,
    fake: Features,
    groups: Integers,
    *,
    missed: float,
    by_chance: float,
    weight: float,
    random: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """For each real row, whether it lies on a side of a plane where the generator does not go, (k,).

    Args:
        real: real rows, (k, d).
        fake: fake rows, (m, d).
        groups: the same number for fake rows that repeat each other, (m,): they stay together.
        missed: the share of the real rows' density below which a side is missed.
        by_chance: the chance, at most, of so few fake rows there.
        weight: of a fake row, the effective number of different ones over their number.
        random: divides the rows into halves.
    """
    flags = np.zeros(len(real), bool)
    if (folded := _folds(real, fake, groups, random)) is None:
        return flags
    (real, fake), (real_half, fake_half) = folded
    for half in (0, 1):
        mine, theirs = (
            (real[real_half == half], fake[fake_half == half]),
            (real[real_half != half], fake[fake_half != half]),
        )
        if min(map(len, (*mine, *theirs))) < 2:
            continue
        flags[real_half != half] = _beyond(mine, theirs, missed=missed, by_chance=by_chance, weight=weight)
    return flags


def along_planes(
    real: Features, fake: Features, groups: Integers, random: np.random.Generator
) -> tuple[Floats, Floats] | None:
    """For each real and each fake row, (k,) and (m,), how far it lies on the fake rows' side of a plane that other rows
    showed, in deviations of the real ones; None where rows are too few, or all of them are one point.

    Args:
        real, fake, groups, random: as for `cut_off`.
    """
    places = np.zeros(len(real)), np.zeros(len(fake))
    if (folded := _folds(real, fake, groups, random)) is None:
        return None
    rows, of = folded
    for half in (0, 1):
        direction = -_direction([each[which == half] for each, which in zip(rows, of, strict=True)])
        along = [each[which != half] @ direction for each, which in zip(rows, of, strict=True)]
        middle, spread = float(np.mean(along[0])), float(np.std(along[0])) or 1.0
        for place, each, which in zip(places, along, of, strict=True):
            place[which != half] = (each - middle) / spread
    return places


def separation(real: Features, fake: Features, groups: Integers, random: np.random.Generator) -> float:
    """How far fake rows lie from real ones beyond a plane that others of them showed, on average, in deviations of the
    real ones: about 0 for rows of one law. The arguments are those of `along_planes`."""
    places = along_planes(real, fake, groups, random)
    return 0.0 if places is None else float(places[1].mean())


def _folds(
    real: Features, fake: Features, groups: Integers, random: np.random.Generator
) -> tuple[tuple[Floats, Floats], tuple[Integers, Integers]] | None:
    """Both sides in numbers whose squares have an end and do not vanish, and the half, 0 or 1, of every row; None where
    a half has fewer than two rows, or all rows are 0."""
    size = float(max(np.abs(real).max(), np.abs(fake).max()))
    real_half, fake_half = random.permutation(len(real)) % 2, (random.permutation(groups.max() + 1) % 2)[groups]
    if size == 0 or min(*np.bincount(real_half, minlength=2), *np.bincount(fake_half, minlength=2)) < 2:
        return None
    real, fake = (np.asarray(rows, np.float64) / size for rows in (real, fake))
    if real.shape[1] > MOST_DIMENSIONS:
        onto = random.standard_normal((real.shape[1], MOST_DIMENSIONS))
        real, fake = np.asarray(real @ onto), np.asarray(fake @ onto)
    return (real, fake), (real_half, fake_half)


def _direction(sides: Sequence[Features]) -> Floats:
    """Fisher's, from the fake rows, which come second, to the real ones, (d,)."""
    means = [rows.mean(axis=0) for rows in sides]
    centred = [np.asarray(rows - mean, np.float64) for rows, mean in zip(sides, means, strict=True)]
    spread = sum((rows.T @ rows / len(rows) for rows in centred), np.zeros((len(means[0]), len(means[0])))) / 2
    ridge, direction = RIDGE * np.trace(spread) / len(spread), means[0] - means[1]
    if ridge > 0:  # else all rows of either side are one point
        spread[np.diag_indices_from(spread)] += ridge
        direction = np.linalg.solve(spread, direction)
    return np.asarray(direction)


def _beyond(
    search: tuple[Features, Features],
    confirm: tuple[Features, Features],
    *,
    missed: float,
    by_chance: float,
    weight: float,
) -> npt.NDArray[np.bool_]:
    """The real rows of `confirm`, (k,), beyond the plane that `search` shows; none where it does not hold."""
    from scipy.stats import poisson

    direction = _direction(search)
    along: list[list[Floats]] = [
        [np.asarray(rows @ direction, np.float64) for rows in pair] for pair in (search, confirm)
    ]

    # The largest side with hardly any fake rows.
    limits: Floats = np.quantile(along[0][0], np.linspace(0, 0.98, LIMITS))
    real, fake = ((rows > limits[:, None]).mean(axis=1) for rows in along[0])
    holds = np.flatnonzero(fake < SURELY * missed * real)
    none = np.zeros(len(confirm[0]), bool)
    if not len(holds):
        return none
    beyond = [rows > limits[holds[0]] for rows in along[1]]
    expected = float(beyond[0].mean()) * len(beyond[1]) * weight
    made = float(beyond[1].sum()) * weight
    return beyond[0] if made < min(missed * expected, float(poisson.ppf(by_chance, expected))) else none


def lacking_there(flags: npt.NDArray[np.bool_], cells: Integers, expected: Floats, made: Floats) -> bool:
    """Whether the fake rows that the flagged ones' absence explains are lacking from their cells.

    Args:
        flags: rows that are called missed, (k,).
        cells: the cell of each row, (k,).
        expected: fake rows that a generator that misses nothing would make, for each cell.
        made: that there are, for each cell.
    """
    inside = np.bincount(cells, minlength=len(expected))
    share = np.bincount(cells, flags, minlength=len(expected)) / np.maximum(inside, 1)
    return bool(share @ (expected - made) > LACKING * (share**2 @ expected))
