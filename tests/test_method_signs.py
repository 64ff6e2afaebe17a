"""Which way each network pushes, in words: a small step of one network on its yielded loss, and what it does.

The closed forms hold the same signs as numbers; here a reader sees them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from linear_world import BATCH, LATENT, Draws, gradients, make_draws, make_world, start
from torch import Tensor

from modecover.losses import gaussian_kl, imq_mmd, moment_kl
from modecover.methods import registry

INDEX = [2, 0, 3, 1, 0]


@dataclass
class Scene:
    """The networks at some moment, and the samples the quantities below are taken on."""

    net: dict[str, Any]
    draws: Draws
    shared_noise: bool = False

    def __post_init__(self) -> None:
        self.x, self.z = torch.tensor(self.draws.data[0]), torch.tensor(self.draws.prior[0])

    @property
    def code(self) -> Tensor:
        """E(x), or the step's draw from the Gaussians it tells."""
        moments = self.net["E"](self.x)
        if moments.shape[1] == LATENT:
            return moments
        return moments[:, :LATENT] + (moments[:, LATENT:] / 2).exp() * torch.tensor(self.draws.normal[0])

    @property
    def reconstruction(self) -> Tensor:
        return self.net["G"](self.code)

    @property
    def noise(self) -> Tensor:
        return self.z if self.shared_noise else torch.tensor(self.draws.prior[1])

    def classifier_error(self) -> Tensor:
        """-log f_i of the intervened sample G(O_i(E(x))), one coordinate a block."""
        code, index = self.net["E"](self.x), torch.tensor(INDEX)
        if self.shared_noise:
            index = index[:1].expand(BATCH)
        code = torch.where(torch.arange(4) == index[:, None], self.noise, code)
        log_f = self.net["D"](self.net["G"](code), head="classes").log_softmax(1)
        return -log_f[torch.arange(BATCH), index].mean()


def judged(samples: str, judge: str = "D") -> Any:
    """The judge's mean score of x, G(z) or G(E(x))."""

    def score(s: Scene) -> Tensor:
        chosen = {"real": s.x, "fake": s.net["G"](s.z)} | ({"reconstructed": s.reconstruction} if "E" in s.net else {})
        return s.net[judge](chosen[samples]).mean()

    return score


def margin(s: Scene) -> Tensor:
    return judged("real")(s) - judged("fake")(s)


def pixel_error(s: Scene) -> Tensor:
    return (s.reconstruction - s.x).square().mean()


def reconstruction_error(s: Scene) -> Tensor:
    """|G(E(x)) - x| + |E(G(O_i(z))) - O_i(z)|, means (IVGAN, eq. 6)."""
    latent = torch.where(torch.arange(4) == torch.tensor(INDEX)[:, None], torch.tensor(s.draws.prior[2]), s.z)
    back = s.net["E"](s.net["G"](latent))
    return (s.reconstruction - s.x).abs().mean() + (back - latent).abs().mean()


def codes_kl(s: Scene) -> Tensor:
    return moment_kl(s.net["E"](s.x))


def samples_kl(s: Scene) -> Tensor:
    return moment_kl(s.net["E"](s.net["G"](s.z)))


def code_score(s: Scene) -> Tensor:
    return s.net["D"](s.code).mean()


def code_margin(s: Scene) -> Tensor:
    """How much higher a latent D scores the prior than the codes."""
    return s.net["D"](s.z).mean() - code_score(s)


def encoder_kl(s: Scene) -> Tensor:
    return gaussian_kl(s.net["E"](s.x))


def code_mmd(s: Scene) -> Tensor:
    return imq_mmd(s.code, s.z)


