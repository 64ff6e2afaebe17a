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

WAE's auto-encoder (Tolstikhin et al. 2018, Appendix C.2, which is IVAAE's Table 4), for sides of 16, 28, 32, 64 or 128
pixels; 5x5 kernels. At 64x64:

    encoder         128 (32x32) -> 256 -> 512 -> 1024 (4x4), each batch norm and ReLU -> linear to the code
    generator       latent -> linear to 1024 (8x8), ReLU -> 512 (16x16) -> 256 -> 128 (64x64), each batch norm and ReLU
                    -> channels at the same side, tanh

The generator begins at 8x8 (28x28: at 7x7) and its last layer keeps the side: every pixel is made by overlapping
kernels. Table 4's strides (1, 1, 2, 0) do not reach 64x64, and its last kernel, 4x4, keeps no side: WAE's are taken.

A layer has a bias where no batch norm follows. Convolutions, and the linear layers but for those of joint
discriminators, start from N(0, 0.02), batch norm weights from N(1, 0.02); WAE's from N(0, 0.01) and 1; biases from 0.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

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


class _Convolutional(OwnNetwork):
    """Strided convolutions from an image to its coarsest map; the widths of the maps on the way are `maps()`."""

    kernel: int = 4
    slope: float = SLOPE
    first_norm: bool = False
    norm: Norm = "batch"
    spreads: ClassVar[tuple[float, float]] = 0.02, 0.02
    """Standard deviations of the first weights: of convolutions and linear layers, of batch norms (0: they are 1)."""

    def maps(self) -> Sequence[int]:
        raise NotImplementedError

    def side(self, halvings: int) -> int:
        """That of the image after so many halvings, each rounded up."""
        return -(-self.shape[1] // 2**halvings)

    def trunk(self) -> tuple[list[nn.Module], int]:
        layers: list[nn.Module] = []
        maps = self.maps()
        for stage, (here, after) in enumerate(pairwise([self.shape[0], *maps])):
            normalized = self.norm == "batch" and (self.first_norm or stage > 0)
            if self.kernel == 4 and self.norm != "spectral":
                layers.append(HalvingConv2d(here, after, bias=not normalized))
            else:
                half = (self.kernel - 1) // 2
                layers.append(self.convolution(here, after, self.kernel, 2, half, bias=not normalized))
            layers += [nn.BatchNorm2d(after)] if normalized else []
            layers.append(nn.LeakyReLU(self.slope, inplace=True) if self.slope else nn.ReLU(inplace=True))
        return layers, maps[-1] * self.side(len(maps)) ** 2

    def initialize(self, layer: nn.Module) -> None:
        layers, norms = self.spreads
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, layers)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif norms and isinstance(layer, SplitBatchNorm | nn.BatchNorm1d | nn.BatchNorm2d) and layer.weight is not None:
            nn.init.normal_(layer.weight, 1.0, norms)
            nn.init.zeros_(layer.bias)


