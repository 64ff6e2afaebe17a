from dataclasses import dataclass
from typing import Literal

from modecover.losses import ADVERSARIAL, distance_named, moment_kl
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Encoder, Feed, Generator, Updates


@dataclass(frozen=True)
class LDMGAN(Method, name="ldmgan"):
    """GAN with latent distribution matching.

    "LDMGAN", ICLR 2020 submission, Algorithm 1 and equations 8-10. q is the Gaussian fitted to each code coordinate of
    the minibatch. The KL in G's loss moves G alone, through a fixed E. All three gradients are taken before any
    network moves (line 16). Deviations: G's adversarial losses are non-saturating by default,
    line 14 has minimax; the distance is a mean over coordinates. Micro-batches and processes each fit their own q.
    """

    title = "Latent Distribution Matching GAN (LDMGAN)"
    family = "mode regularised"
    citation = "LDMGAN: Reducing Mode Collapse in GANs with Latent Distribution Matching, ICLR 2020 submission"
    objective = """
    D descends  -E log D(x) - E log(1 - D(G(z))) - E log(1 - D(G(E(x))))
    E descends  d(x, G(E(x))) + KL(q(E(x)) || N(0, I))
    G descends  adv(G(z)) + adv(G(E(x))) + lambda_1 d(x, G(E(x))) + lambda_2 KL(q(E(G(z))) || N(0, I))
    """
    split_statistics = True
    normal_prior = True  # the KL is to N(0, I)
    normalized_codes = False  # else q is N(0, I) by construction and the KL terms say nothing

    lambda_1: float = 1.0
    """Weight of the reconstruction distance in G's loss."""
    lambda_2: float = 1.0
    """Weight of latent distribution matching in G's loss."""
    loss: Literal["nonsaturating", "minimax"] = "nonsaturating"
    """G's adversarial losses: adv(y) = -log D(y), or log(1 - D(y)) as printed."""
    distance: str = "pixel"
    """Reconstruction distance: pixel (a mean), pixel-sum, feature (in D), or a name of yours in
    `modecover.losses.DISTANCES`."""

    def check(self, *, latent: int, batch: int) -> None:
        distance_named(self.distance)
        require(batch >= 2, "LDMGAN fits a Gaussian to each batch's codes: use a batch of at least 2.")

    def step(self, G: Generator, E: Encoder, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce" if self.loss == "nonsaturating" else "minimax"]
        x, y = data(), G(prior())
        code = E(x)
        reconstruction = G(code, kind="code")
        metric = distance_named(self.distance)(D, x, reconstruction)
        of_d = {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y.detach()))}
        of_d["reconstruction"] = adversarial.fake(D(reconstruction.detach()))
        of_e = {"metric": metric, "matching": moment_kl(code)}
        of_g = {"adversarial": adversarial.generator(D(y)), "reconstruction": adversarial.generator(D(reconstruction))}
        of_g |= {"metric": self.lambda_1 * metric, "matching": self.lambda_2 * moment_kl(E(y))}
        yield [(D, of_d), (E, of_e), (G, of_g)]
