"""Fully connected networks for data of any shape; images are read and written flat.

Each keeps its layers in one flat `nn.Sequential` called `layers` (a discriminator's heads are `nn.Linear` beside it).
Weights start as PyTorch's `nn.Linear` makes them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from modecover.arguments import held
from modecover.errors import UserError
from modecover.kinds import bounded
from modecover.networks.network import BaseDiscriminator, BaseEncoder, BaseGenerator, OwnNetwork, network
from modecover.networks.normalization import Law, batch_norm, run_layers

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}
"""Activations by name. Networks take "maxout" too, and "none" where they name the activation of an output."""


class Maxout(nn.Module):
    """The largest of each `pieces` consecutive inputs (Goodfellow et al. 2013): (B, units * pieces) to (B, units)."""

    row_wise = True

    @held(pieces=1)
    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, self.pieces).max(dim=2).values

    def extra_repr(self) -> str:
        return f"{self.pieces}"


class _Perceptron(OwnNetwork):
    hidden: Sequence[int]
    activation: str
    batch_norm: bool
    pieces: int
    split_statistics: bool = False
    dropout: float = 0.0

    def hidden_layers(self, inputs: int) -> list[nn.Module]:
        """Linear, batch norm, activation, dropout for each width, in a flat list."""
        pieces = self.pieces if self.activation == "maxout" else 1
        layers: list[nn.Module] = []
        for width in self.hidden:
            layers.append(self.linear(inputs, width * pieces, bias=not self.batch_norm))  # batch norm has its own
            if self.batch_norm:
                layers.append(batch_norm(width * pieces, 1, self.split_statistics))
            layers.append(Maxout(pieces) if self.activation == "maxout" else _activation(self.activation))
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            inputs = width
        return layers


@network
class MLPGenerator(_Perceptron, BaseGenerator):
    """Latent rows (B, latent) to data rows (B, *shape).

    Args:
        latent: d, the latent dimension.
        shape: of one sample, (2,) for points of the plane or (channels, height, width).
        hidden: width of each hidden layer.
        activation: of the hidden layers: a name in `ACTIVATIONS`, or "maxout".
        batch_norm: normalise each hidden layer before its activation.
        output: activation of the last layer, "none" or a name in `ACTIVATIONS` ("tanh" for images in [-1, 1]).
        split_statistics: with batch norm, keep running statistics apart for `kind="prior"` and `kind="code"`.
        input_affine: begin with a learned scale and shift of every latent coordinate.
        pieces: linear pieces of each maxout unit; of no effect with another activation.
    """

    latent: int
    shape: Sequence[int]
    hidden: Sequence[int] = (128, 128)
    activation: str = "relu"
    batch_norm: bool = False
    output: str = "none"
    split_statistics: bool = False
    input_affine: bool = False
    pieces: int = 5

    def body(self) -> list[nn.Module]:
        layers = self.hidden_layers(self.latent)
        layers.append(nn.Linear(self.hidden[-1], math.prod(self.shape)))
        return layers if self.output == "none" else [*layers, _activation(self.output)]

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return run_layers(self.layers, z, kind).reshape(z.shape[0], *self.shape)


@network
class MLPEncoder(_Perceptron, BaseEncoder):
    """Data rows (B, *shape) to latent rows (B, latent).

    Args:
        shape, latent, hidden, activation, batch_norm, pieces: as for `MLPGenerator`.
        normalize: end with a batch norm without affine map, which keeps the codes near mean 0 and variance 1.
        law: that of the prior, "normal", "uniform" or "uniform01", which normalised codes are mapped to.
    """

    shape: Sequence[int]
    latent: int
    hidden: Sequence[int] = (128, 128)
    activation: str = "relu"
    batch_norm: bool = False
    normalize: bool = True
    pieces: int = 5
    law: Law = "normal"

    def body(self) -> list[nn.Module]:
        layers = self.hidden_layers(math.prod(self.shape))
        return [*layers, nn.Linear(self.hidden[-1], self.latent, bias=not self.normalize)]  # batch norm takes it away

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


@network
class MLPDiscriminator(_Perceptron, BaseDiscriminator):
    """Data rows (B, *shape) to scores (B,), class logits (B, classes) or features (B, hidden[-1]).

    Args:
        shape, hidden, activation, batch_norm, pieces: as for `MLPGenerator`.
        classes: size of the classifier head; 0 for none.
        dropout: the chance that a hidden unit is dropped in training.
        spectral: spectral normalisation of every layer, the heads included.
    """

    shape: Sequence[int]
    hidden: Sequence[int] = (128, 128)
    activation: str = "relu"
    batch_norm: bool = False
    classes: int = 0
    dropout: float = 0.0
    pieces: int = 5
    spectral: bool = False

    def trunk(self) -> tuple[list[nn.Module], int]:
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; give a probability of at least 0 and less than 1.")
        return self.hidden_layers(math.prod(self.shape)), self.hidden[-1]

    def features(self, x: Tensor) -> Tensor:
        return super().features(x.flatten(1))


@network
class JointMLPDiscriminator(_Perceptron):
    """Data rows (B, *shape) with latent rows (B, latent) to scores (B,): fully connected on both, side by side.

    Args:
        shape, latent, hidden, activation, batch_norm, pieces: as for `MLPGenerator`.
        spectral: spectral normalisation of every layer.
    """

    shape: Sequence[int]
    latent: int
    hidden: Sequence[int] = (128, 128)
    activation: str = "relu"
    batch_norm: bool = False
    pieces: int = 5
    spectral: bool = False

    def body(self) -> list[nn.Module]:
        return [*self.hidden_layers(math.prod(self.shape) + self.latent), self.linear(self.hidden[-1], 1)]

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), z], dim=1)).squeeze(1)


def _activation(name: str) -> nn.Module:
    return ACTIVATIONS[bounded("activation", name, list(ACTIVATIONS))]()
