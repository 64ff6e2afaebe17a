"""Fully connected networks, split batch norm, presets and configurations, against numbers worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modecover import networks
from modecover.errors import UserError
from modecover.networks import (
    CoordinateAffine,
    DCGANDiscriminator,
    DCGANEncoder,
    DCGANGenerator,
    Maxout,
    MLPDiscriminator,
    MLPEncoder,
    MLPGenerator,
    SplitBatchNorm,
    TwoHeads,
)
from modecover.networks.network import CLASSES, OwnNetwork

ROLES = {"G": "generator", "E": "encoder", "D": "discriminator"}


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def layers(net: nn.Module) -> list[nn.Module]:
    return list(net.get_submodule("layers").children())


def grad(parameter: nn.Parameter | None) -> Tensor:
    assert parameter is not None
    assert parameter.grad is not None
    return parameter.grad


def config(net: nn.Module) -> dict[str, Any]:
    assert isinstance(net, OwnNetwork)
    return net.config()


def set_weights(module: nn.Module, *values: list) -> None:
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))


# ------------------------------------------------------------------------------------------- forwards by hand


def test_generator_computes_what_the_hand_does():
    net = MLPGenerator(2, (1, 1, 2), hidden=(2,), output="tanh")
    set_weights(net, [[1.0, 2.0], [-1.0, 0.0]], [0.5, 0.0], [[2.0, 1.0], [0.0, 3.0]], [0.0, -1.0])
    # z = (1, -1): hidden = relu(1 - 2 + .5, -1) = (0, 0), out = tanh(0, -1).
    # z = (0, 1): hidden = relu(2 + .5, 0) = (2.5, 0), out = tanh(5, -1).
    wanted = torch.tensor([[0.0, -1.0], [5.0, -1.0]]).tanh().reshape(2, 1, 1, 2)
    assert torch.allclose(net(torch.tensor([[1.0, -1.0], [0.0, 1.0]])), wanted)


def test_discriminator_reads_images_flat_and_heads_share_the_features():
    net = MLPDiscriminator((1, 1, 2), hidden=(2,), activation="leaky_relu", classes=2)
    set_weights(
        net,
        [[1.0, 0.0], [1.0, 1.0]], [0.0, 0.0],
        [[1.0, 10.0]], [3.0],
        [[1.0, 1.0], [0.0, -1.0]], [0.0, 0.5],
    )  # fmt: skip
    x = torch.tensor([[[[-5.0, 7.0]]]])  # hidden = leaky(-5, 2) = (-1, 2)
    assert torch.allclose(net(x, head="features"), torch.tensor([[-1.0, 2.0]]))
    assert torch.allclose(net(x), torch.tensor([22.0]))
    assert torch.allclose(net(x, head="classes"), torch.tensor([[1.0, -1.5]]))


def test_maxout_takes_the_largest_of_consecutive_pieces():
    x = torch.tensor([[1.0, 5.0, 2.0, -3.0, -1.0, -2.0], [0.0, 0.0, 9.0, 4.0, 8.0, 6.0]])
    assert Maxout(3)(x).tolist() == [[5.0, -1.0], [9.0, 8.0]]
    net = MLPDiscriminator((1,), hidden=(1,), activation="maxout", pieces=2)
    set_weights(net, [[1.0], [-1.0]], [0.0, 0.0], [[2.0]], [1.0])  # 2 |x| + 1
    assert net(torch.tensor([[3.0], [-4.0]])).tolist() == [7.0, 9.0]


def test_encoder_ends_with_codes_of_mean_zero_and_variance_one():
    torch.manual_seed(0)
    net, x = MLPEncoder((2,), 3), torch.randn(500, 2) * 7 + 4
    code = net(x)
    assert torch.allclose(code.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(code.var(0, correction=0), torch.ones(3), atol=1e-2)
    bare = MLPEncoder((2,), 3, normalize=False)
    bare.load_state_dict({k: v for k, v in net.state_dict().items() if k in bare.state_dict()}, strict=False)
    raw = bare(x)
    whitened = (raw - raw.mean(0)) / (raw.var(0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(code, whitened, atol=1e-5)


def test_coordinate_affine_is_the_identity_at_first_and_then_scales_and_shifts():
    z = torch.randn(4, 2)
    affine = CoordinateAffine(2)
    assert torch.equal(affine(z), z)
    set_weights(affine, [2.0, -1.0], [0.5, 3.0])
    assert torch.allclose(affine(z), torch.stack([2 * z[:, 0] + 0.5, 3 - z[:, 1]], dim=1))
    for generator in (MLPGenerator(2, (2,), input_affine=True), DCGANGenerator(2, (1, 16, 16), 2, input_affine=True)):
        assert isinstance(generator.layers[0], CoordinateAffine)


def test_dropout_acts_in_training_alone():
    net, x = MLPDiscriminator((2,), hidden=(200,), dropout=0.5), torch.randn(3, 2)
    kept = net(x, head="features") / net.eval()(x, head="features")
    kept = kept[kept.isfinite()]
    assert set(kept.round(decimals=3).tolist()) == {0.0, 2.0}
    assert torch.equal(net(x), net(x))


def test_a_classifier_head_changes_neither_trunk_nor_score():
    for build in (lambda k: MLPDiscriminator((2,), classes=k), lambda k: DCGANDiscriminator((1, 16, 16), 4, classes=k)):
        torch.manual_seed(3)
        plain = build(0).state_dict()
        torch.manual_seed(3)
        classifying = build(4).state_dict()
        assert set(classifying) - set(plain) == {"classes_head.weight", "classes_head.bias"}
        assert all(torch.equal(classifying[key], value) for key, value in plain.items())


# ------------------------------------------------------------------------------------------- split batch norm


@pytest.mark.parametrize("sample", [(3,), (3, 4, 4)])
def test_split_batch_norm_equals_one_batch_norm_for_each_kind(sample: tuple[int, ...]):
    torch.manual_seed(1)
    split = SplitBatchNorm(3)
    plain = nn.BatchNorm1d if len(sample) == 1 else nn.BatchNorm2d
    separate = {"prior": plain(3), "code": plain(3)}
    weight, bias = torch.randn(3), torch.randn(3)
    set_weights(split, weight.tolist(), bias.tolist())
    for norm in separate.values():
        set_weights(norm, weight.tolist(), bias.tolist())
    scale = {"prior": (1.0, 0.0), "code": (5.0, -8.0)}

    total = torch.zeros(())
    for kind in ("prior", "code", "code", "prior", "prior"):
        x = torch.randn(6, *sample) * scale[kind][0] + scale[kind][1]
        mine, theirs = split(x, kind), separate[kind](x)
        assert torch.allclose(mine, theirs, atol=1e-6)
        direction = torch.randn_like(x)
        (theirs * direction).sum().backward()
        total = total + (mine * direction).sum()
    total.backward()
    for kind, norm in separate.items():
        assert torch.equal(split.get_buffer(f"running_mean_{kind}"), norm.get_buffer("running_mean"))
        assert torch.equal(split.get_buffer(f"running_var_{kind}"), norm.get_buffer("running_var"))
    both = grad(separate["prior"].weight) + grad(separate["code"].weight)
    assert torch.allclose(grad(split.weight), both, atol=1e-4)
    split.eval()
    x = torch.randn(2, *sample)
    for kind, norm in separate.items():
        assert torch.allclose(split(x, kind), norm.eval()(x), atol=1e-6)
    assert not torch.allclose(split(x, "prior"), split(x, "code"), atol=0.1)


@pytest.mark.parametrize(
    "net",
    [
        MLPGenerator(2, (2,), batch_norm=True, split_statistics=True),
        DCGANGenerator(2, (1, 16, 16), 2, split_statistics=True),
    ],
)
def test_generator_keeps_the_statistics_of_codes_from_those_of_the_prior(net: nn.Module):
    def statistics(kind: str) -> list[Tensor]:
        return [value.clone() for key, value in net.named_buffers() if key.endswith(kind)]

    before = statistics("prior")
    net(torch.randn(8, 2) + 3, kind="code")
    assert all(map(torch.equal, before, statistics("prior")))
    codes = statistics("code")
    assert len(codes) >= 4
    assert not any(map(torch.equal, before, codes))
    net(torch.randn(8, 2))
    assert all(map(torch.equal, codes, statistics("code")))
    assert not any(map(torch.equal, before, statistics("prior")))


def test_unknown_kind_and_head_are_refused():
    for net in (MLPGenerator(2, (2,)), MLPGenerator(2, (2,), batch_norm=True, split_statistics=True)):
        with pytest.raises(UserError, match="kind='codes'"):
            net(torch.randn(4, 2), kind="codes")
    with pytest.raises(UserError, match="no head 'class'"):
        MLPDiscriminator((2,))(torch.randn(4, 2), head="class")
    with pytest.raises(UserError, match="no classifier head"):
        MLPDiscriminator((2,))(torch.randn(4, 2), head="classes")


# ------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize(
    ("preset", "latent", "generator", "encoder", "discriminator"),
    [
        # A linear layer has no bias where batch norm follows, as at the end of every encoder.
        # (2*128 + 128) + (128*128 + 128) + (128*2 + 2); D, one layer: (2*128 + 128) + (128 + 1)
        ("mdgan", 2, 17154, 17152, 513),
        # (254*128 + 128) + 16512 + 258; (2*128 + 128) + 16512 + 128*254
        ("veegan", 254, 49410, 49408, 513),
        # (2*64 + 64) + (64*64 + 64) + (64*2 + 2); (2*64 + 64) + 65
        ("ldmgan", 2, 4482, 4480, 257),
        # (256*128 + 128) + 16512 + 258; 384 + 16512 + 128*256; 384 + 16512 + 129
        ("unrolled", 256, 49666, 49664, 17025),
        ("mlp", 2, 17154, 17152, 17025),
        ("mlp-tanh", 2, 17154, 17152, 17025),
        # 2*400 + 3 * 400*400 + 4*800 of batch norm + (400*2 + 2); (2 + 1) 1000 + 2 (200 + 1) 1000 + 201
        ("pacgan", 2, 484802, 484800, 405201),
    ],
)
def test_presets_for_points_have_the_papers_sizes(preset, latent, generator, encoder, discriminator):
    nets = networks.build(ROLES, (2,), latent, preset=preset)
    assert [parameters(nets[name]) for name in "GED"] == [generator, encoder, discriminator]
    activation = {"pacgan": Maxout, "unrolled": nn.Tanh, "mlp-tanh": nn.Tanh}.get(preset, nn.ReLU)
    assert any(isinstance(layer, activation) for layer in layers(nets["D"]))
    walkable = (nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Tanh, Maxout)
    assert all(isinstance(layer, walkable) for net in nets.values() for layer in layers(net))
    assert isinstance(layers(nets["E"])[-1], nn.BatchNorm1d)
    without = networks.build(ROLES, (2,), latent, preset=preset, encoder_normalize=False)["E"]
    assert isinstance(layers(without)[-1], nn.Linear)


def test_auto_takes_the_data_s_shape_and_options_reach_their_networks():
    assert isinstance(networks.build({"G": "generator"}, (2,), 2)["G"], MLPGenerator)
    nets = networks.build(
        {"G": "generator", "E": "encoder", "D1": "discriminator", "D2": "discriminator"},
        tuple(np.array([1, 32, 32])),
        8,
        classes=3,
        split_statistics=True,
        width=8,
        encoder_width=4,
        discriminator_width=2,
        input_affine=True,
        encoder_normalize=False,
    )
    assert list(nets) == ["G", "E", "D1", "D2"]
    assert config(nets["D1"]) == config(nets["D2"])
    assert not torch.equal(*(nets[name].get_parameter("layers.0.weight") for name in ("D1", "D2")))
    assert config(nets["G"])["arguments"] == {
        "latent": 8, "shape": [1, 32, 32], "width": 8, "split_statistics": True, "input_affine": True,
    }  # fmt: skip
    assert config(nets["E"])["arguments"] == {
        "shape": [1, 32, 32], "latent": 8, "width": 4, "normalize": False, "affine": False, "law": "normal",
    }  # fmt: skip
    assert config(nets["D1"])["arguments"] == {"shape": [1, 32, 32], "width": 2, "classes": 3, "norm": "batch"}
    encoder = {"E": "encoder"}
    assert networks.build(encoder, (1, 32, 32), 8, width=8)["E"].width == 8  # the inverse of the generator
    assert networks.build(encoder, (1, 32, 32), 8, width=8, quarter_encoder=True)["E"].width == 16
    mlp = networks.build(ROLES, (1, 28, 28), 8, preset="mlp", width=32, discriminator_width=16, dropout=0.3)
    arguments = {name: config(net)["arguments"] for name, net in mlp.items()}
    assert [arguments[name]["hidden"] for name in "GED"] == [[32, 32], [32, 32], [16, 16]]
    assert arguments["G"]["output"] == "tanh"
    assert arguments["D"]["dropout"] == 0.3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"shape": (1, 28, 28)}, "these are 28x28: open the data with size=32, or"),
        ({"shape": (3, 200, 100)}, "these are 200x100: open the data with size=128, or"),
        ({"shape": (3, 48, 48)}, "size=64, or"),
        ({"shape": (2,), "preset": "dcgan"}, r"shape \(2,\): say networks=mlp"),
        ({"shape": (3, 32, 32), "preset": "veegan"}, r"'veegan' is for points.*networks=dcgan or networks=mlp"),
        ({"shape": (2,), "preset": "vegan"}, "no network preset 'vegan'; choose auto or one of mlp"),
        ({"shape": (2,), "latent": 0}, "latent is 0"),
        ({"shape": ()}, r"shape is \(\)"),
        ({"shape": (2,), "width": 0}, "width is 0"),
        ({"shape": (2,), "classes": -1}, "classes is -1"),
        ({"shape": (2,), "dropout": 1.0}, "dropout is 1.0"),
        ({"shape": (3, 32, 32), "dropout": 0.5}, "have no dropout"),
        ({"shape": (2,), "roles": {"C": "critic"}}, "C has the role 'critic'"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        networks.build(**({"roles": ROLES, "latent": 4} | arguments))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    "net",
    [  # Arguments unlike the defaults, so that one forgotten in the configuration shows.
        MLPGenerator(3, (2,), (5, 4), "elu", True, "tanh", True, True, 3),
        MLPEncoder((1, 4, 4), 3, (5,), "maxout", True, False, 3),
        MLPDiscriminator((2,), (5,), "maxout", True, 3, 0.25, 4),
        DCGANGenerator(3, (2, 16, 16), 2, True, True),
        DCGANEncoder((2, 16, 16), 3, 2, True, True),
        DCGANEncoder((2, 16, 16), 3, 2, False),
        DCGANDiscriminator((2, 32, 32), 2, 3),
    ],
    ids=lambda net: type(net).__name__,
)
def test_a_network_is_rebuilt_from_json_and_computes_the_same_bits(net: nn.Module):
    described = json.loads(json.dumps(config(net)))
    other = networks.from_config(described)
    assert config(other) == config(net)
    assert type(other) is type(net)
    other.load_state_dict(net.state_dict(), strict=True)
    assert str(other) == str(net)
    x = torch.randn(6, *((3,) if "Generator" in described["class"] else described["arguments"]["shape"]))
    assert torch.equal(net.eval()(x), other.eval()(x))


def test_a_bad_description_is_refused():
    with pytest.raises(UserError, match="'Resnet', which this version does not have"):
        networks.from_config({"class": "Resnet", "arguments": {}})
    with pytest.raises(UserError, match=r"MLPGenerator does not fit this version.*depth"):
        networks.from_config({"class": "MLPGenerator", "arguments": {"latent": 2, "shape": [2], "depth": 3}})
    with pytest.raises(UserError, match='"class" and its "arguments"'):
        networks.from_config({"name": "MLPGenerator"})
    with pytest.raises(UserError, match="activation is 'swish': choose relu"):
        MLPGenerator(2, (2,), activation="swish")


# ------------------------------------------------------------------------------------------- rows


def small(name: str) -> tuple[nn.Module, list[tuple[int, ...]]]:
    """A small network of each registered class, and the shape of a row of each of its inputs."""
    cls, image = CLASSES[name], (2, 32, 32)
    shape = (3,) if "MLP" in name else image
    sizes = {"width": 4, "joint": 6, "channels": (4, 6), "hidden": (7, 5), "batch_norm": True, "classes": 3}
    latent = {} if name.endswith("Discriminator") and "Joint" not in name else {"latent": 4}
    known = {key: value for key, value in sizes.items() if key in cls.__dataclass_fields__}
    rows = [(4,)] if "Generator" in name else [shape, (4,)] if "Joint" in name else [shape]
    return cls(shape=shape, **latent, **known), rows


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_a_row_wise_network_makes_each_row_of_that_row_alone_but_for_batch_norm_in_training(name: str, training: bool):
    torch.manual_seed(0)
    net, shapes = small(name)
    net = net.double().train(training)
    assert vars(type(net))["row_wise"] is True
    x = [torch.randn(6, *shape, dtype=torch.float64) for shape in shapes]
    y = [torch.cat([rows[:1], torch.randn_like(rows[1:])]) for rows in x]  # another company for the first row
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | SplitBatchNorm)]
    mixed = training and bool(norms)
    with torch.no_grad():
        assert torch.allclose(net(*x)[0], net(*y)[0], rtol=1e-9, atol=1e-11) is not mixed
        for norm in norms:  # its layers treat rows alike, too
            norm.eval()
        assert torch.allclose(net(*x)[0], net(*y)[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CLASSES)
def test_every_layer_of_ours_says_whether_it_is_row_wise(name: str):
    for module in small(name)[0].modules():
        if type(module).__module__.startswith("modecover."):
            assert vars(type(module))["row_wise"] is True


def test_split_batch_norm_says_that_rows_meet_and_a_subclass_of_ours_says_nothing():
    assert vars(SplitBatchNorm)["row_wise"] is False
    norm, x = SplitBatchNorm(2), torch.randn(5, 2)
    other = torch.cat([x[:1], torch.randn(4, 2)])
    assert not torch.allclose(norm(x)[0], norm(other)[0])
    assert torch.equal(norm.eval()(x)[0], norm(other)[0])

    class Own(MLPGenerator):
        def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
            return super().forward(z - z.mean(dim=0), kind)

    assert "row_wise" not in vars(Own)
    assert vars(TwoHeads)["row_wise"] is True
