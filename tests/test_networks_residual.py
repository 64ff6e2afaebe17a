"""The residual networks without normalisation: counted by hand, the identity at first, and rows that do not mix."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modecover import networks
from modecover.errors import UserError
from modecover.losses import zero_centred_penalty
from modecover.networks import ResidualDiscriminator, ResidualEncoder, ResidualGenerator
from modecover.networks.residual import ResidualBlock

DOUBLE = torch.float64


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def block(c: int) -> int:
    """1x1 to 2c with biases, 3x3 in groups of 16 with biases, 1x1 back without."""
    return (c * 2 * c + 2 * c) + (2 * c * 16 * 9 + 2 * c) + 2 * c * c


@pytest.mark.parametrize(
    ("side", "channels", "discriminator", "generator"),
    [(32, [32, 64, 128, 256], 535_809, 552_163), (64, [32, 64, 128, 256, 256], 872_705, 889_059)],
)
def test_parameter_counts(side, channels, discriminator, generator):
    blocks = sum(block(c) for c in channels)
    changes = 32 * 64 + 64 * 128 + 128 * 256
    basis = 256 * 16
    counted = (3 * 32 + 32) + blocks + changes + basis + (256 + 1)
    assert parameters(ResidualDiscriminator((3, side, side))) == counted == discriminator
    assert parameters(ResidualDiscriminator((3, side, side), classes=4)) == counted + 4 * (256 + 1)
    counted = (64 * 256 + 256) + basis + blocks + changes + (32 * 3 + 3)
    assert parameters(ResidualGenerator(64, (3, side, side))) == counted == generator
    encoder = ResidualEncoder((3, side, side), 64, normalize=False)
    assert parameters(encoder) == discriminator - (256 + 1) + 64 * (256 + 1)
    twice = ResidualGenerator(64, (3, side, side), blocks=2)
    assert parameters(twice) == counted + blocks


def test_a_block_starts_as_the_identity_and_the_signal_keeps_its_size():
    torch.manual_seed(0)
    x = torch.randn(4, 16, 8, 8)
    assert torch.equal(ResidualBlock(16, 4)(x), x)
    generator, discriminator = ResidualGenerator(64, (3, 64, 64)), ResidualDiscriminator((3, 64, 64))
    images = generator(torch.randn(64, 64))
    assert 0.2 < images.std() < 0.8
    assert 0.1 < discriminator(images).std() < 2


def test_no_row_sees_another_and_kind_makes_no_difference():
    torch.manual_seed(0)
    generator = ResidualGenerator(3, (2, 16, 16), width=4).double()
    discriminator = ResidualDiscriminator((2, 16, 16), width=4).double()
    for network in (generator, discriminator):
        for parameter in network.parameters():
            parameter.data.normal_(0, 0.3)
    z = torch.randn(5, 3, dtype=DOUBLE, requires_grad=True)
    x = generator(z, kind="code")
    assert torch.equal(x, generator(z))
    (of_z,) = torch.autograd.grad(discriminator(x)[1], z)
    assert (of_z[1] != 0).all()
    assert (of_z[[0, 2, 3, 4]] == 0).all()
    layers = [*generator.modules(), *discriminator.modules()]
    assert not [layer for layer in layers if "Norm" in type(layer).__name__]
    with pytest.raises(UserError, match="kind='other'"):
        generator(z, kind="other")


def test_the_penalty_s_gradient_is_that_of_differences():
    """R1 differentiates the network twice: pooling, grouped convolutions and leaky ReLUs must all allow it."""
    torch.manual_seed(1)
    discriminator = ResidualDiscriminator((1, 16, 16), width=4).double()
    for parameter in discriminator.parameters():
        parameter.data.normal_(0, 0.3)
    x, weight = torch.randn(3, 1, 16, 16, dtype=DOUBLE), next(iter(discriminator.layers[1].parameters()))
    (slope,) = torch.autograd.grad(zero_centred_penalty(discriminator, x), weight)
    step, values = 1e-6, []
    for sign in (1, -1):
        weight.data[2, 1] += sign * step
        values.append(zero_centred_penalty(discriminator, x).item())
        weight.data[2, 1] -= sign * step
    assert slope[2, 1].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("role", ["generator", "encoder", "discriminator", "joint discriminator"])
@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_it_is_made_again_from_its_config(role, norm):
    options = {"preset": "residual", "width": 4, "discriminator_norm": norm, "packing": 1}
    made = networks.build({"N": role}, (2, 16, 16), 3, **options)["N"].double()
    z, x = torch.randn(4, 3, dtype=DOUBLE), torch.randn(4, 2, 16, 16, dtype=DOUBLE)
    rows = {"generator": [z], "joint discriminator": [x, z]}.get(role, [x])
    out = made(*rows)
    assert out.isfinite().all()
    assert (out[0] - out[1]).abs().max() > 1e-3
    again = networks.from_config(made.config())
    assert str(again) == str(made.float())