class _DCGAN(_Convolutional):
    sides = (16, 32, 64, 128)
    family = "DCGAN"
    width: int

    def maps(self) -> list[int]:
        """With sides side/2, side/4, ..., 4: doubled at each halving."""
        return [self.width << stage for stage in range((self.shape[1] // 4).bit_length() - 1)]


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
        maps = [*self.maps()[::-1], self.shape[0]]
        layers: list[nn.Module] = [nn.Unflatten(1, (self.latent, 1, 1)), FirstConv2d(self.latent, maps[0])]
        for stage, (here, after) in enumerate(pairwise(maps), 1):
            layers += [batch_norm(here, 2, self.split_statistics), nn.ReLU(inplace=True)]
            layers.append(DoublingConv2d(here, after, bias=stage == len(maps) - 1))
        return [*layers, nn.Tanh()]


@network
class DCGANEncoder(_DCGAN, BaseEncoder):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent, normalize, law: as for `DCGANGenerator` and `MLPEncoder`.
        width: channels of the layer next to the image; 16 as the authors of IVGAN ran it, 64 in their Table 1.
        affine: give the batch norm at the end a weight and a bias.
    """

    shape: Sequence[int]
    latent: int
    width: int = 16
    normalize: bool = True
    affine: bool = False
    law: Law = "normal"

    def body(self) -> list[nn.Module]:
        last = LastConv2d(self.maps()[-1], self.latent, bias=not self.normalize)
        return [*self.trunk()[0], last, nn.Flatten()]


@network
class DCGANDiscriminator(_DCGAN, BaseDiscriminator):
    """Images (B, channels, side, side) to scores (B,), class logits (B, classes) or features (B, F).

    The features are the last map, F = width * side * 2 numbers.

    Args:
        shape, width: as for `DCGANGenerator` (DCGAN's ndf).
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


class _Digits(_Convolutional):
    sides = (28, 32)
    family = "Digit"
    channels: Sequence[int]

    def maps(self) -> Sequence[int]:
        if self.kernel % 2 == 0:
            raise UserError(f"kernel is {self.kernel}; give an odd number, so that the sides halve.")
        return self.channels


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
        maps, half = [*self.maps(), self.shape[0]], self.kernel // 2
        doublings = len(self.channels) - (not self.last_doubles)
        start = self.side(doublings)
        layers: list[nn.Module] = [nn.Linear(self.latent, maps[0] * start * start, bias=False)]
        layers.append(nn.Unflatten(1, (maps[0], start, start)))
        for here, after in pairwise(maps):
            layers += [batch_norm(here, 2, self.split_statistics), nn.ReLU()]
            if doublings:
                odd = int(self.side(doublings - 1) == 2 * self.side(doublings))  # 4 -> 7 is not
                doublings -= 1
                bias = self.last_doubles and not doublings
                layers.append(nn.ConvTranspose2d(here, after, self.kernel, 2, half, output_padding=odd, bias=bias))
            else:
                layers.append(nn.Conv2d(here, after, self.kernel, 1, half))
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
        classes, norm: as for `DCGANDiscriminator`.
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
        latent, joint: d; width of the hidden layer on both (ours; the paper gives none).
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


class _WAE(_Convolutional):
    sides = (16, 28, 32, 64, 128)
    family = "WAE"
    width: int

    kernel, slope, first_norm, spreads = 5, 0.0, True, (0.01, 0.0)

    def maps(self) -> list[int]:
        """Doubled whenever the side halves, down to the generator's first map, 8x8 or 7x7."""
        return [self.width << stage for stage in range((self.shape[1] // 7).bit_length())]


@network
class WAEGenerator(_WAE, BaseGenerator):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent, width, split_statistics, input_affine: as for `DCGANGenerator`.
        shape: (channels, side, side), a side of 16, 28, 32, 64 or 128; `UserError` otherwise.
    """

    latent: int
    shape: Sequence[int]
    width: int = 128
    split_statistics: bool = False
    input_affine: bool = False

    def body(self) -> list[nn.Module]:
        maps = self.maps()[::-1]
        start = self.side(len(maps) - 1)
        layers: list[nn.Module] = [nn.Linear(self.latent, maps[0] * start * start)]
        layers += [nn.Unflatten(1, (maps[0], start, start)), nn.ReLU()]
        for here, after in pairwise(maps):
            layers += [nn.ConvTranspose2d(here, after, 5, 2, 2, output_padding=1, bias=False)]
            layers += [batch_norm(after, 2, self.split_statistics), nn.ReLU()]
        return [*layers, nn.ConvTranspose2d(self.width, self.shape[0], 5, 1, 2), nn.Tanh()]


@network
class WAEEncoder(_WAE, BaseEncoder):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent, width, normalize, law: as for `WAEGenerator` and `MLPEncoder`.
    """

    shape: Sequence[int]
    latent: int
    width: int = 128
    normalize: bool = False
    law: Law = "normal"

    def body(self) -> list[nn.Module]:
        layers, features = self.trunk()
        return [*layers, nn.Flatten(), nn.Linear(features, self.latent, bias=not self.normalize)]
