"""Spectral normalisation against singular values, and its state: what moves it and what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modecover import networks
from modecover.engine.stacked import batchable, stack
from modecover.networks.spectral import SpectralConv2d, SpectralLinear, normalized

DOUBLE = torch.float64


def test_after_many_forwards_the_weight_s_largest_singular_value_is_one():
    torch.manual_seed(0)
    layer = SpectralLinear(7, 5).double()
    for _ in range(200):
        layer(torch.randn(2, 7, dtype=DOUBLE))
    used = layer(torch.eye(7, dtype=DOUBLE)) - layer.bias
    values = np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False)
    assert np.linalg.svd(used.detach().numpy(), compute_uv=False) == pytest.approx(values / values[0], rel=1e-6)


def test_one_forward_is_one_step_of_power_iteration():
    """Miyato et al. 2018, Algorithm 1: v = W'u / |W'u|, u = Wv / |Wv|, sigma = u'Wv."""
    torch.manual_seed(1)
    layer, x = SpectralConv2d(3, 4, 2, bias=False).double(), torch.randn(2, 3, 5, 5, dtype=DOUBLE)
    matrix, u = layer.weight.detach().numpy().reshape(4, 12), layer.u.numpy().copy()
    v = matrix.T @ u
    v /= np.linalg.norm(v)
    u = matrix @ v
    u /= np.linalg.norm(u)
    expected = torch.nn.functional.conv2d(x, layer.weight / (u @ matrix @ v))
    torch.testing.assert_close(layer(x), expected)
    np.testing.assert_allclose(layer.u, u, rtol=1e-12)


def test_the_gradient_flows_through_the_estimate_with_constant_vectors():
    """Equation 12, where the iteration has settled: (g - <g, W/sigma> u v') / sigma, g the slope in W/sigma."""
    torch.manual_seed(2)
    weight = torch.randn(4, 6, dtype=DOUBLE, requires_grad=True)
    u, g = nn.functional.normalize(torch.randn(4, dtype=DOUBLE), dim=0), torch.randn(4, 6, dtype=DOUBLE)
    for _ in range(500):
        normalized(weight, u, training=True)
    (found,) = torch.autograd.grad(normalized(weight, u, training=True), weight, g)
    w, slope = weight.detach().numpy(), g.numpy()
    left, values, right = np.linalg.svd(w)
    sigma = values[0]
    through_sigma = (slope * w / sigma).sum() * np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(found, (slope - through_sigma) / sigma, rtol=1e-7)


def discriminators() -> dict[str, tuple[nn.Module, list[Tensor]]]:
    """Each discriminator there is, with spectral normalisation, and rows for it."""
    torch.manual_seed(3)
    x, image, z = torch.randn(4, 2), torch.randn(4, 3, 16, 16), torch.randn(4, 5)
    judges: dict[str, tuple[str, tuple[int, ...], list[Tensor]]] = {
        "points": ("discriminator", (2,), [x]),
        "images": ("discriminator", (3, 16, 16), [image]),
        "codes": ("latent discriminator", (2,), [z]),
        "codes of images": ("latent discriminator", (3, 16, 16), [z]),
        "pairs": ("joint discriminator", (2,), [x, z]),
        "pairs with images": ("joint discriminator", (3, 16, 16), [image, z]),
    }
    made = {}
    for name, (role, shape, rows) in judges.items():
        options = {"classes": 0 if "pairs" in name else 3, "width": 4, "discriminator_norm": "spectral"}
        made[name] = networks.build({"D": role}, shape, 5, **options)["D"].double(), [row.double() for row in rows]
    return made


KINDS = list(discriminators())


def state(network: nn.Module) -> list[Tensor]:
    return [buffer.clone() for name, buffer in network.named_buffers() if name.endswith(".u")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_every_discriminator_is_normalised(kind):
    network, _ = discriminators()[kind]
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) >= 3
    assert all(isinstance(layer, SpectralLinear | SpectralConv2d) for layer in layers)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    again = networks.from_config(network.config())
    again.load_state_dict(network.state_dict())
    assert str(again) == str(network)


@pytest.mark.parametrize("kind", KINDS)
def test_training_moves_the_iteration_and_evaluation_does_not(kind):
    network, rows = discriminators()[kind]
    before = state(network)
    network.eval()
    first = network(*rows)
    assert torch.equal(first, network(*rows))
    assert all(torch.equal(a, b) for a, b in zip(before, state(network), strict=True))
    network.train()(*rows)
    # The classifier's head was not called, and a vector of one number has nowhere to go.
    assert sum(not torch.equal(a, b) for a, b in zip(before, state(network), strict=True)) >= len(before) - 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "images" not in kind])
def test_stacked_and_batched_it_is_each_seed_s_own(kind):
    members = []
    for seed in range(3):
        torch.manual_seed(seed)
        members.append(networks.from_config(discriminators()[kind][0].config()).double())
    rows = [torch.cat([row + 1, row, row - 1]) for row in discriminators()[kind][1]]
    assert batchable(members[0])
    together = stack(members)
    for _ in range(3):
        both = together(*rows)
        parts = zip(*(row.chunk(3) for row in rows), strict=True)
        alone = torch.cat([member(*part) for member, part in zip(members, parts, strict=True)])
        torch.testing.assert_close(both, alone, rtol=1e-10, atol=1e-12)
    for index, member in enumerate(members):
        for a, b in zip(state(member), state(together.member(index)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_forward_in_between_does_not_disturb_an_earlier_one_s_gradient():
    torch.manual_seed(4)
    layer, x = SpectralLinear(3, 2).double(), torch.randn(5, 3, dtype=DOUBLE)
    loss = layer(x).sum()
    (alone,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
    layer(x)
    layer.eval()
    held = layer(x).sum()
    layer.train()(x)
    assert torch.equal(torch.autograd.grad(loss, layer.weight)[0], alone)
    torch.autograd.grad(held, layer.weight)
