"""Every fast way computes what the plain way computes: values, gradients, gradients of gradients, whole steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny import METHODS, assert_fast_is_plain, engine_of
from torch import Tensor, nn
from torch.nn import functional as F

from modecover.engine.stacked import stack
from modecover.fast_paths import fast_paths
from modecover.networks import MLPDiscriminator, MLPEncoder, MLPGenerator
from modecover.networks.convolutions import DoublingConv2d, HalvingConv2d
from modecover.wanted import gradients_only_of

SEEDS, ROWS = 3, 5

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "thin": lambda: MLPGenerator(2, (2,), (20, 20)),
    "one layer": lambda: MLPGenerator(2, (3,), (20,), "leaky_relu"),
    "wide": lambda: MLPGenerator(30, (40,), (20, 17), "tanh"),
    "narrow inside": lambda: MLPGenerator(18, (2,), (4, 30), "elu", output="sigmoid"),
    "another activation": lambda: MLPGenerator(2, (2,), (20, 20), "gelu"),
    "maxout": lambda: MLPGenerator(2, (2,), (20, 20), "maxout"),
    "affine": lambda: MLPGenerator(2, (2,), (20, 20), input_affine=True),
    "batch norm": lambda: MLPGenerator(2, (2,), (20, 20), batch_norm=True),
    "split batch norm": lambda: MLPGenerator(2, (2,), (20, 20), batch_norm=True, split_statistics=True),
    "encoder": lambda: MLPEncoder((2,), 2, (20, 20)),
    "score": lambda: MLPDiscriminator((2,), (20, 20)),
    "spectral": lambda: MLPDiscriminator((2,), (20,), "leaky_relu", spectral=True),
}


def members(make: Callable[[], nn.Module]) -> list[nn.Module]:
    torch.manual_seed(3)
    return [make().double() for _ in range(SEEDS)]


def found(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, gradients, and the gradients of a penalty on the gradient at x."""
    x = x.clone().requires_grad_()
    out = network(x)
    slopes = torch.randn(out.shape, generator=torch.Generator().manual_seed(5), dtype=out.dtype)
    parameters = list(network.parameters())
    first = torch.autograd.grad((out * slopes).sum(), [x, *parameters], retain_graph=True)
    (of_x,) = torch.autograd.grad((out * slopes).sum(), x, create_graph=True)
    second = torch.autograd.grad(of_x.square().sum(), [x, *parameters], allow_unused=True, materialize_grads=True)
    return [out.detach(), *first, *second]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_is_its_layers_one_by_one(name: str) -> None:
    rows = next(p for p in NETWORKS[name]().parameters() if p.dim() == 2).shape[1]
    x = torch.randn(SEEDS * ROWS, rows, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    fast = found(stack(members(NETWORKS[name])), x)
    with fast_paths(False):
        plain = found(stack(members(NETWORKS[name])), x)
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("head", ["adversarial", "classes", "features"])
def test_every_head_of_a_chained_discriminator(head: str) -> None:
    def make() -> nn.Module:
        return MLPDiscriminator((2,), (20, 20), classes=3)

    x = torch.randn(SEEDS * ROWS, 2, dtype=torch.float64)
    fast = stack(members(make))(x, head=head)
    with fast_paths(False):
        plain = stack(members(make))(x, head=head)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)


def test_each_gradient_that_is_asked_for_is_there_whatever_else_is_thrown_away() -> None:
    _each_alone(stack(members(NETWORKS["thin"])), torch.randn(SEEDS * ROWS, 2, dtype=torch.float64))
    for make, shape in LAYERS.values():
        _each_alone(make().double(), torch.randn(ROWS, *shape, dtype=torch.float64))


def _each_alone(network: nn.Module, x: Tensor) -> None:
    x.requires_grad_()
    everything = [x, *network.parameters()]
    loss = network(x).square().sum()
    expected = torch.autograd.grad(loss, everything, retain_graph=True)
    for index, one in enumerate(everything):
        with gradients_only_of([one]):
            (alone,) = torch.autograd.grad(loss, one, retain_graph=True)
        assert torch.equal(alone, expected[index])


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "halving to the smallest map": (lambda: HalvingConv2d(5, 6), (5, 8, 8)),
    "halving to one place": (lambda: HalvingConv2d(5, 6, bias=False), (5, 2, 2)),
    "halving an oblong": (lambda: HalvingConv2d(5, 6), (5, 6, 16)),
    "halving an image": (lambda: HalvingConv2d(3, 6), (3, 16, 16)),
    "halving a large map": (lambda: HalvingConv2d(5, 6), (5, 16, 16)),
    "halving an odd side": (lambda: HalvingConv2d(3, 6), (3, 9, 7)),
    "doubling the smallest map": (lambda: DoublingConv2d(5, 6), (5, 4, 4)),
    "doubling an oblong": (lambda: DoublingConv2d(5, 6, bias=False), (5, 2, 7)),
    "doubling to an image": (lambda: DoublingConv2d(6, 3), (6, 8, 8)),
    "doubling a large map": (lambda: DoublingConv2d(6, 5), (6, 8, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_is_torchs(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    layer = make().double()
    function = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv_transpose2d

    class Torchs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = function(x, self.weight, self.bias, stride=2, padding=1)
            return out

    plain = Torchs()
    plain.weight, plain.bias = layer.weight, layer.bias
    x = torch.randn(ROWS, *shape, dtype=torch.float64)
    for a, b in zip(found(layer, x), found(plain, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    with fast_paths(False):
        for a, b in zip(found(layer, x), found(plain, x), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", LAYERS)
def test_an_activation_may_overwrite_what_a_convolution_made(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    network = nn.Sequential(make(), nn.LeakyReLU(0.2, inplace=True)).double()
    x = torch.randn(ROWS, *shape, dtype=torch.float64)
    fast = found(network, x)
    with fast_paths(False):
        plain = found(network, x)
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert network(x[:0]).shape == (0, *network(x).shape[1:])


@pytest.mark.parametrize("name", ["thin", "halving to the smallest map"])
def test_weights_learn_where_what_is_saved_is_kept_elsewhere(name: str) -> None:
    """What comes back from there is another tensor than the weight that went."""
    network = stack(members(NETWORKS[name])) if name in NETWORKS else LAYERS[name][0]().double()
    x = torch.randn(SEEDS * ROWS, *([2] if name in NETWORKS else LAYERS[name][1]), dtype=torch.float64)
    parameters = list(network.parameters())
    expected = torch.autograd.grad(network(x).square().sum(), parameters)
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
        loss = network(x).square().sum()
    with gradients_only_of(parameters):
        kept = torch.autograd.grad(loss, parameters, allow_unused=True)
    for a, b in zip(kept, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_convolutions_under_mixed_precision_are_torchs() -> None:
    layer, x = HalvingConv2d(5, 6), torch.randn(ROWS, 5, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
        assert out.dtype is torch.bfloat16
        torch.testing.assert_close(out, F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1))


@pytest.mark.parametrize(("shape", "seeds"), [((2,), (0, 1)), ((3, 16, 16), (0,)), ((1, 16, 16), (0, 1))])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_by_the_fast_ways_is_the_plain_step(name: str, shape: tuple[int, ...], seeds: tuple[int, ...]) -> None:
    assert_fast_is_plain(lambda: engine_of(name, seeds, shape=shape))
