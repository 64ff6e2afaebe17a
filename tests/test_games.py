"""Adversarial games against what their papers write for a linear discriminator D(x) = w . x + v, in NumPy.

The slope of D in x is w everywhere: the gradient penalty is (|w| - 1)^2, and R1 and R2 are |w|^2.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modecover.losses import GAMES

W, V = np.array([0.8, -0.5, 1.1]), 0.3
G = np.random.default_rng(4)
X, Y = G.normal(1.0, 1.0, (6, 3)), G.normal(-0.5, 1.5, (6, 3))
NORM = np.linalg.norm(W)


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def scores():
    return X @ W + V, Y @ W + V


def mean_slope(of_real, of_fake):
    """d/dw of a loss whose derivatives in the scores are given, row by row, before the mean."""
    return (of_real @ X + of_fake @ Y) / len(X)


def expected(name):
    """D's terms, their gradient in w; G's loss, its gradient in y."""
    s, t = scores()
    one = np.ones(6)
    if name in ("bce", "minimax"):
        terms = {"real": -np.log(sigmoid(s)).mean(), "fake": -np.log(1 - sigmoid(t)).mean()}
        of_d = mean_slope(sigmoid(s) - 1, sigmoid(t))
        if name == "bce":
            return terms, of_d, -np.log(sigmoid(t)).mean(), sigmoid(t) - 1
        return terms, of_d, np.log(1 - sigmoid(t)).mean(), -sigmoid(t)
    if name == "ls":
        terms = {"real": ((s - 1) ** 2).mean() / 2, "fake": ((t + 1) ** 2).mean() / 2}
        return terms, mean_slope(s - 1, t + 1), (t**2).mean() / 2, t
    if name == "hinge":
        terms = {"real": np.maximum(0, 1 - s).mean(), "fake": np.maximum(0, 1 + t).mean()}
        return terms, mean_slope(-one * (s < 1), one * (t > -1)), -t.mean(), -one
    if name == "wgan-gp":
        terms = {"real": -s.mean(), "fake": t.mean(), "penalty": 10 * (NORM - 1) ** 2}
        return terms, mean_slope(-one, one) + 20 * (NORM - 1) * W / NORM, -t.mean(), -one
    terms = {"pairs": -np.log(sigmoid(s - t)).mean(), "r1": NORM**2 / 2, "r2": NORM**2 / 2}
    slope = sigmoid(s - t) - 1
    return terms, mean_slope(slope, -slope) + 2 * W, -np.log(sigmoid(t - s)).mean(), sigmoid(t - s) - 1


@pytest.mark.parametrize("name", GAMES)
def test_a_game_is_its_papers(name):
    w = torch.tensor(W, requires_grad=True)
    x, y = torch.tensor(X), torch.tensor(Y, requires_grad=True)
    terms, of_d, of_g, slope = expected(name)

    def judge(rows):
        return rows @ w + V

    found = GAMES[name].discriminator(judge, x, y.detach())
    assert {term: value.item() for term, value in found.items()} == pytest.approx(terms, rel=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(sum(found.values()), w)[0], of_d, rtol=1e-10)
    loss = GAMES[name].generator(judge, x, y)
    assert loss.item() == pytest.approx(of_g, rel=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(loss, y)[0], slope[:, None] * W / 6, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", GAMES)
def test_d_tells_real_above_fake_and_g_raises_its_rows(name):
    """In words: a step of D widens the margin between x and y, a step of G moves y up D's slope (here x and y far)."""
    w = torch.tensor(0.01 * W, requires_grad=True)
    x, y = torch.tensor(X), torch.tensor(Y, requires_grad=True)
    (of_d,) = torch.autograd.grad(sum(GAMES[name].discriminator(lambda r: r @ w, x, y.detach()).values()), w)
    assert -of_d @ (x.mean(0) - y.detach().mean(0)) > 0
    low = y - 20 * torch.tensor(W)
    (of_g,) = torch.autograd.grad(GAMES[name].generator(lambda r: r @ torch.tensor(W), x, low), y)
    assert (-of_g @ torch.tensor(W)).mean() > 0
