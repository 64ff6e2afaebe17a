"""The Vendi score (Friedman and Dieng 2022): how many different samples a set effectively has."""

from __future__ import annotations

import torch
from torch import Tensor

from modecover.metrics.arrays import ArrayLike
from modecover.metrics.rows import as_rows, parts


def vendi_score(samples: ArrayLike) -> float:
    """The exponential of the entropy of the eigenvalues of K / n, K the cosines between all pairs of rows.

    It is 1 for equal rows and n for n orthogonal ones. K / n and the d x d matrix of the normalised rows' products have
    the same eigenvalues but for zeros, so that the smaller of the two is taken: memory and time grow with n no faster
    than linearly. A row of zeros, which has no direction, counts as one of its own, equal to other such rows.

    Args:
        samples: features, shape (n, d). Cosines depend on the origin; where it means nothing,
            centre the rows first.

    Raises:
        UserError: the samples are not rows of finite numbers.
    """
    rows = as_rows(samples, "samples")
    count, dimensions = rows.shape
    if count <= dimensions:
        directions = _directions(rows)
        products = directions @ directions.T
    else:
        products = torch.zeros(dimensions + 1, dimensions + 1, dtype=torch.float64, device=rows.device)
        for _, part in parts(rows):
            directions = _directions(part)
            products.addmm_(directions.T, directions)
    shares = torch.linalg.eigvalsh(products / count).clamp(min=0)
    return float(torch.special.entr(shares).sum().exp())


def _directions(rows: Tensor) -> Tensor:
    """Rows of length 1, with one column more, which is 1 for rows of zeros and 0 for all others."""
    values = rows.double()
    # Divided by their largest number first, rows neither overflow nor underflow when squared.
    largest = values.abs().amax(dim=1, keepdim=True)
    none = largest == 0
    scaled = values / torch.where(none, 1.0, largest)
    scaled = torch.cat([scaled, none.double()], dim=1)
    return scaled / scaled.norm(dim=1, keepdim=True)
