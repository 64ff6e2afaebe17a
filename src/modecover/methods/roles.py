"""What `step` names in its signature and yields: networks by their roles, feeds of minibatches, updates."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from torch import Tensor


class Network(Protocol):
    """A network as a method sees it: call it, or yield it with the loss that one step of it shall descend."""

    def __call__(self, x: Tensor, /, *more: Tensor, **options: str) -> Tensor: ...

    def clamp_(self, bound: float) -> None:
        """Clip every weight into [-bound, bound], in place."""

    def after_step(self, loss: Tensor, rate: float) -> "Network":
        """The network as one step of gradient descent on `loss` would leave it, differentiable through that step.

        The network itself does not move.
        """


class Generator(Network, Protocol):
    """Latent rows (B, d) to data rows (B, *shape). Option `kind="code"`: batch statistics kept for codes alone."""


class Encoder(Network, Protocol):
    """Data rows (B, *shape) to latent rows (B, d); to means and log variances (B, 2d) where codes are stochastic."""


class Discriminator(Network, Protocol):
    """Data rows (B, *shape) to scores (B,). Option `head`: "adversarial" (default), "classes" (B, k), "features"."""


class LatentDiscriminator(Network, Protocol):
    """Latent rows (B, d) to scores (B,). Option `head`: "adversarial" (default), "classes" (B, k), "features"."""


class JointDiscriminator(Network, Protocol):
    """Data rows (B, *shape) with latent rows (B, d), called D(x, z), to scores (B,)."""


Feed = Callable[[], Tensor]
"""`data()` and `prior()`: the next minibatch, (B, *shape) or (B, d)."""

Terms = Tensor | Mapping[str, Tensor]
"""A scalar loss, or its named terms: their sum is the loss, and each is logged under its name."""

Update = tuple[Network | tuple[Network, ...], Terms]
Updates = Iterator[Update | list[Update]]

FEEDS = ("data", "prior")

ROLES: dict[type, str] = {
    Generator: "generator",
    Encoder: "encoder",
    Discriminator: "discriminator",
    LatentDiscriminator: "latent discriminator",
    JointDiscriminator: "joint discriminator",
}


def is_discriminator(role: str) -> bool:
    """Whether a network of this role serves training alone: it judges, and is no part of the model."""
    return role.endswith("discriminator")
