"""Interventions: maps of the latent space that leave the prior N(0, I) unchanged (IVGAN, Definition 1); and their loss.

A family holds `count` of them. `O(code, index, noise)` applies intervention number `index[b]` to row b, with fresh
standard normal `noise` of the code's shape for the family to use. Bridges (cumulative, radial, svgd) begin with the
identity and end at the prior. Add a family by subclassing `Intervention` and entering it in `INTERVENTIONS`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from modecover import random
from modecover.errors import UserError
from modecover.kinds import bounded, check_fields, checked, shown

Net = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Intervention(ABC):
    """A family of `count` maps of the latent space, numbered from 0, that each leave N(0, I) unchanged."""

    count: int

    def __post_init__(self) -> None:
        check_fields(self)

    of_any_prior: ClassVar[bool] = False
    """Whether the maps leave every law of independent, equal coordinates unchanged, given noise from that law."""

    @abstractmethod
    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """Apply map number `index` (B,) in [0, count) to each row of `code` (B, d), with `noise` (B, d) ~ N(0, I)."""

    def every(self, code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Apply all maps to each row of `code` (B, d), with one row of `noise` (B, d) ~ N(0, I) for its `count` maps.

        Returns:
            (B * count, d), the maps of row 0 first; and the numbers of the maps, (B * count,).
        """
        index = self.numbers(code)
        return self(code.repeat_interleave(self.count, 0), index, noise.repeat_interleave(self.count, 0)), index

    def numbers(self, code: Tensor) -> Tensor:
        """0, 1, ..., count - 1 for each row of `code`, (B * count,)."""
        return torch.arange(self.count, device=code.device).repeat(len(code))

    def check(self, latent: int, setting: str = "k", fewer: int = 0) -> None:
        """Raise `UserError` where the family does not fit a latent space of this dimension.

        Args:
            latent: d.
            setting: what the user calls the number that `count` comes from, for the sentence.
            fewer: by how much that number is less than `count`.
        """
        value = self.count - fewer
        if self.count < 2:
            raise UserError(f"{setting} is {value}: a classifier of interventions needs at least two of them.")
        if latent % self.blocks:
            # The values of the setting that would fit: any two maps need as many blocks as they differ by.
            more = self.count - self.blocks
            fits = [str(b + more - fewer) for b in range(2 - more, latent + 1) if latent % b == 0]
            cure = f"use {setting} = {', '.join(fits)}" if fits else "use at least 2 latent dimensions"
            made = "equal blocks" if value == self.blocks else f"makes {self.blocks} equal blocks, which"
            raise UserError(f"{setting} = {value} {made} do not divide {latent} latent dimensions: {cure}.")

    @property
    def blocks(self) -> int:
        """How many equal blocks of coordinates the maps tell apart: d must be a multiple."""
        return 1

    def block_of(self, code: Tensor) -> Tensor:
        """The number of each coordinate's block, (d,)."""
        return torch.arange(code.shape[1], device=code.device) * self.blocks // code.shape[1]


class Identity(Intervention):
    """Every O_i leaves the code as it is: a control, whose intervention loss is the constant -log k at best."""

    of_any_prior = True

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return code


class BlockSubstitution(Intervention):
    """O_i replaces block i of k equal blocks of coordinates by fresh noise (IVGAN, section 3).

    Complete: the only law that every O_i leaves unchanged is N(0, I), for each block must be standard normal and
    independent of the others.
    """

    of_any_prior = True

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return torch.where(self.block_of(code) == index[:, None], noise, code)

    @property
    def blocks(self) -> int:
        return self.count


class CumulativeSubstitution(Intervention):
    """T_i replaces the first i of k - 1 equal blocks by fresh noise: from the code (i = 0) to the prior (IVAAE)."""

    of_any_prior = True

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        return torch.where(self.block_of(code) < index[:, None], noise, code)

    @property
    def blocks(self) -> int:
        return self.count - 1


