"""What the engine does beside a method's own updates, on networks whose gradients are known, under plain SGD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import engine_of
from torch import Tensor, nn

from modecover.data import open_data
from modecover.engine.engine import Engine
from modecover.engine.finite import FiniteWatch, NonFiniteError
from modecover.engine.processes import Processes
from modecover.engine.schedules import Schedule
from modecover.engine.stacked import stack
from modecover.engine.state import EngineOptions
from modecover.engine.updates import Gradients
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.roles import Discriminator, Encoder, Feed, Generator, Updates
from modecover.networks import SplitBatchNorm
from modecover.runs.build import build_engine
from modecover.runs.run import train
from modecover.runs.settings import resolve

# ----------------------------------------------------------------------------------------------- known gradients


@dataclass(frozen=True)
class Generate(Method):
    """G alone, on the mean of its output: the gradient of a linear G is the mean of its input."""

    def step(self, G: Generator, prior: Feed) -> Updates:
        yield G, {"mean": G(prior()).mean()}


@dataclass(frozen=True)
class Judge(Method):
    """D alone, as `Generate`; its other heads are called, too."""

    def step(self, D: Discriminator, data: Feed) -> Updates:
        x = data()
        yield D, {"mean": D(x).mean() + 0 * D(x, head="classes").mean() + 0 * D(x, head="features").mean()}


@dataclass(frozen=True)
class Root(Method):
    """D on the mean of sqrt|D(x)|, which is finite where D(x) = 0 and has no gradient there."""

    def step(self, D: Discriminator, data: Feed) -> Updates:
        yield D, {"root": D(data()).abs().sqrt().mean()}


@dataclass(frozen=True)
class Together(Method):
    """One update of both."""

    def step(self, G: Generator, E: Encoder, data: Feed, prior: Feed) -> Updates:
        yield (G, E), {"mean": G(prior()).mean() + E(data()).mean()}


def linear(bias: bool = False) -> nn.Module:
    """x -> w . x (+ b) from zero."""
    layer = nn.Linear(2, 1, bias=bias).double()
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def rows_of(*means: Sequence[float], dtype: torch.dtype = torch.float64) -> Tensor:
    """Four rows for each mean, spread about it."""
    spread = torch.tensor([[1.0, -2.0], [-1.0, 2.0], [0.5, 0.25], [-0.5, -0.25]], dtype=dtype)
    return torch.cat([torch.tensor(mean, dtype=dtype) + spread for mean in means])


def sgd_engine(
    method: Method,
    networks: dict[str, nn.Module],
    rows: Tensor,
    codes: Tensor | None = None,
    *,
    seeds: Sequence[int] = (0,),
    lr: Any = 1.0,
    processes: Processes | None = None,
    **options: Any,
) -> Engine:
    """An engine on the same rows in every step, from the prior (`codes`, where they differ) as from the data."""

    def batch(position: int, part: int = 0, parts: int = 1) -> Tensor:
        return rows.unflatten(0, (len(seeds), parts, -1))[:, part].flatten(0, 1)

    def prior(count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        return (rows if codes is None else codes)[:count]

    return Engine(
        method,
        networks,
        {name: torch.optim.SGD(network.parameters(), lr=lr) for name, network in networks.items()},
        data=SimpleNamespace(batch=batch),
        prior=SimpleNamespace(rows=prior),  # type: ignore[arg-type]
        seeds=seeds,
        options=EngineOptions(batch=len(rows) // len(seeds), **options),
        processes=processes or Processes(),
    )


def weight(engine: Engine, name: str) -> list[float]:
    """All weights of a network in a row."""
    return torch.cat([p.detach().flatten() for p in engine.networks[name].parameters()]).tolist()


class Doubling(Processes):
    """Stands for other processes: in place, as the real one, but with a result that shows."""

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            tensor.copy_(2 * tensor)


# ------------------------------------------------------------------------------------------------------ clipping


def test_clipping_scales_each_networks_gradient_to_the_bound() -> None:
    """G's gradient is (2, 2) and 1 for the bias, of norm 3; E's is (0.3, 0.4), within the bound."""
    rows, codes = rows_of((0.3, 0.4)), rows_of((2.0, 2.0))
    engine = sgd_engine(Together(), {"G": linear(bias=True), "E": linear()}, rows, codes, clip=1.5)
    engine.step()
    assert weight(engine, "G") == pytest.approx([-1.0, -1.0, -0.5])
    assert weight(engine, "E") == pytest.approx([-0.3, -0.4])
    free = sgd_engine(Together(), {"G": linear(bias=True), "E": linear()}, rows, codes)
    free.step()
    assert weight(free, "G") == pytest.approx([-2.0, -2.0, -1.0])


def test_a_clipped_gradient_lies_in_memory_as_its_weight_does() -> None:
    """A fused optimiser walks both side by side: of a channels-last weight it would take one number for another."""
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3, padding=1, bias=False).to(memory_format=layout)
        update = Gradients([SimpleNamespace(name="D", parameters=layer.parameters)], [layer.weight])
        update.add([torch.randn(4, 3, 3, 3)])
        update.clip_(0.5, stacked=False)
        assert update.gradients[0].stride() == layer.weight.stride()
        assert update.gradients[0].norm().item() == pytest.approx(0.5)
        found.append(update.gradients[0])
    assert torch.equal(*found)


def test_clipping_takes_the_norm_of_each_seed() -> None:
    """Norms 5 and 0.5: the first is cut to 1, the second is left."""
    network = stack([linear(), linear()])
    engine = sgd_engine(Judge(), {"D": Headed(network)}, rows_of((3.0, 4.0), (0.3, 0.4)), seeds=(0, 1), clip=1.0)
    engine.step()
    assert weight(engine, "D") == pytest.approx([-0.6, -0.8, -0.3, -0.4])


class Headed(nn.Module):
    """A network that knows the names of the heads, and gives the same at each."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, head: str = "adversarial") -> Tensor:
        out: Tensor = self.network(x)
        return out


