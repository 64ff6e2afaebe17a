"""The convolutional auto-encoder of Wasserstein auto-encoders, for square images of 16, 28, 32, 64 or 128 pixels.

Source: Tolstikhin et al. 2018 (WAE), Appendix C.2, which is IVAAE's Table 4. Kernels are 5x5. At 64x64:

    encoder     128 (32x32) -> 256 -> 512 -> 1024 (4x4), each batch norm and ReLU -> linear to the code
    generator   latent -> linear to 1024 (8x8), ReLU -> 512 (16x16) -> 256 -> 128 (64x64), each batch norm and ReLU
                -> channels at the same side, tanh

The generator begins at 8x8 and its last layer keeps the side: so every pixel is made by overlapping kernels. Table 4's
strides for it (1, 1, 2, 0) do not reach 64x64, and its last kernel, 4x4, cannot keep a side; both are WAE's here. Other
sides have more or fewer stages: the generator begins at 8x8 (28x28: 7x7), the encoder ends at 4x4, and `width` is
always the number of channels next to the image. Weights start from N(0, 0.01), biases from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from modecover.networks.network import BaseEncoder, BaseGenerator, OwnNetwork, network
from modecover.networks.normalization import Law, batch_norm


class _WAE(OwnNetwork):
    sides = (16, 28, 32, 64, 128)
    family = "WAE"
    width: int

    def channels(self) -> list[int]:
        """Of the maps, doubled whenever the side halves, down to the generator's first map, 8x8 or 7x7."""
        return [self.width << stage for stage in range((self.shape[1] // 7).bit_length())]

    @staticmethod
    def initialize(layer: nn.Module) -> None:
        """The first weights of the authors' code."""
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@network
class WAEGenerator(_WAE, BaseGenerator):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent, split_statistics, input_affine: as for `MLPGenerator`.
        shape: (channels, side, side), a side of 16, 28, 32, 64 or 128; `UserError` otherwise.
        width: channels of the layer next to the image.
    """

    latent: int
    shape: Sequence[int]
    width: int = 128
    split_statistics: bool = False
    input_affine: bool = False

    def body(self) -> list[nn.Module]:
        channels = self.channels()[::-1]
        start = self.shape[1] >> (len(channels) - 1)
        layers: list[nn.Module] = [nn.Linear(self.latent, channels[0] * start * start)]
        layers += [nn.Unflatten(1, (channels[0], start, start)), nn.ReLU()]
        for here, after in pairwise(channels):
            layers += [nn.ConvTranspose2d(here, after, 5, 2, 2, output_padding=1, bias=False)]
            layers += [batch_norm(after, 2, self.split_statistics), nn.ReLU()]
        return [*layers, nn.ConvTranspose2d(self.width, self.shape[0], 5, 1, 2), nn.Tanh()]


@network
class WAEEncoder(_WAE, BaseEncoder):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent, width: as for `WAEGenerator`.
        normalize, law: as for `MLPEncoder`.
    """

    shape: Sequence[int]
    latent: int
    width: int = 128
    normalize: bool = False
    law: Law = "normal"

    def body(self) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for here, after in pairwise([self.shape[0], *self.channels()]):
            layers += [nn.Conv2d(here, after, 5, 2, 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        return [*layers, nn.Flatten(), nn.Linear(self.channels()[-1] * 4 * 4, self.latent, bias=not self.normalize)]
