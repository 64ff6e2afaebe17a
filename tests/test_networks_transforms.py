"""Networks as functions of (parameters, buffers, input): stacked copies, derivatives of derivatives, bfloat16."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from modecover.networks import (
    DCGANDiscriminator,
    DCGANEncoder,
    DCGANGenerator,
    MLPDiscriminator,
    MLPEncoder,
    MLPGenerator,
    TwoHeads,
)

IMAGE = (1, 16, 16)
CASES: list[tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, str]]] = [
    (lambda: MLPGenerator(3, (2,), (8, 8), batch_norm=True), (3,), {}),
    (lambda: MLPGenerator(3, (2,), (8,), batch_norm=True, split_statistics=True), (3,), {"kind": "code"}),
    (lambda: MLPEncoder((2,), 3, (8,)), (2,), {}),
    (lambda: MLPDiscriminator((2,), (8,), "maxout", classes=3), (2,), {"head": "classes"}),
    (lambda: DCGANGenerator(3, IMAGE, 4, split_statistics=True, input_affine=True), (3,), {"kind": "code"}),
    (lambda: DCGANEncoder(IMAGE, 3, 4), IMAGE, {}),
    (lambda: DCGANDiscriminator(IMAGE, 4, classes=3), IMAGE, {"head": "classes"}),
    (lambda: DCGANDiscriminator(IMAGE, 4), IMAGE, {}),
    (lambda: TwoHeads(nn.Sequential(nn.Linear(2, 5), nn.Tanh()), 5, classes=3), (2,), {"head": "classes"}),
]


def penalty(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A gradient penalty for each row of the seed: its gradient differentiates the network twice."""
    x = x.detach().requires_grad_()
    out = forward(x)
    (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    return gradient.square().sum() + out.square().sum()


@pytest.mark.parametrize(("make", "sample", "options"), CASES)
def test_two_stacked_copies_equal_two_separate_ones(make, sample, options):
    """In training mode: outputs, gradients through a double backward, and running statistics."""
    torch.manual_seed(0)
    nets = [make().double() for _ in range(2)]
    x = torch.randn(2, 6, *sample, dtype=torch.float64)
    separate = copy.deepcopy(nets)

    weights, buffers = stack_module_state(nets)
    before = {key: value.clone() for key, value in buffers.items()}

    def one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(nets[0], (weights, buffers), (x,), options)

    stacked = vmap(one)
    gradients = torch.autograd.grad(
        penalty(lambda x: stacked(weights, buffers, x), x), list(weights.values()), allow_unused=True
    )
    for seed, net in enumerate(separate):
        loss = penalty(partial(net, **options), x[seed])
        alone = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        for name, mine, theirs in zip(weights, gradients, alone, strict=True):
            assert (mine is None) == (theirs is None), name
            assert theirs is None or torch.allclose(mine[seed], theirs, rtol=1e-8, atol=1e-10), name
        for name, value in net.named_buffers():
            assert torch.allclose(buffers[name][seed].to(value.dtype), value, rtol=1e-10), name
    changed = [name for name in buffers if not torch.equal(before[name], buffers[name])]
    other_kind = "prior" if options.get("kind") == "code" else "code"
    assert changed == [name for name in buffers if not name.endswith(other_kind)]

    outputs = stacked(weights, buffers, x)
    for seed, net in enumerate(separate):
        assert torch.allclose(outputs[seed], net(x[seed], **options), rtol=1e-10)


@pytest.mark.parametrize(("make", "sample", "options"), CASES)
def test_bfloat16_autocast_stays_close_and_keeps_gradients_in_float32(make, sample, options):
    torch.manual_seed(0)
    net, x = make(), torch.randn(16, *sample)
    exact = net(x, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(x, **options)
    rough.float().square().mean().backward()
    assert torch.allclose(rough.float(), exact, atol=0.1 * float(exact.detach().abs().max()))
    used = [p.grad for p in net.parameters() if p.grad is not None]
    assert used
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in used)
