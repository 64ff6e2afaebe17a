"""Optimal transport: the Wasserstein distance of two sets of points, and that of the Gaussians fitted to them.

The latter, of order 2 and squared, is the Frechet distance (Heusel et al. 2017, "FID" on Inception),

    |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

With any factors S1 = A'A and S2 = B'B the last trace is the sum of the singular values of A B' (the nuclear norm). So
no matrix square root is taken, a singular covariance is nothing special, and n samples of more than n dimensions
need no covariance at all: their centred rows are the factor, and the work is that of an n x n matrix. Where both
covariances are regular the roots of the eigenvalues of A S2 A' are the same numbers, and B is not needed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import (
    LARGEST,
    ArrayLike,
    Floats,
    as_floats,
    as_pair,
    as_rows,
    as_tensor,
    mean_of,
    parts,
    require_squares,
)

_EPSILON = torch.finfo(torch.float64).eps
_ENOUGH = 1e-9
"""Relative error below which a faster way to the singular values is trusted."""


def frechet_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """The squared Frechet distance between the Gaussians with the means and unbiased covariances of two sets of
    features, shapes (n, d) and (m, d), n and m at least 2.

    All arithmetic is float64. The value is exact for singular covariances, fewer samples than dimensions included; it
    is biased upwards for few samples whatever the arithmetic, so compare it with that of two sets of real samples.
    """
    both = as_pair(real, fake, fewest=2)
    if all(len(rows) > rows.shape[1] for rows in both):
        (mean1, covariance1), (mean2, covariance2) = map(gaussian_statistics, both)
        return _distance_of_covariances(mean1 - mean2, covariance1, covariance2)
    (mean1, factor1), (mean2, factor2) = map(_fitted, both)
    return _distance(mean1 - mean2, factor1, factor2)


def frechet_from_statistics(
    mean1: ArrayLike, covariance1: ArrayLike, mean2: ArrayLike, covariance2: ArrayLike
) -> float:
    """The squared Frechet distance between two Gaussians of means (d,) and covariances (d, d), which are symmetric and
    positive semi-definite but for rounding."""
    first, second = (as_tensor(mean).double().cpu() for mean in (mean1, mean2))
    if first.ndim != 1 or first.shape != second.shape or not (first.isfinite().all() and second.isfinite().all()):
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise UserError(f"the means have shapes {shapes}; give two rows of finite numbers, equally long")
    for mean, name in ((first, "the first mean"), (second, "the second mean")):
        require_squares(mean, name)
    checked = []
    for covariance, name in ((covariance1, "the first covariance"), (covariance2, "the second covariance")):
        matrix, size = as_tensor(covariance).double().cpu(), len(first)
        if matrix.shape != (size, size):
            raise UserError(f"{name} has shape {tuple(matrix.shape)}; give {size} x {size} numbers, like the means")
        if matrix.diagonal().min() < 0:
            raise UserError(f"{name} has a negative variance; give the covariance of rows of features")
        # Written so that nan and infinity fail too.
        if not float((matrix - matrix.T).abs_().max()) <= 1e-6 * float(matrix.diagonal().max()):
            raise UserError(f"{name} is not symmetric or not finite; give the covariance of rows of features")
        if matrix.diagonal().max() > LARGEST**2:
            raise UserError(f"{name} has variances beyond {LARGEST**2:g}, of which no sum is finite; rescale all rows")
        checked.append(matrix)
    return _distance_of_covariances(first - second, *checked)


def frechet_latent_distance(codes: ArrayLike) -> float:
    """The squared Frechet distance from the codes of an encoder, shape (n, d), n at least 2, to the prior N(0, I).

    IVAAE (2020) reports it as "FLD", a name that at least two other metrics bear.
    """
    rows = as_rows(codes, "codes", fewest=2)
    require_squares(rows, "codes")
    mean, factor = _fitted(rows)
    return _distance(mean, factor, torch.eye(len(mean), dtype=torch.float64, device=mean.device))


def gaussian_statistics(samples: ArrayLike) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of samples (n, d), n at least 2, in float64."""
    rows = as_rows(samples, "samples", fewest=2)
    require_squares(rows, "samples")
    mean = mean_of(rows)
    total = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=rows.device)
    for _, part in parts(rows):
        centred = part.double() - mean
        total.addmm_(centred.T, centred)
    return mean, total / (len(rows) - 1)


@held(limit=1, seed=0)
def wasserstein(samples: ArrayLike, reference: ArrayLike, *, order: int = 1, limit: int = 1000, seed: int = 0) -> float:
    """The exact order-`order` Wasserstein distance (L2 ground distance) between equally large subsets: it sees missed
    modes, wrong weights and contracted modes alike.

    From each set the same number of points, min(N, M, `limit`), is drawn without replacement (seeded), and the best
    one-to-one assignment is solved (cubic in that number: 1000 points take well below a second). The distance of two
    finite sets of the *same* law is not 0: print beside it the distance of a second ideal sample.

    Args:
        samples, reference: finite points, shapes (N, d) and (M, d), in the data's units, as is the result.
        order: 1 (the earth mover's distance) or 2.
    """
    points, targets = as_floats(samples), as_floats(reference)
    if points.ndim != 2 or targets.ndim != 2 or not points.size or points.shape[1:] != targets.shape[1:]:
        raise UserError(f"samples {points.shape} and reference {targets.shape} must be rows of equally many numbers")
    if not len(targets) or not (np.isfinite(points).all() and np.isfinite(targets).all()):
        raise UserError("a Wasserstein distance needs at least one reference row and finite numbers throughout")
    for each, name in ((points, "samples"), (targets, "reference")):
        require_squares(torch.from_numpy(np.ascontiguousarray(each)), name)
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


