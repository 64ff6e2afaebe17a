"""Stacked seeds are separate networks, to the last digit: forward, gradients, buffers, modes; in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

from modecover import networks
from modecover.engine.stacked import Stacked, can_be_stacked, plain_copy, stack, state_owner
from modecover.errors import UserError
from modecover.networks import SplitBatchNorm

SEEDS, ROWS = 3, 6
EXACT = 1e-11


def tied_layers() -> nn.Module:
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.Tanh(), layer)


class SharedMemory(nn.Module):
    """One buffer of two modules: what the first writes, the second reads."""

    def __init__(self) -> None:
        super().__init__()
        self.writer, self.reader, self.layer = nn.BatchNorm1d(2), nn.BatchNorm1d(2).eval(), nn.Linear(2, 2)
        self.reader.running_mean = self.writer.running_mean

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.writer(x)) + self.reader(x)


class Wrapped(nn.Module):
    """Layers in a forward that is nobody's but the user's."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x.mean(1, keepdim=True)


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2))
    network[0].register_forward_hook(lambda module, inputs, out: 2 * out)
    return network


def hooked_backwards() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2))
    network[0].register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] / 2,))
    return network


def replaced() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    network[1].forward = lambda x: x**2
    return network


APART: dict[str, Callable[[], nn.Module]] = {
    "layer used twice": tied_layers,
    "buffer of two modules": SharedMemory,
    "own forward": lambda: Wrapped(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)),
    "forward hook": hooked,
    "backward hook": hooked_backwards,
    "replaced forward": replaced,
    "cumulative batch norm": lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=None)),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(2, 3)), nn.Tanh()),
    "old spectral norm": lambda: nn.Sequential(spectral_norm(nn.Linear(2, 3)), nn.Tanh(), nn.Linear(3, 1)),
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3)), nn.Tanh()),
    "layer norm": lambda: nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4)),
    "dropout": lambda: nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5)),
    "DCGAN generator": lambda: networks.DCGANGenerator(2, (1, 16, 16), width=2),
    "DCGAN discriminator": lambda: networks.DCGANDiscriminator((2, 16, 16), width=2, classes=2),
}
BATCHED: dict[str, Callable[[], nn.Module]] = {
    "MLP generator": lambda: networks.MLPGenerator(2, (2,), (4, 4), batch_norm=True, input_affine=True),
    "MLP split generator": lambda: networks.MLPGenerator(2, (2,), (4,), batch_norm=True, split_statistics=True),
    "MLP maxout": lambda: networks.MLPDiscriminator((2,), (4,), activation="maxout", classes=3),
    "MLP encoder": lambda: networks.MLPEncoder((2,), 2, (4,)),
    "linear on three axes": lambda: nn.Sequential(nn.Unflatten(1, (1, 2)), nn.Linear(2, 3), nn.Flatten()),
    "linear without bias": lambda: nn.Sequential(nn.Linear(2, 3, bias=False), nn.ELU()),
    "batch norm without memory": lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False)),
}


def members_of(make: Callable[[], nn.Module]) -> list[nn.Module]:
    made = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        made.append(make().double())
        for tensor in made[-1].parameters():  # away from starts that are alike in all seeds, as zeros and ones
            tensor.data += 0.1 * torch.randn_like(tensor)
    return made


def rows_for(number: int) -> Tensor:
    return torch.randn(SEEDS * ROWS, 2, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def options_of(network: nn.Module) -> list[dict[str, str]]:
    """Every way that the network can be called."""
    if networks.accepts_option(network, "head"):
        return [{}, {"head": "features"}, {"head": "classes"}]
    return [{}, {"kind": "code"}] if networks.accepts_option(network, "kind") else [{}]


def loss_of(out: Tensor) -> Tensor:
    """A sum over rows in which no two columns count alike."""
    return (out.reshape(len(out), -1).cos() * torch.linspace(1, 2, out[0].numel(), dtype=out.dtype)).sum()


def descend(network: nn.Module, x: Tensor) -> list[Tensor]:
    """One step: all of the network's outputs at x, then its weights moved; returns outputs and gradients."""
    outputs = [network(x, **options) for options in options_of(state_owner(network))]
    parameters = list(network.parameters())
    loss = torch.stack([loss_of(out) for out in outputs]).sum()
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= 0.05 * gradient
    return [*[out.detach() for out in outputs], *gradients]


def assert_same_state(a: nn.Module, b: nn.Module) -> None:
    for named in ("named_parameters", "named_buffers"):
        ours, theirs = dict(getattr(a, named)()), dict(getattr(b, named)())
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=EXACT, atol=EXACT, msg=lambda m, k=key: f"{k}: {m}")


# ------------------------------------------------------------------------------------ stacked equals separate


def test_which_networks_run_on_all_rows_at_once() -> None:
    every = {**APART, **BATCHED}
    assert {name for name, make in every.items() if can_be_stacked(members_of(make))} == set(BATCHED)


