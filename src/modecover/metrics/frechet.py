"""The Frechet distance between the Gaussians fitted to two sets of points (Heusel et al. 2017, "FID" on Inception).

    |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

With any factors S1 = A'A and S2 = B'B the last trace is the sum of the singular values of A B' (the nuclear norm). So
no matrix square root is taken, a singular covariance is nothing special, and n samples of more than n dimensions
need no covariance at all: their centred rows are the factor, and the work is that of an n x n matrix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, as_pair, as_rows, as_tensor, mean_of, parts

_EPSILON = torch.finfo(torch.float64).eps
_ENOUGH = 1e-10
"""Relative error below which the faster way to the singular values is trusted."""


def frechet_distance(real: ArrayLike, fake: ArrayLike) -> float:
    """The squared Frechet distance between the Gaussians with the sets' means and unbiased covariances.

    All arithmetic is float64. The value is exact for singular covariances, fewer samples than dimensions included; it
    is biased upwards for few samples whatever the arithmetic, so compare it with that of two sets of real samples.

    Args:
        real, fake: features, shapes (n, d) and (m, d), n and m at least 2.

    Raises:
        UserError: the shapes do not fit, or a number is not finite.
    """
    first, second = as_pair(real, fake, fewest=2)
    mean1, mean2 = mean_of(first), mean_of(second)
    factor1, factor2 = _factor_of_rows(first, mean1), _factor_of_rows(second, mean2)
    return _distance(mean1 - mean2, factor1, factor2)


def frechet_from_statistics(
    mean1: ArrayLike, covariance1: ArrayLike, mean2: ArrayLike, covariance2: ArrayLike
) -> float:
    """The squared Frechet distance between two Gaussians.

    Args:
        mean1, mean2: shape (d,).
        covariance1, covariance2: symmetric and positive semi-definite but for rounding, shape (d, d).

    Raises:
        UserError: the shapes do not fit, a number is not finite, or a matrix is no covariance.
    """
    first, second = as_tensor(mean1).double(), as_tensor(mean2).double()
    if first.ndim != 1 or first.shape != second.shape or not (first.isfinite().all() and second.isfinite().all()):
        raise UserError(
            f"the means have shapes {tuple(first.shape)} and {tuple(second.shape)}; give two rows of finite numbers,"
            " equally long"
        )
    factor1 = _factor_of_covariance(_checked(covariance1, len(first), "the first covariance"))
    factor2 = _factor_of_covariance(_checked(covariance2, len(first), "the second covariance"))
    return _distance(first - second, factor1, factor2)


def frechet_latent_distance(codes: ArrayLike) -> float:
    """The squared Frechet distance from the codes of an encoder to the prior N(0, I).

        |mu|^2 + tr (S + I - 2 S^(1/2))

    IVAAE (2020) reports it as "FLD", a name that at least two other metrics bear.

    Args:
        codes: shape (n, d), n at least 2.

    Raises:
        UserError: the codes are not rows of finite numbers, or fewer than 2.
    """
    rows = as_rows(codes, "codes", fewest=2)
    mean = mean_of(rows)
    factor = _factor_of_rows(rows, mean)
    squares = float(mean @ mean) + float(factor.square().sum()) + rows.shape[1]
    return max(0.0, squares - 2 * _sum_of_singular_values(factor, squares))


def gaussian_statistics(samples: ArrayLike) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of samples (n, d), n at least 2, in float64.

    Raises:
        UserError: the samples are not rows of finite numbers, or fewer than 2.
    """
    rows = as_rows(samples, "samples", fewest=2)
    mean = mean_of(rows)
    return mean, _covariance(rows, mean)


def _distance(difference: Tensor, factor1: Tensor, factor2: Tensor) -> float:
    squares = float(difference @ difference + factor1.square().sum() + factor2.square().sum())
    # By rounding alone may the difference fall below zero, which the distance cannot.
    return max(0.0, squares - 2 * _sum_of_singular_values(factor1 @ factor2.T, squares))


def _factor_of_rows(rows: Tensor, mean: Tensor) -> Tensor:
    """A with A'A the unbiased covariance, of min(n - 1, d) rows."""
    count, dimensions = rows.shape
    if count - 1 >= dimensions:
        return _factor_of_covariance(_covariance(rows, mean))
    centred = rows.double() - mean
    # Centred rows sum to zero. A reflection that takes (1, ..., 1) to the first axis leaves n - 1 of them, with the
    # same products; without it the matrix of products would have a needless eigenvalue zero.
    return (centred[1:] + centred[0] / (math.sqrt(count) - 1)) / math.sqrt(count - 1)


def _covariance(rows: Tensor, mean: Tensor) -> Tensor:
    total = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=rows.device)
    for _, part in parts(rows):
        centred = part.double() - mean
        total.addmm_(centred.T, centred)
    return total / (len(rows) - 1)


def _factor_of_covariance(covariance: Tensor) -> Tensor:
    """A of r rows, the numerical rank, with A'A the covariance: Cholesky's factor by descending pivots, cut off where
    only rounding is left."""
    from scipy.linalg.lapack import dpstrf

    size = len(covariance)
    tolerance = 4 * size * _EPSILON * max(float(covariance.diagonal().max()), 0.0)
    upper, pivots, rank, _ = dpstrf(covariance.cpu().numpy(), tol=tolerance, lower=0)
    factor = torch.zeros(rank, size, dtype=torch.float64)
    factor[:, torch.from_numpy(pivots.astype("int64") - 1)] = torch.from_numpy(upper[:rank].copy()).triu()
    return factor.to(covariance.device)


def _sum_of_singular_values(matrix: Tensor, scale: float) -> float:
    """The nuclear norm, its error small against the distance it is for, whose other terms sum to `scale`.

    The eigenvalues of the smaller matrix of products are several times as fast as the singular values, and the
    singular values themselves are taken where rounding would matter for the roots of small eigenvalues.
    """
    if not matrix.numel():
        return 0.0
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    products = wide @ wide.T
    values = torch.linalg.eigvalsh(products).flip(0).clamp(min=0)
    roots = values.sqrt()
    # Cholesky factors come with descending rows, and of a matrix so graded LAPACK's reduction finds small eigenvalues
    # with an error that is small against what is left below and right of them, not merely against the largest.
    below = products.diagonal().flip(0).cummax(0).values.flip(0)
    error = 8 * _EPSILON * below
    wrong = torch.minimum(error / (2 * roots.clamp(min=1e-300)), error.sqrt()).sum()
    if wrong > _ENOUGH * max(1e-3 * scale, scale - 2 * float(roots.sum())):
        return float(torch.linalg.svdvals(wide).sum())
    return float(roots.sum())


def _checked(covariance: ArrayLike, size: int, name: str) -> Tensor:
    matrix = as_tensor(covariance).double()
    if matrix.shape != (size, size):
        raise UserError(f"{name} has shape {tuple(matrix.shape)}; give {size} x {size} numbers, like the means")
    if matrix.diagonal().min() < 0:
        raise UserError(f"{name} has a negative variance; give the covariance of rows of features")
    # Written so that nan and infinity fail too.
    if not float((matrix - matrix.T).abs_().max()) <= 1e-6 * float(matrix.diagonal().max()):
        raise UserError(f"{name} is not symmetric or not finite; give the covariance of rows of features")
    return matrix
