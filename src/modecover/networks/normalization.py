"""Batch norm that keeps apart the statistics of the generator's two kinds of input, and maps of its latent rows.

Source: Che et al. 2017 (MDGAN), Appendix B: the generator reads prior noise and codes E(x), two laws whose batch
statistics differ; normalising both with shared statistics would make each the other's noise.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modecover.errors import UserError

Law = Literal["normal", "uniform", "uniform01"]
"""Laws of prior noise: N(0, I), uniform on [-1, 1]^d, uniform on [0, 1]^d."""

KINDS = ("prior", "code")
"""What a generator's input rows are: draws from the prior, or codes an encoder (or an intervention on it) made."""


class SplitBatchNorm(nn.Module):
    """Batch norm over all dimensions but 1, with running statistics of its own for each kind of input.

    A batch is normalised by its own mean and variance in training mode, by the running ones of its kind in
    evaluation mode. Weight and bias are shared by the kinds. Input (B, features) or (B, features, height, width).

    `kind` is an argument of `forward`, no state, as `torch.func.functional_call` requires.
    """

    row_wise = False  # in training mode

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.features, self.eps, self.momentum = features, eps, momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        for kind in KINDS:
            self.register_buffer(f"running_mean_{kind}", torch.zeros(features))
            self.register_buffer(f"running_var_{kind}", torch.ones(features))

    def forward(self, x: Tensor, kind: str = "prior") -> Tensor:
        _check_kind(kind)
        mean, var = self._buffers[f"running_mean_{kind}"], self._buffers[f"running_var_{kind}"]
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.momentum, self.eps)

    def extra_repr(self) -> str:
        return f"{self.features}, eps={self.eps}, momentum={self.momentum}"


class NormalToUniform(nn.Module):
    """The normal distribution function of each coordinate: rows (B, d) of law N(0, I) become rows of U[low, 1]^d."""

    row_wise = True

    def __init__(self, low: float):
        super().__init__()
        self.low = low

    def forward(self, x: Tensor) -> Tensor:
        upper = (1 + torch.erf(x * 0.5**0.5)) / 2
        return self.low + (1 - self.low) * upper

    def extra_repr(self) -> str:
        return f"{self.low}"


def normalized_codes(features: int, law: Law, affine: bool = False) -> list[nn.Module]:
    """The last layers of an encoder whose codes (B, features) shall have the law of the prior.

    A batch norm, which may be `affine`, gives them mean 0 and variance 1; for a uniform law the normal distribution
    function follows: codes beyond the prior's cube would be decoded where samples never come from.
    """
    layers: list[nn.Module] = [nn.BatchNorm1d(features, affine=affine)]
    return layers if law == "normal" else [*layers, NormalToUniform(-1.0 if law == "uniform" else 0.0)]


class CoordinateAffine(nn.Module):
    """x -> weight * x + bias, coordinate by coordinate, the identity at first. Input (B, features).

    The authors of IVGAN put it before the generator: it lets the network choose the scale and place of its prior.
    """

    row_wise = True

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UserError(f'A generator was called with kind={kind!r}; the kinds of input are "prior" and "code".')


def batch_norm(features: int, dimensions: int, split: bool) -> nn.Module:
    """The batch norm of a generator for inputs (B, features) (dimensions 1) or (B, features, h, w) (dimensions 2)."""
    if split:
        return SplitBatchNorm(features)
    return nn.BatchNorm1d(features) if dimensions == 1 else nn.BatchNorm2d(features)


def run_layers(layers: nn.Sequential, x: Tensor, kind: str) -> Tensor:
    """Send `x` through `layers` in order, telling `kind` to those that keep statistics by kind."""
    _check_kind(kind)
    if not any(isinstance(layer, SplitBatchNorm) for layer in layers):
        return layers(x)
    for layer in layers:
        x = layer(x, kind) if isinstance(layer, SplitBatchNorm) else layer(x)
    return x
