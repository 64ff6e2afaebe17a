"""Laws of modes and their divergences: where a classifier names the mode of every sample, or gives its opinion of it.

An imperfect classifier scatters a few samples of a collapsed generator over modes it never makes, so that "at least
one sample" overcounts; "at least five" does not. Both are reported. The divergences of N counted samples are not 0
even for a perfect sampler: `expected_floor` says what to expect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from modecover.arguments import held
from modecover.errors import UserError
from modecover.limits import require_memory
from modecover.metrics.arrays import ArrayLike, Floats, Integers, as_floats, as_labels

ENOUGH = 5
"""The stricter mode count asks for at least this many samples."""


@dataclass(frozen=True)
class LabelModes:
    """What the labels of `samples` samples say about `modes` modes. Divergences in nats."""

    samples: int
    modes: int
    modes_any: int
    """Modes with at least one sample."""
    modes_enough: int
    """Modes with at least five samples: robust against a classifier's scattered errors."""
    kl_uniform: float
    """KL(generated || uniform)."""
    kl_reference: float | None
    """KL(generated || reference law), infinite where a generated mode has no reference; None without one."""
    reverse_kl_uniform: float
    """KL(uniform || generated), one added to every count (Laplace)."""
    reverse_kl_reference: float | None
    """KL(reference law || generated), one added to every count (Laplace); None without a reference."""


@held(modes=1)
def label_modes(labels: ArrayLike, modes: int, *, reference: ArrayLike | None = None) -> LabelModes:
    """Count the modes among `labels` and compare their law with the uniform one and with `reference`.

    Args:
        labels: the mode of every sample, whole numbers in [0, modes), shape (N,), N >= 1.
        reference: the law to compare with, for instance the training data's: non-negative weights of any sum,
            shape (modes,); `label_law` makes them from labels.
    """
    counts = np.bincount(as_labels(labels, modes), minlength=modes).astype(np.int64)
    kl_uniform, reverse_kl_uniform = divergences(counts, as_law(None, modes))
    of_reference = (None, None) if reference is None else divergences(counts, as_law(reference, modes))
    return LabelModes(
        samples=int(counts.sum()),
        modes=modes,
        modes_any=int((counts > 0).sum()),
        modes_enough=int((counts >= ENOUGH).sum()),
        kl_uniform=kl_uniform,
        kl_reference=of_reference[0],
        reverse_kl_uniform=reverse_kl_uniform,
        reverse_kl_reference=of_reference[1],
    )


@held(modes=1)
def label_law(labels: ArrayLike, modes: int) -> Floats:
    """The relative frequencies of `labels` (N,), shape (modes,)."""
    return as_law(np.bincount(as_labels(labels, modes), minlength=modes), modes)


@held(stack=1)
def stacked_law(digits: ArrayLike, stack: int) -> Floats:
    """The law, shape (10 ** stack,), of the numbers that `stack` independent digits form, the first most significant;
    from labels 0..9 of single digits, shape (N,)."""
    single = label_law(digits, 10)
    require_memory(f"The shares of {stack} digits' numbers", 16.0 * 10.0 ** min(stack, 99), "stack fewer digits")
    law = np.ones(1)
    for _ in range(stack):
        law = np.outer(law, single).ravel()
    return law


@dataclass(frozen=True)
class Floor:
    """Mean and standard deviation of the divergence that a perfect sampler shows for want of samples, nats."""

    mean: float
    std: float
    repeats: int


@held(samples=1, modes=1, repeats=2, seed=0)
def expected_floor(
    samples: int, modes: int, law: ArrayLike | None = None, *, repeats: int = 20, seed: int = 0
) -> Floor:
    """Monte Carlo floor of `LabelModes.kl_uniform` at `samples` samples over `repeats` >= 2; for a uniform truth about
    (modes - 1) / (2 samples).

    The perfect sampler draws from `law`, weights of shape (modes,); None: uniform. Another adds its own
    KL(law || uniform).
    """
    uniform = as_law(None, modes)
    draws = np.random.default_rng(seed).multinomial(samples, as_law(law, modes), size=repeats)
    values = np.array([divergences(counts, uniform)[0] for counts in draws])
    return Floor(mean=float(values.mean()), std=float(values.std(ddof=1)), repeats=repeats)


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

    `probabilities`: a classifier's opinion of each sample, shape (N, classes), rows summing to 1.
    """
    opinions = _as_opinions(probabilities)
    return math.exp(_kl(opinions, opinions.mean(axis=0)))


def mode_scores(probabilities: ArrayLike, reference: ArrayLike) -> ModeScores:
    """Both MODE scores of generated samples.

    Args:
        probabilities: as for `inception_score`.
        reference: the training data's law of labels, weights of any sum, shape (classes,); `label_law` makes it. Where
            it has no weight on a class that the samples have, `penalised` is 0 and `as_printed` undefined (nan).
    """
    opinions = _as_opinions(probabilities)
    law = as_law(reference, opinions.shape[1])
    generated = opinions.mean(axis=0)
    divergence = _kl(generated, law)
    if math.isinf(divergence):
        return ModeScores(as_printed=math.nan, penalised=0.0)
    return ModeScores(
        as_printed=math.exp(_kl(opinions, law) - divergence),
        penalised=math.exp(_kl(opinions, generated) - divergence),
    )


def as_law(weights: ArrayLike | None, size: int) -> Floats:
    """Probabilities (size,) from `size` finite, non-negative weights of a positive sum; None is the uniform law."""
    require_memory(f"The shares of {size:,} modes", 16.0 * size, "count fewer modes")
    if weights is None:
        return np.full(size, 1.0 / size)
    law = as_floats(weights)
    if law.shape != (size,) or not np.isfinite(law).all() or (law < 0).any() or law.sum() <= 0:
        raise UserError(f"a law over {size} modes needs {size} finite weights, none negative, with a positive sum")
    return np.asarray(law / law.sum())


def divergences(counts: Integers, law: Floats) -> tuple[float, float]:
    """KL(model || law) of the plain frequencies of `counts`; and KL(law || model) with one added to every count
    (Laplace), so that a missed mode costs a finite amount.

    nan where nothing was counted: the added ones alone would read as a uniform model.
    """
    total = counts.sum()
    if not total:
        return math.nan, math.nan
    return _kl(counts / total, law), _kl(law, (counts + 1) / (total + len(counts)))


def _kl(p: Floats, q: Floats) -> float:
    """KL(p || q), or its mean over the rows of `p`; infinite where q misses an outcome of p."""
    from scipy.special import rel_entr

    # Rounding may leave a few 1e-17 below zero, where the divergence cannot be.
    return max(0.0, float(rel_entr(p, q).sum(axis=-1).mean()))


def _as_opinions(probabilities: ArrayLike) -> Floats:
    opinions = as_floats(probabilities)
    if opinions.ndim != 2 or not opinions.size:
        raise UserError(f"probabilities have shape {opinions.shape}; give one row of class probabilities per sample")
    if not np.isfinite(opinions).all() or opinions.min() < 0 or np.abs(opinions.sum(axis=1) - 1).max() > 1e-3:
        raise UserError("probabilities must be at least 0 and sum to 1 in every row; apply softmax to scores first")
    return np.asarray(opinions / opinions.sum(axis=1, keepdims=True))
