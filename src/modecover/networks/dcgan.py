"""The DCGAN family: convolutional networks for square images.

Source: Radford et al. 2016, in the form of IVGAN's Table 1, for sides of 16, 32, 64 or 128 pixels. Kernels are 4x4. The
generator goes from a 4x4 map up to the image, halving its channels whenever it doubles the side; discriminator and
encoder go the other way. At 64x64:

    generator       latent -> 512 (4x4) -> 256 -> 128 -> 64 (32x32), each batch norm and ReLU -> channels, tanh
    discriminator   64 (32x32), LeakyReLU -> 128 -> 256 -> 512 (4x4), each batch norm and LeakyReLU -> linear heads
    encoder         as the discriminator, 16 -> 128 channels -> 4x4 convolution to the code -> batch norm

The first layer of discriminator and encoder has no batch norm (the table prints one; DCGAN and the authors' networks
have none), and the encoder is a quarter as wide as the table says, as in the authors' runs. Other sides have more or
fewer stages: `width` is always the number of channels next to the image.

Digits: networks of the stacked-MNIST literature, for 28x28 or 32x32 pixels. Sides halve, rounded up: 28, 14, 7, 4, 2.

    DCGAN at 28x28, as PacGAN (Lin et al. 2018) and VEEGAN ran it; 5x5 kernels
      generator       latent -> linear to 512 (2x2) -> 256 (4x4) -> 128 (7x7) -> 64 (14x14), each batch norm and ReLU
                      -> channels (28x28), tanh
      discriminator   64 (14x14), LeakyReLU(0.2) -> 128 -> 256 -> 512 (2x2), each batch norm and LeakyReLU -> linear
    the nets of Unrolled GAN (Metz et al. 2017, Appendix D), whose discriminator is shrunken; 3x3 kernels
      generator       latent -> linear to 64 (4x4) -> 32 (7x7) -> 16 (14x14) -> 8 (28x28), each batch norm and ReLU
                      -> convolution to the channels, tanh
      discriminator   X (14x14) -> 2X (7x7) -> 4X (4x4), each batch norm and LeakyReLU(0.3) -> linear;
                      X = 2 is K = 1/4, X = 4 is K = 1/2 of the generator's size

The second follows PacGAN's replication where the paper's appendix leaves a choice (batch norm in D's first layer, too).

A layer has a bias where no batch norm follows. Convolutions, and the linear layers but for those of joint
discriminators, start from N(0, 0.02), batch norm weights from N(1, 0.02), biases from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from modecover.errors import UserError
from modecover.networks.convolutions import DoublingConv2d, FirstConv2d, HalvingConv2d, LastConv2d
from modecover.networks.network import (
    SLOPE,
    BaseDiscriminator,
    BaseEncoder,
    BaseGenerator,
    JointImageDiscriminator,
    Norm,
    OwnNetwork,
    network,
)
from modecover.networks.normalization import Law, SplitBatchNorm, batch_norm
from modecover.networks.spectral import SpectralConv2d


class _Family(OwnNetwork):
    @staticmethod
    def initialize(layer: nn.Module) -> None:
        """DCGAN's first weights."""
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, SplitBatchNorm) or (isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


class _DCGAN(_Family):
    sides = (16, 32, 64, 128)
    family = "DCGAN"
    width: int
    norm: Norm = "batch"

    def channels(self) -> list[int]:
        """Of the maps with sides side/2, side/4, ..., 4: doubled at each halving."""
        stages = (self.shape[1] // 4).bit_length() - 1
        return [self.width * 2**stage for stage in range(stages)]

    def trunk(self) -> tuple[list[nn.Module], int]:
        """From the image down to a 4x4 map: strided convolutions, batch norm but for the first, LeakyReLU."""
        channels = self.channels()
        layers: list[nn.Module] = []
        for stage, (here, after) in enumerate(pairwise([self.shape[0], *channels])):
            normalized = self.norm == "batch" and stage > 0
            if self.norm == "spectral":
                layers.append(SpectralConv2d(here, after, 4, 2, 1))
            else:
                layers.append(HalvingConv2d(here, after, bias=not normalized))
            layers += [nn.BatchNorm2d(after)] if normalized else []
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        return layers, channels[-1] * 4 * 4


@network
class DCGANGenerator(_DCGAN, BaseGenerator):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent, split_statistics, input_affine: as for `MLPGenerator`.
        shape: (channels, side, side), a side of 16, 32, 64 or 128; `UserError` otherwise.
        width: channels of the layer next to the image (DCGAN's ngf).
    """

    latent: int
    shape: Sequence[int]
    width: int = 64
    split_statistics: bool = False
    input_affine: bool = False

    def body(self) -> list[nn.Module]:
        maps = [*self.channels()[::-1], self.shape[0]]
        layers: list[nn.Module] = [nn.Unflatten(1, (self.latent, 1, 1)), FirstConv2d(self.latent, maps[0])]
        for stage, (here, after) in enumerate(pairwise(maps), 1):
            layers += [batch_norm(here, 2, self.split_statistics), nn.ReLU(inplace=True)]
            layers.append(DoublingConv2d(here, after, bias=stage == len(maps) - 1))
        return [*layers, nn.Tanh()]


@network
class DCGANEncoder(_DCGAN, BaseEncoder):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent: as for `DCGANGenerator`.
        width: channels of the layer next to the image; 16 as the authors of IVGAN ran it, 64 in their Table 1.
        normalize: end with a batch norm.
        affine: give that batch norm a weight and a bias. Without, codes stay near mean 0 and variance 1.
        law: as for `MLPEncoder`.
    """

    shape: Sequence[int]
    latent: int
    width: int = 16
    normalize: bool = True
    affine: bool = False
    law: Law = "normal"

    def body(self) -> list[nn.Module]:
        last = LastConv2d(self.channels()[-1], self.latent, bias=not self.normalize)
        return [*self.trunk()[0], last, nn.Flatten()]


@network
class DCGANDiscriminator(_DCGAN, BaseDiscriminator):
    """Images (B, channels, side, side) to scores (B,), class logits (B, classes) or features (B, F).

    The features are the last map, F = width * side * 2 numbers.

    Args:
        shape: as for `DCGANGenerator`.
        width: channels of the layer next to the image (DCGAN's ndf).
        classes: size of the classifier head; 0 for none.
        norm: "batch"; "none" for losses that penalise the gradient of single samples, whose scores must not depend
            on their neighbours; "spectral" for spectral normalisation of every layer, the heads included.
    """

    shape: Sequence[int]
    width: int = 64
    classes: int = 0
    norm: Norm = "batch"


@network
class JointDCGANDiscriminator(_DCGAN, JointImageDiscriminator):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,): ALI's on DCGAN's convolutions.

    Args:
        shape, latent, width: as for `DCGANGenerator`.
        joint: width of the two layers on z, and of the two on both.
        norm: "batch" or "none" in the convolutions, or "spectral" in every layer.
    """

    shape: Sequence[int]
    latent: int
    width: int = 64
    joint: int = 512
    norm: Norm = "batch"


# -------------------------------------------------------------------------------------------- digits


class _Digits(_Family):
    sides = (28, 32)
    family = "Digit"
    channels: Sequence[int]
    kernel: int
    slope: float
    first_norm: bool
    norm: Norm

    def halved(self, times: int) -> list[int]:
        """The side and its halves, rounded up: 28, 14, 7, 4, 2."""
        if self.kernel % 2 == 0:
            raise UserError(f"kernel is {self.kernel}; give an odd number, so that the sides halve.")
        found = [self.shape[1]]
        for _ in range(times):
            found.append((found[-1] + 1) // 2)
        return found

    def trunk(self) -> tuple[list[nn.Module], int]:
        """Strided convolutions from the image to the last map."""
        convolution = SpectralConv2d if self.norm == "spectral" else nn.Conv2d
        coarse = self.halved(len(self.channels))[-1]
        layers: list[nn.Module] = []
        for stage, (here, after) in enumerate(pairwise([self.shape[0], *self.channels])):
            normalized = self.norm == "batch" and (self.first_norm or stage > 0)
            layers.append(convolution(here, after, self.kernel, 2, self.kernel // 2, bias=not normalized))
            layers += [nn.BatchNorm2d(after)] if normalized else []
            layers.append(nn.LeakyReLU(self.slope))
        return layers, self.channels[-1] * coarse * coarse


@network
class DigitGenerator(_Digits, BaseGenerator):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent, split_statistics, input_affine: as for `MLPGenerator`.
        shape: (channels, side, side), a side of 28 or 32; `UserError` otherwise.
        channels: of the maps, the coarsest first.
        kernel: side of the kernels, an odd number.
        last_doubles: the last layer, to the image, doubles the side; otherwise it is a convolution at the image's side.
    """

    latent: int
    shape: Sequence[int]
    channels: Sequence[int] = (512, 256, 128, 64)
    kernel: int = 5
    last_doubles: bool = True
    split_statistics: bool = False
    input_affine: bool = False

    def body(self) -> list[nn.Module]:
        sides = self.halved(len(self.channels) - (not self.last_doubles))[::-1]
        coarse, half = (self.channels[0], sides[0], sides[0]), self.kernel // 2
        layers: list[nn.Module] = [nn.Linear(self.latent, coarse[0] * sides[0] ** 2, bias=False)]
        layers.append(nn.Unflatten(1, coarse))
        maps = [*self.channels, self.shape[0]]
        for stage, (here, after) in enumerate(pairwise(maps)):
            layers += [batch_norm(here, 2, self.split_statistics), nn.ReLU()]
            last = stage == len(maps) - 2
            if last and not self.last_doubles:
                layers.append(nn.Conv2d(here, after, self.kernel, 1, half))
            else:
                odd = int(sides[stage + 1] == 2 * sides[stage])  # 4 -> 7 is not
                layers.append(nn.ConvTranspose2d(here, after, self.kernel, 2, half, output_padding=odd, bias=last))
        return [*layers, nn.Tanh()]


@network
class DigitDiscriminator(_Digits, BaseDiscriminator):
    """Images (B, channels, side, side) to scores (B,), class logits (B, classes) or features (B, F), the last map.

    Args:
        shape: as for `DigitGenerator`.
        channels: of the maps, the finest first.
        kernel: side of the kernels, an odd number.
        slope: of the leaky ReLUs.
        first_norm: batch norm in the first layer, too.
        classes: size of the classifier head; 0 for none.
        norm: as for `DCGANDiscriminator`.
    """

    shape: Sequence[int]
    channels: Sequence[int] = (64, 128, 256, 512)
    kernel: int = 5
    slope: float = 0.2
    first_norm: bool = False
    classes: int = 0
    norm: Norm = "batch"


@network
class JointDigitDiscriminator(_Digits, JointImageDiscriminator):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,).

    As LDMGAN's section 5.3 describes it: the last map beside the code, under two fully connected layers.

    Args:
        shape, channels, kernel, slope, first_norm, norm: as for `DigitDiscriminator`.
        latent: d, the latent dimension.
        joint: width of the hidden layer on both (ours; the paper gives none).
    """

    layers_of_z, layers_of_both = 0, 1

    shape: Sequence[int]
    latent: int
    channels: Sequence[int] = (64, 128, 256, 512)
    kernel: int = 5
    slope: float = 0.2
    first_norm: bool = False
    joint: int = 512
    norm: Norm = "batch"