def judge_s_loss(s: Scene) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) - log(1 - D(G(c))), means."""
    D = s.net["D"]
    judged_right = D(s.x), -D(s.net["G"](s.z)), -D(s.reconstruction)
    return -sum(score.sigmoid().log().mean() for score in judged_right)


def pair_score(kind: str) -> Any:
    """The mean score that D gives data with their codes, or samples with their noise."""

    def score(s: Scene) -> Tensor:
        pair = (s.x, s.code) if kind == "real" else (s.net["G"](s.z), s.z)
        return s.net["D"](*pair).mean()

    return score


def noise_error(s: Scene) -> Tensor:
    return (s.net["E"](s.net["G"](s.z)) - s.z).square().mean()


def pack_score(kind: str) -> Any:
    """D's mean score of packs of two, of the step's first minibatches."""

    def score(s: Scene) -> Tensor:
        x = [torch.tensor(rows) for rows in s.draws.data[:2]]
        y = [s.net["G"](torch.tensor(rows)) for rows in s.draws.prior[:2]]
        return s.net["D"](torch.cat(x if kind == "real" else y, dim=1)).mean()

    return score


def score_one_step_ahead(s: Scene) -> Tensor:
    """The score of samples by the D that one step of rate 1 on them would leave."""
    D, y = s.net["D"], s.net["G"](s.z)
    loss = torch.nn.functional.softplus(-D(s.x)).mean() + torch.nn.functional.softplus(D(y)).mean()
    return D.after_step(loss, 1.0)(y).sigmoid().log().mean()


def slope(s: Scene) -> Tensor:
    w = s.net["D"].weights
    return torch.linalg.vector_norm(w["score"] @ w["trunk"])


def critic_slope_error(s: Scene) -> Tensor:
    w = s.net["D"].weights
    return (torch.linalg.vector_norm(w["score"] @ w["trunk"]) - 1).abs()


ALONE = {"lambda_G": 0.0, "mu_G": 0.0, "lambda_E": 0.0, "mu_E": 0.0}
RUNS = {"encoder_objective": "help", "index": "minibatch", "block_noise": "shared", "latent_reconstruction": "code"}
LARGE = 1e4  # a weight beside which the loss's other terms do not count
UP, DOWN = 1, -1

SIGNS: list[tuple[str, str, dict[str, Any], str, Any, int]] = [
    ("D raises the score of real samples", "gan", {}, "D", judged("real"), UP),
    ("D lowers the score of fakes", "gan", {}, "D", judged("fake"), DOWN),
    ("G raises the score of its samples", "gan", {}, "G", judged("fake"), UP),
    ("the minimax G raises it too", "gan", {"loss": "minimax"}, "G", judged("fake"), UP),
    ("D moves real samples to 1", "lsgan", {}, "D", lambda s: (s.net["D"](s.x) - 1).square().mean(), DOWN),
    ("D widens the margin", "lsgan", {}, "D", margin, UP),
    ("G moves its samples' scores to 0", "lsgan", {}, "G", lambda s: s.net["D"](s.net["G"](s.z)).square().mean(), DOWN),
    ("the critic widens the margin", "wgan", {}, "D", margin, UP),
    ("G raises the critic's score", "wgan", {"clipping": 0.4}, "G", judged("fake"), UP),
    ("the critic widens the margin", "wgan-gp", {"penalty": 0.0}, "D", margin, UP),
    ("the penalty moves the slope to 1", "wgan-gp", {"penalty": LARGE}, "D", critic_slope_error, DOWN),
    ("G raises the critic's score", "wgan-gp", {}, "G", judged("fake"), UP),
    ("D widens the margin", "sngan", {}, "D", margin, UP),
    ("G raises the score of its samples", "sngan", {}, "G", judged("fake"), UP),
    ("D raises real packs", "pacgan", {}, "D", pack_score("real"), UP),
    ("D lowers fake packs", "pacgan", {}, "D", pack_score("fake"), DOWN),
    ("G raises fake packs", "pacgan", {}, "G", pack_score("fake"), UP),
    ("the minimax G raises them too", "pacgan", {"loss": "minimax"}, "G", pack_score("fake"), UP),
    ("D widens the margin", "unrolled", {}, "D", margin, UP),
    ("G raises the score that D will give", "unrolled",
     {"unrolled_steps": 1, "unrolled_rate": 1.0, "loss": "nonsaturating"}, "G", score_one_step_ahead, UP),
    ("without looking ahead, that of the present D", "unrolled", {"unrolled_steps": 0}, "G", judged("fake"), UP),
    ("D widens the margin", "r3gan", {"gamma": 0.0}, "D", margin, UP),
    ("the penalties flatten D", "r3gan", {"gamma": LARGE}, "D", slope, DOWN),
    ("G narrows the margin", "r3gan", {}, "G", margin, DOWN),
    *[case for name in ("bigan", "ali") for case in [
        ("D raises data with their codes", name, {}, "D", pair_score("real"), UP),
        ("D lowers samples with their noise", name, {}, "D", pair_score("fake"), DOWN),
        ("E lowers data with their codes", name, {}, "E", pair_score("real"), DOWN),
        ("G raises samples with their noise", name, {}, "G", pair_score("fake"), UP),
    ]],
    ("D raises data with their codes", "veegan", {}, "D", pair_score("real"), UP),
    ("D lowers samples with their noise", "veegan", {}, "D", pair_score("fake"), DOWN),
    ("E reconstructs the noise", "veegan", {}, "E", noise_error, DOWN),
    ("G raises samples with their noise", "veegan", {"reconstruction": 0.0}, "G", pair_score("fake"), UP),
    ("G lets E reconstruct the noise", "veegan", {"reconstruction": LARGE}, "G", noise_error, DOWN),
    ("reconstructions are pulled toward real", "reg-gan", {"lambda_1": 0.0}, "E", judged("reconstructed"), UP),
    ("by G too", "reg-gan", {"lambda_1": 0.0, "lambda_2": LARGE}, "G", judged("reconstructed"), UP),
    ("the misprint pushes them away", "reg-gan", {"lambda_1": 0.0, "misprinted_sign": True}, "E",
     judged("reconstructed"), DOWN),
    ("E brings reconstructions near the data", "reg-gan", {"lambda_2": 0.0}, "E", pixel_error, DOWN),
    ("G brings reconstructions near the data", "reg-gan", {"lambda_1": LARGE}, "G", pixel_error, DOWN),
    ("D1 raises the score of real samples", "mdgan", {}, "D1", judged("real", "D1"), UP),
    ("D1 lowers the score of reconstructions", "mdgan", {}, "D1", judged("reconstructed", "D1"), DOWN),
    ("E pulls reconstructions toward D1's real", "mdgan", {"lambda_": LARGE}, "E", judged("reconstructed", "D1"), UP),
    ("so does G", "mdgan", {"lambda_": LARGE}, "G", judged("reconstructed", "D1"), UP),
    ("E brings reconstructions near the data", "mdgan", {"lambda_": 0.0}, "E", pixel_error, DOWN),
    ("D2's real are reconstructions", "mdgan", {}, "D2",
     lambda s: judged("reconstructed", "D2")(s) - judged("fake", "D2")(s), UP),
    ("G raises D2's score of its samples", "mdgan", {}, "G second", judged("fake", "D2"), UP),
    ("D raises real over both kinds of fakes", "ldmgan", {}, "D",
     lambda s: 2 * judged("real")(s) - judged("fake")(s) - judged("reconstructed")(s), UP),
    ("E's codes come nearer to the prior", "ldmgan", {}, "E", lambda s: codes_kl(s) + pixel_error(s), DOWN),
    ("G's samples are encoded nearer to the prior", "ldmgan", {"lambda_2": LARGE}, "G", samples_kl, DOWN),
    ("G brings reconstructions near the data", "ldmgan", {"lambda_1": LARGE}, "G", pixel_error, DOWN),
    ("G raises the score of its samples", "ldmgan", {"lambda_1": 0.0, "lambda_2": 0.0}, "G",
     lambda s: judged("fake")(s) + judged("reconstructed")(s), UP),
    *[case for name in ("ivdcgan", "ivlsgan") for case in [
        ("f descends its cross-entropy", name, {"classifier_weight": LARGE}, "D", Scene.classifier_error, DOWN),
        ("E fools f", name, ALONE | {"mu_E": 1.0}, "E", Scene.classifier_error, UP),
        ("G fools f", name, ALONE | {"mu_G": LARGE}, "G", Scene.classifier_error, UP),
        ("E of the authors' runs helps f", name, RUNS, "E", Scene.classifier_error, DOWN),
        ("G of the authors' runs fools f", name, RUNS | {"mu_G": LARGE}, "G", Scene.classifier_error, UP),
        ("E reconstructs data and prior", name, {"mu_E": 0.0}, "E", reconstruction_error, DOWN),
        ("G reconstructs data and prior", name, {"lambda_G": LARGE}, "G", reconstruction_error, DOWN),
    ]],
    ("E narrows the error where the data keep close to G", "vae", {"std": 0.01}, "E", pixel_error, DOWN),
    ("so does G", "vae", {}, "G", pixel_error, DOWN),
    ("E's Gaussians come nearer to the prior", "vae", {"std": LARGE}, "E", encoder_kl, DOWN),
    ("E reconstructs the data first", "aae", {}, "E", pixel_error, DOWN),
    ("with G", "aae", {}, "G", pixel_error, DOWN),
    ("D tells the prior from codes", "aae", {}, "D", code_margin, UP),
    ("E then raises the score of codes", "aae", {}, "E second", code_score, UP),
    ("D tells the prior from codes", "wae-gan", {}, "D", code_margin, UP),
    ("E raises the score of codes", "wae-gan", {"cost": 0.0}, "E", code_score, UP),
    ("E reconstructs the data", "wae-gan", {"lambda_": 0.0}, "E", pixel_error, DOWN),
    ("with G", "wae-gan", {}, "G", pixel_error, DOWN),
    ("E brings the law of the codes to the prior", "wae-mmd", {"cost": 0.0}, "E", code_mmd, DOWN),
    ("E reconstructs the data", "wae-mmd", {"lambda_": 0.0}, "E", pixel_error, DOWN),
    ("with G", "wae-mmd", {}, "G", pixel_error, DOWN),
    ("D descends its loss", "vaegan", {}, "D", judge_s_loss, DOWN),
    ("G ascends the loss of D", "vaegan", {"gamma": 0.0}, "G", judge_s_loss, UP),
    ("G reconstructs the data", "vaegan", {"gamma": LARGE}, "G", pixel_error, DOWN),
    ("E narrows the error where the data keep close to G", "vaegan", {"std": 0.01}, "E", pixel_error, DOWN),
    ("E's Gaussians come nearer to the prior", "vaegan", {"std": LARGE}, "E", encoder_kl, DOWN),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings", "network", "quantity", "direction"),
    [pytest.param(*case[1:], id=f"{case[1]}: {case[0]}") for case in SIGNS],
)
def test_sign(name, settings, network, quantity, direction, monkeypatch):
    method = registry.get(name)(**settings)
    draws = make_draws(5, 6, normal=2, uniform=5, index=INDEX)
    networks, updates = start(method, make_world(method), draws, monkeypatch)
    scene = Scene(networks, draws, shared_noise="shared" in settings.values())
    network, _, second = network.partition(" ")
    found = [g for update in updates for g in step_of(network, update, networks)]
    gradient = found[1 if second else 0]
    before = quantity(scene).item()
    size = np.sqrt(sum(float(g.square().sum()) for g in gradient.values()))
    for key, g in gradient.items():
        networks[network].weights[key].data -= 1e-4 * g / size
    assert np.sign(quantity(scene).item() - before) == direction


def step_of(network: str, update: Any, networks: dict[str, Any]) -> list[dict[str, Tensor]]:
    """The network's gradient in this yield, if it is named; nothing moves."""
    each = [gradients(one, networks, keep=True)[2] for one in (update if isinstance(update, list) else [update])]
    return [by_network[network] for by_network in each if network in by_network]
