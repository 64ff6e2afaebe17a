from dataclasses import dataclass

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class LSGAN(Method, name="lsgan"):
    """Least-squares GAN with labels real 1, fake -1, and 0 as G's target: the Pearson chi^2 form.

    Mao et al. 2017, equation 8. Both steps of an iteration use the same z.
    """

    title = "Least Squares GAN (LSGAN)"
    family = "adversarial"
    citation = "Mao et al., Least Squares Generative Adversarial Networks, ICCV 2017"
    objective = """
    D descends  1/2 E (D(x) - 1)^2 + 1/2 E (D(G(z)) + 1)^2
    G descends  1/2 E D(G(z))^2
    """

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["ls"]
        x, y = data(), G(prior())
        yield D, {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y.detach()))}
        yield G, {"adversarial": adversarial.generator(D(y))}
