"""IVAAE: intervention adversarial auto-encoder, over cumulative blocks, radial bridges, or SVGD."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch.nn import functional as F

from modecover.interventions import Intervention, SteinBridge, family_named
from modecover.losses import not_class
from modecover.methods.base import Method, require
from modecover.methods.roles import Encoder, Feed, Generator, LatentDiscriminator, Updates

_IMAGES: dict[str, Any] = {"networks": "wae", "lr": 1e-3, "lr_E": 1e-3, "lr_D": 5e-4}
_IMAGES["lr_schedule"] = "0:1,0.1:0.5,0.166667:0.1,0.333333:0.01"
"""The rates fall as WAE's: of 300 epochs, times 0.5 after epoch 30, a further 0.2 after 50 and 0.1 after 100."""

IVAAE_RUNS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {
        **{"networks": "ivaae-mnist", "latent": 16, "batch": 64, "lr": 1e-4, "lr_E": 5e-5, "lr_D": 1e-4},
        **{"steps": 281_250, "lr_schedule": "0:1,0.333333:0.5,0.666667:0.25"},
    },
    "celeba": {**_IMAGES, "latent": 64, "batch": 100, "steps": 488_310},
    "cifar": {**_IMAGES, "latent": 128, "batch": 128, "steps": 117_187},
}
"""Training settings of IVAAE's experiments, which gave its baselines the same networks, batches and rates: at 64x64,
300 epochs of MNIST's and CIFAR-10's training images, and of CelebA's 162,770."""

WAE_RUNS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {**IVAAE_RUNS["mnist"], "cost": 204.8},
    "cifar": {**IVAAE_RUNS["cifar"], "cost": 614.4, "lambda_": 100.0},
    "celeba": {**IVAAE_RUNS["celeba"], "cost": 614.4, "lambda_": 100.0},
}
"""The same for Wasserstein auto-encoders, with the cost and weight of their authors' code."""


@dataclass(frozen=True)
class IVAAE(Method):
    """Adversarial auto-encoder whose latent discriminator tells t + 1 bridges from codes to prior apart.

    "Intervention Adversarial Auto-Encoder", Algorithm 1, equation 1. T_0 is the identity and T_t gives the prior; one z
    for each code serves all its bridges (line 3). The reconstruction error is a mean of squares over coordinates, which
    the text leaves open. Deviations: the signs of lines 11-17 are descents; by default E descends the non-saturating
    form, a binary one's usual reading, where line 17 ascends the cross-entropy: docs/decisions/0008. Presets give the
    networks, rates and length of the paper's runs: open the data with size 64.
    """

    title = "Intervention Adversarial Auto-Encoder (IVAAE)"
    family = "intervention"
    citation = "Intervention Adversarial Auto-Encoder, anonymous submission (AAE with bridge distributions)"
    objective = """
    with T_k the k-th bridge, k uniform on 0..t, and softmax outputs D_0..D_t
    D descends  mu_1 E [-log D_k(T_k(E(x)))]
    G descends  lambda E |x - G(E(x))|^2  (mean over coordinates)
    E descends  lambda E |x - G(E(x))|^2 + mu_2 E [-log(1 - D_k(T_k(E(x))))]   (non-saturating)
           or   lambda E |x - G(E(x))|^2 - mu_2 E [-log D_k(T_k(E(x)))]        (ascend)
    """
    defaults = {"latent": 16, "lr": 1e-3, "lr_D": 5e-4, "lr_E": 1e-3}
    presets = {name: {**run, "encoder_objective": "ascend"} for name, run in IVAAE_RUNS.items()}
    normalized_codes = False  # the law of the codes is what D judges

    t: int = 4
    """Bridges after the codes themselves; the last of them is the prior."""
    intervention: str = "cumulative"
    """Family of bridges: cumulative, radial, svgd, or any other of `modecover.interventions.INTERVENTIONS`, with t + 1
    maps."""
    lambda_: float = 1.0
    """Weight of the reconstruction error."""
    mu_1: float | None = None
    """Weight of the cross-entropy in D's loss. Default: 4 / (t + 1): for t = 1 both terms of a plain AAE."""
    mu_2: float | None = None
    """Weight of the intervention loss in E's loss. Default: 2 / (t + 1)."""
    encoder_objective: Literal["ascend", "non-saturating"] = "non-saturating"
    """E's intervention loss: ascend D's cross-entropy, as the theorem has it; or descend -log(1 - D_k), which has a
    lower bound and does not lose its slope where D is certain."""

    @property
    def bridges(self) -> Intervention:
        return family_named(self.intervention, self.t + 1)

    @property
    def classes(self) -> int:
        return self.t + 1

    @property
    def normal_prior(self) -> bool:
        return not self.bridges.of_any_prior

    def check(self, *, latent: int, batch: int) -> None:
        require(self.t >= 1, f"t is {self.t}: there must be at least one bridge, the prior.")
        require(batch >= 2 or self.intervention != "svgd", "SVGD moves a batch's codes together: use at least 2.")
        self.bridges.check(latent, "t", fewer=1)

    def step(self, G: Generator, E: Encoder, D: LatentDiscriminator, data: Feed, prior: Feed) -> Updates:
        mu_1 = 4 / (self.t + 1) if self.mu_1 is None else self.mu_1
        mu_2 = 2 / (self.t + 1) if self.mu_2 is None else self.mu_2
        x, z = data(), prior()
        code = E(x)
        moved, k = self.bridges.every(code, z)
        yield D, {"intervention": mu_1 * F.cross_entropy(D(moved.detach(), head="classes"), k)}
        told = D(moved, head="classes")
        fooled = not_class(told, k) if self.encoder_objective == "non-saturating" else -F.cross_entropy(told, k)
        reconstruction = self.lambda_ * F.mse_loss(G(code), x)
        yield [
            (G, {"reconstruction": reconstruction}),
            (E, {"reconstruction": reconstruction, "intervention": mu_2 * fooled}),
        ]


