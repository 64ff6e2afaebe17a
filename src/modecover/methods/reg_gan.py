from dataclasses import dataclass

from modecover.losses import ADVERSARIAL, distance_named
from modecover.methods.base import Method
from modecover.methods.roles import Discriminator, Encoder, Feed, Generator, Updates


@dataclass(frozen=True)
class RegGAN(Method, name="reg-gan"):
    """Mode-regularised GAN ("Reg-GAN"; "MRGAN" in the tables of IVGAN).

    Che et al. 2017, section 3.2, targets T_G and T_E. Deviation: the text prints `+ lambda_2 log D(G(E(x)))`, which
    would push reconstructions away from the data; the sign here is the one its section 3.2 argues for. The misprint
    can be switched on, since published "MRGAN" runs had it.
    """

    title = "Mode Regularized GAN (Reg-GAN, MRGAN)"
    family = "mode regularised"
    citation = "Che, Li, Jacob, Bengio, Li, Mode Regularized Generative Adversarial Networks, ICLR 2017"
    objective = """
    D descends     -E log D(x) - E log(1 - D(G(z)))
    G descends     -E log D(G(z)) + E [lambda_1 d(x, G(E(x))) - lambda_2 log D(G(E(x)))]
    E descends                      E [lambda_1 d(x, G(E(x))) - lambda_2 log D(G(E(x)))]
    """
    split_statistics = True

    lambda_1: float = 0.2
    """Weight of the metric regulariser, the distance of data to their reconstructions."""
    lambda_2: float = 0.4
    """Weight of the mode regulariser, which moves reconstructions toward what D calls real."""
    distance: str = "pixel"
    """Reconstruction distance: pixel (a mean, which of images the mode regulariser outweighs), pixel-sum, feature (in
    D), or a name of yours in `modecover.losses.DISTANCES`."""
    misprinted_sign: bool = False
    """Give the mode regulariser the sign the paper prints."""

    def check(self, *, latent: int, batch: int) -> None:
        distance_named(self.distance)

    def step(self, G: Generator, E: Encoder, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial, distance = ADVERSARIAL["bce"], distance_named(self.distance)
        x, y = data(), G(prior())
        yield D, {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y.detach()))}
        reconstruction = G(E(x), kind="code")
        mode = -self.lambda_2 if self.misprinted_sign else self.lambda_2
        terms = {"adversarial": adversarial.generator(D(y)), "metric": self.lambda_1 * distance(D, x, reconstruction)}
        yield (G, E), {**terms, "mode": mode * adversarial.generator(D(reconstruction))}
