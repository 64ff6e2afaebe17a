from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Feed, Generator, Network, Updates


@dataclass(frozen=True)
class UnrolledGAN(Method, name="unrolled"):
    """GAN whose generator descends the surrogate f_K: its loss under the discriminator as K more steps would leave it.

    Metz et al. 2017, equations 7-11. The gradient of G flows through the K steps, which D does not take: its own step
    is a plain one, and both gradients are taken before either network moves (equations 10 and 11). D_K depends on G
    where it judges data, too: so the surrogate keeps its term of the data, whose gradient is often the larger part. The
    unrolled steps are plain gradient descent on the minibatch of the step, as equation 7 has it; the paper's
    experiments unroll Adam. Micro-batches and processes each unroll on their own rows.
    """

    title = "Unrolled GAN"
    family = "adversarial"
    citation = "Metz et al., Unrolled Generative Adversarial Networks, ICLR 2017"
    objective = """
    with f(G, D) = -E log D(x) - E log(1 - D(G(z))),  D_0 = D  and  D_k+1 = D_k - rate grad_D f(G, D_k)
    D descends  f(G, D)
    G ascends   f(G, D_K)  through D_1, .., D_K  (minimax),  that is, descends  E log D_K(x) + E log(1 - D_K(G(z)))
        or descends  E log D_K(x) - E log D_K(G(z))  (nonsaturating)
    """

    unrolled_steps: int = 5
    """Steps of D that G looks ahead (K); with 0 this is the GAN with simultaneous updates."""
    unrolled_rate: float = 0.01
    """Learning rate of these steps (eta; ours: the paper's Adam has no counterpart). Protocols of points set 0.1, with
    which the gradient of DCGAN's G grows two hundredfold in 5 steps."""
    loss: Literal["minimax", "nonsaturating"] = "minimax"
    """G's loss: the minimax form of the paper, or the non-saturating form."""

    def check(self, *, latent: int, batch: int) -> None:
        require(self.unrolled_steps >= 0, f"unrolled_steps is {self.unrolled_steps}: give 0 or more, for example 5.")
        require(self.unrolled_rate > 0, f"unrolled_rate is {self.unrolled_rate}: it must be positive, for example 0.1.")

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce" if self.loss == "nonsaturating" else "minimax"]
        x, y = data(), G(prior())

        def terms(judge: Network, fake: Tensor) -> dict[str, Tensor]:
            return {"real": adversarial.real(judge(x)), "fake": adversarial.fake(judge(fake))}

        ahead: Network = D
        for _ in range(self.unrolled_steps):
            f = terms(ahead, y)
            ahead = ahead.after_step(f["real"] + f["fake"], self.unrolled_rate)
        surrogate = {"real": -adversarial.real(ahead(x)), "fake": adversarial.generator(ahead(y))}
        yield [(D, terms(D, y.detach())), (G, surrogate)]