@dataclass(frozen=True)
class IVAAEBlockwise(IVAAE, name="ivaae-bw"):
    """T_k replaces the first k of t equal blocks of coordinates by fresh noise."""

    title = "Intervention Adversarial Auto-Encoder, cumulative blocks (IVAAE-bw)"


@dataclass(frozen=True)
class IVAAERadial(IVAAE, name="ivaae-rad"):
    """T_k(c) = c cos(k pi / 2t) + z sin(k pi / 2t)."""

    title = "Intervention Adversarial Auto-Encoder, radial (IVAAE-rad)"

    intervention: str = "radial"


@dataclass(frozen=True)
class IVAAESVGD(IVAAE, name="ivaae-svgd"):
    """T_k moves the minibatch's codes toward the prior by Stein variational gradient descent (section 3.2, equation 2).

    E's gradient flows back through the iterations. The paper ran it on MNIST alone.
    """

    title = "Intervention Adversarial Auto-Encoder, Stein variational gradient descent (IVAAE-svgd)"
    presets = {"mnist": IVAAE.presets["mnist"]}

    intervention: str = "svgd"
    """Family of bridges: svgd, which the settings below are of, or any other of `modecover.interventions`."""
    step_size: float = 1.0
    """Length of an SVGD step (epsilon)."""
    bandwidth: float = 100.0
    """Bandwidth h of SVGD's kernel over h_0 = med^2 / log n, med the median distance of two of the n codes."""
    iterations: int = 2
    """SVGD iterations from one bridge to the next."""
    jitter: float = 0.1
    """Std of the Gaussian noise added after each iteration."""

    @property
    def bridges(self) -> Intervention:
        if self.intervention != "svgd":
            return super().bridges
        return SteinBridge(self.t + 1, self.step_size, self.bandwidth, self.iterations, self.jitter)

    def check(self, *, latent: int, batch: int) -> None:
        super().check(latent=latent, batch=batch)
        require(self.iterations >= 1, f"iterations is {self.iterations}: bridges that do not move are one bridge.")
        require(self.bandwidth > 0, f"bandwidth is {self.bandwidth}: give a positive number.")
