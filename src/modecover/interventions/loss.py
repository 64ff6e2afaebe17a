"""The intervention loss as a piece for any training loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from modecover import random
from modecover.errors import UserError
from modecover.interventions.families import Intervention
from modecover.kinds import checked, shown

Net = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Intervened:
    """Intervened samples x' = G(O_i(E(x))), (B, *shape); their codes O_i(E(x)), (B, d); the interventions i, (B,)."""

    samples: Tensor
    code: Tensor
    index: Tensor


class InterventionLoss:
    """L_IV = E log f_i(G(O_i(E(x)))): the classifier f guesses which intervention was made, G and E make it guess.

    At the best f it is JS(p_1..p_k) - log k, which is least where all intervened laws agree (Liang et al. 2020,
    Theorem 3). In a training loop of your own:

        made = loss.intervene(x)
        ... + loss.classifier(made)    # f descends it: G and E do not feel it
        ... + loss(made)               # G and E descend it

    Args:
        generator: latent rows (B, d) to data rows (B, *shape).
        encoder: data rows to latent rows.
        classifier: data rows to logits (B, k), k the number of interventions. It may share its first layers with a
            discriminator, but not batch normalisation: a minibatch of one intervention would give it away.
        interventions: for example `BlockSubstitution(4)`.
        cap: cut the loss at -log k, which is what f = 1/k gives: without it G and E may push a lagging f's
            cross-entropy up without end.

    Raises:
        UserError: one of these is of another kind; and when called, what the functions return has another shape.
    """

    def __init__(
        self, generator: Net, encoder: Net, classifier: Net, interventions: Intervention, *, cap: bool = False
    ):
        for name, function in (("generator", generator), ("encoder", encoder), ("classifier", classifier)):
            if not callable(function):
                raise UserError(f"{name} is {shown(function)}: give a network, or a function of rows.")
        if not isinstance(interventions, Intervention):
            raise UserError(
                f"interventions is {shown(interventions)}: give a family of them, for example BlockSubstitution(4)."
            )
        cap = checked("cap", cap, bool)
        self.generator, self.encoder, self.guess = generator, encoder, classifier
        self.interventions, self.most = interventions, math.log(interventions.count) if cap else math.inf

    def intervene(self, x: Tensor) -> Intervened:
        """Draw an intervention for each row of x (B, *shape), and make it.

        Raises:
            UserError: the interventions do not fit the encoder's codes.
        """
        if not isinstance(x, Tensor):
            raise UserError(f"x is {shown(x)}: give a tensor of data rows.")
        code = self.encoder(x)
        if not isinstance(code, Tensor) or code.ndim != 2 or len(code) != len(x):
            raise UserError(f"the encoder gave {_form(code)} for {len(x)} rows: it must give a row of code for each.")
        self.interventions.check(code.shape[1])
        index = random.integers(self.interventions.count, code)
        return self.decode(self.interventions(code, index, random.normal_like(code)), index)

    def decode(self, code: Tensor, index: Tensor) -> Intervened:
        """The samples of codes (B, d) on which interventions `index` (B,) were made before."""
        return Intervened(self.generator(code), code, index)

    def classifier(self, made: Intervened) -> Tensor:
        """f's cross-entropy on the samples as constants."""
        return self._of_each_seed(made, constant=True).mean()

    def cross_entropy(self, made: Intervened) -> Tensor:
        """f's cross-entropy, without cap: where it is descended through E, E helps f."""
        return self._of_each_seed(made).mean()

    def __call__(self, made: Intervened) -> Tensor:
        """L_IV: minus f's cross-entropy, for G and E to descend."""
        return -self._of_each_seed(made).clamp_max(self.most).mean()

    def _of_each_seed(self, made: Intervened, constant: bool = False) -> Tensor:
        """f's cross-entropy on the rows of each stacked seed, (S,); the samples may be constants."""
        if not isinstance(made, Intervened):
            raise UserError(f"made is {shown(made)}: give what intervene(x) returned.")
        logits = self.guess(made.samples.detach() if constant else made.samples)
        if not isinstance(logits, Tensor) or logits.shape != (len(made.index), self.interventions.count):
            raise UserError(
                f"the classifier gave {_form(logits)} for {len(made.index)} samples: it must give "
                f"{self.interventions.count} logits for each, one for every intervention."
            )
        return random.by_seed(F.cross_entropy(logits, made.index, reduction="none")).mean(dim=1)


def _form(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