class SumOfTwo(nn.Module):
    """x -> (a + b) . x: autograd gives both weights one gradient, the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.a + self.b)


def test_one_gradient_of_two_weights_is_clipped_once() -> None:
    """(3, 4) twice is of norm sqrt(50)."""
    engine = sgd_engine(Generate(), {"G": SumOfTwo()}, rows_of((3.0, 4.0)), clip=1.0)
    engine.step()
    assert weight(engine, "G") == pytest.approx([-3 / math.sqrt(50), -4 / math.sqrt(50)] * 2)


class Sum(nn.Module):
    """The sum of the weights in every row: autograd gives its gradient as one number spread over them (stride 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.sum().expand(len(x))


def test_a_gradient_that_is_one_number_spread_can_be_shared_clipped_and_added() -> None:
    rows = rows_of((0.0, 0.0))
    for options, each in (
        ({}, 1.0),
        ({"processes": Doubling()}, 2.0),
        ({"clip": 1.0}, 1 / math.sqrt(3)),
        ({"accumulate": 2}, 1.0),
        ({"accumulate": 2, "processes": Doubling(), "clip": 3.0}, math.sqrt(3)),
    ):
        engine = sgd_engine(Generate(), {"G": Sum()}, rows, **options)  # type: ignore[arg-type]
        engine.step()
        assert weight(engine, "G") == pytest.approx([-each] * 3), options


# ------------------------------------------------------------------------------------------------------ averages


def normalised() -> nn.Module:
    """x -> batch norm of 2 x + 0."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2)).double()
    network[0].weight.data = 2 * torch.eye(2, dtype=torch.float64)
    return network


def test_an_average_moves_by_one_minus_its_decay_and_so_do_running_statistics() -> None:
    """Of 2 x, for x of mean (3, 4), the running mean (momentum 0.1) is (0.6, 0.8) after one step.

    The bias of batch norm has the gradient 1/2 (a mean over two outputs), so that it is -1/2 after one step. The decay
    is 1/10 at step 0, 2/11 at step 1, and 0.9 from step 80 on.
    """
    engine = sgd_engine(Generate(), {"G": normalised()}, rows_of((3.0, 4.0)), ema=0.9)
    engine.step()
    state = engine.state()
    assert state["network/G/1.bias"].tolist() == pytest.approx([-0.5, -0.5])
    assert state["average/G/1.bias"].tolist() == pytest.approx([-0.45, -0.45])
    assert state["network/G/1.running_mean"].tolist() == pytest.approx([0.6, 0.8])
    assert state["average/G/1.running_mean"].tolist() == pytest.approx([0.54, 0.72])
    assert state["average/G/1.num_batches_tracked"] == 1
    engine.step()
    assert engine.state()["average/G/1.bias"].tolist() == pytest.approx([2 / 11 * -0.45 + 9 / 11 * -1.0] * 2)
    engine.step_number = 80
    engine.step()
    expected = 0.9 * (2 / 11 * -0.45 + 9 / 11 * -1.0) + 0.1 * -1.5
    assert engine.state()["average/G/1.bias"].tolist() == pytest.approx([expected] * 2)


def test_samples_of_the_average_are_made_by_the_average_and_training_goes_on_with_the_weights() -> None:
    engine = sgd_engine(Generate(), {"G": normalised()}, rows_of((3.0, 4.0)), ema=0.9)
    engine.step()
    z = rows_of((3.0, 4.0))
    before = {key: value.clone() for key, value in engine.state().items()}
    with engine.evaluating():
        raw, mean = engine.sample(4)[0], engine.sample(4, average=True)[0]
        # By hand: 2 x, less the mean, over the root of the variance; weight 1 - 0 (its gradient is 0), then the bias.
        centre = torch.tensor([0.54, 0.72])
        spread = 1 + 0.9 * (before["network/G/1.running_var"] - 1)
        assert torch.allclose(mean.double(), (2 * z - centre) / (spread + 1e-5).sqrt() - 0.45, atol=1e-6)
        assert torch.allclose(raw.double(), engine.network("G")(z), atol=1e-6)
        assert torch.allclose(mean.double(), engine.network("G", average=True)(z), atol=1e-6)
    assert (raw - mean).abs().min() > 0.01
    assert all(torch.equal(value, before[key]) for key, value in engine.state().items())


def test_discriminators_have_no_average() -> None:
    engine = engine_of("reg-gan", ema=0.5)
    names = {key.split("/")[1] for key in engine.state() if key.startswith("average/")}
    assert names == {"G", "E"}


# ----------------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5", {0: 0.5, 0.3: 0.5, 1: 0.5, 1.5: 0.5}),
        ("0:0.05,0.25:0.01", {0: 0.05, 0.24: 0.05, 0.25: 0.01, 1: 0.01}),
        ("0.25:1,0.5:3", {0: 1, 0.2: 1, 0.25: 1, 0.49: 1, 0.5: 3, 0.9: 3}),
        ("0.5:1,1~0", {0: 1, 0.5: 1, 0.75: 0.5, 0.9: 0.2, 1: 0, 2: 0}),
        ("0.25:2,0.75~4,1~0", {0.25: 2, 0.375: 2.5, 0.5: 3, 0.75: 4, 0.875: 2, 1: 0}),
        ("0:1,0.5~3,0.5625:7,0.75:2", {0.25: 2, 0.499999: 2.999996, 0.5: 3, 0.55: 3, 0.5625: 7, 0.7: 7, 0.8: 2}),
        ("0.5~2", {0: 2, 0.25: 2, 0.5: 2, 1: 2}),
    ],
)
def test_a_schedule_at_its_points_between_them_and_outside(text: str, values: dict[float, float]) -> None:
    schedule = Schedule.parse(text)
    assert {t: schedule.at(t) for t in values} == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize("lr", [2.0, torch.tensor(2.0, dtype=torch.float64)], ids=["number", "tensor"])
def test_the_learning_rate_of_every_step_is_the_schedules(lr: Any) -> None:
    """Four steps at fractions 0, 1/4, 1/2, 3/4; the gradient is always (1, 0)."""
    schedule = Schedule.parse("0:1,0.5:0.5,1~0")
    engine = sgd_engine(Generate(), {"G": linear()}, rows_of((1.0, 0.0)), lr=lr, steps=4, lr_schedule=schedule)
    path = []
    for _ in range(4):
        engine.step()
        path.append(weight(engine, "G")[0])
    assert path == pytest.approx([-2.0, -4.0, -5.0, -5.5])


# ------------------------------------------------------------------------------------------------ instance noise


class Recorder(nn.Module):
    """Remembers what each head was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.shown: dict[str, Tensor] = {}

    def forward(self, x: Tensor, head: str = "adversarial") -> Tensor:
        self.shown[head] = x.detach()
        return x @ self.weight


def shown_with_noise(text: str, seeds: Sequence[int], steps: int = 1, rows: int = 2000) -> list[dict[str, Tensor]]:
    recorder, zeros = Recorder(), torch.zeros(rows * len(seeds), 2, dtype=torch.float64)
    noise = Schedule.parse(text)
    engine = sgd_engine(Judge(), {"D": recorder}, zeros, seeds=seeds, steps=steps, instance_noise=noise)
    shown = []
    for _ in range(steps):
        engine.step()
        shown.append(dict(recorder.shown))
    return shown


def test_the_adversarial_head_sees_noise_of_the_schedules_std_and_the_others_none() -> None:
    """4000 draws: the std of a standard deviation is 1.1 percent."""
    for shown, std in zip(shown_with_noise("0:0.5,0.5:0.1", [0], steps=2), (0.5, 0.1), strict=True):
        assert float(shown["adversarial"].std()) == pytest.approx(std, rel=0.06)
        assert abs(float(shown["adversarial"].mean())) < 0.08 * std
        assert not shown["classes"].any() and not shown["features"].any()
    assert not shown_with_noise("0", [0])[0]["adversarial"].any()


def test_instance_noise_is_drawn_for_each_seed_and_step() -> None:
    first, second = shown_with_noise("1", [3, 8], steps=2, rows=5)
    alone = [shown_with_noise("1", [seed], rows=5)[0]["adversarial"] for seed in (3, 8)]
    assert torch.equal(first["adversarial"], torch.cat(alone))
    draws = torch.cat([first["adversarial"], second["adversarial"]])
    assert len(draws.unique()) == draws.numel()


# ------------------------------------------------------------------------------- rates and decays, from settings


def test_terms_of_losses_have_the_factors_of_their_schedules() -> None:
    """A factor is the weight that the method's own setting is; at 1 it changes nothing, bit for bit."""

    def moved(steps: int, **settings: Any) -> list[Tensor]:
        engine = built("ivdcgan", optimizer="sgd", lr=0.1, steps=4, **settings)
        for _ in range(steps):
            engine.step()
        return [value for network in engine.networks.values() for value in network.state_dict().values()]

    def near(first: list[Tensor], second: list[Tensor]) -> bool:
        return all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(first, second, strict=True))

    plain, without = moved(3), moved(3, mu_G=0.0, mu_E=0.0)
    assert not near(plain, without)
    one = moved(3, loss_schedule="G/intervention=1; E/reconstruction=0:1,0.5~1")
    assert all(torch.equal(a, b) for a, b in zip(plain, one, strict=True))
    assert near(without, moved(3, loss_schedule="G/intervention=0;E/intervention=0"))
    assert near(moved(3, mu_G=1.0, lambda_G=0.5), moved(3, loss_schedule="G/intervention=2; G/reconstruction=2"))
    # Half of four steps are as without a schedule, the third is not.
    assert all(torch.equal(a, b) for a, b in zip(moved(2), moved(2, loss_schedule=LATER), strict=True))
    third = moved(3, loss_schedule=LATER)
    assert not near(third, plain) and not near(third, without)


