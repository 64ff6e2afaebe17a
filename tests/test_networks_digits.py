"""The 28x28 networks of the stacked-MNIST literature: parameters counted by hand, and the sides of their maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from modecover import networks
from modecover.errors import UserError
from modecover.networks import DigitDiscriminator, DigitGenerator

ROLES = {"G": "generator", "E": "encoder", "D": "discriminator", "J": "joint discriminator"}
SHAPE = (3, 28, 28)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_dcgan_at_28_pixels_with_ldmgan_s_encoder_and_pair_discriminator():
    made = networks.build(ROLES, SHAPE, 64, preset="dcgan28")
    # 5x5 kernels; batch norm has two numbers a channel; a bias where no batch norm follows.
    up = [64 * 512 * 4 + 2 * 512, 512 * 256 * 25 + 2 * 256, 256 * 128 * 25 + 2 * 128, 128 * 64 * 25 + 2 * 64]
    assert parameters(made["G"]) == sum(up) + 64 * 3 * 25 + 3 == 4_438_595
    down = [3 * 64 * 25 + 64, 64 * 128 * 25 + 2 * 128, 128 * 256 * 25 + 2 * 256, 256 * 512 * 25 + 2 * 512]
    assert parameters(made["D"]) == sum(down) + 512 * 4 + 1 == 4_309_505
    assert parameters(made["J"]) == sum(down) + (512 * 4 + 64 + 1) * 512 + 512 + 1
    bare = networks.build({"E": "encoder"}, SHAPE, 64, preset="dcgan28", encoder_normalize=False)["E"]
    assert parameters(bare) == (28 * 28 * 3 + 1) * 1024 + (1024 + 1) * 64
    assert [type(layer) for layer in bare.get_submodule("layers").children()] == [nn.Linear, nn.ReLU, nn.Linear]


@pytest.mark.parametrize(("preset", "x", "count"), [("unrolled-quarter", 2, 571), ("unrolled-half", 4, 1_861)])
def test_parameter_counts_of_unrolled_gan_s_shrunken_nets(preset, x, count):
    made = networks.build(ROLES, SHAPE, 256, preset=preset)
    up = [256 * 64 * 16 + 2 * 64, 64 * 32 * 9 + 2 * 32, 32 * 16 * 9 + 2 * 16, 16 * 8 * 9 + 2 * 8]
    assert parameters(made["G"]) == sum(up) + 8 * 3 * 9 + 3 == 286_795
    down = [3 * x * 9 + 2 * x, x * 2 * x * 9 + 4 * x, 2 * x * 4 * x * 9 + 8 * x]
    assert parameters(made["D"]) == sum(down) + 4 * x * 16 + 1 == count
    assert str(made["D"]).count("LeakyReLU(negative_slope=0.3, inplace=True)") == 3


def sides(layers: nn.Module, x: Tensor) -> tuple[list[tuple[int, int]], Tensor]:
    """(channels, side) of the map behind each convolution, and the output."""
    found = []
    for layer in layers.children():
        x = layer(x)
        if isinstance(layer, nn.Unflatten | nn.Conv2d | nn.ConvTranspose2d):
            found.append((x.shape[1], x.shape[2]))
    return found, x


def test_the_maps_have_the_papers_sides():
    generator, discriminator = DigitGenerator(5, SHAPE), DigitDiscriminator(SHAPE)
    found, x = sides(generator.layers, torch.randn(2, 5))
    assert found == [(512, 2), (256, 4), (128, 7), (64, 14), (3, 28)]
    assert sides(discriminator.layers, x)[0] == [(64, 14), (128, 7), (256, 4), (512, 2)]
    small = networks.build({"G": "generator", "D": "discriminator"}, SHAPE, 5, preset="unrolled-half")
    found, x = sides(small["G"].get_submodule("layers"), torch.randn(2, 5))
    assert found == [(64, 4), (32, 7), (16, 14), (8, 28), (3, 28)]
    assert sides(small["D"].get_submodule("layers"), x)[0] == [(4, 14), (8, 7), (16, 4)]
    norms = [type(layer) for layer in small["D"].get_submodule("layers").children()]
    assert norms == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3
    assert sides(DigitGenerator(5, (1, 32, 32)).layers, torch.randn(2, 5))[0][-1] == (1, 32)


@pytest.mark.parametrize("preset", ["dcgan28", "unrolled-quarter"])
@pytest.mark.parametrize("name", ["G", "D", "J"])
def test_it_is_made_again_from_its_config(preset, name):
    width = {"width": 4} if preset == "dcgan28" else {}
    made = networks.build({name: ROLES[name]}, SHAPE, 5, preset=preset, **width)[name].eval()
    again = networks.from_config(made.config()).eval()
    again.load_state_dict(made.state_dict())
    rows = {"G": [torch.randn(4, 5)], "D": [torch.randn(4, *SHAPE)]}
    inputs = rows.get(name, [*rows["D"], *rows["G"]])
    assert torch.equal(again(*inputs), made(*inputs))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"preset": "unrolled-half", "width": 8}, '"unrolled-half" has the widths of its paper: leave the width out'),
        ({"preset": "dcgan28", "shape": (3, 64, 64)}, "side of 28 or 32 pixels"),
        ({"preset": "dcgan28", "discriminator_norm": "layer"}, "norm is 'layer'"),
        ({"preset": "dcgan28", "dropout": 0.5}, "'dcgan28' have no dropout"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(arguments, sentence):
    given = {"shape": SHAPE, "latent": 5} | arguments
    with pytest.raises(UserError, match=sentence):
        networks.build({"G": "generator", "D": "discriminator"}, given.pop("shape"), given.pop("latent"), **given)
    with pytest.raises(UserError, match="kernel is 4; give an odd number"):
        DigitGenerator(5, SHAPE, kernel=4)
