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

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks.arguments import Configured, size
from modecover.networks.dcgan import image_shape
from modecover.networks.heads import HeadedDiscriminator
from modecover.networks.joint import JointImageDiscriminator
from modecover.networks.normalization import CoordinateAffine, normalized_codes, unknown_kind
from modecover.networks.spectral import SpectralConv2d

SIDES = (16, 32, 64, 128)
SLOPE = 0.2
EXPANSION = 2
GROUP_WIDTH = 16
MOST = 8
"""Channels at the coarse end are at most this many times the width."""


class ResidualBlock(nn.Module):
    """x + three convolutions of x: 1x1 to twice the channels, grouped 3x3, 1x1 back.

    Args:
        channels: of input and output.
        blocks: how many blocks the network has, which scales this one's first weights.
        spectral: spectral normalisation of the convolutions; the block then does not start as the identity.
    """

    def __init__(self, channels: int, blocks: int, spectral: bool = False):
        super().__init__()
        hidden = channels * EXPANSION
        groups = next(g for g in range(max(1, hidden // GROUP_WIDTH), 0, -1) if hidden % g == 0)
        convolution = SpectralConv2d if spectral else nn.Conv2d
        layers = [
            convolution(channels, hidden, 1),
            convolution(hidden, hidden, 3, padding=1, groups=groups),
            convolution(hidden, channels, 1, bias=False),
        ]
        for layer in layers:
            # Zhang et al. 2019 (fix-up): L^(-1 / (2m - 2)) with m = 3 layers in each of L blocks.
            _initialize(layer, _GAIN * blocks**-0.25)
        if not spectral:
            nn.init.zeros_(layers[2].weight)
        first, middle, last = layers
        self.layers = nn.Sequential(first, nn.LeakyReLU(SLOPE), middle, nn.LeakyReLU(SLOPE), last)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.layers(x)
        return x + change


class ResidualGenerator(Configured, nn.Module):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    It has no batch statistics: `kind` is taken, and makes no difference.

    Args:
        latent: d, the latent dimension.
        shape: (channels, side, side), a side of 16, 32, 64 or 128; `UserError` otherwise.
        width: channels of the maps at the image's side.
        blocks: residual blocks at each side.
        input_affine: begin with a learned scale and shift of every latent coordinate.
    """

    def __init__(self, latent: int, shape: Sequence[int], width: int = 32, blocks: int = 1, input_affine: bool = False):
        super().__init__()
        self.latent, self.shape, self.width = size("latent", latent), _image_shape(shape), size("width", width)
        self.blocks, self.input_affine = size("blocks", blocks), input_affine
        channels = _channel_plan(self.shape[1], width)[::-1]
        total = blocks * len(channels)
        layers: list[nn.Module] = [CoordinateAffine(latent)] if input_affine else []
        layers += [_initialize(nn.Linear(latent, channels[0])), nn.Unflatten(1, (channels[0], 1, 1))]
        basis = nn.ConvTranspose2d(channels[0], channels[0], 4, groups=channels[0], bias=False)
        nn.init.normal_(basis.weight)
        layers += [basis, *_blocks(channels[0], blocks, total)]
        for here, after in pairwise(channels):
            layers += _change(here, after)
            layers += [nn.Upsample(scale_factor=2, mode="bilinear"), *_blocks(after, blocks, total)]
        layers += [_initialize(nn.Conv2d(width, self.shape[0], 1)), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        if kind not in ("prior", "code"):
            raise unknown_kind(kind)
        image: Tensor = self.layers(z)
        return image


class ResidualEncoder(Configured, nn.Module):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent, width, blocks: as for `ResidualGenerator`.
        normalize, law: as for `MLPEncoder`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        width: int = 32,
        blocks: int = 1,
        normalize: bool = True,
        law: str = "normal",
    ):
        super().__init__()
        self.shape, self.latent, self.width = _image_shape(shape), size("latent", latent), size("width", width)
        self.blocks, self.normalize, self.law = size("blocks", blocks), normalize, law
        layers = [*_trunk(self.shape, width, blocks), nn.Flatten()]
        layers.append(_initialize(nn.Linear(_features(self.shape, width), latent, bias=not normalize)))
        if normalize:
            layers += normalized_codes(latent, law)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.layers(x)
        return code


class ResidualDiscriminator(Configured, HeadedDiscriminator):
    """Images (B, channels, side, side) to scores (B,), class logits (B, classes) or features (B, F).

    The features are one number for each channel of the 4x4 map, F = 8 * width (4 * width at a side of 16).

    Args:
        shape, width, blocks: as for `ResidualGenerator`.
        classes: size of the classifier head; 0 for none.
        norm: "none", or "spectral" for spectral normalisation of every layer, the heads included.
    """

    def __init__(self, shape: Sequence[int], width: int = 32, blocks: int = 1, classes: int = 0, norm: str = "none"):
        trunk = nn.Sequential(*_trunk(_image_shape(shape), size("width", width), size("blocks", blocks), norm))
        super().__init__(trunk, _features(shape, width), classes, _initialize, spectral=norm == "spectral")
        self.shape, self.width, self.blocks, self.norm = _image_shape(shape), width, blocks, norm


class JointResidualDiscriminator(Configured, JointImageDiscriminator):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,).

    Args:
        shape, latent, width, blocks: as for `ResidualGenerator`.
        joint: width of the two layers on z, and of the two on both.
        norm: as for `ResidualDiscriminator`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        width: int = 32,
        blocks: int = 1,
        joint: int = 512,
        norm: str = "none",
    ):
        of_x = nn.Sequential(*_trunk(_image_shape(shape), size("width", width), size("blocks", blocks), norm))
        super().__init__(of_x, _features(shape, width), latent, joint, spectral=norm == "spectral")
        self.shape, self.width, self.blocks, self.norm = _image_shape(shape), width, blocks, norm


def _trunk(shape: Sequence[int], width: int, blocks: int, norm: str = "none") -> list[nn.Module]:
    """From the image down to one number for each channel of the 4x4 map, (B, F, 1, 1)."""
    if norm not in ("none", "spectral"):
        raise UserError(f'norm is {norm!r}; residual discriminators have "none" or "spectral".')
    spectral, channels = norm == "spectral", _channel_plan(shape[1], width)
    convolution, total = SpectralConv2d if spectral else nn.Conv2d, blocks * len(channels)
    layers = [_initialize(convolution(shape[0], width, 1)), *_blocks(width, blocks, total, spectral)]
    for here, after in pairwise(channels):
        layers += [nn.AvgPool2d(2), *_change(here, after, spectral), *_blocks(after, blocks, total, spectral)]
    basis = convolution(channels[-1], channels[-1], 4, groups=channels[-1], bias=False)
    return [*layers, _initialize(basis)]


def _blocks(channels: int, count: int, total: int, spectral: bool = False) -> list[nn.Module]:
    return [ResidualBlock(channels, total, spectral) for _ in range(count)]


def _change(here: int, after: int, spectral: bool = False) -> list[nn.Module]:
    """A 1x1 convolution where the number of channels changes."""
    convolution = SpectralConv2d if spectral else nn.Conv2d
    return [] if here == after else [_initialize(convolution(here, after, 1, bias=False))]


def _channel_plan(side: int, width: int) -> list[int]:
    """Channels of the maps with sides side, side/2, ..., 4: doubled at each halving, up to `MOST` times the width."""
    return [width * min(MOST, 2**stage) for stage in range((side // 4).bit_length())]


def _features(shape: Sequence[int], width: int) -> int:
    return _channel_plan(shape[1], width)[-1]


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    return image_shape(shape, SIDES, "Residual")


_GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Of the leaky ReLU: keeps the variance of what passes through it (He et al. 2015)."""


def _initialize(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """First weights of one layer: normal with standard deviation gain / sqrt(inputs of a unit), biases 0."""
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
