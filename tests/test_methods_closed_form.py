"""Each method's step against its paper's algorithm box, on linear networks with derivatives written by hand.

The order of the updates, the networks they name, each term's value and each weight's gradient must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from by_hand import (
    Array,
    Piece,
    added,
    fool,
    matching_kl,
    mean_square,
    times,
)
from linear_world import (
    Draws,
    Expected,
    discriminate,
    make_draws,
    play,
)

from modecover.methods import registry


def distance(kind: str, D: Any, y: Array, x: Array) -> Piece:
    """d(x, y): (value, dvalue/dy); the features of x are constants."""
    if kind.startswith("pixel"):
        own = mean_square(y, x)
        return own if kind == "pixel" else times(float(x.shape[1]), own)
    value, d = mean_square(D.features(y), D.features(x))
    return value, D.pull(y, features=d)[1]


# ------------------------------------------------------------------------------------------------ the algorithm boxes


def plain_box(loss: str) -> Any:
    """Goodfellow et al. 2014, Algorithm 1 with one discriminator step; both steps on the same noise."""

    def box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
        G, D, x, z = net["G"], net["D"], draws.data[0], draws.prior[0]
        y = G(z)
        yield discriminate("D", D, x, {"fake": y}, loss)
        value, dy = fool(D, y, loss)  # of the D that has moved
        yield [("G", {"adversarial": value}, {"G": G.pull(z, dy)[0]})]

    return box


def wgan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Arjovsky et al. 2017 and Gulrajani et al. 2017, Algorithm 1: new x and z for every step, and for G's."""
    G, D, data, prior, uniform = net["G"], net["D"], *map(draws.queue, ("data", "prior", "uniform"))
    for _ in range(m.critic_steps):
        x, y = data(), G(prior())
        [(_, terms, grads)] = discriminate("D", D, x, {"fake": y}, "wasserstein")
        if hasattr(m, "penalty"):
            # A linear critic's slope is n = T'w everywhere: the penalty is (|n| - 1)^2, whatever the line's point, and
            # its gradient 2 (|n| - 1) n/|n| with respect to n; n_j = sum_i w_i T_ij.
            uniform()
            T, w = D.weights["trunk"], D.weights["score"]
            n = w @ T
            size = np.linalg.norm(n)
            dn = m.penalty * 2 * (size - 1) * n / size
            terms["penalty"] = m.penalty * (size - 1) ** 2
            zero = {key: np.zeros_like(value) for key, value in D.weights.items()}
            grads["D"] = added(grads["D"], zero | {"trunk": np.outer(w, dn), "score": T @ dn})
        yield [("D", terms, grads)]
        if hasattr(m, "clipping"):
            D.weights.update({key: np.clip(value, -m.clipping, m.clipping) for key, value in D.weights.items()})
    z = prior()
    value, dy = fool(D, G(z), "wasserstein")
    yield [("G", {"adversarial": value}, {"G": G.pull(z, dy)[0]})]


def reg_gan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Che et al. 2017, T_G and T_E of section 3.2 with minus the log; together, D's step before."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    y, code = G(z), E(x)
    r = G(code)
    yield discriminate("D", D, x, {"fake": y}, "nonsaturating")
    adversarial, dy = fool(D, y, "nonsaturating")
    metric, d1 = times(m.lambda_1, distance(m.distance, D, r, x))
    mode, d2 = fool(D, r, "nonsaturating", -m.lambda_2 if m.misprinted_sign else m.lambda_2)
    own, dcode = G.pull(code, d1 + d2)
    grads = {"G": added(G.pull(z, dy)[0], own), "E": E.pull(x, dcode)[0]}  # the noise z never passed through E
    yield [("G+E", {"adversarial": adversarial, "metric": metric, "mode": mode}, grads)]


