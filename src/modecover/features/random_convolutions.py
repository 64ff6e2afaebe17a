"""Features of images by convolutions with random weights: nothing learnt, nothing downloaded, local detail seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from modecover.errors import UserError
from modecover.features.base import Extractor, hash_of, in_batches
from modecover.random import derive_seed

WIDTHS = (32, 64, 128)
SMALLEST = 8


def random_convolutions(shape: tuple[int, ...], *, seed: int = 0, device: torch.device | str = "cpu") -> Extractor:
    """Mean responses of three random convolutional layers, over a 2 x 2 grid of places.

    Args:
        shape: of one image, (C, H, W), sides of at least 8.
        seed: of the weights: each filter a random direction of length sqrt(2).

    Raises:
        UserError: the samples are no images, or smaller.
    """
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UserError(
            f"Random convolutions need images of at least {SMALLEST} x {SMALLEST} pixels; these samples have shape "
            f"{shape}: choose pixels."
        )
    random = torch.Generator().manual_seed(derive_seed(seed, "random convolutions", *shape))
    channels = (shape[0], *WIDTHS)
    weights = [_filters(i, o, random).to(device) for i, o in zip(channels, WIDTHS, strict=False)]

    def network(images: Tensor) -> Tensor:
        found = []
        for weight in weights:
            images = functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), weight).relu()
            found.append(functional.adaptive_avg_pool2d(images, 2).flatten(1))
            images = functional.avg_pool2d(images, 2)
        return torch.cat(found, dim=1)

    name = f"random-convolutions-{4 * sum(WIDTHS)}"
    return Extractor(name, hash_of(name, *weights), lambda samples: in_batches(network, samples, device), row_wise=True)


def _filters(inputs: int, outputs: int, random: torch.Generator) -> Tensor:
    weights = torch.randn(outputs, inputs * 9, generator=random)
    weights = weights / weights.norm(dim=1, keepdim=True) * math.sqrt(2)
    return weights.view(outputs, inputs, 3, 3)