LATER = "G/intervention=0:1,0.5:0; E/intervention=0:1,0.5:0"


def test_losses_are_logged_without_their_factors() -> None:
    plain, none = built("ivdcgan"), built("ivdcgan", loss_schedule="G/intervention=0")
    for engine in (plain, none):
        engine.step()
    assert torch.equal(plain.terms["G/intervention"], none.terms["G/intervention"]) and plain.terms["G/intervention"]


def test_a_schedule_of_no_loss_says_which_there_are() -> None:
    with pytest.raises(UserError, match=r"loss_schedule is of G/interventions, which is no loss term .*G/intervention"):
        built("ivdcgan", loss_schedule="G/interventions=0")


def built(name: str, **settings: Any) -> Engine:
    data = open_data("ring")
    method, resolved = resolve(name, data.shape, chosen={"width": 4, "batch": 4, **settings})
    return build_engine(method, resolved, data, device=torch.device("cpu"))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_each_network_has_the_rate_and_decay_of_its_role(optimizer: str) -> None:
    rates = {"lr": 0.1, "lr_G": 0.2, "lr_D": 0.3, "lr_E": 0.4}
    groups = {
        name: o.param_groups
        for name, o in built("mdgan", optimizer=optimizer, weight_decay_E=0.5, **rates).optimizers.items()
    }
    assert {name: group["lr"] for name, (group,) in groups.items()} == {"G": 0.2, "E": 0.4, "D1": 0.3, "D2": 0.3}
    decays = {name: group["weight_decay"] for name, (group,) in groups.items()}
    assert decays == {"G": 0, "E": 0.5, "D1": 0, "D2": 0}


