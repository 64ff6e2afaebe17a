"""BiGAN and ALI: adversarial training of pairs of data and codes."""

from dataclasses import dataclass
from typing import Literal

from modecover import random
from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method
from modecover.methods.roles import Encoder, Feed, Generator, JointDiscriminator, Updates


@dataclass(frozen=True)
class BiGAN(Method, name="bigan"):
    """Bidirectional GAN: D tells pairs (x, E(x)) from pairs (G(z), z), and G and E make them alike.

    Donahue et al. 2017, equation 3 and section 3.4; with a Gaussian encoder this is ALI (Dumoulin et al. 2017,
    Algorithm 1). G and E descend the non-saturating form, with exchanged labels, as both papers do in practice. In
    ALI's box all gradients are taken before any network moves; here D moves first.
    """

    title = "Bidirectional GAN (BiGAN)"
    family = "adversarial with an encoder"
    citation = "Donahue, Kraehenbuehl, Darrell, Adversarial Feature Learning, ICLR 2017"
    objective = """
    D descends     -E log D(x, E(x)) - E log(1 - D(G(z), z))
    G, E descend   -E log(1 - D(x, E(x))) - E log D(G(z), z)
    """
    normalized_codes = False  # D shall see the law of the codes as E makes it

    encoder: Literal["deterministic", "gaussian"] = "deterministic"
    """Codes: E(x) itself (BiGAN), or a draw from the Gaussian whose mean and log variance E returns (ALI)."""

    @property
    def stochastic_codes(self) -> bool:
        return self.encoder == "gaussian"

    def step(self, G: Generator, E: Encoder, D: JointDiscriminator, data: Feed, prior: Feed) -> Updates:
        adversarial = ADVERSARIAL["bce"]
        x, z = data(), prior()
        y = G(z)
        code = random.gaussian(E(x)) if self.stochastic_codes else E(x)
        yield D, {"real": adversarial.real(D(x, code.detach())), "fake": adversarial.fake(D(y.detach(), z))}
        yield (G, E), {"encoder": adversarial.fake(D(x, code)), "generator": adversarial.real(D(y, z))}


@dataclass(frozen=True)
class ALI(BiGAN, name="ali"):
    """Adversarially learned inference: BiGAN with a Gaussian encoder."""

    title = "Adversarially Learned Inference (ALI)"
    citation = "Dumoulin et al., Adversarially Learned Inference, ICLR 2017"

    encoder: Literal["deterministic", "gaussian"] = "gaussian"
