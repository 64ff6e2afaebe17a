"""What the networks here have in common: arguments that they keep and are rebuilt from, their heads, and `row_wise`.

A class of networks is a dataclass, `@network`: its fields are the constructor's arguments. Bases make the layers from
what a class says of its middle (`body`, or `trunk` of a discriminator).

**row_wise.** The engine sends the rows of several stacked seeds side by side through one network, and records the
operations of a step to play them again. Both are right only for modules of which this is known, so networks and layers
say it themselves, as a class attribute that a subclass, which may compute something else, says anew:

- who says it at all does the same operations in every forward of a mode, whatever values the rows have;
- True: a row of what `forward` returns is made of that row of its inputs alone, but for what the layers inside do;
- False: rows meet. Batch normalisation takes its statistics over all of them in training mode, so stacked seeds need a
  form of it that keeps each seed's apart.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

import torch
from torch import Tensor, nn

from modecover.arguments import held
from modecover.errors import UserError
from modecover.kinds import bounded, check_fields, checked, fields_of, joined
from modecover.networks.normalization import CoordinateAffine, Law, normalized_codes, run_layers
from modecover.networks.spectral import SpectralConv2d, SpectralLinear

Norm = Literal["batch", "none", "spectral"]
"""Of a discriminator's layers."""

SLOPE = 0.2
"""Of leaky ReLUs."""

CLASSES: dict[str, "type[OwnNetwork]"] = {}
"""The networks that `from_config` knows, by class name."""

Class = TypeVar("Class", bound="type[OwnNetwork]")


@dataclass_transform(eq_default=False)
def network(cls: Class) -> Class:
    """Decorates a class of networks that can be built from its fields and rebuilt by its name; each is `row_wise`."""
    cls.row_wise = True
    CLASSES[cls.__name__] = cls
    return dataclasses.dataclass(eq=False, repr=False)(cls)  # type: ignore[return-value]  # the class itself


def sizes(name: str, values: Any) -> tuple[int, ...]:
    """`values` as a tuple of positive whole numbers; `UserError` where they are not (or where there are none)."""
    numbers: tuple[int, ...] = checked(name, values, tuple[int, ...])
    if not numbers or min(numbers) < 1:
        raise UserError(f"{name} is {numbers!r}; give a sequence of positive whole numbers, for example (128, 128).")
    return numbers


def require_image(shape: Sequence[int], sides: Sequence[int], family: str) -> None:
    """Raise `UserError` unless `shape` is (channels, side, side) with one of the `sides` a family of networks has."""
    if len(shape) != 3:
        raise UserError(
            f"{family} networks need images of shape (channels, height, width), "
            f"but a sample of this data has shape {tuple(shape)}: say networks=mlp."
        )
    _, height, width = shape
    if height != width or height not in sides:
        # Of two sides equally near the larger one, which loses no detail.
        nearest = min(sides, key=lambda side: (abs(side - max(height, width)), -side))
        raise UserError(
            f"{family} networks need square images with a side of {joined(sides)} pixels, "
            f"but these are {height}x{width}: open the data with size={nearest}, or say networks=mlp."
        )


class OwnNetwork(nn.Module):
    """A network that keeps its arguments, makes its layers of them, and can say how to build it again. Raises
    `UserError` where an argument is of another kind, or a whole number that is not positive (`classes`: or 0)."""

    row_wise: ClassVar[bool]
    sides: ClassVar[tuple[int, ...]] = ()
    """Of the square images that the network is for; none: it takes samples of any shape."""
    family: ClassVar[str] = ""
    shape: Sequence[int]
    layers: nn.Sequential
    norm: str = "none"
    spectral: bool = False

    @property
    def linear(self) -> type[nn.Linear]:
        """The kind of its linear layers."""
        return SpectralLinear if self.spectral or self.norm == "spectral" else nn.Linear

    @property
    def convolution(self) -> type[nn.Conv2d]:
        """The kind of its convolutions."""
        return SpectralConv2d if self.norm == "spectral" else nn.Conv2d

    def __post_init__(self) -> None:
        super().__init__()
        check_fields(self)
        for name in fields_of(type(self)):
            value = getattr(self, name)
            if isinstance(value, tuple):
                sizes(name, value)
            elif type(value) is int:
                bounded(name, value, 0 if name == "classes" else 1)
        if self.sides:
            require_image(self.shape, self.sides, self.family)
        self.build()

    def build(self) -> None:
        self.layers = nn.Sequential(*self.body()).apply(self.initialize)

    def body(self) -> list[nn.Module]:
        """The layers."""
        raise NotImplementedError

    def trunk(self) -> tuple[list[nn.Module], int]:
        """A discriminator's layers from data rows (B, *shape) to features, and how many of these a row has."""
        raise NotImplementedError

    def initialize(self, layer: nn.Module) -> None:
        """Sets the first weights of one layer, where PyTorch's own are not wanted."""

    def config(self) -> dict[str, Any]:
        """`{"class": name, "arguments": {...}}` in JSON's own types; `modecover.networks.from_config` reads it."""
        arguments = {name: getattr(self, name) for name in fields_of(type(self))}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
        return {"class": type(self).__name__, "arguments": plain}