@pytest.mark.parametrize(("own", "role"), [("lr_G", "G"), ("lr_D", "D"), ("lr_E", "E")])
def test_a_rate_of_ones_own_leaves_the_others(own: str, role: str) -> None:
    found = built("reg-gan", lr=0.1, **{"lr_G": None, "lr_D": None, "lr_E": None, own: 0.7}).optimizers
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in found.items()}
    assert rates == {name: 0.7 if name == role else 0.1 for name in ("D", "G", "E")}


def test_the_encoders_decay_pulls_its_weights_to_zero() -> None:
    """SGD: with decay a the step is -lr (gradient + a w), and nothing else changes."""
    plain, decayed = (built("reg-gan", optimizer="sgd", lr=0.1, lr_E=0.1, weight_decay_E=decay) for decay in (0.0, 0.5))
    start = {name: [p.clone() for p in network.parameters()] for name, network in plain.networks.items()}
    plain.step(), decayed.step()
    for name, weights in start.items():
        pull = 0.1 * 0.5 if name == "E" else 0.0
        pairs = zip(weights, plain.networks[name].parameters(), decayed.networks[name].parameters(), strict=True)
        for before, free, pulled in pairs:
            assert torch.allclose(pulled, free - pull * before, atol=1e-6)


# ----------------------------------------------------------------------------------------- batch normalisation


