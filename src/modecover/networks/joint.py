"""Discriminators of pairs (x, z): data rows beside latent rows, for BiGAN, ALI and VEEGAN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modecover.networks.arguments import Configured, elements, size, sizes
from modecover.networks.dcgan import SLOPE, channel_plan, down_layers, image_shape, initialize
from modecover.networks.mlp import hidden_layers
from modecover.networks.spectral import SpectralLinear


class JointMLPDiscriminator(Configured, nn.Module):
    """Data rows (B, *shape) with latent rows (B, latent) to scores (B,): fully connected on both, side by side.

    Args:
        shape: of one sample.
        latent: d, the latent dimension.
        hidden, activation, batch_norm, pieces: as for `MLPGenerator`.
        spectral: spectral normalisation of every layer.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        hidden: Sequence[int] = (128, 128),
        activation: str = "relu",
        batch_norm: bool = False,
        pieces: int = 5,
        spectral: bool = False,
    ):
        super().__init__()
        self.shape, self.latent, self.hidden = sizes("shape", shape), size("latent", latent), sizes("hidden", hidden)
        self.activation, self.batch_norm, self.pieces, self.spectral = activation, batch_norm, pieces, spectral
        inputs = elements(self.shape) + latent
        layers = hidden_layers(inputs, self.hidden, activation, batch_norm, pieces=pieces, spectral=spectral)
        self.layers = nn.Sequential(*layers, (SpectralLinear if spectral else nn.Linear)(self.hidden[-1], 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        score: Tensor = self.layers(torch.cat([x.flatten(1), z], dim=1))
        return score.squeeze(1)


class JointDCGANDiscriminator(Configured, nn.Module):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,).

    The discriminator of Dumoulin et al. 2017 (ALI), Table 4, on the DCGAN family's convolutions: features of x and
    features of z, side by side, under two joint layers.

    Args:
        shape: (channels, side, side), a side of 16, 32, 64 or 128; `UserError` otherwise.
        latent: d, the latent dimension.
        width: channels of the layer next to the image.
        joint: width of the two layers on z, and of the two on both.
        norm: "batch" or "none" in the convolutions, or "spectral" in every layer.
    """

    def __init__(self, shape: Sequence[int], latent: int, width: int = 64, joint: int = 512, norm: str = "batch"):
        super().__init__()
        self.shape, self.latent, self.width = image_shape(shape), size("latent", latent), size("width", width)
        self.joint, self.norm = size("joint", joint), norm
        self.of_x = nn.Sequential(*down_layers(self.shape, width, norm), nn.Flatten()).apply(initialize)
        features = channel_plan(self.shape[1], width)[-1] * 4 * 4
        linear = SpectralLinear if norm == "spectral" else nn.Linear

        def layer(inputs: int) -> tuple[nn.Module, nn.Module]:
            return linear(inputs, joint), nn.LeakyReLU(SLOPE)

        self.of_z = nn.Sequential(*layer(latent), *layer(joint))
        self.of_both = nn.Sequential(*layer(features + joint), *layer(joint), linear(joint, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        score: Tensor = self.of_both(torch.cat([self.of_x(x), self.of_z(z)], dim=1))
        return score.squeeze(1)
