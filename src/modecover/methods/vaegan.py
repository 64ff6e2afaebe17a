from dataclasses import dataclass
from typing import Literal

from modecover import random
from modecover.losses import ADVERSARIAL, gaussian_kl, squared_error
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Encoder, Feed, Generator, Updates


@dataclass(frozen=True)
class VAEGAN(Method, name="vaegan"):
    """Variational auto-encoder with a GAN's discriminator, in whose features reconstructions are compared.

    Larsen et al. 2016, Algorithm 1, equations 5-8. E does not feel the adversarial loss, D neither likelihood nor KL.
    Deviations: the box has D descend and G ascend log D(x) + log(1 - D(y)); here D ascends it and G descends the
    non-saturating form, over samples and reconstructions alike. On points the likelihood is taken on the points
    themselves. All gradients are taken before any network moves.
    """

    title = "Variational Auto-Encoder with a learned similarity (VAEGAN, VAE/GAN)"
    family = "auto-encoding"
    citation = "Larsen et al., Autoencoding beyond Pixels using a Learned Similarity Metric, ICML 2016"
    objective = """
    with E(x) = (mu, log sigma^2), c a draw of N(mu, diag sigma^2), phi the last features of D (on points: phi = 1/std)
    L = E ||phi(x) - phi(G(c))||^2 / 2
    E descends  E KL(N(mu, diag sigma^2) || N(0, I)) + L
    G descends  gamma L - E log D(G(z)) - E log D(G(c))
    D descends  -E log D(x) - E log(1 - D(G(z))) - E log(1 - D(G(c)))
    """
    split_statistics = True
    normal_prior = True  # the KL is to N(0, I)
    stochastic_codes = True

    gamma: float = 0.01
    """Weight of the likelihood in G's loss, beside the adversarial losses."""
    distance: Literal["auto", "feature", "pixel"] = "auto"
    """Where the likelihood is taken: in D's features, on pixels; auto: on the coordinates of points, in the features of
    images."""
    std: float = 0.1
    """Standard deviation of the data around G(c) where the likelihood is taken on pixels or points. In features it is
    1, as in the paper."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.std > 0, f"std is {self.std}: give a positive number, for example 0.1.")

    def step(self, G: Generator, E: Encoder, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce"]
        x, y = data(), G(prior())
        moments = E(x)
        reconstruction = G(random.gaussian(moments), kind="code")
        # Minus equation 7, without its constant; the features of the data are constants.
        if self.distance == "pixel" or (self.distance == "auto" and x.dim() == 2):
            likelihood = squared_error(reconstruction, x) / (2 * self.std**2)
        else:
            likelihood = squared_error(D(reconstruction, head="features"), D(x, head="features").detach()) / 2
        of_d = {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y.detach()))}
        of_d["reconstruction"] = adversarial.fake(D(reconstruction.detach()))
        of_e = {"likelihood": likelihood, "kl": gaussian_kl(moments)}
        of_g = {"adversarial": adversarial.generator(D(y)), "reconstruction": adversarial.generator(D(reconstruction))}
        yield [(D, of_d), (E, of_e), (G, {**of_g, "likelihood": self.gamma * likelihood})]
