"""A replayed step computes what the eager step computes, bit for bit; what cannot be replayed is stepped eagerly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tiny import METHODS, engine_of
from torch import Tensor, nn

from modecover.data import open_data
from modecover.engine import replay
from modecover.engine.compiling import compiled
from modecover.engine.engine import Engine
from modecover.engine.finite import NonFiniteError
from modecover.engine.recorded import WARM_UP, RecordedSteps, recordable, stepper
from modecover.fast_paths import fast_paths
from modecover.runs.build import build_engine
from modecover.runs.resolve import resolve

STEPS = WARM_UP + 6


def built(name: str, *, seeds: int = 2, **chosen: Any) -> Engine:
    dataset = open_data("ring")
    method, settings = resolve(name, dataset.shape, chosen={"seeds": seeds, "steps": STEPS, "batch": 8, **chosen})
    return build_engine(method, settings, dataset, device=torch.device("cpu"))


def state(engine: Engine) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in engine.state().items()}


def assert_replay_is_eager(make: Callable[[], Engine]) -> None:
    eager, other = make(), make()
    assert recordable(other)
    recorded = RecordedSteps(other)
    for _ in range(STEPS):
        eager.step()
        recorded.step()
        assert eager.losses() == other.losses()
    assert recorded.replaying
    expected, found = state(eager), state(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("name", METHODS)
def test_replayed_steps_are_eager_steps(name: str) -> None:
    assert_replay_is_eager(lambda: built(name))


@pytest.mark.parametrize(
    "chosen",
    [
        {"seeds": 1},
        {"accumulate": 2, "clip": 0.01},
        {"ema": 0.9, "instance_noise": "0:1,1:0"},
        {"lr_schedule": "0.5:1,1~0"},
        {"optimizer": "rmsprop", "lr_schedule": "0:1,1:0", "weight_decay_E": 0.1},
        {"optimizer": "sgd", "lr_schedule": "0:1,1:0"},
        {"precision": "bf16"},
        {"networks": "veegan"},
        {"prior": "uniform01"},
        {"networks": "pacgan"},
        *({"freeze_bn_from": step, "networks": "pacgan"} for step in range(1, STEPS + 1)),
    ],
    ids=str,
)
def test_replay_follows_every_setting(chosen: dict[str, Any]) -> None:
    def make() -> Engine:
        return built("ivdcgan", **chosen)

    if "freeze_bn_from" in chosen:  # the recording is void then, and made anew
        eager, other = make(), make()
        recorded = RecordedSteps(other)
        for _ in range(STEPS + WARM_UP + 3):
            eager.step()
            recorded.step()
        assert recorded.replaying
        assert all(torch.equal(a, b) for a, b in zip(state(eager).values(), state(other).values(), strict=True))
    else:
        assert_replay_is_eager(make)


def test_what_replay_cannot_follow_is_stepped_eagerly() -> None:
    with fast_paths(False):
        engine = built("gan")
        assert not recordable(engine)
        assert stepper(engine) == engine.step
    images = engine_of("gan", shape=(1, 16, 16))
    assert not recordable(images)


class Hooked(nn.Linear):
    """A user's own layer."""


def test_networks_and_methods_of_others_are_stepped_eagerly() -> None:
    engine = built("gan", seeds=1)
    engine.networks["G"].register_forward_hook(lambda *_: None)
    assert not recordable(engine)
    engine = built("gan", seeds=1)
    engine.networks["G"].add_module("own", Hooked(2, 2))
    assert not recordable(engine)
    engine = built("gan", seeds=1)
    engine.method = type("Own", (type(engine.method),), {"__module__": "elsewhere"})()
    assert not recordable(engine)


def test_a_checkpoint_that_is_loaded_voids_the_recording() -> None:
    engine = built("gan", seeds=1)
    steps = RecordedSteps(engine)
    start = state(engine)
    for _ in range(STEPS):
        steps.step()
    first = state(engine)
    engine.load(start)
    assert steps.replaying
    for _ in range(STEPS):
        steps.step()
    again = state(engine)
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_state_that_is_loaded_stays_the_callers_own() -> None:
    engine = built("gan", seeds=1)
    steps = RecordedSteps(engine)
    for _ in range(STEPS):
        steps.step()
    given = state(engine)
    kept = {key: value.clone() for key, value in given.items()}
    engine.load(given)
    for _ in range(STEPS):
        steps.step()
    assert all(torch.equal(given[key], kept[key]) for key in kept)


def test_a_number_that_is_not_finite_stops_a_replay_before_any_network_moves() -> None:
    engine = built("gan", seeds=1)
    steps = RecordedSteps(engine)
    for _ in range(STEPS):
        steps.step()
    assert steps.replaying
    with torch.no_grad():
        next(iter(engine.networks["D"].parameters())).view(-1)[0] = torch.nan
    before = {key: value for key, value in state(engine).items() if key.startswith("network/G")}
    with pytest.raises(NonFiniteError, match=rf"step {STEPS}: the loss term .* of D"):
        steps.step()
    after = state(engine)
    assert all(torch.equal(before[key], after[key]) for key in before)


@dataclass
class Alternating:
    """Does another operation at every second call."""

    x: Tensor
    calls: int = 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return {"y": self.x.sin() if self.calls % 2 else self.x.cos()}


def test_programs_that_differ_are_told_apart() -> None:
    x = torch.randn(3)
    step = Alternating(x)
    one, two, three = (replay.record(step, [x]) for _ in range(3))
    assert one != two
    assert one == three
    scaled = [replay.record(lambda f=factor: {"y": x * f}, [x]) for factor in (2.0, 2.0, 3.0)]
    assert scaled[0] == scaled[1] != scaled[2]


def test_a_program_reads_its_inputs_and_its_constants_anew() -> None:
    x, weight = torch.ones(3), torch.tensor([1.0, 2.0, 3.0])
    run = compiled(replay.record(lambda: {"y": (x * weight[1:].sum()).sum()}, [x]))
    assert float(run(torch.ones(3))["y"]) == 15
    weight += 1
    assert float(run(2 * torch.ones(3))["y"]) == 42


def test_a_step_that_reads_a_value_is_not_recorded() -> None:
    x = torch.ones(3)
    with pytest.raises(replay.NotReplayable):
        replay.record(lambda: {"y": x * float(x.sum())}, [x])


def test_looks_see_the_values_of_each_replay() -> None:
    seen: list[float] = []
    x = torch.ones(2)

    def step() -> dict[str, Tensor]:
        y = x.sum()
        replay.look(lambda value: seen.append(value.item()), y)
        return {"y": y}

    run = compiled(replay.record(step, [x]))
    run(torch.full((2,), 4.0))
    assert seen == [2.0, 8.0]
