"""Features of images by networks that nothing is learned for: random convolutions, and Inception-v3 as FID takes it."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from modecover.errors import UserError
from modecover.features.base import Extractor, hash_of, in_batches
from modecover.random import derive_seed

WIDTHS = (32, 64, 128)
SMALLEST = 8


def random_convolutions(shape: tuple[int, ...], *, seed: int = 0, device: torch.device | str = "cpu") -> Extractor:
    """Mean responses of three random convolutional layers, over a 2 x 2 grid of places: local detail, and no download.

    Args:
        shape: of one image, (C, H, W), sides of at least 8.
        seed: of the weights: each filter a random direction of length sqrt(2).

    Raises:
        UserError: the samples are no images, or smaller.
    """
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UserError(f"Random convolutions need at least {SMALLEST} x {SMALLEST} pixels, not {shape}: use pixels.")
    random = torch.Generator().manual_seed(derive_seed(seed, "random convolutions", *shape))
    weights = []
    for inputs, outputs in zip((shape[0], *WIDTHS), WIDTHS, strict=False):
        filters = torch.randn(outputs, inputs * 9, generator=random)
        filters = filters / filters.norm(dim=1, keepdim=True) * math.sqrt(2)
        weights.append(filters.view(outputs, inputs, 3, 3).to(device))

    def network(images: Tensor) -> Tensor:
        found = []
        for weight in weights:
            images = functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), weight).relu()
            found.append(functional.adaptive_avg_pool2d(images, 2).flatten(1))
            images = functional.avg_pool2d(images, 2)
        return torch.cat(found, dim=1)

    name = f"random-convolutions-{4 * sum(WIDTHS)}"
    return Extractor(name, hash_of(name, *weights), lambda samples: in_batches(network, samples, device), row_wise=True)


def inception(
    weights: str | os.PathLike[str], *, sha256: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """The 2048 pooled features of Inception-v3. Nothing is downloaded: the weights are a file of yours.

    Args:
        weights: the file of weights. That of torch-fidelity and pytorch-fid is pt_inception-2015-12-05-6726825d.pth,
            whose SHA-256 begins as its name ends.
        sha256: what the file's SHA-256 must be, or begin with; None: not compared. It is the extractor's hash
            whatever it is.

    Raises:
        UserError: torch-fidelity is not installed, there is no such file, or its hash is another.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UserError("Inception's features need torch-fidelity: `pip install 'modecover[inception]'` installs it.")
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"there are no Inception weights at {path}; download them and name their file.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and not found.startswith(sha256.lower()):
        raise UserError(f"{path} has the SHA-256 {found}, not {sha256}; take the right file of weights.")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    network = network.to(device)

    def features(images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UserError(f"Inception reads images of 1 or 3 channels; these samples have shape {images.shape[1:]}.")
        pixels = ((images.expand(-1, 3, -1, -1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return network(pixels)[0]

    return Extractor("inception-2048", found[:8], lambda x: in_batches(features, x, device), row_wise=True)