def _fitted(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of `rows`, and A with A'A their unbiased covariance, of at most min(n - 1, d) rows."""
    count, dimensions = rows.shape
    if count - 1 >= dimensions:
        mean, covariance = gaussian_statistics(rows)
        return mean, _factor_of_covariance(covariance)
    mean = mean_of(rows)
    centred = rows.double() - mean
    # Centred rows sum to zero. A reflection that takes (1, ..., 1) to the first axis leaves n - 1 of them, with the
    # same products; without it the matrix of products would have a needless eigenvalue zero.
    return mean, (centred[1:] + centred[0] / (math.sqrt(count) - 1)) / math.sqrt(count - 1)


def _pivoted(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Cholesky's factor U by descending pivots, upper triangular, of r rows, the numerical rank: cut off where only
    rounding is left. And the order (d,) in which it takes the dimensions: U'U is the covariance of these."""
    from scipy.linalg.lapack import dpstrf

    tolerance = 4 * len(covariance) * _EPSILON * max(float(covariance.diagonal().max()), 0.0)
    # A symmetric matrix transposed is itself, in LAPACK's order of memory.
    upper, pivots, rank, _ = dpstrf(covariance.cpu().numpy().T, tol=tolerance, lower=0)
    return torch.from_numpy(upper).triu_()[:rank], torch.from_numpy(pivots.astype("int64") - 1)


def _factor_of_covariance(covariance: Tensor) -> Tensor:
    """A of r rows, the numerical rank, with A'A the covariance."""
    upper, order = _pivoted(covariance)
    factor = torch.zeros_like(upper)
    factor[:, order] = upper
    return factor.to(covariance.device)


def _unit(*lengths: float) -> float:
    """A power of two near the largest of these, in which no product of four is lost or overflows; 1 where none does."""
    exponent = math.frexp(max(lengths))[1]
    return 1.0 if abs(exponent) < 200 else 2.0**exponent


def _largest(numbers: Tensor) -> float:
    return float(numbers.abs().max()) if numbers.numel() else 0.0


def _distance_of_covariances(difference: Tensor, covariance1: Tensor, covariance2: Tensor) -> float:
    unit = _unit(*(math.sqrt(float(c.diagonal().max())) for c in (covariance1, covariance2)), _largest(difference))
    if unit == 1:
        return _of_covariances(difference, covariance1, covariance2)
    return unit**2 * _of_covariances(difference / unit, covariance1 / unit**2, covariance2 / unit**2)


def _of_covariances(difference: Tensor, covariance1: Tensor, covariance2: Tensor) -> float:
    upper, order = _pivoted(covariance1)
    if len(upper) == len(difference):
        from scipy.linalg.lapack import dsygst

        squares = float(difference @ difference + covariance1.trace() + covariance2.trace())
        turned = covariance2.cpu()[order][:, order].numpy().T
        product = torch.from_numpy(dsygst(turned, upper.numpy(), itype=2, lower=0, overwrite_a=1)[0])
        roots = torch.linalg.eigvalsh(product.T, UPLO="L").flip(0).clamp(min=0).sqrt()
        # The rows of U descend, and with them U S2 U' and its errors: of element (i, j) at most about |Ui| |S2| |Uj|.
        if not _astray(roots, 8 * _EPSILON * float(covariance2.norm()) * upper.square().sum(1), squares):
            return max(0.0, squares - 2 * float(roots.sum()))
    return _of_factors(difference, _factor_of_covariance(covariance1), _factor_of_covariance(covariance2))


def _astray(roots: Tensor, error: Tensor, squares: float) -> bool:
    """Whether errors of the eigenvalues, largest first, may make the sum of their roots too inexact for a distance."""
    wrong = torch.minimum(error / (2 * roots.clamp(min=1e-300)), error.sqrt()).sum()
    return bool(wrong > _ENOUGH * max(1e-3 * squares, squares - 2 * float(roots.sum())))


def _distance(difference: Tensor, factor1: Tensor, factor2: Tensor) -> float:
    unit = _unit(*map(_largest, (difference, factor1, factor2)))
    if unit == 1:
        return _of_factors(difference, factor1, factor2)
    return unit**2 * _of_factors(difference / unit, factor1 / unit, factor2 / unit)


def _of_factors(difference: Tensor, factor1: Tensor, factor2: Tensor) -> float:
    squares = float(difference @ difference + factor1.square().sum() + factor2.square().sum())
    if not min(len(factor1), len(factor2)):
        return max(0.0, squares)

    # The eigenvalues of the smaller matrix of products are several times as fast as the singular values of A B'.
    matrix = factor1 @ factor2.T
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    products = wide @ wide.T
    roots = torch.linalg.eigvalsh(products).flip(0).clamp(min=0).sqrt()

    # Cholesky factors come with descending rows, and of a matrix so graded LAPACK's reduction finds small eigenvalues
    # with an error that is small against what is left below and right of them, not merely against the largest. Where
    # that matters for the roots of small ones, the singular values themselves are taken.
    error = 8 * _EPSILON * products.diagonal().flip(0).cummax(0).values.flip(0)
    if _astray(roots, error, squares):
        roots = torch.linalg.svdvals(wide)
    # By rounding alone may the difference fall below zero, which the distance cannot.
    return max(0.0, squares - 2 * float(roots.sum()))
