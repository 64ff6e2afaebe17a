"""The adversarial methods' steps against their papers' algorithm boxes in NumPy; see test_methods_closed_form.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import Array, Judge, Piece, Weights, added, fool, game, sigmoid, times
from linear_world import (
    BATCH,
    DATA,
    LATENT,
    Draws,
    Expected,
    discriminate,
    gradients,
    make_draws,
    make_world,
    play,
    start,
)
from torch import Tensor

from modecover.engine.handle import ForwardOptions, Handle
from modecover.methods import registry


def sngan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Miyato et al. 2018, Algorithm 1 with the hinge of equations 16-17: new x and z for every step."""
    G, D, data, prior = net["G"], net["D"], draws.queue("data"), draws.queue("prior")
    for _ in range(m.critic_steps):
        yield discriminate("D", D, data(), {"fake": G(prior())}, "hinge")
    z = prior()
    value, dy = fool(D, G(z), "hinge")
    yield [("G", {"adversarial": value}, {"G": G.pull(z, dy)[0]})]


def pacgan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Lin et al. 2018, section 2.1: m minibatches side by side are one minibatch of packs."""
    G, D = net["G"], net["D"]
    zs = draws.prior[: m.m]
    y = np.hstack([G(z) for z in zs])
    yield discriminate("D", D, np.hstack(draws.data[: m.m]), {"fake": y}, m.loss)
    value, dy = fool(D, y, m.loss)
    each = [G.pull(z, part)[0] for z, part in zip(zs, np.split(dy, m.m, axis=1), strict=True)]
    yield [("G", {"adversarial": value}, {"G": added(*each)})]


def pairing(higher: Array, lower: Array) -> tuple[float, Array]:
    """E log(1 + exp(lower - higher)) and its derivative in `lower`; that in `higher` is the opposite."""
    return float(np.log(1 + np.exp(lower - higher)).mean()), sigmoid(lower - higher) / len(lower)


def r3gan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Huang et al. 2024, section 2. A linear D has the slope n = T'w everywhere: R1 and R2 are both |n|^2."""
    G, D, x, z = net["G"], net["D"], draws.data[0], draws.prior[0]
    y = G(z)
    value, d = pairing(D.score(x), D.score(y))
    T, w = D.weights["trunk"], D.weights["score"]
    n = w @ T
    zero = {key: np.zeros_like(weight) for key, weight in D.weights.items()}
    # gamma/2 (R1 + R2) = gamma |n|^2, with gradient 2 gamma n in n, and n_j = sum_i w_i T_ij.
    flat = zero | {"trunk": 2 * m.gamma * np.outer(w, n), "score": 2 * m.gamma * T @ n}
    penalty = m.gamma / 2 * n @ n
    grads = added(D.pull(x, score=-d)[0], D.pull(y, score=d)[0], flat)
    yield [("D", {"pairs": value, "r1": penalty, "r2": penalty}, {"D": grads})]
    value, d = pairing(D.score(y), D.score(x))
    yield [("G", {"adversarial": value}, {"G": G.pull(z, D.pull(y, score=-d)[1])[0]})]


def judged_pairs(D: Judge, x: Array, z: Array, piece: str) -> tuple[float, Array, Array]:
    """The cross-entropy of D at pairs (x, z), and its derivatives in x and in z."""
    pair = np.hstack([x, z])
    value, d = game("nonsaturating", D.score(pair))[piece]
    dx, dz = np.split(D.pull(pair, score=d)[1], [x.shape[1]], axis=1)
    return value, dx, dz


def code_of(m: Any, E: Any, x: Array, noise: Array | None) -> tuple[Array, Any]:
    """E's code, and what turns dL/dcode into E's gradient: of the code itself or of the Gaussian it was drawn from."""
    moments = E(x)
    if noise is None:
        return moments, lambda d: E.pull(x, d)[0]
    mean, deviation = moments[:, :LATENT], np.exp(moments[:, LATENT:] / 2)
    # code = mean + exp(l/2) noise: the slope in the log variance l is exp(l/2) noise / 2.
    return mean + deviation * noise, lambda d: E.pull(x, np.hstack([d, d * deviation * noise / 2]))[0]


