"""Fully connected networks for data of any shape; images are read and written flat.

Each keeps its layers in one flat `nn.Sequential` called `layers` (a discriminator's heads are `nn.Linear` beside it),
so that whoever trains many copies at once can walk them as a list of matrix products.
Weights start as PyTorch's `nn.Linear` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks.arguments import Configured, elements, size, sizes
from modecover.networks.heads import HeadedDiscriminator
from modecover.networks.normalization import CoordinateAffine, batch_norm, normalized_codes, run_layers
from modecover.networks.spectral import SpectralLinear

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

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = size("pieces", pieces)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1, self.pieces).max(dim=2).values

    def extra_repr(self) -> str:
        return f"{self.pieces}"


class MLPGenerator(Configured, nn.Module):
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

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        hidden: Sequence[int] = (128, 128),
        activation: str = "relu",
        batch_norm: bool = False,
        output: str = "none",
        split_statistics: bool = False,
        input_affine: bool = False,
        pieces: int = 5,
    ):
        super().__init__()
        self.latent, self.shape, self.hidden = size("latent", latent), sizes("shape", shape), sizes("hidden", hidden)
        self.activation, self.batch_norm, self.output = activation, batch_norm, output
        self.split_statistics, self.input_affine, self.pieces = split_statistics, input_affine, pieces
        layers = hidden_layers(latent, self.hidden, activation, batch_norm, split=split_statistics, pieces=pieces)
        layers = [CoordinateAffine(latent), *layers] if input_affine else layers
        layers.append(nn.Linear(self.hidden[-1], elements(self.shape)))
        if output != "none":
            layers.append(_activation(output))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return run_layers(self.layers, z, kind).reshape(len(z), *self.shape)


class MLPEncoder(Configured, nn.Module):
    """Data rows (B, *shape) to latent rows (B, latent).

    Args:
        shape, latent, hidden, activation, batch_norm, pieces: as for `MLPGenerator`.
        normalize: end with a batch norm without affine map, which keeps the codes near mean 0 and variance 1.
        law: that of the prior, one of `modecover.networks.normalization.LAWS`, which normalised codes are mapped to.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        hidden: Sequence[int] = (128, 128),
        activation: str = "relu",
        batch_norm: bool = False,
        normalize: bool = True,
        pieces: int = 5,
        law: str = "normal",
    ):
        super().__init__()
        self.shape, self.latent, self.hidden = sizes("shape", shape), size("latent", latent), sizes("hidden", hidden)
        self.activation, self.batch_norm, self.normalize, self.pieces = activation, batch_norm, normalize, pieces
        self.law = law
        layers = hidden_layers(elements(self.shape), self.hidden, activation, batch_norm, pieces=pieces)
        layers.append(nn.Linear(self.hidden[-1], latent, bias=not normalize))  # batch norm takes any bias away
        if normalize:
            layers += normalized_codes(latent, law)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.layers(x.flatten(1))
        return code


class MLPDiscriminator(Configured, HeadedDiscriminator):
    """Data rows (B, *shape) to scores (B,), class logits (B, classes) or features (B, hidden[-1]).

    Args:
        shape, hidden, activation, batch_norm, pieces: as for `MLPGenerator`.
        classes: size of the classifier head; 0 for none.
        dropout: the chance that a hidden unit is dropped in training.
        spectral: spectral normalisation of every layer, the heads included.
    """

    def __init__(
        self,
        shape: Sequence[int],
        hidden: Sequence[int] = (128, 128),
        activation: str = "relu",
        batch_norm: bool = False,
        classes: int = 0,
        dropout: float = 0.0,
        pieces: int = 5,
        spectral: bool = False,
    ):
        widths = sizes("hidden", hidden)
        if not 0 <= dropout < 1:
            raise UserError(f"dropout is {dropout}; give a probability of at least 0 and less than 1.")
        inputs = elements(sizes("shape", shape))
        layers = hidden_layers(
            inputs, widths, activation, batch_norm, dropout=dropout, pieces=pieces, spectral=spectral
        )
        super().__init__(nn.Sequential(*layers), widths[-1], classes, spectral=spectral)
        self.shape, self.hidden = sizes("shape", shape), widths
        self.activation, self.batch_norm, self.dropout, self.pieces = activation, batch_norm, dropout, pieces
        self.spectral = spectral

    def features(self, x: Tensor) -> Tensor:
        return super().features(x.flatten(1))


def hidden_layers(
    inputs: int,
    widths: Sequence[int],
    activation: str,
    normalize: bool,
    *,
    split: bool = False,
    dropout: float = 0.0,
    pieces: int = 5,
    spectral: bool = False,
) -> list[nn.Module]:
    """Linear, batch norm, activation, dropout for each width, in a flat list."""
    pieces = size("pieces", pieces) if activation == "maxout" else 1
    linear = SpectralLinear if spectral else nn.Linear
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(linear(inputs, width * pieces, bias=not normalize))  # batch norm has its own
        if normalize:
            layers.append(batch_norm(width * pieces, 1, split))
        layers.append(Maxout(pieces) if activation == "maxout" else _activation(activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = width
    return layers


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise UserError(f"There is no activation {name!r}; choose one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]()
