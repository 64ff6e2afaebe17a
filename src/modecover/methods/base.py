"""What a method is: typed settings and a `step` that yields the updates of the networks it names."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor

from modecover.errors import UserError


class Network(Protocol):
    """A network as a method sees it: call it, or yield it with the loss that one step of it shall descend."""

    def __call__(self, x: Tensor, /, *more: Tensor, **options: str) -> Tensor: ...

    def clamp_(self, bound: float) -> None:
        """Clip every weight into [-bound, bound], in place."""

    def after_step(self, loss: Tensor, rate: float) -> Network:
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

FAMILIES = ("adversarial", "adversarial with an encoder", "mode regularised", "intervention", "auto-encoding")
"""The kinds of methods, in the order they are listed."""


@dataclass(frozen=True)
class Method:
    """A training method: settings are fields, the algorithm is `step`.

    `step` names its networks (annotated with a key of `ROLES`) and the feeds `data` and
    `prior` in its signature, and yields updates:

    - `yield D, loss`: one optimiser step of D on `loss`, which no other network feels;
    - `yield (G, E), loss`: a joint update;
    - `yield [(D, a), (G, b)]`: both gradients are taken before either network moves.

    Where `loss` is a mapping, the objective is the sum of its terms. Losses are means over rows, so that
    stacked seeds share them unseen; a loss that is not takes its rows through `modecover.random.by_seed`.
    """

    title: ClassVar[str] = ""
    family: ClassVar[str] = ""
    """The kind of methods it belongs to, one of `FAMILIES`: `modecover list` groups by it."""
    citation: ClassVar[str] = ""
    objective: ClassVar[str] = ""
    """The losses in plain-text mathematics, one line for each network."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named settings: values of this method's fields or of the training settings."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Training settings this method prefers, where the user says nothing (for example `lr_E`)."""

    def step(self, *networks_and_feeds: Any) -> Updates:
        raise NotImplementedError

    def check(self, *, latent: int, batch: int) -> None:
        """Raise `UserError` where the settings do not fit the latent dimension or the batch."""

    @property
    def classes(self) -> int:
        """Classes the discriminator's second head tells apart; 0 means there is no such head."""
        return 0

    @property
    def normalized_codes(self) -> bool:
        """Whether the encoder ends with a batch normalisation without affine map, which keeps codes near the prior.

        Not for a method that measures the law of the codes: normalised codes always have mean 0 and variance 1.
        """
        return True

    @property
    def split_statistics(self) -> bool:
        """Whether the generator keeps separate batch statistics for prior noise and for codes."""
        return False

    @property
    def stochastic_codes(self) -> bool:
        """Whether the encoder returns a Gaussian for each row: means and log variances side by side, (B, 2d)."""
        return False

    @property
    def normal_prior(self) -> bool:
        """Whether the method's mathematics holds for prior noise from N(0, I) alone."""
        return False

    @property
    def judged_alone(self) -> bool:
        """Whether a discriminator's score of a row may not depend on the other rows, so that it has no batch norm."""
        return False

    @property
    def packing(self) -> int:
        """Rows that a discriminator judges together, joined along their first axis (channels or coordinates)."""
        return 1

    def demands(self) -> dict[str, Any]:
        """What the method asks of its networks, as `modecover.networks.build` takes it."""
        return {
            "classes": self.classes,
            "split_statistics": self.split_statistics,
            "stochastic_codes": self.stochastic_codes,
            "packing": self.packing,
        }

    @classmethod
    def roles(cls) -> dict[str, str]:
        """The networks `step` names, in its order: name to role, a value of `ROLES`.

        Raises:
            TypeError: a parameter is neither a network by its annotation nor one of the feeds.
        """
        hints = typing.get_type_hints(cls.step)
        found: dict[str, str] = {}
        for name in list(inspect.signature(cls.step).parameters)[1:]:
            if hints.get(name) in ROLES:
                found[name] = ROLES[hints[name]]
            elif name not in FEEDS:
                raise TypeError(
                    f"{cls.__name__}.step names {name!r}: annotate it as {joined([r.__name__ for r in ROLES])}; the "
                    f"feeds are called {joined(FEEDS)}"
                )
        return found

    def settings(self) -> dict[str, Any]:
        """The fields of the method by name."""
        return dataclasses.asdict(self)


def is_discriminator(role: str) -> bool:
    """Whether a network of this role serves training alone: it judges, and is no part of the model."""
    return role.endswith("discriminator")


def require(condition: bool, sentence: str) -> None:
    """Raise `UserError(sentence)` unless `condition`."""
    if not condition:
        raise UserError(sentence)


def joined(choices: Sequence[Any]) -> str:
    """`[1, 2, 4]` as "1, 2 or 4"."""
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
