"""The DCGAN family: convolutional networks for square images with a side of 16, 32, 64 or 128 pixels.

Source: Radford et al. 2016, in the form of IVGAN's Table 1. Kernels are 4x4. The generator goes from a 4x4 map up to
the image, halving its channels whenever it doubles the side; discriminator and encoder go the other way. At 64x64:

    generator       latent -> 512 (4x4) -> 256 -> 128 -> 64 (32x32), each batch norm and ReLU -> channels, tanh
    discriminator   64 (32x32), LeakyReLU -> 128 -> 256 -> 512 (4x4), each batch norm and LeakyReLU -> linear heads
    encoder         as the discriminator, 16 -> 128 channels -> 4x4 convolution to the code -> batch norm

The first layer of discriminator and encoder has no batch norm (the table prints one; DCGAN and the authors' networks
have none), and the encoder is a quarter as wide as the table says, as in the authors' runs. Other sides have more or
fewer stages: `width` is always the number of channels next to the image. A layer has a bias where no batch norm
follows. Convolutions, and the linear heads, start from N(0, 0.02), batch norm weights from N(1, 0.02), biases from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks.arguments import Configured, size, sizes
from modecover.networks.convolutions import DoublingConv2d, FirstConv2d, HalvingConv2d, LastConv2d
from modecover.networks.heads import HeadedDiscriminator
from modecover.networks.normalization import CoordinateAffine, SplitBatchNorm, batch_norm, normalized_codes, run_layers
from modecover.networks.spectral import SpectralConv2d

SIDES = (16, 32, 64, 128)
SLOPE = 0.2
NORMS = ("batch", "none", "spectral")


class DCGANGenerator(Configured, nn.Module):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent: d, the latent dimension.
        shape: (channels, side, side), a side of 16, 32, 64 or 128; `UserError` otherwise.
        width: channels of the layer next to the image (DCGAN's ngf).
        split_statistics: keep running statistics apart for `kind="prior"` and `kind="code"`.
        input_affine: begin with a learned scale and shift of every latent coordinate.
    """

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        width: int = 64,
        split_statistics: bool = False,
        input_affine: bool = False,
    ):
        super().__init__()
        self.latent, self.shape, self.width = size("latent", latent), image_shape(shape), size("width", width)
        self.split_statistics, self.input_affine = split_statistics, input_affine
        channels = channel_plan(self.shape[1], width)[::-1]
        layers: list[nn.Module] = [CoordinateAffine(latent)] if input_affine else []
        layers += [nn.Unflatten(1, (latent, 1, 1)), FirstConv2d(latent, channels[0])]
        for here, after in pairwise(channels):
            layers += [batch_norm(here, 2, split_statistics), nn.ReLU(inplace=True)]
            layers += [DoublingConv2d(here, after, bias=False)]
        layers += [batch_norm(width, 2, split_statistics), nn.ReLU(inplace=True)]
        layers += [DoublingConv2d(width, self.shape[0]), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialize)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return run_layers(self.layers, z, kind)


class DCGANEncoder(Configured, nn.Module):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent: as for `DCGANGenerator`.
        width: channels of the layer next to the image; 16 as the authors of IVGAN ran it, 64 in their Table 1.
        normalize: end with a batch norm.
        affine: give that batch norm a weight and a bias. Without, codes stay near mean 0 and variance 1.
        law: as for `MLPEncoder`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        width: int = 16,
        normalize: bool = True,
        affine: bool = False,
        law: str = "normal",
    ):
        super().__init__()
        self.shape, self.latent, self.width = image_shape(shape), size("latent", latent), size("width", width)
        self.normalize, self.affine, self.law = normalize, affine, law
        layers = down_layers(self.shape, width)
        layers += [LastConv2d(channel_plan(self.shape[1], width)[-1], latent, bias=not normalize)]
        layers += [nn.Flatten()]
        if normalize:
            layers += normalized_codes(latent, law, affine)
        self.layers = nn.Sequential(*layers)
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.layers(x)
        return code


class DCGANDiscriminator(Configured, HeadedDiscriminator):
    """Images (B, channels, side, side) to scores (B,), class logits (B, classes) or features (B, F).

    The features are the last map, F = width * side * 2 numbers.

    Args:
        shape: as for `DCGANGenerator`.
        width: channels of the layer next to the image (DCGAN's ndf).
        classes: size of the classifier head; 0 for none.
        norm: "batch"; "none" for losses that penalise the gradient of single samples, whose scores must not depend
            on their neighbours; "spectral" for spectral normalisation of every layer, the heads included.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, classes: int = 0, norm: str = "batch"):
        channels = channel_plan(image_shape(shape)[1], size("width", width))
        layers = nn.Sequential(*down_layers(image_shape(shape), width, norm)).apply(initialize)
        super().__init__(layers, channels[-1] * 4 * 4, classes, initialize, spectral=norm == "spectral")
        self.shape, self.width, self.norm = image_shape(shape), width, norm


def down_layers(shape: tuple[int, int, int], width: int, norm: str = "batch") -> list[nn.Module]:
    """From the image down to a 4x4 map: strided convolutions, batch norm but for the first, LeakyReLU.

    `norm` as for `DCGANDiscriminator`; `UserError` for another.
    """
    if norm not in NORMS:
        raise UserError(f"norm is {norm!r}; a discriminator has batch or spectral normalisation, or none.")

    def convolution(here: int, after: int, bias: bool = True) -> nn.Module:
        return SpectralConv2d(here, after, 4, 2, 1) if norm == "spectral" else HalvingConv2d(here, after, bias)

    channels = channel_plan(shape[1], width)
    layers: list[nn.Module] = [convolution(shape[0], width), nn.LeakyReLU(SLOPE, inplace=True)]
    for here, after in pairwise(channels):
        layers.append(convolution(here, after, bias=norm != "batch"))
        layers += [nn.BatchNorm2d(after)] if norm == "batch" else []
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
    return layers


def channel_plan(side: int, width: int) -> list[int]:
    """Channels of the maps with sides side/2, side/4, ..., 4: doubled at each halving."""
    stages = (side // 4).bit_length() - 1
    return [width * 2**stage for stage in range(stages)]


def image_shape(shape: Sequence[int], sides: Sequence[int] = SIDES, family: str = "DCGAN") -> tuple[int, int, int]:
    """`shape` as (channels, side, side) with one of the `sides` a family of networks has.

    Raises:
        UserError: it is not; the message names the nearest side.
    """
    shape = sizes("shape", shape)
    if len(shape) != 3:
        raise UserError(
            f"{family} networks need images of shape (channels, height, width), "
            f'but a sample of this data has shape {shape}: use the preset "mlp".'
        )
    channels, height, width = shape
    if height != width or height not in sides:
        # Of two sides equally near the larger one, which loses no detail.
        nearest = min(sides, key=lambda side: (abs(side - max(height, width)), -side))
        *rest, last = sides
        raise UserError(
            f"{family} networks need square images with a side of {', '.join(map(str, rest))} or {last} pixels, "
            f'but these are {height}x{width}: open the data with size={nearest}, or use the preset "mlp".'
        )
    return channels, height, width


def initialize(module: nn.Module) -> None:
    """DCGAN's first weights, for one layer; use as `network.apply(initialize)`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, SplitBatchNorm) or (isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
