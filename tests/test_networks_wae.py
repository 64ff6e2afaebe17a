"""The auto-encoders of WAE and IVAAE against their tables, counted by hand, and their maps layer by layer."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from modecover import networks
from modecover.errors import UserError
from modecover.networks import WAEEncoder, WAEGenerator

ROLES = {"G": "generator", "E": "encoder", "D": "latent discriminator"}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_table_4_at_64_pixels():
    made = networks.build(ROLES, (3, 64, 64), 64, preset="wae", encoder_normalize=False)
    # 5x5 kernels without a bias where batch norm follows, which has two numbers a channel.
    down = [3 * 128 * 25 + 2 * 128, 128 * 256 * 25 + 2 * 256, 256 * 512 * 25 + 2 * 512, 512 * 1024 * 25 + 2 * 1024]
    assert parameters(made["E"]) == sum(down) + 4 * 4 * 1024 * 64 + 64 == 18_265_280
    up = [1024 * 512 * 25 + 2 * 512, 512 * 256 * 25 + 2 * 256, 256 * 128 * 25 + 2 * 128]
    assert parameters(made["G"]) == (64 + 1) * 8 * 8 * 1024 + sum(up) + 128 * 3 * 25 + 3 == 21_474_435
    judge = (64 + 1) * 512 + 3 * (512 + 1) * 512 + (512 + 1)
    assert parameters(made["D"]) == judge == 821_761


def test_parameter_counts_of_table_3():
    made = networks.build(ROLES, (1, 64, 64), 16, preset="ivaae-mnist", encoder_normalize=False)
    middle = 1024 * 1024 + 1024
    assert parameters(made["E"]) == (4096 * 1024 + 1024) + middle + (1024 * 16 + 16) == 5_261_328
    assert parameters(made["G"]) == (16 * 1024 + 1024) + middle + (1024 * 4096 + 4096) == 5_265_408
    assert parameters(made["D"]) == (16 * 1024 + 1024) + middle + (1024 + 1) == 1_068_033
    kinds = [type(layer) for layer in made["G"].get_submodule("layers").children()]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear, nn.Tanh]


@pytest.mark.parametrize(
    ("side", "up", "down"),
    [
        (16, [(4, 8), (2, 16)], [(2, 8), (4, 4)]),
        (28, [(8, 7), (4, 14), (2, 28)], [(2, 14), (4, 7), (8, 4)]),
        (32, [(8, 8), (4, 16), (2, 32)], [(2, 16), (4, 8), (8, 4)]),
        (64, [(16, 8), (8, 16), (4, 32), (2, 64)], [(2, 32), (4, 16), (8, 8), (16, 4)]),
        (128, [(32, 8), (16, 16), (8, 32), (4, 64), (2, 128)], [(2, 64), (4, 32), (8, 16), (16, 8), (32, 4)]),
    ],
)
def test_maps_double_from_8_pixels_and_halve_to_4(side, up, down):
    shape = (3, side, side)
    generator, encoder = WAEGenerator(5, shape, width=2), WAEEncoder(shape, 5, width=2)
    found, x = [], torch.randn(2, 5)
    for layer in generator.layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(tuple(x.shape[1:3]))
    assert found == up
    assert x.shape == (2, *shape)
    found = []
    for layer in encoder.layers:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append(tuple(x.shape[1:3]))
    assert found == down
    assert x.shape == (2, 5)


def test_every_latent_coordinate_and_every_pixel_counts():
    torch.manual_seed(0)
    generator, encoder = WAEGenerator(3, (1, 16, 16), 2).double(), WAEEncoder((1, 16, 16), 3, 2).double()
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    of_z = torch.autograd.grad(generator(z).square().sum(), z)[0]
    assert (of_z != 0).all()
    x = torch.randn(4, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    of_x = torch.autograd.grad(encoder(x).square().sum(), x)[0]
    assert (of_x != 0).all()


def test_first_weights_are_small_and_biases_zero():
    torch.manual_seed(0)
    for net in (WAEGenerator(64, (3, 32, 32), 32), WAEEncoder((3, 32, 32), 64, 32)):
        for layer in net.layers:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                allowed = 5 * 0.01 / layer.weight.numel() ** 0.5  # five standard errors
                assert abs(float(layer.weight.detach().std()) - 0.01) < allowed
                assert layer.bias is None or not layer.bias.any()


def test_options_reach_the_networks_and_the_encoder_follows_the_width():
    made = networks.build(
        ROLES, (1, 28, 28), 4, preset="wae", width=3, split_statistics=True, input_affine=True, encoder_normalize=True
    )
    assert networks.from_config(json.loads(json.dumps(made["G"].config()))).config() == {
        "class": "WAEGenerator",
        "arguments": {"latent": 4, "shape": [1, 28, 28], "width": 3, "split_statistics": True, "input_affine": True},
    }
    assert networks.from_config(json.loads(json.dumps(made["E"].config()))).config() == {
        "class": "WAEEncoder",
        "arguments": {"shape": [1, 28, 28], "latent": 4, "width": 3, "normalize": True, "law": "normal"},
    }
    codes = made["E"](torch.randn(64, 1, 28, 28))
    assert torch.allclose(codes.mean(0), torch.zeros(4), atol=1e-4)
    assert networks.build(ROLES, (1, 28, 28), 4, preset="wae", width=3, encoder_width=5)["E"].width == 5
    stochastic = networks.build({"E": "encoder"}, (1, 28, 28), 4, preset="wae", width=2, stochastic_codes=True)["E"]
    assert stochastic(torch.randn(2, 1, 28, 28)).shape == (2, 8)


def test_images_are_judged_by_dcgan_s_discriminator():
    judge = networks.build({"D": "discriminator"}, (3, 32, 32), 4, preset="wae", discriminator_norm="none", classes=2)
    assert type(judge["D"]) is networks.DCGANDiscriminator
    assert (judge["D"].norm, judge["D"].classes) == ("none", 2)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((3, 30, 30), "a side of 16, 28, 32, 64 or 128 pixels, but these are 30x30: open the data with size=32"),
        ((3, 24, 60), "these are 24x60: open the data with size=64"),
        ((2,), r"WAE networks need images.*\(2,\): say networks=mlp"),
    ],
)
def test_what_it_cannot_make_is_said_in_one_sentence(shape, sentence):
    with pytest.raises(UserError, match=sentence):
        networks.build(ROLES, shape, 4, preset="wae")
    with pytest.raises(UserError, match="'wae' have no dropout"):
        networks.build(ROLES, (3, 32, 32), 4, preset="wae", dropout=0.5)