@pytest.mark.parametrize("name", BATCHED)
def test_forward_gradients_and_buffers_over_two_steps_are_those_of_separate_networks(name: str) -> None:
    members = members_of(BATCHED[name])
    stacked = stack([copy.deepcopy(member) for member in members])
    for number in range(2):
        x = rows_for(number)
        together = descend(stacked, x)
        alone = [descend(member, rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)]
        for ours, *theirs in zip(together, *alone, strict=True):
            joined = torch.cat if len(ours) == SEEDS * ROWS else torch.stack
            torch.testing.assert_close(ours, joined(theirs), rtol=EXACT, atol=EXACT)
    for index, member in enumerate(members):
        assert_same_state(plain_copy(stacked, index), member)
    x = rows_for(7)
    for network in (stacked, *members):
        network.eval()
    outputs = torch.cat([member(rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)])
    torch.testing.assert_close(stacked(x), outputs, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", BATCHED)
def test_the_gradient_of_a_gradient_is_that_of_separate_networks(name: str) -> None:
    members = members_of(BATCHED[name])
    stacked = stack([copy.deepcopy(member) for member in members])

    def penalty(network: nn.Module, rows: Tensor) -> list[Tensor]:
        rows = rows.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss_of(network(rows)), rows, create_graph=True)
        parameters = list(network.parameters())
        return list(torch.autograd.grad(loss_of(slope), parameters, allow_unused=True, materialize_grads=True))

    x = rows_for(0)
    alone = [penalty(member, rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)]
    for ours, *theirs in zip(penalty(stacked, x), *alone, strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", BATCHED)
def test_the_state_has_the_networks_own_names_and_one_tensor_for_each(name: str) -> None:
    members = members_of(BATCHED[name])
    stacked = Stacked(members)
    owner = state_owner(stacked)
    own = members[0].state_dict()
    assert {key: value.shape for key, value in owner.state_dict().items()} == {
        key: (SEEDS, *value.shape) for key, value in own.items()
    }
    assert [key for key, _ in owner.named_parameters()] == [key for key, _ in members[0].named_parameters()]
    other = Stacked(members_of(BATCHED[name])[::-1])
    state_owner(other).load_state_dict({key: value.clone() for key, value in owner.state_dict().items()})
    for index, member in enumerate(members):
        for key, value in other.member(index).state_dict().items():
            assert torch.equal(value, member.state_dict()[key]), key


def test_members_are_left_alone() -> None:
    members = members_of(BATCHED["MLP generator"])
    before = copy.deepcopy(members)
    descend(stack(members), rows_for(0))
    for member, same in zip(members, before, strict=True):
        assert_same_state(member, same)
        assert member.training


# ------------------------------------------------------------------------------------------- case by case


def test_a_frozen_weight_stays_frozen() -> None:
    members = members_of(lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    for member in members:
        member[0].weight.requires_grad_(False)
    stacked = Stacked(members)
    assert [p.requires_grad for p in stacked.parameters()] == [False, True, True, True]
    assert not stacked.member(1)[0].weight.requires_grad


def test_networks_that_are_one_or_unlike_are_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"Two of 3 seeds got the same Linear: let the function .* make a new one"):
        can_be_stacked([nn.Linear(2, 2), network, network])
    for other in (nn.Linear(2, 3), nn.Linear(2, 2, bias=False)):
        with pytest.raises(UserError, match="The seeds' networks Linear differ"):
            can_be_stacked([network, other])


def test_members_that_differ_beside_their_weights_are_not_stacked() -> None:
    assert not can_be_stacked([nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(slope)) for slope in (0.1, 0.2)])


@pytest.mark.parametrize("name", ["MLP generator", "MLP split generator"])
def test_batch_norm_alone_in_evaluation_mode_is_respected(name: str) -> None:
    members = members_of(BATCHED[name])
    stacked = stack([copy.deepcopy(member) for member in members])
    for network in (stacked, *members):
        descend(network, rows_for(0)[: SEEDS * ROWS if network is stacked else ROWS])
    copies = [plain_copy(stacked, index) for index in range(SEEDS)]
    for network in (stacked, *copies):
        for module in network.modules():
            if "running_mean" in module._buffers or isinstance(module, SplitBatchNorm):
                module.eval()
    before = {key: value.clone() for key, value in stacked.named_buffers()}
    x = rows_for(1)
    out = stacked(x)
    alone = torch.cat([network(rows) for network, rows in zip(copies, x.chunk(SEEDS), strict=True)])
    torch.testing.assert_close(out, alone, rtol=EXACT, atol=EXACT)
    assert all(torch.equal(value, before[key]) for key, value in stacked.named_buffers())
    one = torch.cat([stacked(rows) for rows in x.unflatten(0, (SEEDS, ROWS)).unbind(1)])  # a batch of one row a seed
    torch.testing.assert_close(
        one.unflatten(0, (ROWS, SEEDS)).transpose(0, 1).flatten(0, 1), out, rtol=EXACT, atol=EXACT
    )
    modes = [module.training for module in stacked.member(1).modules()]
    assert modes == [module.training for module in copies[1].modules()]
    stacked.train()
    assert (stacked(x) - out).abs().max() > 1e-3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(2, 5), (4, 4), (5, 1), (9, 12)])
def test_gradients_of_the_stacked_product_are_those_of_numbers_slightly_moved(
    inputs: int, outputs: int, bias: bool
) -> None:
    """Through the gradient once more too, as gradient penalties go."""
    layer = stack([nn.Linear(inputs, outputs, bias=bias).double() for _ in range(SEEDS)])
    x = torch.randn(SEEDS * ROWS, inputs, dtype=torch.float64, requires_grad=True)
    weights = {name: value.detach().requires_grad_() for name, value in layer.named_parameters()}

    def out(x: Tensor, *values: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(layer, dict(zip(weights, values, strict=True)), x)
        return found.square()

    assert torch.autograd.gradcheck(out, (x, *weights.values()))
    assert torch.autograd.gradgradcheck(out, (x, *weights.values()))
