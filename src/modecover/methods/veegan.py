from dataclasses import dataclass

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method
from modecover.methods.roles import Encoder, Feed, Generator, JointDiscriminator, Updates


@dataclass(frozen=True)
class VEEGAN(Method, name="veegan"):
    """GAN with a reconstructor E that maps data to noise and inverts G.

    Srivastava et al. 2017, Algorithm 1 and equations 3-4, their F_theta being E. D estimates the log ratio of the laws
    of (G(z), z) and (x, E(x)); where G drops a mode, E maps that mode's data to other codes than the prior's, and D
    shows it to G. All gradients are taken before any network moves. E feels the reconstruction of z alone: the
    adversarial term's dependence on E is left out, as in their Algorithm 1. Deviations: D's sign is turned, so that
    high scores are the data's, as for every method here; codes are E(x) itself, without the small noise of the theory.
    """

    title = "Variational Encoder Enhancement to GANs (VEEGAN)"
    family = "adversarial with an encoder"
    citation = (
        "Srivastava et al., VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning, NeurIPS 2017"
    )
    objective = """
    D descends  -E log sigma(D(x, E(x))) - E log(1 - sigma(D(G(z), z)))
    E descends  reconstruction E ||z - E(G(z))||^2
    G descends  -E D(G(z), z) + reconstruction E ||z - E(G(z))||^2
    """
    normalized_codes = False  # where E sends the data is what D shall see

    reconstruction: float = 1.0
    """Weight of the squared error, summed over coordinates, with which E reconstructs z from G(z)."""

    def step(self, G: Generator, E: Encoder, D: JointDiscriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce"]
        x, z = data(), prior()
        y = G(z)
        error = self.reconstruction * (z - E(y)).square().sum(dim=1).mean()
        yield [
            (D, {"real": adversarial.real(D(x, E(x).detach())), "fake": adversarial.fake(D(y.detach(), z))}),
            (E, {"reconstruction": error}),
            (G, {"ratio": -D(y, z).mean(), "reconstruction": error}),
        ]