class BaseGenerator(OwnNetwork):
    """Latent rows (B, latent) to data rows (B, *shape)."""

    latent: int
    input_affine: bool

    def build(self) -> None:
        affine = [CoordinateAffine(self.latent)] if self.input_affine else []
        self.layers = nn.Sequential(*affine, *self.body()).apply(self.initialize)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return run_layers(self.layers, z, kind)


class BaseEncoder(OwnNetwork):
    """Data rows (B, *shape) to latent rows (B, latent)."""

    latent: int
    normalize: bool
    affine: bool = False
    law: Law

    def build(self) -> None:
        codes = normalized_codes(self.latent, self.law, self.affine) if self.normalize else []
        self.layers = nn.Sequential(*self.body(), *codes).apply(self.initialize)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class HeadedDiscriminator(nn.Module):
    """A trunk's features under linear heads, which share every layer but the last.

    `forward(x, head=...)` returns for rows x of shape (B, *shape)

    - "adversarial" (the default): one score a row, a logit, (B,);
    - "classes": the classifier's logits, (B, classes); `UserError` where it was built with `classes=0`;
    - "features": what the heads read, (B, features).
    """

    layers: nn.Module

    def add_heads(self, head: Callable[[int], nn.Module], classes: int) -> None:
        """Make the heads: `head(outputs)` is a new one. They draw their first weights after the trunk, the classifier
        last: with and without one, a seed gives the same trunk and the same score."""
        self.adversarial_head = head(1)
        self.classes_head = head(classes) if classes else None

    def features(self, x: Tensor) -> Tensor:
        """Data rows (B, *shape) to features (B, F)."""
        return self.layers(x).flatten(1)

    def forward(self, x: Tensor, head: str = "adversarial") -> Tensor:
        found = self.features(x)
        if head == "adversarial":
            return self.adversarial_head(found).squeeze(1)
        if head == "features":
            return found
        if head != "classes":
            raise UserError(f'There is no head {head!r}; the heads are "adversarial", "classes" and "features".')
        if self.classes_head is None:
            raise UserError("This discriminator has no classifier head: build it with the method's number of classes.")
        return self.classes_head(found)


class TwoHeads(HeadedDiscriminator):
    """Your own trunk as a discriminator: a score and a classifier on top of what it returns.

    Args:
        trunk: any module from data rows (B, *shape) to features (B, ...), flattened to (B, F) here.
        features: F, how many numbers the trunk returns for one row.
        classes: how many classes the classifier tells apart (for block interventions, the number of blocks).
    """

    row_wise = True

    @held(features=1, classes=0)
    def __init__(self, trunk: nn.Module, features: int, classes: int):
        super().__init__()
        self.layers, self.told, self.classes = trunk, features, classes
        self.add_heads(lambda outputs: nn.Linear(features, outputs), classes)

    def features(self, x: Tensor) -> Tensor:
        found = super().features(x)
        if found.shape[1] != self.told:
            raise UserError(
                f"The trunk returned {found.shape[1]} features for a row, but TwoHeads was told {self.told}: "
                f"write TwoHeads(trunk, features={found.shape[1]}, classes={self.classes})."
            )
        return found


class BaseDiscriminator(OwnNetwork, HeadedDiscriminator):
    """A discriminator whose every layer, heads included, may have spectral normalisation."""

    classes: int
    layers: nn.Sequential

    def build(self) -> None:
        layers, features = self.trunk()
        self.layers = nn.Sequential(*layers).apply(self.initialize)
        self.add_heads(lambda outputs: self.head(features, outputs), self.classes)

    def head(self, features: int, outputs: int) -> nn.Linear:
        """A new head: a linear layer with its first weights."""
        return self.linear(features, outputs).apply(self.initialize)


class JointImageDiscriminator(OwnNetwork):
    """Features of images side by side with features of latent rows, under joint layers, to scores (B,).

    The joint part of Dumoulin et al. 2017 (ALI), Table 4. Its layers have spectral normalisation with norm="spectral".
    """

    latent: int
    joint: int
    """Width of the layers on z, and of those on both."""
    layers_of_z, layers_of_both = 2, 2
    """How many layers z passes before it meets x, and how many both pass before the last one."""

    def build(self) -> None:
        def perceptron(inputs: int, count: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [self.linear(inputs, self.joint), nn.LeakyReLU(SLOPE)]
                inputs = self.joint
            return nn.Sequential(*layers)

        layers, features = self.trunk()
        self.of_x = nn.Sequential(*layers).apply(self.initialize)
        self.of_z = perceptron(self.latent, self.layers_of_z)
        self.of_both = perceptron(features + (self.joint if self.layers_of_z else self.latent), self.layers_of_both)
        self.of_both.append(self.linear(self.joint, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.of_both(torch.cat([self.of_x(x).flatten(1), self.of_z(z)], dim=1)).squeeze(1)