def bigan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Donahue et al. 2017, equation 3; Dumoulin et al. 2017, Algorithm 1 with D first; G and E on exchanged labels."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    y = G(z)
    code, pull = code_of(m, E, x, draws.normal[0] if m.encoder == "gaussian" else None)
    yield discriminate("D", D, np.hstack([x, code]), {"fake": np.hstack([y, z])}, "nonsaturating")
    encoder, _, dcode = judged_pairs(D, x, code, "fake")
    generator, dy, _ = judged_pairs(D, y, z, "real")
    yield [("G+E", {"encoder": encoder, "generator": generator}, {"G": G.pull(z, dy)[0], "E": pull(dcode)})]


def veegan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Srivastava et al. 2017, Algorithm 1: its three gradients before any move, with the sign of D turned."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    y, code = G(z), E(x)
    [of_d] = discriminate("D", D, np.hstack([x, code]), {"fake": np.hstack([y, z])}, "nonsaturating")
    difference = E(y) - z
    error: Piece = times(m.reconstruction, (float((difference**2).sum() / BATCH), 2 * difference / BATCH))
    of_e, dy = E.pull(y, error[1])
    pair = np.hstack([y, z])
    slope = D.pull(pair, score=-1 / BATCH)[1][:, :DATA]
    of_g = G.pull(z, dy + slope)[0]
    terms = {"ratio": -D.score(pair).mean(), "reconstruction": error[0]}
    yield [of_d, ("E", {"reconstruction": error[0]}, {"E": of_e}), ("G", terms, {"G": of_g})]


def looked_ahead(m: Any, D: Judge, x: Array, y: Array) -> Judge:
    """Metz et al. 2017, equation 7: D after K steps of gradient descent on its loss. Complex numbers pass through."""
    for _ in range(m.unrolled_steps):
        real = D.pull(x, score=-(1 - sigmoid(D.score(x))) / BATCH)[0]
        fake = D.pull(y, score=sigmoid(D.score(y)) / BATCH)[0]
        D = Judge({key: D.weights[key] - m.unrolled_rate * (real[key] + fake[key]) for key in D.weights})
    return D


def unrolled_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Metz et al. 2017, equations 9-11; the surrogate's gradient, through all K steps, by complex differences."""
    G, D, x, z = net["G"], net["D"], draws.data[0], draws.prior[0]

    def surrogate(weights: Weights) -> Any:
        y = z @ weights["weight"].T + weights["bias"]
        ahead = looked_ahead(m, D, x, y)
        real, fake = np.log(sigmoid(ahead.score(x))), sigmoid(ahead.score(y))
        return real.mean(), (-np.log(fake) if m.loss == "nonsaturating" else np.log(1 - fake)).mean()

    of_g: Weights = {}
    for key, value in G.weights.items():
        of_g[key] = np.empty_like(value)
        for place in np.ndindex(value.shape):
            moved = {name: weight.astype(complex) for name, weight in G.weights.items()}
            moved[key][place] += 1e-30j
            of_g[key][place] = sum(surrogate(moved)).imag / 1e-30
    [of_d] = discriminate("D", D, x, {"fake": G(z)}, "nonsaturating")
    real, fake = surrogate(G.weights)
    yield [of_d, ("G", {"real": float(real), "fake": float(fake)}, {"G": of_g})]


CASES: list[tuple[str, dict[str, Any], Any, Draws]] = [
    ("sngan", {}, sngan_box, make_draws(1, 2)),
    ("sngan", {"critic_steps": 3}, sngan_box, make_draws(3, 4)),
    ("pacgan", {}, pacgan_box, make_draws(2, 2)),
    ("pacgan", {"m": 4, "loss": "minimax"}, pacgan_box, make_draws(4, 4)),
    ("pacgan", {"m": 1}, pacgan_box, make_draws(1, 1)),
    ("r3gan", {}, r3gan_box, make_draws(1, 1)),
    ("r3gan", {"gamma": 0.3}, r3gan_box, make_draws(1, 1)),
    ("bigan", {}, bigan_box, make_draws(1, 1)),
    ("bigan", {"encoder": "gaussian"}, bigan_box, make_draws(1, 1, normal=1)),
    ("ali", {}, bigan_box, make_draws(1, 1, normal=1)),
    ("veegan", {}, veegan_box, make_draws(1, 1)),
    ("veegan", {"reconstruction": 0.3}, veegan_box, make_draws(1, 1)),
    ("unrolled", {}, unrolled_box, make_draws(1, 1)),
    ("unrolled", {"unrolled_steps": 2, "unrolled_rate": 0.7}, unrolled_box, make_draws(1, 1)),
    ("unrolled", {"unrolled_steps": 1, "loss": "nonsaturating"}, unrolled_box, make_draws(1, 1)),
    ("unrolled", {"unrolled_steps": 0}, unrolled_box, make_draws(1, 1)),
]


