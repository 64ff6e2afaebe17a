"""IVGAN's step against Algorithm 1 in NumPy, for the text, for the authors' runs, and for each choice between them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import (
    Array,
    Piece,
    Weights,
    added,
    cross_entropy,
    fool,
    half_square,
    mean_absolute,
    minus_log,
    minus_log_not,
    sigmoid,
    times,
)
from linear_world import (
    BATCH,
    LATENT,
    Draws,
    Expected,
    discriminate,
    make_draws,
    play,
)

from modecover.errors import UserError
from modecover.interventions import stein_direction
from modecover.methods import registry
from modecover.methods.ivgan import IVGAN


def substitute(m: Any, code: Array, index: Any, noise: Array) -> tuple[Array, Array]:
    """(O_i(code), how much of the code is in it: the factor that gradients come back with), row by row."""
    out, kept = code.copy(), np.ones_like(code)
    for row, i in enumerate(index):
        if m.intervention == "block":
            size = code.shape[1] // m.k
            kept[row, i * size : (i + 1) * size] = 0
        if m.intervention == "cumulative":
            kept[row, : i * code.shape[1] // (m.k - 1)] = 0
        out[row] = kept[row] * code[row] + (1 - kept[row]) * noise[row]
        if m.intervention == "radial":
            angle = i * math.pi / 2 / (m.k - 1)
            kept[row] = math.cos(angle)
            out[row] = math.cos(angle) * code[row] + math.sin(angle) * noise[row]
    return out, kept


LOSSES = {"bce": "nonsaturating", "minimax": "minimax", "ls": "ls", "hinge": "hinge", "wgan-gp": "wasserstein"}


def of_d(m: Any, D: Any, x: Array, y: Array) -> tuple[dict[str, float], Weights]:
    """D's terms of the adversarial game and their gradient.

    A linear D's slope is n = T'w everywhere, and n_j = sum_i w_i T_ij: wgan-gp's penalty is (|n| - 1)^2, with the
    gradient 2 (|n| - 1) n / |n| in n; R1 and R2 are |n|^2 each, with gradient 2 n. The classifier's head has no part.
    """
    T, w = D.weights["trunk"], D.weights["score"]
    n, zero = w @ T, {key: np.zeros_like(value) for key, value in D.weights.items()}
    size = np.linalg.norm(n)
    if m.adversarial == "relativistic":
        gamma = 1.0 if m.penalty is None else m.penalty
        apart = D.score(x) - D.score(y)
        d = -(1 - sigmoid(apart)) / len(apart)
        pulled = [D.pull(x, score=d)[0], D.pull(y, score=-d)[0]]
        terms = {"pairs": float(-np.log(sigmoid(apart)).mean()), "r1": gamma / 2 * size**2, "r2": gamma / 2 * size**2}
        dn = 2 * gamma * n
        return terms, added(*pulled, zero | {"trunk": np.outer(w, dn), "score": T @ dn})
    [(_, terms, grads)] = discriminate("D", D, x, {"fake": y}, LOSSES[m.adversarial])
    if m.adversarial == "wgan-gp":
        weight = 10.0 if m.penalty is None else m.penalty
        terms["penalty"] = weight * (size - 1) ** 2
        dn = weight * 2 * (size - 1) * n / size
        return terms, added(grads["D"], zero | {"trunk": np.outer(w, dn), "score": T @ dn})
    return terms, grads["D"]


def of_g(m: Any, D: Any, x: Array, y: Array) -> tuple[float, Array]:
    """G's term of the adversarial game, and its gradient at y."""
    if m.adversarial != "relativistic":
        return fool(D, y, LOSSES[m.adversarial])
    apart = D.score(y) - D.score(x)
    return float(-np.log(sigmoid(apart)).mean()), D.pull(y, score=-(1 - sigmoid(apart)) / len(apart))[1]


