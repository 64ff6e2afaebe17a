from dataclasses import dataclass

from torch.nn import functional as F

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method
from modecover.methods.ivaae import WAE_RUNS
from modecover.methods.roles import Encoder, Feed, Generator, LatentDiscriminator, Updates


@dataclass(frozen=True)
class WAEGAN(Method, name="wae-gan"):
    """Wasserstein auto-encoder whose codes an adversary in latent space compares with the prior.

    Tolstikhin et al. 2018, Algorithm 1. E descends the non-saturating -log D(E(x)), as the box prints it; D's real rows
    are the prior's. The cost is that of the authors' code, 0.05 ||x - y||^2 for images in [-1, 1], but with a weight
    that serves data of any dimension. Left out of their code: up to 200 steps beforehand that fit the mean and the
    covariance of the codes to the prior's, since a step here does not know its number; noise of std 0.01 on images; and
    log p(z) added to D's score.
    """

    title = "Wasserstein Auto-Encoder, adversarial (WAE-GAN)"
    family = "auto-encoding"
    citation = "Tolstikhin, Bousquet, Gelly, Schoelkopf, Wasserstein Auto-Encoders, ICLR 2018"
    objective = """
    D descends    lambda [-E log D(z) - E log(1 - D(E(x)))]
    G, E descend  cost E |x - G(E(x))|^2 - lambda E log D(E(x))  (mean over coordinates)
    """
    defaults = {"latent": 16, "lr": 1e-3, "lr_E": 1e-3, "lr_D": 5e-4}
    presets = {**WAE_RUNS, "celeba-wae": {**WAE_RUNS["celeba"], "lr": 3e-4, "lr_E": 3e-4, "lr_D": 1e-3}}
    normalized_codes = False  # the law of the codes is what D judges

    lambda_: float = 10.0
    """Weight of the adversarial loss."""
    cost: float = 50.0
    """Weight of the squared error, a mean over coordinates. The authors' 0.05 ||x - y||^2 is 0.05 times their number:
    51 for grey images of 32x32, 614.4 for colour ones of 64x64 (the presets celeba and cifar)."""

    def step(self, G: Generator, E: Encoder, D: LatentDiscriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce"]
        x, z = data(), prior()
        code = E(x)
        real, fake = adversarial.real(D(z)), adversarial.fake(D(code.detach()))
        yield D, {"real": self.lambda_ * real, "fake": self.lambda_ * fake}
        error = self.cost * F.mse_loss(G(code), x)
        yield (G, E), {"reconstruction": error, "adversarial": self.lambda_ * adversarial.generator(D(code))}
