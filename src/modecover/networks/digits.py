"""Networks of the stacked-MNIST literature, for images of 28x28 or 32x32 pixels.

Sides halve, rounded up: 28, 14, 7, 4, 2. Two shapes of one family:

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
A layer has a bias where no batch norm follows. First weights are DCGAN's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks.arguments import Configured, size, sizes
from modecover.networks.dcgan import NORMS, image_shape, initialize
from modecover.networks.heads import HeadedDiscriminator
from modecover.networks.joint import JointImageDiscriminator
from modecover.networks.normalization import CoordinateAffine, batch_norm, run_layers
from modecover.networks.spectral import SpectralConv2d

SIDES = (28, 32)


class DigitGenerator(Configured, nn.Module):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent: d, the latent dimension.
        shape: (channels, side, side), a side of 28 or 32; `UserError` otherwise.
        channels: of the maps, the coarsest first.
        kernel: side of the kernels, an odd number.
        last_doubles: the last layer, to the image, doubles the side; otherwise it is a convolution at the image's side.
        split_statistics: keep running statistics apart for `kind="prior"` and `kind="code"`.
        input_affine: begin with a learned scale and shift of every latent coordinate.
    """

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        channels: Sequence[int] = (512, 256, 128, 64),
        kernel: int = 5,
        last_doubles: bool = True,
        split_statistics: bool = False,
        input_affine: bool = False,
    ):
        super().__init__()
        self.latent, self.shape, self.channels = (
            size("latent", latent),
            _image_shape(shape),
            sizes("channels", channels),
        )
        self.kernel, self.last_doubles = _odd(kernel), last_doubles
        self.split_statistics, self.input_affine = split_statistics, input_affine
        sides = _halved(self.shape[1], len(self.channels) - (not last_doubles))[::-1]
        coarse, fine = (self.channels[0], sides[0], sides[0]), self.channels[-1]

        def doubling(here: int, after: int, stage: int, bias: bool = False) -> nn.Module:
            exact = sides[stage + 1] == 2 * sides[stage]  # 4 -> 7 is not
            return nn.ConvTranspose2d(here, after, kernel, 2, kernel // 2, output_padding=int(exact), bias=bias)

        def normalized(features: int) -> list[nn.Module]:
            return [batch_norm(features, 2, split_statistics), nn.ReLU()]

        layers: list[nn.Module] = [CoordinateAffine(latent)] if input_affine else []
        layers += [nn.Linear(latent, coarse[0] * coarse[1] * coarse[2], bias=False), nn.Unflatten(1, coarse)]
        layers += normalized(coarse[0])
        for stage, (here, after) in enumerate(pairwise(self.channels)):
            layers += [doubling(here, after, stage), *normalized(after)]
        if last_doubles:
            layers.append(doubling(fine, self.shape[0], len(self.channels) - 1, bias=True))
        else:
            layers.append(nn.Conv2d(fine, self.shape[0], kernel, 1, kernel // 2))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(initialize)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return run_layers(self.layers, z, kind)


class DigitDiscriminator(Configured, HeadedDiscriminator):
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

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int] = (64, 128, 256, 512),
        kernel: int = 5,
        slope: float = 0.2,
        first_norm: bool = False,
        classes: int = 0,
        norm: str = "batch",
    ):
        trunk, features = _trunk(shape, channels, kernel, slope, first_norm, norm)
        super().__init__(trunk, features, classes, initialize, spectral=norm == "spectral")
        self.shape, self.channels, self.kernel = _image_shape(shape), sizes("channels", channels), kernel
        self.slope, self.first_norm, self.norm = slope, first_norm, norm


class JointDigitDiscriminator(Configured, JointImageDiscriminator):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,).

    As LDMGAN's section 5.3 describes it: the last map beside the code, under two fully connected layers.

    Args:
        shape, channels, kernel, slope, first_norm, norm: as for `DigitDiscriminator`.
        latent: d, the latent dimension.
        joint: width of the hidden layer on both (ours; the paper gives none).
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        channels: Sequence[int] = (64, 128, 256, 512),
        kernel: int = 5,
        slope: float = 0.2,
        first_norm: bool = False,
        joint: int = 512,
        norm: str = "batch",
    ):
        trunk, features = _trunk(shape, channels, kernel, slope, first_norm, norm)
        spectral = norm == "spectral"
        super().__init__(trunk, features, latent, joint, layers_of_z=0, layers_of_both=1, spectral=spectral)
        self.shape, self.channels, self.kernel = _image_shape(shape), sizes("channels", channels), kernel
        self.slope, self.first_norm, self.norm = slope, first_norm, norm


def _trunk(
    shape: Sequence[int], channels: Sequence[int], kernel: int, slope: float, first_norm: bool, norm: str
) -> tuple[nn.Sequential, int]:
    """Strided convolutions from the image to the last map, and how many numbers that has."""
    if norm not in NORMS:
        raise UserError(f"norm is {norm!r}; a discriminator has batch or spectral normalisation, or none.")
    widths, (image, side, _) = sizes("channels", channels), _image_shape(shape)
    convolution = SpectralConv2d if norm == "spectral" else nn.Conv2d
    layers: list[nn.Module] = []
    for stage, (here, after) in enumerate(pairwise([image, *widths])):
        normalized = norm == "batch" and (first_norm or stage > 0)
        layers.append(convolution(here, after, _odd(kernel), 2, kernel // 2, bias=not normalized))
        layers += [nn.BatchNorm2d(after)] if normalized else []
        layers.append(nn.LeakyReLU(slope))
    coarse = _halved(side, len(widths))[-1]
    return nn.Sequential(*layers).apply(initialize), widths[-1] * coarse * coarse


def _halved(side: int, times: int) -> list[int]:
    """The side and its halves, rounded up: 28, 14, 7, 4, 2."""
    found = [side]
    for _ in range(times):
        found.append((found[-1] + 1) // 2)
    return found


def _odd(kernel: int) -> int:
    if size("kernel", kernel) % 2 == 0:
        raise UserError(f"kernel is {kernel}; give an odd number, so that the sides halve.")
    return kernel


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    return image_shape(shape, SIDES, "Digit")
