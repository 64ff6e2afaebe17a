"""DCGAN's four kinds of convolutions, kernels of 4x4, with maps in the order of memory that they are fastest in.

Maps lie channels last, which torch's convolutions on a CPU, and those of a GPU's bf16 units, are made for. Where a map
is a single place, the convolution is one matrix product, and is written as one.

Each has `convolve`, what it computes of an input, a weight and a bias.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _laid_out(x: Tensor) -> Tensor:
    """The maps channels last, where convolutions are fastest so."""
    place = x.device.type
    if x.dim() != 4 or not (place == "cpu" or (place == "cuda" and torch.is_autocast_enabled("cuda"))):
        return x
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # by permutations: vmap knows no memory formats


class HalvingConv2d(nn.Conv2d):
    """Maps (B, inputs, 2h, 2w) to (B, outputs, h, w)."""

    row_wise = True

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    @staticmethod
    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(_laid_out(x), weight, bias, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)


class DoublingConv2d(nn.ConvTranspose2d):
    """Maps (B, inputs, h, w) to (B, outputs, 2h, 2w)."""

    row_wise = True

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    @staticmethod
    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv_transpose2d(_laid_out(x), weight, bias, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return self.convolve(x, self.weight, self.bias) if output_size is None else super().forward(x, output_size)


class FirstConv2d(nn.ConvTranspose2d):
    """Maps (B, inputs, 1, 1) to (B, outputs, 4, 4)."""

    row_wise = True

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 4, 1, 0, bias=False)

    @staticmethod
    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if bias is not None or x.dim() != 4 or x.shape[2:] != (1, 1):
            return F.conv_transpose2d(x, weight, bias)
        return F.linear(x.flatten(1), weight.flatten(1).T).unflatten(1, weight.shape[1:])

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return self.convolve(x, self.weight, self.bias) if output_size is None else super().forward(x, output_size)


class LastConv2d(nn.Conv2d):
    """Maps (B, inputs, 4, 4) to (B, outputs, 1, 1)."""

    row_wise = True

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 1, 0, bias=bias)

    @staticmethod
    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.dim() != 4 or x.shape[2:] != (4, 4):
            return F.conv2d(x, weight, bias)
        return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)
