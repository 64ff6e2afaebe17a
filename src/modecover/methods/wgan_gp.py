from dataclasses import dataclass

from modecover.losses import ADVERSARIAL, Plain
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class WGANGP(Method, name="wgan-gp"):
    """Wasserstein GAN whose critic is held 1-Lipschitz by a penalty on its gradient.

    Gulrajani et al. 2017, Algorithm 1. The penalty is a property of single samples, so the critic has no batch
    normalisation by default.
    """

    title = "Wasserstein GAN, gradient penalty (WGAN-GP)"
    family = "adversarial"
    citation = "Gulrajani et al., Improved Training of Wasserstein GANs, NeurIPS 2017"
    objective = """
    D descends  E D(G(z)) - E D(x) + penalty E (||grad D(t)||_2 - 1)^2,  t between x and G(z);  critic_steps times
    G descends  -E D(G(z))
    """
    defaults = {"lr": 1e-4, "beta1": 0.0, "beta2": 0.9}
    judged_alone = True  # the penalties are of single samples

    penalty: float = 10.0
    """Weight of the gradient penalty (lambda)."""
    critic_steps: int = 5
    """Critic steps for each generator step."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.critic_steps >= 1, f"critic_steps is {self.critic_steps}: the critic needs at least one step.")

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        game = Plain(ADVERSARIAL["wasserstein"], self.penalty)
        for _ in range(self.critic_steps):
            x, y = data(), G(prior()).detach()
            yield D, game.discriminator(D, x, y)
        yield G, {"adversarial": game.loss.generator(D(G(prior())))}
