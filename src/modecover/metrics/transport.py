"""Wasserstein distance between two sets of points: it sees missed modes, wrong weights and contracted modes alike."""

from __future__ import annotations

import math

import numpy as np

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Floats, as_floats


@held(limit=1, seed=0)
def wasserstein(samples: ArrayLike, reference: ArrayLike, *, order: int = 1, limit: int = 1000, seed: int = 0) -> float:
    """The exact order-`order` Wasserstein distance (L2 ground distance) between equally large subsets.

    From each set the same number of points, min(N, M, `limit`), is drawn without replacement (seeded), and the best
    one-to-one assignment is solved (`scipy.optimize.linear_sum_assignment`, cubic in that number: 1000 points take
    well below a second). The distance of two finite sets of the *same* law is not 0: print beside it the distance
    of a second ideal sample.

    Args:
        samples, reference: points, shapes (N, d) and (M, d), in the data's units, as is the result.
        order: 1 (the earth mover's distance) or 2.

    Raises:
        UserError: the shapes do not fit, or a number is not finite.
    """
    points, targets = as_floats(samples), as_floats(reference)
    if points.ndim != 2 or targets.ndim != 2 or not points.size or points.shape[1:] != targets.shape[1:]:
        raise UserError(f"samples {points.shape} and reference {targets.shape} must be rows of equally many numbers")
    if not len(targets) or not (np.isfinite(points).all() and np.isfinite(targets).all()):
        raise UserError("a Wasserstein distance needs at least one reference row and finite numbers throughout")
    if order not in (1, 2):
        raise UserError(f"order is {order}; choose 1 or 2")
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    size = min(len(points), len(targets), limit)
    random = np.random.default_rng(seed)
    drawn = [each[random.permutation(len(each))[:size]] for each in (points, targets)]
    costs: Floats = cdist(*drawn) ** order
    rows, columns = linear_sum_assignment(costs)
    return math.pow(float(costs[rows, columns].mean()), 1 / order)