class RadialSubstitution(Intervention):
    """T_i(x) = x cos(i pi / 2t) + z sin(i pi / 2t), t = k - 1: from the code (i = 0) to the prior (IVAAE)."""

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        # The cosine as the sine of the angle that is left: both ends are exact, where cos(pi / 2) is 6e-17.
        done = index.to(code.dtype)[:, None]
        quarter, t = math.pi / 2, self.count - 1
        return code * torch.sin((t - done) * quarter / t) + noise * torch.sin(done * quarter / t)


@dataclass(frozen=True)
class SteinBridge(Intervention):
    """T_i moves the minibatch's codes i times toward N(0, I) by SVGD; the last map is the prior itself (IVAAE).

    IVAAE, equation 2 and section 4; Liu and Wang 2016, Algorithm 1. The rows of a minibatch are the particles, so they
    move together: not the same in smaller micro-batches. Gradients flow back through every iteration; the bandwidth,
    chosen anew in each from the particles, is a constant to them. With few particles in many dimensions the limit is
    narrower than the prior; N(0, I) stays as it is only up to that and to `jitter`.
    """

    step_size: float = 1.0
    """Length of a step (epsilon)."""
    bandwidth: float = 100.0
    """h over h_0 = med^2 / log n, med the median distance between two of the n particles."""
    iterations: int = 2
    """Iterations from one map to the next."""
    jitter: float = 0.1
    """Std of the Gaussian noise added after each iteration."""

    def __call__(self, code: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        stages, _ = self.every(code, noise)
        return stages[torch.arange(len(code), device=code.device) * self.count + index]

    def every(self, code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        stages = [code]
        for _ in range(self.count - 2):
            moved = stages[-1]
            for _ in range(self.iterations):
                moved = moved + self.step_size * stein_direction(moved, self.bandwidth)
                moved = moved + self.jitter * random.normal_like(moved)
            stages.append(moved)
        return torch.stack([*stages, noise], dim=1).flatten(0, 1), self.numbers(code)


def stein_direction(particles: Tensor, bandwidth: float = 1.0) -> Tensor:
    """The direction phi in which SVGD moves each of n particles toward N(0, I), both of shape (n, d).

    phi(z_i) = 1/n sum_j [k(z_j, z_i) grad log p(z_j) + grad_{z_j} k(z_j, z_i)] with k(z, z') = exp(-||z - z'||^2 / h),
    h = bandwidth * med^2 / log n (IVAAE, equation 2). Stacked seeds each move their own particles.

    Raises:
        UserError: there is one particle alone.
    """
    z = random.by_seed(particles)
    n = z.shape[1]
    if n < 2:
        raise UserError("SVGD moves the codes of a minibatch together: use a batch of at least 2.")
    centred = z - z.mean(dim=1, keepdim=True)  # distances from products cancel least around the origin
    norms = centred.square().sum(dim=2)
    squares = (norms[:, :, None] + norms[:, None, :] - 2 * centred @ centred.mT).clamp_min(0)
    i, j = torch.triu_indices(n, n, offset=1, device=z.device)
    distances = squares.detach()[:, i, j].sqrt().sort(dim=1).values
    pairs = distances.shape[1]
    median = (distances[:, (pairs - 1) // 2] + distances[:, pairs // 2]) / 2
    least = torch.finfo(z.dtype).eps  # where most particles are at one point
    h = (bandwidth * median.square() / math.log(n)).clamp_min(least)[:, None, None]
    kernel = (-squares / h).exp()
    pulled = kernel @ z  # minus the attraction, for grad log p(z) = -z
    return ((2 / h * (kernel.sum(dim=2, keepdim=True) * z - pulled) - pulled) / n).flatten(0, 1)


INTERVENTIONS: dict[str, type[Intervention]] = {
    "block": BlockSubstitution,
    "cumulative": CumulativeSubstitution,
    "radial": RadialSubstitution,
    "svgd": SteinBridge,
    "identity": Identity,
}


def family_named(name: str, count: int) -> Intervention:
    """`count` interventions of the family of that name; `UserError` where there is none."""
    return INTERVENTIONS[bounded("intervention", name, list(INTERVENTIONS))](count)


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
