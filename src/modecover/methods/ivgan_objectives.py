"""What G and E of IVGAN descend beside the adversarial loss: equations 3 and 6, and what the authors ran."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from modecover.interventions import InterventionLoss
from modecover.methods.roles import Discriminator, Encoder, Generator

if TYPE_CHECKING:
    from modecover.methods.ivgan import IVGAN

TermsByName = dict[str, Tensor]


class Objectives:
    """The terms of one step, on the forward pass w = E(x), x' = G(O_i(w)) of Algorithm 1, lines 5-8.

    Args:
        method: whose settings.
        x, z: data rows, and latent rows of the fake samples.
        i, noise: the intervention of each row, (B,), and what it puts in the place of a block, (B, d).
    """

    def __init__(
        self,
        method: IVGAN,
        G: Generator,
        E: Encoder,
        D: Discriminator,
        x: Tensor,
        z: Tensor,
        i: Tensor,
        noise: Tensor,
    ):
        self.method, self.G, self.E, self.x, self.z, self.i, self.noise = method, G, E, x, z, i, noise
        self.loss = InterventionLoss(
            partial(G, kind="code"), E, partial(D, head="classes"), method.interventions, cap=method.cap
        )
        self.forward()

    def forward(self) -> None:
        """Pass x through E and G anew: after one of them has moved."""
        self.w = self.E(self.x)
        self.made = self.loss.decode(self.loss.interventions(self.w, self.i, self.noise), self.i)

    def regularisers(self, y: Tensor | None = None) -> TermsByName:
        """Equations 3 and 6, unweighted. y = G(z), where it is at hand; without it only what is also E's."""
        terms = {"reconstruction": F.l1_loss(self.G(self.w, kind="code"), self.x), "intervention": self.loss(self.made)}
        if self.method.latent_reconstruction == "prior":
            terms["latent"] = F.l1_loss(self.E(self.G(self.z) if y is None else y), self.z)
        elif y is not None:
            terms["latent"] = F.l1_loss(self.E(self.made.samples), self.made.code)
        return terms

    def generator(self, terms: TermsByName) -> TermsByName:
        """G's regularisers, weighted."""
        return _weighted(terms, self.method.lambda_G, self.method.mu_G)

    def encoder(self, terms: TermsByName | None = None) -> TermsByName:
        """E's whole loss: the text's (E fools f), or what the authors ran (E helps f)."""
        if self.method.encoder_objective == "fool":
            terms = self.regularisers() if terms is None else terms
            of_g_alone = "latent" if self.method.latent_reconstruction == "code" else None
            own = {name: term for name, term in terms.items() if name != of_g_alone}
            return _weighted(own, self.method.lambda_E, self.method.mu_E)
        helped = {"intervention": 0.5 * self.loss.cross_entropy(self.made)}
        if self.method.encoder_objective == "help":
            return helped
        return {**helped, "reconstruction": F.l1_loss(self.G(self.w, kind="code"), self.x)}


def _weighted(terms: TermsByName, reconstruction: float, intervention: float) -> TermsByName:
    return {name: (intervention if name == "intervention" else reconstruction) * term for name, term in terms.items()}
