"""Stacked seeds are separate networks, to the last digit: forward, gradients, buffers, modes; in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

from modecover import networks
from modecover.engine.stacked import Stacked, batchable, plain_copy, stack, state_owner
from modecover.errors import UserError
from modecover.networks import SplitBatchNorm, TwoHeads
from modecover.runs.run import train

SEEDS, ROWS = 3, 6
EXACT = 1e-11


# --------------------------------------------------------------------------------------- networks of users


class Wrapped(nn.Module):
    """Layers in a forward that is nobody's but the user's."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x.mean(1, keepdim=True)


class Autoencoding(nn.Module):
    """One weight that belongs to two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(2, 2), nn.Linear(2, 2)
        self.back.weight = self.there.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.back(torch.tanh(self.there(x)))


class Assigning(nn.Module):
    """A running mean that is assigned and read in one forward; a count that is no tensor; a buffer made late."""

    m: Tensor
    last: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(2, 3), 0
        self.fixed = torch.randn(3, dtype=torch.float64)  # neither parameter nor buffer, and each seed has its own
        self.register_buffer("m", torch.zeros(2))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.register_buffer("last", None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.training:
            self.m = 0.9 * self.m + x.mean(0)
            self.scratch += x.amax(0)
            self.last = x[-1] * self.calls
        return self.layer(x * self.m + self.scratch) * self.fixed


class SharedMemory(nn.Module):
    """One buffer of two modules: what the first writes, the second reads."""

    def __init__(self) -> None:
        super().__init__()
        self.writer, self.reader, self.layer = nn.BatchNorm1d(2), nn.BatchNorm1d(2).eval(), nn.Linear(2, 2)
        self.reader.running_mean = self.writer.running_mean

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.writer(x)) + self.reader(x)


class SplitUser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = SplitBatchNorm(2), nn.Linear(2, 2)

    def forward(self, z: Tensor, kind: str = "prior") -> Tensor:
        return self.layer(self.norm(z, kind)).sin()


def tied_layers() -> nn.Module:
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.Tanh(), layer)


LOOPED: dict[str, Callable[[], nn.Module]] = {
    "layer used twice": tied_layers,
    "weight of two modules": Autoencoding,
    "buffer of two modules": SharedMemory,
    "assigned buffers": Assigning,
    "batch norm": lambda: Wrapped(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)),
    "cumulative batch norm": lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=None)),
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(2, 3)), nn.Tanh()),
    "old spectral norm": lambda: nn.Sequential(spectral_norm(nn.Linear(2, 3)), nn.Tanh(), nn.Linear(3, 1)),
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 3)), nn.Tanh()),
    "layer norm": lambda: nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4)),
    "two heads on a trunk": lambda: TwoHeads(Wrapped(nn.Linear(2, 2), nn.Tanh()), features=2, classes=2),
    "split batch norm": SplitUser,
}
BATCHED: dict[str, Callable[[], nn.Module]] = {
    "MLP generator": lambda: networks.MLPGenerator(2, (2,), (4, 4), batch_norm=True, input_affine=True),
    "MLP split generator": lambda: networks.MLPGenerator(2, (2,), (4,), batch_norm=True, split_statistics=True),
    "MLP maxout": lambda: networks.MLPDiscriminator((2,), (4,), activation="maxout", classes=3),
    "MLP encoder": lambda: networks.MLPEncoder((2,), 2, (4,)),
    "DCGAN generator": lambda: networks.DCGANGenerator(2, (1, 16, 16), width=2, split_statistics=True),
    "DCGAN discriminator": lambda: networks.DCGANDiscriminator((2, 16, 16), width=2, classes=2),
    "DCGAN encoder": lambda: networks.DCGANEncoder((1, 16, 16), 3, width=2),
    "linear on three axes": lambda: nn.Sequential(nn.Unflatten(1, (1, 2)), nn.Linear(2, 3), nn.Flatten()),
    "linear without bias": lambda: nn.Sequential(nn.Linear(2, 3, bias=False), nn.ELU()),
    "batch norm without memory": lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False)),
}
NETWORKS = {**LOOPED, **BATCHED}


def members_of(make: Callable[[], nn.Module]) -> list[nn.Module]:
    made = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        made.append(make().double())
        for tensor in made[-1].parameters():  # away from starts that are alike in all seeds, as zeros and ones
            tensor.data += 0.1 * torch.randn_like(tensor)
    return made


def rows_for(network: nn.Module, number: int) -> Tensor:
    image = getattr(network, "shape", (2,)) if not isinstance(network, networks.DCGANGenerator) else (2,)
    shape = image if len(image) == 3 else (2,)
    return torch.randn(SEEDS * ROWS, *shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


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
    assert {name for name, make in NETWORKS.items() if batchable(make())} == set(BATCHED)


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_gradients_and_buffers_over_two_steps_are_those_of_separate_networks(name: str) -> None:
    members = members_of(NETWORKS[name])
    stacked = stack([copy.deepcopy(member) for member in members])
    for number in range(2):
        x = rows_for(members[0], number)
        together = descend(stacked, x)
        alone = [descend(member, rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)]
        for ours, *theirs in zip(together, *alone, strict=True):
            joined = torch.cat if len(ours) == SEEDS * ROWS else torch.stack
            torch.testing.assert_close(ours, joined(theirs), rtol=EXACT, atol=EXACT)
    for index, member in enumerate(members):
        assert_same_state(plain_copy(stacked, index), member)
    x = rows_for(members[0], 7)
    for network in (stacked, *members):
        network.eval()
    outputs = torch.cat([member(rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)])
    torch.testing.assert_close(stacked(x), outputs, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_of_a_gradient_is_that_of_separate_networks(name: str) -> None:
    members = members_of(NETWORKS[name])
    stacked = stack([copy.deepcopy(member) for member in members])

    def penalty(network: nn.Module, rows: Tensor) -> list[Tensor]:
        rows = rows.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss_of(network(rows)), rows, create_graph=True)
        parameters = list(network.parameters())
        return list(torch.autograd.grad(loss_of(slope), parameters, allow_unused=True, materialize_grads=True))

    x = rows_for(members[0], 0)
    alone = [penalty(member, rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)]
    for ours, *theirs in zip(penalty(stacked, x), *alone, strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_state_has_the_networks_own_names_and_one_tensor_for_each(name: str) -> None:
    members = members_of(NETWORKS[name])
    stacked = Stacked(members)
    owner = state_owner(stacked)
    own = members[0].state_dict()
    assert {key: value.shape for key, value in owner.state_dict().items()} == {
        key: (SEEDS, *value.shape) for key, value in own.items()
    }
    assert [key for key, _ in owner.named_parameters()] == [key for key, _ in members[0].named_parameters()]
    other = Stacked(members_of(NETWORKS[name])[::-1])
    state_owner(other).load_state_dict({key: value.clone() for key, value in owner.state_dict().items()})
    for index, member in enumerate(members):
        for key, value in other.member(index).state_dict().items():
            assert torch.equal(value, member.state_dict()[key]), key


def test_members_are_left_alone() -> None:
    for make in (LOOPED["assigned buffers"], LOOPED["batch norm"], BATCHED["MLP generator"]):
        members = members_of(make)
        before = copy.deepcopy(members)
        descend(stack(members), rows_for(members[0], 0))
        for member, same in zip(members, before, strict=True):
            assert_same_state(member, same)
            assert member.training


# ------------------------------------------------------------------------------------------- case by case


def test_tied_weights_stay_tied() -> None:
    for name, count in (("layer used twice", 2), ("weight of two modules", 3)):
        stacked = Stacked(members_of(LOOPED[name]))
        descend(stacked, rows_for(stacked.body, 0))
        assert len(list(stacked.parameters())) == len(list(stacked.member(1).parameters())) == count
    member = stacked.member(1)
    assert member.there.weight is member.back.weight


def test_a_network_spoilt_by_its_last_forward_can_be_copied() -> None:
    """Old-style spectral norm keeps the normalised weight, a result of autograd, which `copy.deepcopy` refuses."""
    network = members_of(LOOPED["old spectral norm"])[0]
    x = rows_for(network, 0)
    network(x)
    twin = plain_copy(network, 0)
    network.eval(), twin.eval()
    assert torch.equal(network(x), twin(x))
    assert Stacked([network, twin])(x[:12]).shape == (12, 1)
    assigning = members_of(Assigning)[0]
    assigning(x.clone().requires_grad_())
    assert torch.equal(plain_copy(assigning, 0).m, assigning.m.detach())


def test_every_seed_has_its_own_power_iteration_which_evaluation_leaves_alone() -> None:
    stacked = Stacked(members_of(LOOPED["spectral norm"]))
    vectors = dict(stacked.body.named_buffers())["0.parametrizations.weight.0._u"]
    before = vectors.clone()
    stacked(rows_for(stacked.body, 0))
    moved = (vectors - before).abs().amax(1)
    assert (moved > 0).all() and len(set(moved.tolist())) == SEEDS
    kept = vectors.clone()
    stacked.eval()
    stacked(rows_for(stacked.body, 1))
    assert torch.equal(vectors, kept)


def test_what_a_network_keeps_beside_its_state_is_kept_for_each_seed() -> None:
    members = members_of(Assigning)
    stacked = Stacked(members)
    for number in range(4):
        stacked(rows_for(stacked.body, number))
    for index, member in enumerate(members):
        assert stacked.member(index).calls == 4
        assert torch.equal(stacked.member(index).fixed, member.fixed)
    assert "last" in state_owner(stacked).state_dict()  # made in the first forward, saved from then on
    assert "scratch" not in state_owner(stacked).state_dict()


def test_a_frozen_weight_stays_frozen() -> None:
    for make in (tied_layers, lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))):
        members = members_of(make)
        for member in members:
            member[0].weight.requires_grad_(False)
        stacked = Stacked(members)
        assert [p.requires_grad for p in stacked.parameters()] == [p.requires_grad for p in members[0].parameters()]
        assert not stacked.member(1)[0].weight.requires_grad


def test_networks_that_are_one_or_unlike_are_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"Two of 3 seeds got the same Linear: let the function .* make a new one"):
        stack([nn.Linear(2, 2), network, network])
    for other in (nn.Linear(2, 3), nn.Linear(2, 2, bias=False)):
        with pytest.raises(UserError, match="The seeds' networks Linear differ"):
            stack([network, other])


def test_members_that_differ_beside_their_weights_keep_their_difference() -> None:
    members = members_of(lambda: nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(float(torch.rand(())))))
    x = rows_for(members[0], 0)
    alone = torch.cat([member(rows) for member, rows in zip(members, x.chunk(SEEDS), strict=True)])
    torch.testing.assert_close(Stacked(members)(x), alone, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", ["batch norm", "split batch norm", "MLP generator", "MLP split generator"])
def test_batch_norm_alone_in_evaluation_mode_is_respected(name: str) -> None:
    members = members_of(NETWORKS[name])
    stacked = stack([copy.deepcopy(member) for member in members])
    for network in (stacked, *members):
        descend(network, rows_for(members[0], 0)[: SEEDS * ROWS if network is stacked else ROWS])
    copies = [plain_copy(stacked, index) for index in range(SEEDS)]
    for network in (stacked, *copies):
        for module in network.modules():
            if "running_mean" in module._buffers or isinstance(module, SplitBatchNorm):
                module.eval()
    before = {key: value.clone() for key, value in stacked.named_buffers()}
    x = rows_for(members[0], 1)
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


def test_dropout_is_drawn_for_each_seed_and_scaled_as_torch_does() -> None:
    """8000 units a seed at p = 0.25: the kept share has a std of 0.005, and so has the share two seeds agree on."""
    stacked = Stacked([nn.Dropout(0.25) for _ in range(SEEDS)])
    out = stacked(torch.ones(SEEDS * 8, 1000, dtype=torch.float64)).unflatten(0, (SEEDS, -1)).flatten(1)
    kept = out > 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.75))
    assert kept.double().mean(1).tolist() == pytest.approx([0.75] * SEEDS, abs=0.025)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert float((kept[a] == kept[b]).double().mean()) == pytest.approx(0.75**2 + 0.25**2, abs=0.03)
    stacked.eval()
    assert torch.equal(stacked(out), out)


def test_hooks_and_replaced_forwards_are_kept() -> None:
    def doubling(network: nn.Module) -> nn.Module:
        network[0].register_forward_hook(lambda module, inputs, out: 2 * out)
        return network

    def halving(network: nn.Module) -> nn.Module:
        network[0].register_full_backward_hook(lambda module, inputs, outputs: (inputs[0] / 2,))
        return network

    def squared(network: nn.Module) -> nn.Module:
        network[2].forward = lambda x: x**2
        return network

    for change in (doubling, halving, squared):
        members = members_of(lambda: nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)))
        changed = [change(copy.deepcopy(member)) for member in members]
        x = rows_for(members[0], 0).requires_grad_()
        alone = torch.cat([network(rows) for network, rows in zip(changed, x.chunk(SEEDS), strict=True)])
        (wanted,) = torch.autograd.grad(loss_of(alone), x)
        stacked = Stacked(changed)(x)
        (slope,) = torch.autograd.grad(loss_of(stacked), x)
        torch.testing.assert_close(stacked, alone, rtol=EXACT, atol=EXACT)
        torch.testing.assert_close(slope, wanted, rtol=EXACT, atol=EXACT)
        (plain,) = torch.autograd.grad(loss_of(Stacked(members)(x)), x)
        assert (slope - plain).abs().max() > 1e-3


# ------------------------------------------------------------------------------------------------- a whole run


def test_a_run_of_two_seeds_with_ones_own_networks_is_two_runs(tmp_path: Path) -> None:
    """Spectral norm, a layer used twice, batch norm and assigned buffers, through averages, checkpoints and models."""

    def generator() -> nn.Module:
        layer = nn.Linear(2, 2)
        return nn.Sequential(layer, nn.BatchNorm1d(2), nn.Tanh(), layer)

    def discriminator() -> nn.Module:
        return nn.Sequential(Averaging(), spectral_norm(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1))

    def run(seed: int, seeds: int, name: str, **more: Any) -> list[dict[str, Tensor]]:
        own = {"G": generator, "D": discriminator}
        quick = {"batch": 8, "lr": 0.01, "optimizer": "sgd", "ema": 0.5, "evaluate_samples": 50, "sample_every": 0}
        out = tmp_path / name
        ended = train("gan", "ring", out, networks=own, seed=seed, seeds=seeds, steps=6, **quick, **more)
        return [model.networks["G"].state_dict() for model in ended.models]

    run(3, 2, "stacked", minutes=1e-9)
    together = run(3, 2, "stacked")
    for state, alone in zip(together, (run(3, 1, "three")[0], run(4, 1, "four")[0]), strict=True):
        assert state.keys() == alone.keys()
        for key, value in state.items():
            torch.testing.assert_close(value, alone[key], rtol=1e-5, atol=1e-6)
    assert not torch.equal(together[0]["0.weight"], together[1]["0.weight"])


class Averaging(nn.Module):
    """Rows less a running mean that is assigned."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), [(2, 5), (4, 4), (5, 1)])
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
