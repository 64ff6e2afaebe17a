from dataclasses import dataclass

from modecover.losses import Relativistic
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class R3GAN(Method, name="r3gan"):
    """Relativistic pairing GAN with R1 and R2: D scores real above fake, pair by pair, and is kept flat at both.

    Huang et al. 2024, section 2. Both penalties at every step: the paper finds that R1 alone does not suffice. They are
    properties of single samples, so D has no batch normalisation; the paper's networks have none anywhere, which for
    images is the networks preset `residual`. The right gamma depends on the scale of the data. Deviations: the steps of
    D and of G share x and z, where the authors' code draws a new z for G; gamma and Adam's beta2 are constants.
    """

    title = "Relativistic pairing GAN with R1 and R2 (R3GAN)"
    family = "adversarial"
    citation = "Huang et al., The GAN is dead; long live the GAN! A Modern GAN Baseline, NeurIPS 2024"
    objective = """
    D descends  E log(1 + exp(D(G(z)) - D(x))) + gamma/2 E ||grad D(x)||^2 + gamma/2 E ||grad D(G(z))||^2
    G descends  E log(1 + exp(D(x) - D(G(z))))
    """
    defaults = {"beta1": 0.0, "beta2": 0.99}
    presets = {"images": {"networks": "residual", "ema": 0.999}}
    judged_alone = True  # the penalties are of single samples

    gamma: float = 1.0
    """Weight of the zero-centred penalties R1 (at real samples) and R2 (at fake ones)."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.gamma >= 0, f"gamma is {self.gamma}: a penalty's weight is 0 or positive, for example 0.1.")

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        game = Relativistic(self.gamma)
        x, y = data(), G(prior())
        yield D, game.discriminator(D, x, y.detach())
        yield G, {"adversarial": game.generator(D, x, y)}
