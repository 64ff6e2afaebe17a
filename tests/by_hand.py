"""Linear networks and the papers' losses in NumPy, with every derivative written by hand.

G(z) = A z + b        E(x) = C x + c
D: features T x, score w . T x + v, classifier logits U T x + u
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = dict[str, Array]


class Affine:
    """x -> W x + b. `pull(x, g)` turns dL/doutput (B, o) into ({dL/dW, dL/db}, dL/dx)."""

    def __init__(self, weights: Weights):
        self.weights = weights

    def __call__(self, x: Array) -> Array:
        return x @ self.weights["weight"].T + self.weights["bias"]

    def pull(self, x: Array, g: Array) -> tuple[Weights, Array]:
        return {"weight": g.T @ x, "bias": g.sum(0)}, g @ self.weights["weight"]


class Judge:
    """The discriminator: a trunk T, a score and a classifier on it."""

    def __init__(self, weights: Weights):
        self.weights = weights

    def features(self, x: Array) -> Array:
        return x @ self.weights["trunk"].T

    def score(self, x: Array) -> Array:
        return self.features(x) @ self.weights["score"] + self.weights["score_bias"]

    def logits(self, x: Array) -> Array:
        return self.features(x) @ self.weights["classes"].T + self.weights["classes_bias"]

    def pull(self, x: Array, *, score: Any = 0.0, logits: Any = 0.0, features: Any = 0.0) -> tuple[Weights, Array]:
        """({dL/dweights}, dL/dx) from dL/dscore (B,), dL/dlogits (B, k) and dL/dfeatures (B, m)."""
        w, phi = self.weights, self.features(x)
        score = np.broadcast_to(score, len(x))
        logits = np.broadcast_to(logits, (len(x), len(w["classes"])))
        dphi = features + score[:, None] * w["score"] + logits @ w["classes"]
        own = {
            "trunk": dphi.T @ x,
            "score": score @ phi,
            "score_bias": score.sum(),
            "classes": logits.T @ phi,
            "classes_bias": logits.sum(0),
        }
        return own, dphi @ w["trunk"]


def added(*weights: Weights) -> Weights:
    return {name: sum(w[name] for w in weights) for name in weights[0]}


# ------------------------------------------------------------------- losses with their derivatives: (value, dvalue)

Piece = tuple[float, Array]


def sigmoid(s: Array) -> Array:
    return 1 / (1 + np.exp(-s))


def minus_log(s: Array) -> Piece:
    """-E log D, D = sigmoid(s). d/ds = -(1 - D)."""
    return float(-np.log(sigmoid(s)).mean()), -(1 - sigmoid(s)) / len(s)


def minus_log_not(s: Array) -> Piece:
    """-E log(1 - D). d/ds = D."""
    return float(-np.log(1 - sigmoid(s)).mean()), sigmoid(s) / len(s)


def half_square(s: Array, target: float) -> Piece:
    return float(((s - target) ** 2).mean() / 2), (s - target) / len(s)


def mean_of(s: Array) -> Piece:
    return float(s.mean()), np.full_like(s, 1 / len(s))


def mean_square(y: Array, x: Array) -> Piece:
    return float(((y - x) ** 2).mean()), 2 * (y - x) / y.size


def mean_absolute(y: Array, x: Array) -> Piece:
    return float(np.abs(y - x).mean()), np.sign(y - x) / y.size


def cross_entropy(logits: Array, i: NDArray[np.int64]) -> Piece:
    """E -log softmax_i. d/dlogits = softmax - one-hot."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return float(-np.log(p[np.arange(len(i)), i]).mean()), (p - np.eye(logits.shape[1])[i]) / len(i)


def matching_kl(codes: Array) -> Piece:
    """LDMGAN eq. 10, its logarithm of sigma^2 + 1e-8. With dmu/dc = 1/B and dsigma^2/dc = 2 (c - mu)/B:
    (mu + (c - mu)(1 - 1/(sigma^2 + 1e-8))) / B.
    """
    mu, variance = codes.mean(0), codes.var(0)
    value = ((mu**2 + variance) / 2 - np.log(np.sqrt(variance + 1e-8))).sum() - codes.shape[1] / 2
    return float(value), (mu + (codes - mu) * (1 - 1 / (variance + 1e-8))) / len(codes)


def times(weight: float, piece: Piece) -> Piece:
    return weight * piece[0], weight * piece[1]


def game(loss: str, s: Array) -> dict[str, Piece]:
    """The pieces of an adversarial game at scores s: D's loss on real and on fake samples, and G's."""
    if loss == "ls":
        return {"real": half_square(s, 1), "fake": half_square(s, -1), "generator": half_square(s, 0)}
    if loss == "hinge":
        n = len(s)
        real = (float(np.maximum(0, 1 - s).mean()), -1.0 * (s < 1) / n)
        fake = (float(np.maximum(0, 1 + s).mean()), 1.0 * (s > -1) / n)
        return {"real": real, "fake": fake, "generator": times(-1, mean_of(s))}
    if loss == "wasserstein":
        return {"real": times(-1, mean_of(s)), "fake": mean_of(s), "generator": times(-1, mean_of(s))}
    generator = minus_log(s) if loss == "nonsaturating" else times(-1, minus_log_not(s))
    return {"real": minus_log(s), "fake": minus_log_not(s), "generator": generator}


def fool(D: Any, y: Array, loss: str, weight: float = 1.0) -> Piece:
    """G's game at samples y: (value, dvalue/dy)."""
    value, d = times(weight, game(loss, D.score(y))["generator"])
    return value, D.pull(y, score=d)[1]
