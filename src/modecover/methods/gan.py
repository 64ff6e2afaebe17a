from dataclasses import dataclass
from typing import Literal

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class GAN(Method, name="gan"):
    """Generative adversarial network; with the DCGAN networks this is DCGAN.

    Goodfellow et al. 2014, Algorithm 1 with one discriminator step. Deviation: both steps use the same z, as in common
    implementations; the algorithm box draws it anew for G.
    """

    title = "Generative Adversarial Network (GAN, DCGAN)"
    family = "adversarial"
    citation = (
        "Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014; "
        "Radford et al., Unsupervised Representation Learning with DCGANs, ICLR 2016"
    )
    objective = """
    D descends  -E log D(x) - E log(1 - D(G(z)))
    G descends  -E log D(G(z))        (nonsaturating)   or   E log(1 - D(G(z)))   (minimax)
    """

    loss: Literal["nonsaturating", "minimax"] = "nonsaturating"
    """G's loss: the non-saturating form, or the minimax form of equation 1."""

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce" if self.loss == "nonsaturating" else "minimax"]
        x, y = data(), G(prior())
        yield D, {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y.detach()))}
        yield G, {"adversarial": adversarial.generator(D(y))}
