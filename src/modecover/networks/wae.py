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

from torch import Tensor, nn

from modecover.networks.arguments import Configured, size
from modecover.networks.dcgan import image_shape
from modecover.networks.normalization import CoordinateAffine, batch_norm, normalized_codes, run_layers

SIDES = (16, 28, 32, 64, 128)


class WAEGenerator(Configured, nn.Module):
    """Latent rows (B, latent) to images (B, channels, side, side) in [-1, 1].

    Args:
        latent: d, the latent dimension.
        shape: (channels, side, side), a side of 16, 28, 32, 64 or 128; `UserError` otherwise.
        width: channels of the layer next to the image.
        split_statistics: keep running statistics apart for `kind="prior"` and `kind="code"`.
        input_affine: begin with a learned scale and shift of every latent coordinate.
    """

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        width: int = 128,
        split_statistics: bool = False,
        input_affine: bool = False,
    ):
        super().__init__()
        self.latent, self.shape, self.width = size("latent", latent), _image_shape(shape), size("width", width)
        self.split_statistics, self.input_affine = split_statistics, input_affine
        stages = _doublings(self.shape[1])
        start = self.shape[1] >> stages
        channels = [width << stage for stage in reversed(range(stages + 1))]
        layers: list[nn.Module] = [CoordinateAffine(latent)] if input_affine else []
        layers += [nn.Linear(latent, channels[0] * start * start), nn.Unflatten(1, (channels[0], start, start))]
        layers += [nn.ReLU()]
        for here, after in pairwise(channels):
            layers += [nn.ConvTranspose2d(here, after, 5, 2, 2, output_padding=1, bias=False)]
            layers += [batch_norm(after, 2, split_statistics), nn.ReLU()]
        layers += [nn.ConvTranspose2d(width, self.shape[0], 5, 1, 2), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return run_layers(self.layers, z, kind)


class WAEEncoder(Configured, nn.Module):
    """Images (B, channels, side, side) to latent rows (B, latent).

    Args:
        shape, latent, width: as for `WAEGenerator`.
        normalize, law: as for `MLPEncoder`.
    """

    def __init__(
        self, shape: Sequence[int], latent: int, width: int = 128, normalize: bool = False, law: str = "normal"
    ):
        super().__init__()
        self.shape, self.latent, self.width = _image_shape(shape), size("latent", latent), size("width", width)
        self.normalize, self.law = normalize, law
        channels = [width << stage for stage in range(_doublings(self.shape[1]) + 1)]
        layers: list[nn.Module] = []
        for here, after in pairwise([self.shape[0], *channels]):
            layers += [nn.Conv2d(here, after, 5, 2, 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(channels[-1] * 4 * 4, latent, bias=not normalize)]
        if normalize:
            layers += normalized_codes(latent, law)
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.layers(x)
        return code


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    return image_shape(shape, SIDES, "WAE")


def _doublings(side: int) -> int:
    """How often the side doubles from the generator's first map, which is 8x8 or 7x7."""
    return (side // 7).bit_length() - 1


def _initialize(module: nn.Module) -> None:
    """The first weights of the authors' code, for one layer."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
