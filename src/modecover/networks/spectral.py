"""Spectral normalisation: layers whose weight is divided by an estimate of its largest singular value.

Miyato et al. 2018, Algorithm 1. Each forward in training mode takes one step of power iteration from where the last one
stopped; in evaluation mode the state stays as it is. The weight of a convolution counts as the matrix of its output
channels by all else. Gradients flow through the estimate, its singular vectors being constants (equation 12).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def normalized(weight: Tensor, u: Tensor, training: bool) -> Tensor:
    """`weight` divided by its estimated largest singular value; for stacked weights, each by its own.

    Args:
        weight: (out, ...), or (S, out, ...) for S stacked layers.
        u: the estimate of the first left singular vector, (out,) or (S, out); moved in place where `training`.
    """
    with torch.autocast(weight.device.type, enabled=False):
        matrix = weight.flatten(u.dim())
        with torch.no_grad():
            v = F.normalize((matrix.mT @ u.unsqueeze(-1)).squeeze(-1), dim=-1)
            if training:
                u.copy_(F.normalize((matrix @ v.unsqueeze(-1)).squeeze(-1), dim=-1))
            left = u.clone()  # a later step of the iteration must not change what this one's gradient needs
        sigma = left.unsqueeze(-2) @ matrix @ v.unsqueeze(-1)
        return (matrix / sigma).view_as(weight)


class SpectralLinear(nn.Linear):
    """A linear layer whose matrix has spectral norm 1. Buffer `u`: the state of the power iteration, (outputs,)."""

    row_wise = True
    u: Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self.register_buffer("u", F.normalize(torch.randn(out_features), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, normalized(self.weight, self.u, self.training), self.bias)


class SpectralConv2d(nn.Conv2d):
    """A convolution whose kernel, as a matrix with a row for each output channel, has spectral norm 1.

    Takes the arguments of `nn.Conv2d`. Buffer `u`: (channels out,).
    """

    row_wise = True
    u: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *arguments: Any, **options: Any):
        super().__init__(in_channels, out_channels, kernel, *arguments, **options)
        self.register_buffer("u", F.normalize(torch.randn(out_channels), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, normalized(self.weight, self.u, self.training), self.bias)