def mdgan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Che et al. 2017, Appendix A, with G(z_i) for z_i in step 6; both steps draw their own minibatch."""
    G, E, D1, D2, z = net["G"], net["E"], net["D1"], net["D2"], draws.prior[0]
    x = draws.data[0]
    code = E(x)
    r = G(code)
    yield discriminate("D1", D1, x, {"fake": r}, "nonsaturating")
    metric, d1 = distance(m.distance, D1, r, x)
    manifold, d2 = fool(D1, r, "nonsaturating", m.lambda_)
    own, dcode = G.pull(code, d1 + d2)
    yield [("G+E", {"metric": metric, "manifold": manifold}, {"G": own, "E": E.pull(x, dcode)[0]})]
    y, r = G(z), G(E(draws.data[1]))  # of the G and E that have moved
    yield discriminate("D2", D2, r, {"fake": y}, "nonsaturating")
    value, dy = fool(D2, y, "nonsaturating")
    yield [("G", {"diffusion": value}, {"G": G.pull(z, dy)[0]})]


def ldmgan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """LDMGAN, Algorithm 1: the three gradients of lines 10, 12 and 14 before the moves of line 16."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    y, code = G(z), E(x)
    r = G(code)
    [of_d] = discriminate("D", D, x, {"fake": y, "reconstruction": r}, m.loss)
    metric, dr = distance(m.distance, D, r, x)
    matching, dcode = matching_kl(code)
    of_e = E.pull(x, G.pull(code, dr)[1] + dcode)[0]  # neither lambda_1 nor lambda_2 is E's
    adversarial, dy = fool(D, y, m.loss)
    reconstruction, d2 = fool(D, r, m.loss)
    distribution, d3 = times(m.lambda_2, matching_kl(E(y)))
    dy = dy + E.pull(y, d3)[1]  # through E, which stays
    of_g = added(G.pull(z, dy)[0], G.pull(code, m.lambda_1 * dr + d2)[0])
    terms = {"adversarial": adversarial, "reconstruction": reconstruction}
    terms |= {"metric": m.lambda_1 * metric, "matching": distribution}
    yield [of_d, ("E", {"metric": metric, "matching": matching}, {"E": of_e}), ("G", terms, {"G": of_g})]


CASES: list[tuple[str, dict[str, Any], Any, Draws]] = [
    ("gan", {}, plain_box("nonsaturating"), make_draws(1, 1)),
    ("gan", {"loss": "minimax"}, plain_box("minimax"), make_draws(1, 1)),
    ("lsgan", {}, plain_box("ls"), make_draws(1, 1)),
    ("wgan", {"clipping": 0.4, "critic_steps": 3}, wgan_box, make_draws(3, 4)),
    ("wgan", {}, wgan_box, make_draws(5, 6)),
    ("wgan-gp", {"penalty": 3.0, "critic_steps": 2}, wgan_box, make_draws(2, 3, uniform=2)),
    ("wgan-gp", {}, wgan_box, make_draws(5, 6, uniform=5)),
    ("reg-gan", {}, reg_gan_box, make_draws(1, 1)),
    ("reg-gan", {"distance": "feature", "lambda_1": 0.7}, reg_gan_box, make_draws(1, 1)),
    ("reg-gan", {"distance": "pixel-sum", "lambda_1": 0.7}, reg_gan_box, make_draws(1, 1)),
    ("reg-gan", {"misprinted_sign": True}, reg_gan_box, make_draws(1, 1)),
    ("mdgan", {}, mdgan_box, make_draws(2, 1)),
    ("mdgan", {"distance": "feature", "lambda_": 0.3}, mdgan_box, make_draws(2, 1)),
    ("ldmgan", {}, ldmgan_box, make_draws(1, 1)),
    ("ldmgan", {"loss": "minimax", "lambda_1": 0.3, "lambda_2": 0.6}, ldmgan_box, make_draws(1, 1)),
    ("ldmgan", {"distance": "feature"}, ldmgan_box, make_draws(1, 1)),
]


@pytest.mark.parametrize(("name", "settings", "box", "draws"), CASES, ids=[f"{n}-{s}" for n, s, *_ in CASES])
def test_a_step_is_its_papers_algorithm_box(name, settings, box, draws, monkeypatch):
    play(registry.get(name)(**settings), box, draws, monkeypatch)


def test_every_method_has_a_box():
    elsewhere = {"ivgan", "ivdcgan", "ivlsgan"}  # test_ivgan_closed_form.py
    elsewhere |= {"ivaae-bw", "ivaae-rad", "ivaae-svgd"}  # test_ivaae_closed_form.py
    elsewhere |= {"sngan", "pacgan", "r3gan", "unrolled", "bigan", "ali", "veegan"}  # test_adversarial_closed_form.py
    elsewhere |= {"vae", "aae", "wae-gan", "wae-mmd", "vaegan"}  # test_autoencoders_closed_form.py
    assert {name for name, *_ in CASES} | elsewhere == set(registry.names())


@pytest.mark.parametrize(("name", "kinds"), [("reg-gan", ["prior", "code"]), ("mdgan", ["code", "prior", "code"])])
def test_the_generator_is_told_which_inputs_are_codes(name, kinds, monkeypatch):
    """MDGAN, Appendix B: batch statistics of codes and of prior noise are kept apart."""
    case = next(case for case in CASES if case[0] == name)
    assert play(registry.get(name)(), *case[2:], monkeypatch)["G"].kinds == kinds
