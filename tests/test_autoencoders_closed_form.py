"""The auto-encoders' steps against their papers' algorithm boxes in NumPy; see test_methods_closed_form.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from by_hand import Affine, Array, Piece, Weights, added, fool, mean_square, times
from linear_world import BATCH, LATENT, Draws, Expected, discriminate, make_draws, play

from modecover.errors import UserError
from modecover.methods import registry

SCALES = (0.1, 0.2, 0.5, 1, 2, 5, 10)


def summed_square(y: Array, x: Array, weight: float) -> Piece:
    """weight E ||y - x||^2, a sum over coordinates."""
    return weight * float(((y - x) ** 2).sum() / len(x)), weight * 2 * (y - x) / len(x)


def mmd(codes: Array, prior: Array) -> Piece:
    """WAE, Algorithm 2, pair by pair, with d/da C / (C + |a - b|^2) = -2 C (a - b) / (C + |a - b|^2)^2."""
    n = len(codes)
    value, slope = 0.0, np.zeros_like(codes)
    for scale in SCALES:
        size = 2 * codes.shape[1] * scale
        for i in range(n):
            for j in range(n):
                across = size + ((codes[i] - prior[j]) ** 2).sum()
                value -= 2 * size / across / n**2
                slope[i] += 4 * size * (codes[i] - prior[j]) / across**2 / n**2
                if i != j:
                    for sample in (codes, prior):
                        value += size / (size + ((sample[i] - sample[j]) ** 2).sum()) / (n * (n - 1))
                    inside = size + ((codes[i] - codes[j]) ** 2).sum()
                    # Each pair twice, as (i, j) and as (j, i).
                    slope[i] -= 2 * 2 * size * (codes[i] - codes[j]) / inside**2 / (n * (n - 1))
    return value, slope


class Encoded:
    """A draw from the Gaussians that E tells, and the way back from it to E's weights."""

    def __init__(self, E: Affine, x: Array, noise: Array):
        self.E, self.x, self.noise = E, x, noise
        moments = E(x)
        self.mean, self.log_variance = moments[:, :LATENT], moments[:, LATENT:]
        self.code = self.mean + np.exp(self.log_variance / 2) * noise

    def kl(self) -> float:
        each = (self.mean**2 + np.exp(self.log_variance) - self.log_variance - 1) / 2
        return float(each.sum() / BATCH)

    def pull(self, dcode: Array) -> Weights:
        """E's gradient of the KL and of what has the derivative `dcode` in the code."""
        spread = np.exp(self.log_variance / 2) * self.noise / 2
        moments = np.hstack([dcode + self.mean / BATCH, dcode * spread + (np.exp(self.log_variance) - 1) / 2 / BATCH])
        return self.E.pull(self.x, moments)[0]


def vae_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Kingma & Welling 2014, equation 10 with one draw, and a Gaussian of fixed deviation around G."""
    G, E, x = net["G"], net["E"], draws.data[0]
    latent = Encoded(E, x, draws.normal[0])
    likelihood, dy = summed_square(G(latent.code), x, 1 / (2 * m.std**2))
    of_g, dcode = G.pull(latent.code, dy)
    yield [("G+E", {"likelihood": likelihood, "kl": latent.kl()}, {"G": of_g, "E": latent.pull(dcode)})]


def aae_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Makhzani et al. 2016, section 2: reconstruction; then D, then E, on codes of the E that has moved."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    code = E(x)
    error, dy = times(m.reconstruction, mean_square(G(code), x))
    of_g, dcode = G.pull(code, dy)
    yield [("G+E", {"reconstruction": error}, {"G": of_g, "E": E.pull(x, dcode)[0]})]
    code = E(x)
    yield discriminate("D", D, z, {"fake": code}, "nonsaturating")
    adversarial, dcode = fool(D, code, "nonsaturating")
    yield [("E", {"adversarial": adversarial}, {"E": E.pull(x, dcode)[0]})]


def wae_gan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Tolstikhin et al. 2018, Algorithm 1."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    code = E(x)
    [(name, terms, grads)] = discriminate("D", D, z, {"fake": code}, "nonsaturating")
    terms = {term: m.lambda_ * value for term, value in terms.items()}
    yield [(name, terms, {"D": {key: m.lambda_ * value for key, value in grads["D"].items()}})]
    error, dy = times(m.cost, mean_square(G(code), x))
    adversarial, d2 = fool(D, code, "nonsaturating", m.lambda_)  # of the D that has moved
    of_g, d1 = G.pull(code, dy)
    terms = {"reconstruction": error, "adversarial": adversarial}
    yield [("G+E", terms, {"G": of_g, "E": E.pull(x, d1 + d2)[0]})]


def wae_mmd_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Tolstikhin et al. 2018, Algorithm 2."""
    G, E, x, z = net["G"], net["E"], draws.data[0], draws.prior[0]
    code = E(x)
    error, dy = times(m.cost, mean_square(G(code), x))
    matching, d2 = times(m.lambda_, mmd(code, z))
    of_g, d1 = G.pull(code, dy)
    yield [("G+E", {"reconstruction": error, "matching": matching}, {"G": of_g, "E": E.pull(x, d1 + d2)[0]})]


