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


class JointImageDiscriminator(nn.Module):
    """Features of images side by side with features of latent rows, under joint layers, to scores (B,).

    The joint part of Dumoulin et al. 2017 (ALI), Table 4.

    Args:
        of_x: images to features, flattened to (B, features).
        features: how many numbers `of_x` returns for one row.
        latent: d, the latent dimension.
        joint: width of the layers on z, and of those on both.
        layers_of_z: how many layers z passes before it meets x.
        layers_of_both: how many layers there are before the last one.
        spectral: spectral normalisation of these layers.
    """

    def __init__(
        self,
        of_x: nn.Module,
        features: int,
        latent: int,
        joint: int,
        *,
        layers_of_z: int = 2,
        layers_of_both: int = 2,
        spectral: bool = False,
    ):
        super().__init__()
        self.latent, self.joint = size("latent", latent), size("joint", joint)
        linear = SpectralLinear if spectral else nn.Linear

        def perceptron(inputs: int, count: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [linear(inputs, joint), nn.LeakyReLU(SLOPE)]
                inputs = joint
            return nn.Sequential(*layers)

        self.of_x = of_x
        self.of_z = perceptron(latent, layers_of_z)
        self.of_both = perceptron(features + (joint if layers_of_z else latent), layers_of_both)
        self.of_both.append(linear(joint, 1))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        score: Tensor = self.of_both(torch.cat([self.of_x(x).flatten(1), self.of_z(z)], dim=1))
        return score.squeeze(1)


class JointDCGANDiscriminator(Configured, JointImageDiscriminator):
    """Images (B, channels, side, side) with latent rows (B, latent) to scores (B,): ALI's on DCGAN's convolutions.

    Args:
        shape: (channels, side, side), a side of 16, 32, 64 or 128; `UserError` otherwise.
        latent: d, the latent dimension.
        width: channels of the layer next to the image.
        joint: width of the two layers on z, and of the two on both.
        norm: "batch" or "none" in the convolutions, or "spectral" in every layer.
    """

    def __init__(self, shape: Sequence[int], latent: int, width: int = 64, joint: int = 512, norm: str = "batch"):
        layers = down_layers(image_shape(shape), size("width", width), norm)
        features = channel_plan(shape[1], width)[-1] * 4 * 4
        super().__init__(nn.Sequential(*layers).apply(initialize), features, latent, joint, spectral=norm == "spectral")
        self.shape, self.width, self.norm = image_shape(shape), width, norm
