from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from modecover.losses import ADVERSARIAL
from modecover.methods.base import Method, require
from modecover.methods.roles import Discriminator, Feed, Generator, Updates


@dataclass(frozen=True)
class PacGAN(Method, name="pacgan"):
    """GAN whose discriminator judges packs of m samples together, where a lack of variety shows.

    Lin et al. 2018, section 2.1. A pack is m samples joined along their first axis: channels, or coordinates. As in
    the authors' code a batch has as many packs as it says, hence m times the samples, and the steps of D and of G
    share them. Deviation: the alternate order of updates; on stacked MNIST the authors' G takes two steps.
    """

    title = "Packed GAN (PacGAN)"
    family = "adversarial"
    citation = "Lin et al., PacGAN: The Power of Two Samples in Generative Adversarial Networks, NeurIPS 2018"
    objective = """
    D descends  -E log D(x_1, .., x_m) - E log(1 - D(G(z_1), .., G(z_m)))
    G descends  -E log D(G(z_1), .., G(z_m))      (nonsaturating)   or   E log(1 - D(..))   (minimax)
    """

    m: int = 2
    """Samples in a pack; 1 is the plain GAN."""
    loss: Literal["nonsaturating", "minimax"] = "nonsaturating"
    """G's loss: the non-saturating form, or the minimax form."""

    @property
    def packing(self) -> int:
        return self.m

    def check(self, *, latent: int, batch: int) -> None:
        require(self.m >= 1, f"m is {self.m}: a pack has at least one sample; the paper has 2 to 4.")

    def step(self, G: Generator, D: Discriminator, data: Feed, prior: Feed) -> Updates:
        def pack(sample: Callable[[], Tensor]) -> Tensor:
            return torch.cat([sample() for _ in range(self.m)], dim=1)

        adversarial = ADVERSARIAL["bce" if self.loss == "nonsaturating" else "minimax"]
        x, y = pack(data), pack(lambda: G(prior()))
        yield D, {"real": adversarial.real(D(x)), "fake": adversarial.fake(D(y.detach()))}
        yield G, {"adversarial": adversarial.generator(D(y))}