@pytest.mark.parametrize(("name", "settings", "box", "draws"), CASES, ids=[f"{n}-{s}" for n, s, *_ in CASES])
def test_a_step_is_its_papers_algorithm_box(name, settings, box, draws, monkeypatch):
    play(registry.get(name)(**settings), box, draws, monkeypatch)


def test_looking_ahead_moves_the_gradient_of_g_and_only_that():
    """The look ahead matters: with K = 5 the gradient of G is another one than with K = 0, that of D the same."""
    weights, draws = make_world(registry.get("unrolled")()), make_draws(1, 1)
    near, far = (registry.get("unrolled")(unrolled_steps=steps, unrolled_rate=0.5) for steps in (0, 5))
    found = []
    for method in (near, far):
        with pytest.MonkeyPatch.context() as patch:
            networks, updates = start(method, weights, draws, patch)
            found.append([gradients(update, networks, keep=True)[2] for update in next(updates)])
    for key, of_d in found[0][0]["D"].items():
        assert torch.equal(of_d, found[1][0]["D"][key])
    assert (found[0][1]["G"]["weight"] - found[1][1]["G"]["weight"]).abs().max() > 1e-2


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_one_step_ahead_by_hand(loss: str) -> None:
    """D(t) = w t and G(z) = theta z on the line, and the surrogate at w_1 = w - eta f'(w) derived on paper.

    f'(w) = -E (1 - s(w x)) x + E s(w y) y, so that y_j moves w_1 by -eta (s(w y_j) + s'(w y_j) w y_j) / B; and w_1
    moves the term of the data by E (1 - s(w_1 x)) x.
    """
    rate, w, theta = 0.8, 0.6, 0.5
    x, z = np.array([2.0, -0.5, 1.0]), np.array([1.5, 0.4, -1.0])
    y, s = theta * z, sigmoid
    ahead = w - rate * (-((1 - s(w * x)) * x).mean() + (s(w * y) * y).mean())
    moved = -rate * (s(w * y) + s(w * y) * (1 - s(w * y)) * w * y) / 3
    of_data = ((1 - s(ahead * x)) * x).mean() * moved
    slope = -s(ahead * y) if loss == "minimax" else -(1 - s(ahead * y))
    of_fakes = slope * ahead / 3 + (slope * y).mean() * moved
    by_hand = ((of_data + of_fakes) * z).sum()

    class Slope(torch.nn.Module):
        def __init__(self, value: float):
            super().__init__()
            self.value = torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))

        def forward(self, rows: Tensor) -> Tensor:
            return self.value * rows[:, 0]

    D, made = Slope(w), Slope(theta)
    handle = Handle("D", "discriminator", D, ForwardOptions(False, torch.zeros(()), "fp32"))
    method = registry.get("unrolled")(unrolled_steps=1, unrolled_rate=rate, loss=loss)
    data, noise = (torch.tensor(rows)[:, None] for rows in (x, z))
    _, (_, terms) = next(iter(method.step(lambda z: made(z)[:, None], handle, lambda: data, lambda: noise)))
    (gradient,) = torch.autograd.grad(sum(terms.values()), made.value)
    assert gradient.item() == pytest.approx(by_hand, rel=1e-12)
    assert abs((of_data * z).sum()) > 0.1 * abs(by_hand)


class Paraboloid(torch.nn.Module):
    """D(t) = c |t|^2 / 2, whose gradient c t is another one at every row."""

    def __init__(self) -> None:
        super().__init__()
        self.c = torch.nn.Parameter(torch.tensor(0.8, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        return self.c * rows.square().sum(dim=1) / 2


def test_r1_is_taken_at_the_real_rows_and_r2_at_the_fakes():
    draws, D = make_draws(1, 1), Paraboloid()
    x, z = torch.tensor(draws.data[0]), torch.tensor(draws.prior[0][:, :DATA])
    G = torch.nn.Linear(DATA, DATA, dtype=torch.float64)
    (_, terms) = next(iter(registry.get("r3gan")(gamma=3.0).step(G, D, lambda: x, lambda: z)))
    fake = G(z).detach()
    assert terms["r1"].item() == pytest.approx(1.5 * 0.64 * x.square().sum(1).mean().item())
    assert terms["r2"].item() == pytest.approx(1.5 * 0.64 * fake.square().sum(1).mean().item())
    assert terms["r1"].item() != pytest.approx(terms["r2"].item(), rel=0.1)
