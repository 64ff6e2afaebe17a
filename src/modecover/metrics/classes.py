"""How often a generator makes each class, where features tell classes apart only by and large.

Of photographs a classifier errs in three of ten, so that a class that is never made still has samples that look like
it. But the errors are known from real rows: if class j is taken for class i with probability C[i, j], fake rows that
are a mixture w of the classes are taken for class i with probability (C w)[i]. The mixture is what explains the
opinions of the fake rows best (label shift; Lipton, Wang and Smola 2018, with probabilities in place of decisions, and
w >= 0).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modecover.metrics.arrays import Floats, Integers

RIDGE = 0.3
"""Times the mean variance, added to every direction's inside classes."""

FEWEST_OF_A_CLASS = 20
"""Rows of every class, on average, from which classes are learnt."""

DRAWS = 20
"""Of the bootstrap."""

Rows = npt.NDArray[np.floating]


def opinions(reference: Rows, classes: Integers, count: int, *others: Rows) -> tuple[Floats, ...] | None:
    """Of which class other rows are, by Gaussians of one covariance around the reference's classes (Fisher's
    discriminant): the probability of each, (., count).

    Args:
        reference: (n, d).
        classes: of its rows, from 0, (n,).
        count: classes.

    Returns:
        None where a class has no row, or classes have too few on average to be learnt.
    """
    sizes = np.bincount(classes, minlength=count)
    if count < 2 or sizes.min() < 1 or len(reference) < FEWEST_OF_A_CLASS * count:
        return None
    # Whatever their unit, squares of these numbers have an end and do not vanish.
    scale = float(np.abs(reference).max()) or 1.0
    rows = np.asarray(reference, np.float64) / scale
    means = np.stack([rows[classes == number].mean(axis=0) for number in range(count)])
    inside = rows - means[classes]
    spread = inside.T @ inside / len(rows)
    spread[np.diag_indices_from(spread)] += max(RIDGE * np.trace(spread) / len(spread), np.finfo(float).tiny)
    slopes = np.linalg.solve(spread, means.T)
    offsets = np.log(sizes / len(rows)) - 0.5 * np.einsum("cd,dc->c", means, slopes)

    def softmax(scores: Floats) -> Floats:
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    return tuple(softmax(np.asarray(each, np.float64) / scale @ slopes + offsets) for each in others)


def class_weights(real: Floats, classes: Integers, fake: Floats) -> Floats:
    """How often each class is made, over how often it occurs, (classes,); 1 where it does not occur among `real`.

    Args:
        real: opinions of real rows that they were not fitted to, (k, classes).
        classes: what these rows are, (k,).
        fake: opinions of the fake rows, (m, classes).
    """
    from scipy.optimize import nnls

    sizes = np.bincount(classes, minlength=real.shape[1])
    there = sizes > 0
    sums = np.zeros((real.shape[1], real.shape[1]))
    np.add.at(sums, classes, real)
    taken_for = sums[there] / sizes[there, None]
    # Opinions count by how surely their means are known.
    sure = 1 / np.sqrt(real.var(axis=0) * (1 / len(real) + 1 / len(fake)) + 1e-12)
    mixture = nnls(taken_for.T * sure[:, None], fake.mean(axis=0) * sure)[0]
    weights = np.ones(real.shape[1])
    weights[there] = mixture / (sizes[there] / len(classes))
    return weights


def errors_of(real: Floats, classes: Integers, fake: Floats, random: np.random.Generator) -> Floats:
    """The standard errors of `class_weights` by the bootstrap, (classes,)."""
    drawn = []
    for _ in range(DRAWS):
        rows, made = random.integers(len(real), size=len(real)), random.integers(len(fake), size=len(fake))
        drawn.append(class_weights(real[rows], classes[rows], fake[made]))
    return np.asarray(np.std(drawn, axis=0))
