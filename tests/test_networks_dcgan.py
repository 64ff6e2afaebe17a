"""The DCGAN family against IVGAN's Table 1, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modecover.networks import DCGANDiscriminator, DCGANEncoder, DCGANGenerator, build
from modecover.networks.convolutions import HalvingConv2d, LastConv2d


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_the_table_at_64_pixels():
    # 4x4 kernels; batch norm has two numbers a channel; a bias where no batch norm follows.
    up = [100 * 512 * 16 + 2 * 512, 512 * 256 * 16 + 2 * 256, 256 * 128 * 16 + 2 * 128, 128 * 64 * 16 + 2 * 64]
    assert parameters(DCGANGenerator(100, (3, 64, 64))) == sum(up) + 64 * 3 * 16 + 3 == 3_576_707
    down = [3 * 64 * 16 + 64, 64 * 128 * 16 + 2 * 128, 128 * 256 * 16 + 2 * 256, 256 * 512 * 16 + 2 * 512]
    assert parameters(DCGANDiscriminator((3, 64, 64))) == sum(down) + 512 * 16 + 1 == 2_765_633
    assert parameters(DCGANDiscriminator((3, 64, 64), classes=4)) == 2_765_633 + 4 * (8192 + 1)
    code = [3 * 16 * 16 + 16, 16 * 32 * 16 + 2 * 32, 32 * 64 * 16 + 2 * 64, 64 * 128 * 16 + 2 * 128, 128 * 100 * 16]
    assert parameters(DCGANEncoder((3, 64, 64), 100)) == sum(code) == 378_064
    assert parameters(DCGANEncoder((3, 64, 64), 100, affine=True)) == 378_064 + 200


def test_with_the_wide_encoder_it_is_the_table_as_printed_and_mdgan_s_appendix_b():
    """E is D's trunk (2,757,440 weights) with a 4x4 convolution to the code; G's two statistics share its weights."""
    roles = {"G": "generator", "E": "encoder", "D": "discriminator"}
    made = build(roles, (3, 64, 64), 100, preset="dcgan-wide-encoder", split_statistics=True)
    trunk = [3 * 64 * 16 + 64, 64 * 128 * 16 + 2 * 128, 128 * 256 * 16 + 2 * 256, 256 * 512 * 16 + 2 * 512]
    assert parameters(made["E"]) == sum(trunk) + 512 * 100 * 16 == 2_757_440 + 819_200
    assert (parameters(made["G"]), parameters(made["D"])) == (3_576_707, 2_765_633)
    statistics = sum(buffer.numel() for buffer in made["G"].buffers())
    assert statistics == 2 * 2 * (512 + 256 + 128 + 64)


@pytest.mark.parametrize("side", [16, 32, 64, 128])
def test_every_side_is_reached_by_doubling_from_a_4x4_map(side: int):
    z, shape = torch.randn(2, 5), (2, side, side)
    generator, widths = DCGANGenerator(5, shape, width=2), []
    x = z
    for layer in generator.layers.children():
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            widths.append(tuple(x.shape[1:]))
    stages = {16: 2, 32: 3, 64: 4, 128: 5}[side]
    assert widths == [(2 * 2 ** (stages - 1 - i), 4 * 2**i, 4 * 2**i) for i in range(stages)] + [shape]
    assert torch.equal(x, generator(z))
    with torch.no_grad():
        [*generator.parameters()][-1].fill_(20.0)  # the last bias: tanh(20) is 1
    assert torch.allclose(generator(z), torch.ones(()))
    discriminator, encoder = DCGANDiscriminator(shape, width=2, classes=3), DCGANEncoder(shape, 5, width=2)
    assert discriminator(x, head="features").shape == (2, 2 * side * 2)
    assert (discriminator(x).shape, discriminator(x, head="classes").shape) == ((2,), (2, 3))
    assert encoder(x).shape == (2, 5)


def test_batch_norms_stand_where_the_authors_put_them():
    discriminator, encoder = DCGANDiscriminator((3, 64, 64), 4), DCGANEncoder((3, 64, 64), 10, 4)
    kinds = [type(layer) for layer in discriminator.layers.children()]
    assert kinds == [HalvingConv2d, nn.LeakyReLU] + [HalvingConv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3
    assert str(discriminator).count("LeakyReLU(negative_slope=0.2, inplace=True)") == 4
    assert [type(layer) for layer in encoder.layers][-3:] == [LastConv2d, nn.Flatten, nn.BatchNorm1d]
    assert not list(encoder.layers[-1].parameters())
    codes = encoder(torch.randn(64, 3, 64, 64))
    assert torch.allclose(codes.mean(0), torch.zeros(10), atol=1e-5)


@pytest.mark.parametrize(
    "net",
    [
        DCGANGenerator(100, (3, 32, 32), split_statistics=True),
        DCGANGenerator(100, (3, 32, 32)),
        DCGANDiscriminator((3, 32, 32), classes=50),
        DCGANEncoder((3, 32, 32), 64, 64, affine=True),
    ],
)
def test_first_weights_are_dcgan_s(net: nn.Module):
    for name, parameter in net.named_parameters():
        value = parameter.detach()
        if name.endswith("bias"):
            assert not value.any(), name
        else:
            centre = 0.0 if value.dim() > 1 else 1.0  # the weights of batch norm are vectors
            allowed = 5 * 0.02 / value.numel() ** 0.5  # five standard errors
            assert abs(float(value.mean()) - centre) < allowed, name
            assert abs(float(value.std()) - 0.02) < allowed, name