def statistics(engine: Engine, name: str) -> list[Tensor]:
    """Running means and variances."""
    return [b.clone() for key, b in engine.networks[name].named_buffers() if "running" in key]


def moved(before: list[Tensor], after: list[Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["gan", "mdgan"], ids=["batch norm", "split batch norm"])
def test_frozen_batch_norm_keeps_gs_statistics_and_uses_them(name: str) -> None:
    engine = engine_of(name, shape=(1, 16, 16))
    critic = next(n for n, role in engine.method.roles().items() if role == "discriminator")
    start = statistics(engine, "G")
    engine.step()
    before = statistics(engine, "G")
    assert moved(start, before)
    engine.freeze_batch_norm()
    with engine.evaluating():
        engine.sample(3)
    others = statistics(engine, critic)
    engine.step()
    assert not moved(before, statistics(engine, "G"))
    assert moved(others, statistics(engine, critic))
    z = torch.randn(2, 4, dtype=torch.float64)
    together = engine.networks["G"](z)
    with engine.evaluating():
        assert torch.equal(engine.networks["G"](z), together)
    norms = [m for m in engine.networks["G"].modules() if statistics_of(m)]
    assert norms and not any(m.training for m in norms) and engine.networks["G"].training


def statistics_of(module: nn.Module) -> bool:
    return isinstance(module, SplitBatchNorm) or "running_mean" in module._buffers


def test_batch_norm_freezes_at_the_step_that_is_set() -> None:
    engine = engine_of("gan", shape=(1, 16, 16), freeze_bn_from=2)
    path = [statistics(engine, "G")]
    for _ in range(4):
        engine.step()
        path.append(statistics(engine, "G"))
    assert [moved(a, b) for a, b in pairwise(path)] == [True, True, False, False]


def test_processes_share_running_statistics_and_no_weights() -> None:
    engine = engine_of("gan", shape=(1, 16, 16), ema=0.5)
    engine.step()
    before = {key: value.clone() for key, value in engine.state().items()}
    engine.processes = Doubling()
    engine.share_batch_statistics()
    for key, value in engine.state().items():
        if key.startswith("network/"):
            expected = 2 * before[key] if "running" in key else before[key]
            assert torch.equal(value, expected), key
        elif "running" in key:  # of the average
            assert torch.equal(value, 2 * before[key]), key
    assert any("running" in key for key in before)


# -------------------------------------------------------------------------- what others draw from torch itself


def dropping() -> Engine:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    return sgd_engine(Judge(), {"D": Headed(network)}, rows_of((0.5, 1.0)), lr=0.1)


def test_a_network_with_dropout_resumes_bitwise_whatever_else_draws_from_torch() -> None:
    straight, first, second = dropping(), dropping(), dropping()
    for _ in range(5):
        straight.step()
    for _ in range(2):
        first.step()
        torch.rand(3)
    torch.manual_seed(99)
    second.load({key: value.clone() for key, value in first.state().items()})
    for _ in range(3):
        second.step()
        torch.rand(1)
    assert weight(second, "D") == weight(straight, "D")


def test_every_step_and_seed_drops_others() -> None:
    drop = nn.Dropout(0.5)
    seen: list[Tensor] = []
    drop.register_forward_hook(lambda module, inputs, out: seen.append(out.detach()))
    network = Headed(nn.Sequential(nn.Linear(2, 64).double(), drop, nn.Linear(64, 1).double()))
    for seed in (0, 1):
        engine = sgd_engine(Judge(), {"D": network}, rows_of((0.5, 1.0)), seeds=[seed], lr=0.0)
        engine.step()
        engine.step()
    masks = [out != 0 for out in seen[::3]]  # the first of the three heads' passes of each step
    assert len(masks) == 4
    assert not any(torch.equal(a, b) for i, a in enumerate(masks) for b in masks[:i])


# ------------------------------------------------------------------------------------------- not finite numbers


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_the_sentence_names_the_first_seed_whose_gradient_is_not_finite(bad: int) -> None:
    rows = torch.ones(3, 4, 2, dtype=torch.float64)
    rows[bad:] = 0.0  # there sqrt|w . x| has no gradient
    network = stack([nn.Linear(2, 1, bias=False).double() for _ in range(3)])
    engine = sgd_engine(Root(), {"D": network}, rows.flatten(0, 1), seeds=(5, 6, 7))
    before = weight(engine, "D")
    with pytest.raises(NonFiniteError, match=rf"at step 0: the gradient of D \(seed {5 + bad}\) is not a finite"):
        engine.step()
    assert weight(engine, "D") == before


def test_a_run_of_one_seed_does_not_name_it() -> None:
    engine = sgd_engine(Root(), {"D": nn.Linear(2, 1, bias=False).double()}, torch.zeros(4, 2, dtype=torch.float64))
    with pytest.raises(NonFiniteError, match="at step 0: the gradient of D is not a finite number"):
        engine.step()


def test_a_loss_that_is_not_finite_is_named() -> None:
    rows = rows_of((1.0, 1.0))
    engine = sgd_engine(Generate(), {"G": linear()}, rows)
    engine.step()
    rows[2, 1] = math.inf
    before = weight(engine, "G")
    with pytest.raises(NonFiniteError, match="at step 1: the loss term 'mean' of G is not a finite number"):
        engine.step()
    assert weight(engine, "G") == before


def test_without_looking_at_once_the_first_that_went_wrong_is_told_when_asked() -> None:
    """As on a GPU: the steps go on, and neither large numbers nor later steps take the blame."""
    watch = FiniteWatch((0,), torch.device("cpu"), at_once=False)
    good, bad = [torch.ones(3), torch.full((2,), 1e30)], [torch.ones(3), torch.tensor([1.0, math.nan])]
    for step, (loss, gradient) in enumerate([(1.0, good), (2.0, bad), (math.inf, bad), (3.0, good)]):
        watch.begin(step)
        for _ in range(2):  # micro-batches
            watch.require("the loss", [torch.tensor(loss, dtype=torch.float64)])
        watch.require("the gradient", gradient)
        watch.end()
        if step == 0:
            watch.check()
    with pytest.raises(NonFiniteError, match="at step 1: the gradient is not a finite number"):
        watch.check()


def test_without_looking_at_once_a_step_that_computes_something_else_has_its_own_names() -> None:
    watch = FiniteWatch((0,), torch.device("cpu"), at_once=False)
    for step, (what, loss) in enumerate(
        [("the loss of D", 1.0), ("the loss of G", math.nan), ("the loss of D", -math.inf)]
    ):
        watch.begin(step)
        watch.require(what, [torch.tensor(loss)])
        watch.end()
    with pytest.raises(NonFiniteError, match="at step 1: the loss of G is not a finite number"):
        watch.check()


@pytest.mark.parametrize("count", [1, 2], ids=["one seed", "two seeds"])
def test_a_gradient_whose_square_overflows_is_still_finite(count: int) -> None:
    rows = torch.full((4 * count, 2), 1e30)
    layers = [linear(bias=True).float() for _ in range(count)]
    engine = sgd_engine(Generate(), {"G": stack(layers)}, rows, seeds=range(count), lr=1e-30)
    engine.step()
    assert weight(engine, "G")[: 2 * count] == pytest.approx([-1.0] * 2 * count)


def test_a_gradient_whose_square_overflows_is_clipped_to_the_bound() -> None:
    engine = sgd_engine(Generate(), {"G": linear().float()}, torch.full((4, 2), 1e30), clip=1.0)
    engine.step()
    assert weight(engine, "G") == pytest.approx([-math.sqrt(0.5)] * 2)


# ------------------------------------------------------------------------------------------------------- minutes


def test_a_run_stops_after_its_minutes_and_goes_on_later(tmp_path: Path) -> None:
    small: dict[str, Any] = {"width": 4, "batch": 8, "evaluate_samples": 50, "sample_every": 0, "evaluate_every": 0}
    stopped = train("gan", "ring", tmp_path / "run", steps=20, minutes=1e-9, **small)
    assert (stopped.step, stopped.finished) == (1, False)
    ended = train("gan", "ring", tmp_path / "run", steps=20, minutes=60, **small)
    assert (ended.step, ended.finished) == (20, True)
