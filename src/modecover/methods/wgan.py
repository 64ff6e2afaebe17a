from dataclasses import dataclass

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class WGAN(Method, name="wgan"):
    """Wasserstein GAN whose critic's weights are clipped after every step.

    Arjovsky et al. 2017, Algorithm 1.
    """

    title = "Wasserstein GAN, weight clipping (WGAN)"
    family = "adversarial"
    citation = "Arjovsky, Chintala, Bottou, Wasserstein GAN, ICML 2017"
    objective = """
    D descends  E D(G(z)) - E D(x),  then every weight of D is clipped into [-clipping, clipping];  critic_steps times
    G descends  -E D(G(z))
    """
    defaults = {"optimizer": "rmsprop", "lr": 5e-5}

    clipping: float = 0.01
    """Bound on the size of every weight of the critic."""
    critic_steps: int = 5
    """Critic steps for each generator step."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.critic_steps >= 1, f"critic_steps is {self.critic_steps}: the critic needs at least one step.")
        require(self.clipping > 0, f"clipping is {self.clipping}: it must be positive, for example 0.01.")

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["wasserstein"]
        for _ in range(self.critic_steps):
            x, y = data(), G(prior()).detach()
            yield D, {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y))}
            D.clamp_(self.clipping)
        yield G, {"adversarial": adversarial.generator(D(G(prior())))}
