"""Convolutions written otherwise than torch's compute what torch's do, and so do their first and second derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modecover.networks.convolutions import DoublingConv2d, FirstConv2d, HalvingConv2d, LastConv2d

ROWS = 3
HALVING = {"stride": 2, "padding": 1}

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], dict[str, int]]] = {
    "halving to the smallest map": (lambda: HalvingConv2d(5, 6), (5, 8, 8), HALVING),
    "halving to one place": (lambda: HalvingConv2d(5, 6, bias=False), (5, 2, 2), HALVING),
    "halving an oblong": (lambda: HalvingConv2d(5, 6), (5, 6, 16), HALVING),
    "halving an odd side": (lambda: HalvingConv2d(3, 6), (3, 9, 7), HALVING),
    "doubling the smallest map": (lambda: DoublingConv2d(5, 6), (5, 4, 4), HALVING),
    "doubling an oblong": (lambda: DoublingConv2d(5, 6, bias=False), (5, 2, 7), HALVING),
    "the first map": (lambda: FirstConv2d(5, 6), (5, 1, 1), {}),
    "the first of a larger map": (lambda: FirstConv2d(5, 6), (5, 2, 1), {}),
    "the last map": (lambda: LastConv2d(5, 6), (5, 4, 4), {}),
    "the last of a larger map": (lambda: LastConv2d(5, 6, bias=False), (5, 5, 4), {}),
}


def found(function: Callable[[Tensor], Tensor], layer: nn.Module, x: Tensor) -> list[Tensor]:
    """What a function makes of x; the gradients of a scalar of it; and the gradients of those gradients' norm."""
    x = x.clone().requires_grad_()
    everything = [x, *layer.parameters()]
    out = function(x)
    first = torch.autograd.grad(out.sin().sum(), everything, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), everything, materialize_grads=True)
    return [out, *first, *second]


@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_is_torchs(name: str) -> None:
    make, shape, options = LAYERS[name]
    torch.manual_seed(3)
    layer = make().double()
    torchs = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv_transpose2d
    x = torch.randn(ROWS, *shape, dtype=torch.float64)
    plain = found(lambda x: torchs(x, layer.weight, layer.bias, **options), layer, x)
    for ours, theirs in zip(found(layer, layer, x), plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_an_activation_may_overwrite_what_a_convolution_made(name: str) -> None:
    make, shape, _ = LAYERS[name]
    torch.manual_seed(3)
    layer = make().double()
    x = torch.randn(ROWS, *shape, dtype=torch.float64)
    overwriting = nn.LeakyReLU(0.2, inplace=True)
    after = found(lambda x: overwriting(layer(x)), layer, x)
    for ours, theirs in zip(after, found(lambda x: F.leaky_relu(layer(x), 0.2), layer, x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert layer(x[:0]).shape == (0, *layer(x).shape[1:])


def test_convolutions_under_mixed_precision_are_torchs() -> None:
    layer, x = HalvingConv2d(5, 6), torch.randn(ROWS, 5, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
        assert out.dtype is torch.bfloat16
        torch.testing.assert_close(out, F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1))
