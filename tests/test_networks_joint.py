"""Discriminators of pairs: what they compute, and that both inputs count."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modecover import networks
from modecover.engine.stacked import batchable, stack

ROLE = {"D": "joint discriminator"}


def test_the_fully_connected_one_is_a_perceptron_on_both_side_by_side():
    torch.manual_seed(0)
    D = networks.JointMLPDiscriminator((1, 2, 2), 3, hidden=(5,), activation="tanh")
    x, z = torch.randn(4, 1, 2, 2), torch.randn(4, 3)
    first, last = [layer for layer in D.layers if isinstance(layer, nn.Linear)]
    by_hand = [
        last.weight @ torch.tanh(first.weight @ torch.cat([a.flatten(), b]) + first.bias) + last.bias
        for a, b in zip(x, z, strict=True)
    ]
    torch.testing.assert_close(D(x, z), torch.cat(by_hand))


@pytest.mark.parametrize("shape", [(2,), (3, 16, 16)])
def test_both_inputs_count_and_rows_do_not_mix(shape):
    torch.manual_seed(0)
    D = networks.build(ROLE, shape, 3, width=4, discriminator_norm="none")["D"].double()
    x = torch.randn(4, *shape, dtype=torch.float64, requires_grad=True)
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    of_x, of_z = torch.autograd.grad(D(x, z)[1], (x, z))
    for gradient in (of_x, of_z):
        assert gradient[1].abs().sum() > 0
        assert gradient[[0, 2, 3]].abs().sum() == 0


def test_a_stack_computes_what_its_members_compute():
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        members.append(networks.build(ROLE, (2,), 3, width=4)["D"].double())
    x, z = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    assert batchable(members[0])
    both = stack(members)(x, z)
    alone = [member(a, b) for member, a, b in zip(members, x.chunk(2), z.chunk(2), strict=True)]
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)])
def test_a_packed_discriminator_takes_rows_joined_along_their_first_axis(shape):
    D = networks.build({"D": "discriminator"}, shape, 3, width=4, packing=3)["D"]
    assert D(torch.randn(2, 3 * shape[0], *shape[1:])).shape == (2,)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)])
def test_stochastic_codes_are_twice_as_wide_and_not_normalised(shape):
    E = networks.build({"E": "encoder"}, shape, 3, width=4, encoder_width=4, stochastic_codes=True)["E"]
    assert E(torch.randn(4, *shape)).shape == (4, 6)
    last = [layer for layer in E.modules() if not list(layer.children())][-1]
    assert not isinstance(last, nn.BatchNorm1d)
