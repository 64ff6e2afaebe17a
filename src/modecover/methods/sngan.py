from dataclasses import dataclass

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class SNGAN(Method, name="sngan"):
    """GAN with the hinge loss, whose discriminator is held near 1-Lipschitz by its layers' spectral norms.

    Miyato et al. 2018, equations 16-17 and Algorithm 1; the normalisation is the training setting `norm_D=spectral`.
    The usual settings are the paper's setting C; the preset `resnet` has those it used with residual networks.
    """

    title = "Spectrally Normalized GAN, hinge loss (SN-GAN)"
    family = "adversarial"
    citation = "Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018"
    objective = """
    D descends  E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))),  every layer's weight divided by its spectral norm
    G descends  -E D(G(z))
    """
    defaults = {"norm_D": "spectral"}
    presets = {"resnet": {"critic_steps": 5, "beta1": 0.0, "beta2": 0.9, "networks": "residual"}}

    critic_steps: int = 1
    """Discriminator steps for each generator step."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.critic_steps >= 1, f"critic_steps is {self.critic_steps}: D needs at least one step.")

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        hinge = ADVERSARIAL["hinge"]
        for _ in range(self.critic_steps):
            x, y = data(), G(prior()).detach()
            yield D, {"real": hinge.real(D(x)), "fake": hinge.fake(D(y))}
        yield G, {"adversarial": hinge.generator(D(G(prior())))}
