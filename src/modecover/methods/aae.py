from dataclasses import dataclass

from modecover.losses import ADVERSARIAL, DISTANCES
from modecover.methods.base import Method
from modecover.methods.ivaae import IVAAE_RUNS
from modecover.methods.roles import Encoder, Feed, Generator, LatentDiscriminator, Updates


@dataclass(frozen=True)
class AAE(Method, name="aae"):
    """Auto-encoder whose codes an adversary in latent space makes look like prior noise.

    Makhzani et al. 2016, section 2: each minibatch goes through a reconstruction phase and a regularisation phase, in
    which first D and then E, as D's generator, moves. Codes are deterministic, the first of the paper's three kinds.
    Deviations: E moves on one optimiser in both phases, where the paper gives each phase its own rate, so that
    `reconstruction` weighs the phases against each other; the error is a mean over coordinates.
    """

    title = "Adversarial Auto-Encoder (AAE)"
    family = "auto-encoding"
    citation = "Makhzani et al., Adversarial Autoencoders, ICLR 2016 workshop, arXiv 1511.05644"
    objective = """
    G, E descend  reconstruction E |x - G(E(x))|^2  (mean over coordinates)
    D descends    -E log D(z) - E log(1 - D(E(x)))
    E descends    -E log D(E(x))
    """
    defaults = {"latent": 16, "lr": 1e-3, "lr_E": 1e-3, "lr_D": 5e-4}
    presets = IVAAE_RUNS
    normalized_codes = False  # the law of the codes is what D judges

    reconstruction: float = 10.0
    """Weight of the squared error beside the adversarial loss (ours)."""

    def step(self, G: Generator, E: Encoder, D: LatentDiscriminator, data: Feed, prior: Feed) -> Updates:
        adversarial, distance = ADVERSARIAL["bce"], DISTANCES["pixel"]
        x, z = data(), prior()
        yield (G, E), {"reconstruction": self.reconstruction * distance(D, x, G(E(x)))}
        code = E(x)
        yield D, {"real": adversarial.real(D(z)), "fake": adversarial.fake(D(code.detach()))}
        yield E, {"adversarial": adversarial.generator(D(code))}
