"""IVGAN: Intervention GAN over any adversarial loss; IVDCGAN (binary cross-entropy) and IVLSGAN (least squares)."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from modecover import random
from modecover.interventions import Intervened, Intervention, InterventionLoss, family_named
from modecover.losses import game_named
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Encoder, Feed, Generator, Updates

Adversarial = Literal["bce", "minimax", "ls", "hinge", "wgan-gp", "relativistic"]


@dataclass(frozen=True)
class IVGAN(Method, name="ivgan"):
    """Intervention GAN with presets `paper` (the fields' defaults), `official` (what the authors ran; on stacked MNIST:
    `official-stacked`), and for images `r3gan`: the relativistic game, with what a search on stacked digits found.

    Liang et al. 2020, Algorithm 1, equations 3, 6 and 11. The classifier f is D's second head. Deviations of `paper`:
    the signs of lines 15 and 17 are descents; f's loss has weight 1/2 in D's step; G and E move on gradients of the one
    graph of lines 5-8 and 13; an intervention leaves the prior unchanged, so G(O_i(z)) also serves as the fake sample.
    """

    title = "Intervention GAN (IVGAN)"
    family = "intervention"
    citation = "Liang et al., Intervention Generative Adversarial Networks, 2020, arXiv 2008.03712"
    objective = """
    with x' = G(O_i(E(x))), i uniform on 1..k, and R = E |G(E(x)) - x| + E |E(G(O_i(z))) - O_i(z)|  (means)
    D, f descend  adv_D(x, G(z)) + classifier_weight E [-log f_i(x')]
    G descends    adv_G(G(z)) + lambda_G R - mu_G E [-log f_i(x')]
    E descends                  lambda_E R - mu_E E [-log f_i(x')]
    """
    split_statistics = True
    quarter_encoder = True  # the authors' runs; Table 1 has 64 channels: --networks dcgan-wide-encoder
    defaults = {"lr_E": 1e-2, "weight_decay_E": 5e-4, "instance_noise": "0:0.05,0.125:0.01,0.25:0.001,0.5:0"}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"lr": 1e-4, "lr_E": 5e-3},
        "official": {
            **{"encoder_objective": "help", "index": "minibatch", "block_noise": "shared", "encoder_steps": 10},
            **{"order": "simultaneous", "latent_reconstruction": "code", "input_affine": True, "freeze_bn_from": 7_800},
        },
        "wgan-gp": {"adversarial": "wgan-gp", "lr": 1e-4, "beta1": 0.0, "beta2": 0.9},
        "r3gan": {
            **{"adversarial": "relativistic", "penalty": 10.0, "beta1": 0.0, "beta2": 0.99, "ema": 0.999},
            **{"cap": True, "lambda_G": 0.05, "mu_G": 0.1, "lr": 8e-4, "lr_E": 1e-3},
        },
    }
    presets["official-stacked"] = {**presets["official"], **presets["paper"], "freeze_bn_from": 9_370}
    presets["official-stacked"]["encoder_objective"] = "help and reconstruct"

    adversarial: Adversarial = "bce"
    """Adversarial loss, its penalties on the adversarial head alone: wgan-gp, and relativistic with R1 and R2 (R3GAN).
    With these two D has no batch normalisation. Presets of their names (wgan-gp, r3gan) have what goes with them."""
    penalty: float | None = None
    """Weight of the gradient penalties of wgan-gp and relativistic (gamma). Default: 10 and 1."""
    intervention: str = "block"
    """Family of interventions: block, cumulative, radial, svgd, identity, or a name you add to
    `modecover.interventions.INTERVENTIONS`."""
    k: int = 4
    """Number of interventions; of bridges (cumulative, radial, svgd) the first is the identity, the last the prior."""
    lambda_G: float = 0.25
    """Weight of the reconstruction terms in G's loss."""
    mu_G: float = 0.5
    """Weight of the intervention loss in G's loss."""
    lambda_E: float = 1.0
    """Weight of the reconstruction terms in E's loss."""
    mu_E: float = 1.0
    """Weight of the intervention loss in E's loss."""
    classifier_weight: float = 0.5
    """Weight of f's cross-entropy in the step of the trunk that f shares with D."""
    encoder_steps: int = 1
    """Encoder steps per iteration, on the same x, z and interventions."""
    cap: bool = False
    """Cap f's cross-entropy at log k where G and E ascend it: the best classifier never has more, and without it they
    may push that of one that lags behind up without end. The cap is on the mean over a process's rows."""
    encoder_objective: Literal["fool", "help", "help and reconstruct"] = "fool"
    """E's loss: as in the text (E fools f); or half of f's cross-entropy, descended, alone (E helps f: what the authors
    ran) or with the reconstruction of x (what they ran on stacked MNIST)."""
    index: Literal["sample", "minibatch"] = "sample"
    """Whether each sample or each minibatch draws its intervention."""
    block_noise: Literal["fresh", "shared"] = "fresh"
    """Noise put into E(x): fresh, or the z of the fake samples."""
    order: Literal["alternate", "simultaneous"] = "alternate"
    """G moves after D, or both on gradients taken before either moves."""
    latent_reconstruction: Literal["prior", "code"] = "prior"
    """What E(G(.)) shall reconstruct: O_i(z), for G and E; or O_i(E(x)), for G alone."""

    @property
    def interventions(self) -> Intervention:
        return family_named(self.intervention, self.k)

    @property
    def classes(self) -> int:
        return self.k

    @property
    def normal_prior(self) -> bool:
        return not self.interventions.of_any_prior

    @property
    def judged_alone(self) -> bool:
        return game_named(self.adversarial, self.penalty).penalty is not None

    def check(self, *, latent: int, batch: int) -> None:
        require(self.encoder_steps >= 1, f"encoder_steps is {self.encoder_steps}: E needs at least one step.")
        game_named(self.adversarial, self.penalty)
        self.interventions.check(latent)

    def step(self, G: Generator, E: Encoder, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        game, O = game_named(self.adversarial, self.penalty), self.interventions  # noqa: E741
        loss = InterventionLoss(partial(G, kind="code"), E, partial(D, head="classes"), O, cap=self.cap)
        x, z = data(), prior()
        i = random.integers(self.k, z, shared=self.index == "minibatch")
        fresh = None if self.block_noise == "shared" else prior()
        z = O(z, i, prior()) if self.latent_reconstruction == "prior" else z
        noise = z if fresh is None else fresh

        def forward() -> tuple[Tensor, Intervened]:
            """w = E(x) and x' = G(O_i(w)), lines 5-8."""
            w = E(x)
            return w, loss.decode(O(w, i, noise), i)

        def shared(y: Tensor | None = None) -> dict[str, Tensor]:
            """Equations 3 and 6, what G and E both descend, unweighted; y = G(z), where it is at hand."""
            terms = {"reconstruction": F.l1_loss(G(w, kind="code"), x), "intervention": loss(made)}
            if self.latent_reconstruction == "prior":
                terms["latent"] = F.l1_loss(E(G(z) if y is None else y), z)
            return terms

        def of_encoder(terms: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
            """E's whole loss: the text's (E fools f), or what the authors ran (E helps f)."""
            if self.encoder_objective == "fool":
                return _weighted(shared() if terms is None else terms, self.lambda_E, self.mu_E)
            helped = {"intervention": 0.5 * loss.cross_entropy(made)}
            if self.encoder_objective == "help":
                return helped
            return {**helped, "reconstruction": F.l1_loss(G(w, kind="code"), x)}

        y = G(z)
        w, made = forward()
        of_d = game.discriminator(D, x, y.detach())
        of_d["classifier"] = self.classifier_weight * loss.classifier(made)
        alternate = self.order == "alternate"
        if alternate:
            yield D, of_d
        terms = shared(y)
        codes = {} if "latent" in terms else {"latent": F.l1_loss(E(made.samples), made.code)}
        of_g = {"adversarial": game.generator(D, x, y), **_weighted({**terms, **codes}, self.lambda_G, self.mu_G)}
        yield [(G, of_g), (E, of_encoder(terms))] if alternate else [(D, of_d), (G, of_g)]
        for _ in range(self.encoder_steps - alternate):
            w, made = forward()  # anew: G or E has moved
            yield E, of_encoder()


def _weighted(terms: dict[str, Tensor], reconstruction: float, intervention: float) -> dict[str, Tensor]:
    return {name: (intervention if name == "intervention" else reconstruction) * term for name, term in terms.items()}


_OF_THE_PAPER = {name: IVGAN.presets[name] for name in ("paper", "official", "official-stacked")}


@dataclass(frozen=True)
class IVDCGAN(IVGAN, name="ivdcgan"):
    """Intervention GAN over the binary cross-entropy. Liang et al. 2020."""

    title = "Intervention GAN over binary cross-entropy (IVDCGAN)"
    presets = _OF_THE_PAPER


@dataclass(frozen=True)
class IVLSGAN(IVGAN, name="ivlsgan"):
    """Intervention GAN over least squares. Liang et al. 2020."""

    title = "Intervention GAN over least squares (IVLSGAN)"
    presets = _OF_THE_PAPER

    adversarial: Adversarial = "ls"
    """Adversarial loss: least squares."""