def vaegan_box(m: Any, net: dict[str, Any], draws: Draws) -> Iterator[Expected]:
    """Larsen et al. 2016, Algorithm 1 with D ascending and G descending; all gradients before any move."""
    G, E, D, x, z = net["G"], net["E"], net["D"], draws.data[0], draws.prior[0]
    latent = Encoded(E, x, draws.normal[0])
    y, r = G(z), G(latent.code)
    [of_d] = discriminate("D", D, x, {"fake": y, "reconstruction": r}, "nonsaturating")
    if m.distance == "feature":
        likelihood, slope = summed_square(D.features(r), D.features(x), 0.5)
        dr = D.pull(r, features=slope)[1]
    else:  # these data are points
        likelihood, dr = summed_square(r, x, 1 / (2 * m.std**2))
    of_e = latent.pull(G.pull(latent.code, dr)[1])  # nothing adversarial, and no gamma
    adversarial, dy = fool(D, y, "nonsaturating")
    reconstruction, d2 = fool(D, r, "nonsaturating")
    of_g = added(G.pull(z, dy)[0], G.pull(latent.code, d2 + m.gamma * dr)[0])
    terms = {"adversarial": adversarial, "reconstruction": reconstruction, "likelihood": m.gamma * likelihood}
    yield [of_d, ("E", {"likelihood": likelihood, "kl": latent.kl()}, {"E": of_e}), ("G", terms, {"G": of_g})]


CASES: list[tuple[str, dict[str, Any], Any, Draws]] = [
    ("vae", {}, vae_box, make_draws(1, 0, normal=1)),
    ("vae", {"std": 0.8}, vae_box, make_draws(1, 0, normal=1)),
    ("aae", {}, aae_box, make_draws(1, 1)),
    ("aae", {"reconstruction": 0.3}, aae_box, make_draws(1, 1)),
    ("wae-gan", {}, wae_gan_box, make_draws(1, 1)),
    ("wae-gan", {"lambda_": 0.4, "cost": 2.0}, wae_gan_box, make_draws(1, 1)),
    ("wae-mmd", {}, wae_mmd_box, make_draws(1, 1)),
    ("wae-mmd", {"lambda_": 0.4, "cost": 2.0}, wae_mmd_box, make_draws(1, 1)),
    ("vaegan", {}, vaegan_box, make_draws(1, 1, normal=1)),
    ("vaegan", {"distance": "pixel", "std": 0.6, "gamma": 0.3}, vaegan_box, make_draws(1, 1, normal=1)),
    ("vaegan", {"distance": "feature", "gamma": 0.3}, vaegan_box, make_draws(1, 1, normal=1)),
]


@pytest.mark.parametrize(("name", "settings", "box", "draws"), CASES, ids=[f"{n}-{s}" for n, s, *_ in CASES])
def test_a_step_is_its_papers_algorithm_box(name, settings, box, draws, monkeypatch):
    play(registry.get(name)(**settings), box, draws, monkeypatch)


def test_of_images_the_likelihood_is_taken_in_features_unless_it_is_said(monkeypatch):
    """The features of this D are the sums of an image's rows: pixels may differ where they agree."""
    import torch

    method = registry.get("vaegan")
    x = torch.zeros(2, 1, 2, 2)
    y = torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]], [[[2.0, 0.0], [0.0, 1.0]]]])

    def judge(images, head="adversarial"):
        return images.sum(dim=3).flatten(1) if head == "features" else images.flatten(1).sum(dim=1)

    def minus_log_likelihood(**settings):
        step = method(**settings).step(
            lambda z, kind="prior": y, lambda x: torch.zeros(2, 2), judge, lambda: x, lambda: 0
        )
        _, (_, of_e), _ = next(step)
        return of_e["likelihood"].item()

    assert minus_log_likelihood() == (0 + 0 + 4 + 1) / 2 / 2
    assert minus_log_likelihood(distance="feature") == minus_log_likelihood()
    assert minus_log_likelihood(distance="pixel", std=0.5) == pytest.approx((1 + 1 + 4 + 1) / 2 / (2 * 0.25))


@pytest.mark.parametrize(
    ("name", "settings", "batch", "sentence"),
    [
        ("vae", {"std": 0.0}, 8, "std is 0.0: give a positive number"),
        ("vaegan", {"std": -1.0}, 8, "std is -1.0: give a positive number"),
        ("wae-mmd", {}, 1, "use a batch of at least 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(name, settings, batch, sentence):
    with pytest.raises(UserError, match=sentence):
        registry.get(name)(**settings).check(latent=4, batch=batch)


@pytest.mark.parametrize("name", ["vae", "aae", "wae-gan", "wae-mmd", "vaegan"])
def test_presets_name_settings_that_exist_and_networks_that_can_be_built(name):
    from modecover.runs.settings import resolve

    channels = {"mnist": 1, "celeba": 3, "cifar": 3}
    for full_name in registry.get(name).presets:
        preset = full_name.removesuffix("-wae")  # with the rates of WAE's paper, not those that IVAAE gave all
        method, settings = resolve(name, (channels[preset], 64, 64), preset=full_name)
        if name == "wae-gan":
            rates = {"mnist": (5e-5, 1e-4), "celeba-wae": (3e-4, 1e-3)}.get(full_name, (1e-3, 5e-4))
            assert (settings.learning_rate("encoder"), settings.learning_rate("latent discriminator")) == rates
        assert settings.networks == ("ivaae-mnist" if preset == "mnist" else "wae")
        assert settings.latent == {"mnist": 16, "celeba": 64, "cifar": 128}[preset]
        if name.startswith("wae"):
            # 0.05 ||x - y||^2, written as a mean over coordinates.
            assert method.cost == pytest.approx(0.05 * channels[preset] * 64 * 64)
