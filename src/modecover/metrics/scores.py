"""Scores of a classifier's opinion of generated samples: the inception score and both MODE scores in use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Floats, as_floats
from modecover.metrics.labels import as_law, kl

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ModeScores:
    """The two MODE scores in use. p is the training data's law of labels, p* the generated samples'."""

    as_printed: float
    """exp(E KL(p(y|x) || p) - KL(p* || p)), equation 4 of Che et al. 2017 (MDGAN).

    With p* the mean of p(y|x) this *is* the inception score, whatever p: log p cancels between the terms.
    A missing mode shows in it no more than in that score."""
    penalised: float
    """exp(E KL(p(y|x) || p*) - KL(p* || p)): the inception score over the exponential of the divergence between the
    laws, the form in which the penalty that the text describes takes effect."""


def inception_score(probabilities: ArrayLike) -> float:
    """exp(E KL(p(y|x) || p*)), p* the mean of p(y|x) (Salimans et al. 2016); from 1 to the number of classes.

    Args:
        probabilities: a classifier's opinion of each sample, shape (N, classes), rows summing to 1.

    Raises:
        UserError: the rows are not probabilities.
    """
    opinions = _checked(probabilities)
    return math.exp(_mean_divergence(opinions, opinions.mean(axis=0)))


def mode_scores(probabilities: ArrayLike, reference: ArrayLike) -> ModeScores:
    """Both MODE scores of generated samples.

    Args:
        probabilities: a classifier's opinion of each generated sample, shape (N, classes), rows summing to 1.
        reference: the training data's law of labels, weights of any sum, shape (classes,); `label_law` makes it. Where
            it has no weight on a class that the samples have, `penalised` is 0 and `as_printed` undefined (nan).

    Raises:
        UserError: the rows are not probabilities, or the reference is not one weight for each class.
    """
    opinions = _checked(probabilities)
    law = as_law(reference, opinions.shape[1])
    generated = opinions.mean(axis=0)
    divergence = kl(generated, law)
    if math.isinf(divergence):
        return ModeScores(as_printed=math.nan, penalised=0.0)
    return ModeScores(
        as_printed=math.exp(_mean_divergence(opinions, law) - divergence),
        penalised=math.exp(_mean_divergence(opinions, generated) - divergence),
    )


def _mean_divergence(opinions: Floats, law: Floats) -> float:
    from scipy.special import rel_entr

    return max(0.0, float(rel_entr(opinions, law).sum(axis=1).mean()))


def _checked(probabilities: ArrayLike) -> Floats:
    opinions = as_floats(probabilities)
    if opinions.ndim != 2 or not opinions.size:
        raise UserError(f"probabilities have shape {opinions.shape}; give one row of class probabilities per sample")
    if not np.isfinite(opinions).all() or opinions.min() < 0 or np.abs(opinions.sum(1) - 1).max() > _SUM_TOLERANCE:
        raise UserError("probabilities must be at least 0 and sum to 1 in every row; apply softmax to scores first")
    return np.asarray(opinions / opinions.sum(axis=1, keepdims=True))
