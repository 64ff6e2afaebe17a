"""What a method is: typed settings, a `step`, and what it asks of its networks."""

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from modecover.errors import UserError
from modecover.kinds import check_fields, joined
from modecover.methods.roles import FEEDS, ROLES, Updates

FAMILIES = ("adversarial", "adversarial with an encoder", "mode regularised", "intervention", "auto-encoding")
"""The kinds of methods, in the order they are listed."""


@dataclass(frozen=True)
class Method:
    """A training method: settings are fields, the algorithm is `step`.

    `step` names its networks (annotated with a key of `ROLES`) and the feeds `data` and `prior`, and yields updates:

    - `yield D, loss`: one optimiser step of D on `loss`, which no other network feels;
    - `yield (G, E), loss`: a joint update;
    - `yield [(D, a), (G, b)]`: both gradients are taken before either network moves.

    Where `loss` is a mapping, the objective is the sum of its terms. Losses are means over rows, so that
    stacked seeds share them unseen; a loss that is not takes its rows through `modecover.random.by_seed`.
    """

    name: ClassVar[str] = ""
    """What `modecover train` calls it: `class WGANGP(Method, name="wgan-gp")` in a file of this folder registers it."""
    title: ClassVar[str] = ""
    """What it is called where it is shown; the name of the class where it has none."""
    family: ClassVar[str] = ""
    """The kind of methods it belongs to, one of `FAMILIES`: `modecover list` groups by it."""
    citation: ClassVar[str] = ""
    objective: ClassVar[str] = ""
    """The losses in plain-text mathematics, one line for each network."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named settings: values of this method's fields or of the training settings."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Training settings this method prefers, where the user says nothing (for example `lr_E`)."""
    split_statistics: ClassVar[bool] = False
    """Whether the generator keeps separate batch statistics for prior noise and for codes: for every method whose step
    decodes both, `G(prior())` and `G(code, kind="code")`. With shared ones samples would be made, in evaluation mode,
    with statistics that neither of the two had in training."""
    quarter_encoder: ClassVar[bool] = False
    """Whether a DCGAN encoder has 16 channels next to the image, where it is else the inverse of the generator."""

    def __init_subclass__(cls, *, name: str = "") -> None:
        cls.name = name
        cls.title = cls.title or cls.__name__

    def __post_init__(self) -> None:
        check_fields(self)

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
        """Whether the encoder ends with a batch normalisation without affine map, and a map to the law of the prior.

        Not for a method that measures the law of the codes: normalised codes always have mean 0 and variance 1.
        """
        return True

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


def require(condition: bool, sentence: str) -> None:
    """Raise `UserError(sentence)` unless `condition`."""
    if not condition:
        raise UserError(sentence)
