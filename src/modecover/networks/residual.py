"""Residual networks without normalisation, for square images of 16, 32, 64 or 128 pixels.

In the spirit of Huang et al. 2024 (R3GAN), section 3: ResNeXt blocks with an inverted bottleneck in grouped 3x3
convolutions, bilinear resampling with a 1x1 convolution where the channels change, and a 4x4 basis for each channel at
the coarse end. No normalisation anywhere: each block starts as the identity (fix-up: its last convolution is zero and
the others are scaled by the number of blocks). At 64x64, width 32:

    generator       latent -> 256 (4x4) -> 256 (8x8) -> 128 -> 64 -> 32 (64x64) -> channels, tanh; a block at each side
    discriminator   channels -> 32 (64x64) -> 64 -> 128 -> 256 (8x8) -> 256 (4x4) -> 256 numbers -> linear heads
    encoder         as the discriminator, to the code

Ours: far smaller widths, average pooling for downsampling, biases in the convolutions for biased activations, and the
tanh, since images are in [-1, 1].
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeVar

from torch import Tensor, nn

from modecover.networks.network import (
    SLOPE,
    BaseDiscriminator,
    BaseEncoder,
    BaseGenerator,
    JointImageDiscriminator,
    OwnNetwork,
    network,
)
from modecover.networks.normalization import Law

EXPANSION = 2
GROUP_WIDTH = 16
MOST = 8
"""Channels at the coarse end are at most this many times the width."""
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Of the leaky ReLU: keeps the variance of what passes through it (He et al. 2015)."""

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def started(layer: Layer, gain: float = 1.0) -> Layer:
    """A layer with first weights: normal with standard deviation gain / sqrt(inputs of a unit), biases 0."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """x + three convolutions of x: 1x1 to twice the channels, grouped 3x3, 1x1 back.

    Args:
        channels: of input and output.
        blocks: how many blocks the network has, which scales this one's first weights.
        convolution: their kind; with spectral normalisation the block does not start as the identity.
    """

    row_wise = True

    def __init__(self, channels: int, blocks: int, convolution: type[nn.Conv2d] = nn.Conv2d):
        super().__init__()
        hidden = channels * EXPANSION
        groups = next(g for g in range(max(1, hidden // GROUP_WIDTH), 0, -1) if hidden % g == 0)
        first = convolution(channels, hidden, 1)
        middle = convolution(hidden, hidden, 3, padding=1, groups=groups)
        last = convolution(hidden, channels, 1, bias=False)
        for layer in (first, middle, last):
            # Zhang et al. 2019 (fix-up): L^(-1 / (2m - 2)) with m = 3 layers in each of L blocks.
            started(layer, GAIN * blocks**-0.25)
        if convolution is nn.Conv2d:
            nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(first, nn.LeakyReLU(SLOPE), middle, nn.LeakyReLU(SLOPE), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class _Residual(OwnNetwork):
    sides = (16, 32, 64, 128)
    family = "Residual"
    width: int
    blocks: int
    norm: Literal["none", "spectral"] = "none"

    def channels(self) -> list[int]:
        """Of the maps with sides side, side/2, ..., 4: doubled at each halving, up to `MOST` times the width."""
        return [self.width * min(MOST, 2**stage) for stage in range((self.shape[1] // 4).bit_length())]

    def stage(self, channels: int) -> list[nn.Module]:
        """The blocks at one side."""
        total = self.blocks * len(self.channels())
        return [ResidualBlock(channels, total, self.convolution) for _ in range(self.blocks)]

    def change(self, here: int, after: int) -> list[nn.Module]:
        """A 1x1 convolution where the number of channels changes."""
        return [] if here == after else [started(self.convolution(here, after, 1, bias=False))]

    def trunk(self) -> tuple[list[nn.Module], int]:
        """From the image down to one number for each channel of the 4x4 map, (B, F, 1, 1)."""
        channels = self.channels()
        layers = [started(self.convolution(self.shape[0], self.width, 1)), *self.stage(self.width)]
        for here, after in pairwise(channels):
            layers += [nn.AvgPool2d(2), *self.change(here, after), *self.stage(after)]
        basis = self.convolution(channels[-1], channels[-1], 4, groups=channels[-1], bias=False)
        return [*layers, started(basis)], channels[-1]


@network
class ResidualGenerator(_Residual, BaseGenerator):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    It has no batch statistics: `kind` is taken, and makes no difference.

    Args:
        latent, shape, input_affine: as for `DCGANGenerator`.
        width: channels of the maps at the image's side.
        blocks: residual blocks at each side.
    """

    latent: int
    shape: Sequence[int]
    width: int = 32
    blocks: int = 1
    input_affine: bool = False

    def body(self) -> list[nn.Module]:
        channels = self.channels()[::-1]
        coarse = channels[0]
        layers: list[nn.Module] = [started(nn.Linear(self.latent, coarse)), nn.Unflatten(1, (coarse, 1, 1))]
        basis = nn.ConvTranspose2d(coarse, coarse, 4, groups=coarse, bias=False)
        nn.init.normal_(basis.weight)
        layers += [basis, *self.stage(coarse)]
        for here, after in pairwise(channels):
            layers += self.change(here, after)
            layers += [nn.Upsample(scale_factor=2, mode="bilinear"), *self.stage(after)]
        return [*layers, started(nn.Conv2d(self.width, self.shape[0], 1)), nn.Tanh()]


@network
class ResidualEncoder(_Residual, BaseEncoder):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent, width, blocks: as for `ResidualGenerator`.
        normalize, law: as for `MLPEncoder`.
    """

    shape: Sequence[int]
    latent: int
    width: int = 32
    blocks: int = 1
    normalize: bool = True
    law: Law = "normal"

    def body(self) -> list[nn.Module]:
        layers, features = self.trunk()
        return [*layers, nn.Flatten(), started(nn.Linear(features, self.latent, bias=not self.normalize))]


@network
class ResidualDiscriminator(_Residual, BaseDiscriminator):
    """Images (B, channels, side, side) to scores (B,), class logits (B, classes) or features (B, F).

    The features are one number for each channel of the 4x4 map, F = 8 * width (4 * width at a side of 16).

    Args:
        shape, width, blocks, classes: as for `ResidualGenerator` and `DCGANDiscriminator`.
        norm: "none", or "spectral" for spectral normalisation of every layer, the heads included.
    """

    shape: Sequence[int]
    width: int = 32
    blocks: int = 1
    classes: int = 0
    norm: Literal["none", "spectral"] = "none"

    def head(self, features: int, outputs: int) -> nn.Linear:
        return started(super().head(features, outputs))


@network
class JointResidualDiscriminator(_Residual, JointImageDiscriminator):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,).

    Args:
        shape, latent, width, blocks: as for `ResidualGenerator`.
        joint: width of the two layers on z, and of the two on both.
        norm: as for `ResidualDiscriminator`.
    """

    shape: Sequence[int]
    latent: int
    width: int = 32
    blocks: int = 1
    joint: int = 512
    norm: Literal["none", "spectral"] = "none"