def box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Liang et al. 2020, Algorithm 1, lines 15 and 17 as descents; D and f, which share a trunk, in one step.

    G(O_i(z)), of equation 6, is also the fake sample where the latent reconstruction is of the prior.
    """
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    fresh = iter(draws.prior[1:]).__next__
    i = draws.pick(m.k, shared=m.index == "minibatch")
    noise = None if m.block_noise == "shared" else fresh()
    if m.latent_reconstruction == "prior":
        z, _ = substitute(m, z, i, fresh())
    noise = z if noise is None else noise

    def classify(x_iv: Array, weight: float, most: float = np.inf) -> tuple[float, Any, Array]:
        value, d = times(weight, cross_entropy(D.logits(x_iv), i))
        if abs(value) > abs(weight) * most:
            value, d = weight * most, 0 * d
        return value, *D.pull(x_iv, logits=d)

    cap = np.log(m.k) if m.cap else np.inf

    w = E(x)
    v, _ = substitute(m, w, i, noise)
    y, r, x_iv = G(z), G(w), G(v)

    def step_of_d() -> Any:
        terms, played = of_d(m, D, x, y)
        of_f, grads, _ = classify(x_iv, m.classifier_weight)
        return "D", {**terms, "classifier": of_f}, {"D": added(played, grads)}

    def step_of_g() -> Any:
        adversarial, dy = of_g(m, D, x, y)
        reconstruction, dr = times(m.lambda_G, mean_absolute(r, x))
        intervention, _, dx_iv = classify(x_iv, -m.mu_G, cap)
        if m.latent_reconstruction == "prior":
            latent, d = times(m.lambda_G, mean_absolute(E(y), z))
            dy = dy + E.pull(y, d)[1]
        else:
            latent, d = times(m.lambda_G, mean_absolute(E(x_iv), v))
            dx_iv = dx_iv + E.pull(x_iv, d)[1]
        own = added(G.pull(z, dy)[0], G.pull(w, dr)[0], G.pull(v, dx_iv)[0])
        terms = {"adversarial": adversarial, "reconstruction": reconstruction}
        return "G", terms | {"latent": latent, "intervention": intervention}, {"G": own}

    def step_of_e() -> Any:
        w = E(x)
        v, kept = substitute(m, w, i, noise)
        y, r, x_iv = G(z), G(w), G(v)
        helps = m.encoder_objective != "fool"
        intervention, _, dx_iv = classify(x_iv, 0.5) if helps else classify(x_iv, -m.mu_E, cap)
        dw = G.pull(v, dx_iv)[1] * kept  # no gradient reaches E through the block that noise replaced
        if m.encoder_objective == "help":
            return "E", {"intervention": intervention}, {"E": E.pull(x, dw)[0]}
        if helps:
            reconstruction, dr = mean_absolute(r, x)
            both = {"intervention": intervention, "reconstruction": reconstruction}
            return "E", both, {"E": E.pull(x, dw + G.pull(w, dr)[1])[0]}
        reconstruction, dr = times(m.lambda_E, mean_absolute(r, x))
        terms, own = {"reconstruction": reconstruction}, E.pull(x, dw + G.pull(w, dr)[1])[0]
        if m.latent_reconstruction == "prior":
            terms["latent"], d = times(m.lambda_E, mean_absolute(E(y), z))
            own = added(own, E.pull(y, d)[0])
        return "E", terms | {"intervention": intervention}, {"E": own}

    if m.order == "simultaneous":
        yield [step_of_d(), step_of_g()]
    else:
        yield [step_of_d()]
        yield [step_of_g(), step_of_e()]
    for _ in range(m.encoder_steps - (m.order == "alternate")):
        yield [step_of_e()]


def preset(name: str) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(IVGAN)}
    return {key: value for key, value in IVGAN.presets[name].items() if key in fields}


SETTINGS: list[Any] = [
    preset("paper"),
    preset("official"),
    preset("official") | {"encoder_steps": 1, "mu_G": 0.3},
    {"k": 2, "lambda_G": 0.7, "mu_G": 0.2, "lambda_E": 0.4, "mu_E": 1.3, "classifier_weight": 0.9},
    {"index": "minibatch"},
    {"block_noise": "shared"},
    {"encoder_objective": "help"},
    {"latent_reconstruction": "code"},
    {"latent_reconstruction": "code", "encoder_steps": 3, "block_noise": "shared"},
    {"latent_reconstruction": "code", "order": "simultaneous"},
    {"intervention": "identity"},
    preset("official-stacked"),
    {"cap": True, "mu_G": 0.3, "mu_E": 0.7},
    {"cap": True, "k": 2, "encoder_steps": 2},
    {"encoder_steps": 3},
    {"order": "simultaneous"},
]


def test_the_cap_holds_where_the_classifier_is_worse_than_a_guess_and_only_there():
    """f certain of the wrong intervention: log k and no gradient; certain of the right: the cross-entropy itself."""
    index = torch.tensor([0, 1, 1])

    class Certain:
        def __init__(self, of):
            self.logits = 30.0 * torch.nn.functional.one_hot(of, 2).float().requires_grad_()

        def __call__(self, x, head="adversarial"):
            return self.logits if head == "classes" else x.sum(dim=1)

    for of, expected, slope in ((1 - index, math.log(2), 0.0), (index, 0.0, None)):
        D = Certain(of)
        method = registry.get("ivdcgan")(k=2, cap=True)
        identity = lambda x, kind="prior": x
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("modecover.random.integers", lambda high, x, shared=False: index)
            steps = method.step(identity, identity, D, lambda: torch.ones(3, 2), lambda: torch.ones(3, 2))
            next(steps)
            (_, terms), (_, of_e) = next(steps)
        assert terms["intervention"].item() == pytest.approx(-0.5 * expected, abs=1e-6)
        assert of_e["intervention"].item() == pytest.approx(-expected, abs=1e-6)
        if slope == 0.0:
            assert torch.autograd.grad(terms["intervention"], D.logits)[0].abs().max() == 0


def known_draws() -> Draws:
    return make_draws(1, 3, uniform=1, index=[2, 0, 3, 1, 0])


@pytest.mark.parametrize("name", ["ivdcgan", "ivlsgan"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_step_is_algorithm_1(name, settings, monkeypatch):
    method = registry.get(name)(**settings)
    assert method.settings()["adversarial"] == {"ivdcgan": "bce", "ivlsgan": "ls"}[name]
    play(method, box, known_draws(), monkeypatch)


GAMES_AND_FAMILIES: list[dict[str, Any]] = [
    *[{"adversarial": game} for game in (*LOSSES, "relativistic")],
    {"adversarial": "wgan-gp", "penalty": 3.0, "order": "simultaneous"},
    {"adversarial": "relativistic", "penalty": 0.4, "order": "simultaneous", "encoder_steps": 2},
    {"adversarial": "relativistic", "encoder_objective": "help"},
    *[{"intervention": "cumulative", "k": k} for k in (2, 3, 5)],
    *[{"intervention": "radial", "k": k} for k in (2, 4)],
    {"intervention": "radial", "latent_reconstruction": "code", "adversarial": "hinge"},
    {"intervention": "cumulative", "k": 3, "index": "minibatch", "block_noise": "shared"},
]


@pytest.mark.parametrize("settings", GAMES_AND_FAMILIES, ids=str)
def test_ivgan_over_any_game_and_any_family(settings, monkeypatch):
    play(registry.get("ivgan")(**settings), box, known_draws(), monkeypatch)


def test_svgd_as_an_intervention_moves_each_row_to_its_own_stage():
    """E's codes and the noise of G's fake samples, both, stage by stage as `test_bridges.py` knows them."""
    method, seen = registry.get("ivgan")(intervention="svgd", k=3), []
    x, z, noise = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))
    index = torch.tensor([0, 1, 2, 1, 0])

    def judge(rows, head="adversarial"):
        seen.append(rows)
        return rows[:, :3] if head == "classes" else rows.sum(dim=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modecover.random.integers", lambda high, x, shared=False: index)
        patch.setattr("modecover.random.normal_like", lambda like: noise)
        next(method.step(lambda z, kind="prior": z, lambda x: x, judge, lambda: x, iter([z, noise, noise]).__next__))

    for given, last, found in ((x, noise, seen[2]), (z, noise, seen[1])):
        moved = given
        for _ in range(2):
            moved = moved + stein_direction(moved, 100.0) + 0.1 * noise
        expected = torch.stack([given[0], moved[1], last[2], moved[3], given[4]])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"penalty": 2.0}, "bce has no gradient penalty: leave penalty out, or use wgan-gp or relativistic"),
        ({"intervention": "cumulative", "k": 4}, "k = 4 makes 3 equal blocks, which do not divide 8"),
        ({"intervention": "spin"}, "'spin': choose block, cumulative, radial, svgd or identity"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        registry.get("ivgan")(**settings).check(latent=8, batch=4)


def test_the_text_is_the_default_and_its_weights_are_the_printed_ones():
    text: dict[str, Any] = {
        "k": 4,
        "lambda_G": 0.25,
        "mu_G": 0.5,
        "lambda_E": 1.0,
        "mu_E": 1.0,
        "classifier_weight": 0.5,
    }
    text |= {"encoder_objective": "fool", "index": "sample", "block_noise": "fresh", "encoder_steps": 1}
    text |= {"order": "alternate", "latent_reconstruction": "prior", "intervention": "block"}
    assert IVGAN(**preset("paper")) == IVGAN(**text)
    runs: dict[str, Any] = {
        "encoder_objective": "help",
        "index": "minibatch",
        "block_noise": "shared",
        "encoder_steps": 10,
    }
    runs |= {"order": "simultaneous", "latent_reconstruction": "code"}
    assert IVGAN(**preset("official")) == IVGAN(**(text | runs))


def test_the_box_itself_descends_what_the_paper_writes():
    """The NumPy derivatives are the slopes of the NumPy values: the two columns of `Piece` belong together."""
    g = np.random.default_rng(0)
    s, codes, logits = g.normal(size=BATCH), g.normal(size=(BATCH, LATENT)), g.normal(size=(BATCH, 3))
    i = np.array([2, 0, 1, 1, 2])

    def slope(piece: Any, at: Array) -> None:
        direction, step = g.normal(size=at.shape), 1e-6
        rise = (piece(at + step * direction)[0] - piece(at - step * direction)[0]) / (2 * step)
        found: Piece = piece(at)
        assert rise == pytest.approx((found[1] * direction).sum(), rel=1e-6)

    for piece in (minus_log, minus_log_not, lambda s: half_square(s, -1.0)):
        slope(piece, s)
    slope(lambda c: mean_absolute(c, np.zeros_like(c)), codes)
    slope(lambda u: cross_entropy(u, i), logits)
