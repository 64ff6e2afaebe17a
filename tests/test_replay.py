"""A replayed step computes what the eager step computes, bit for bit; what cannot be replayed is stepped eagerly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tiny import METHODS, engine_of
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from modecover.data import open_data
from modecover.engine.engine import Engine
from modecover.engine.finite import NonFiniteError
from modecover.engine.replay import WARM_UP, TracedSteps, stepper, traceable
from modecover.methods.gan import GAN
from modecover.runs.build import build_engine
from modecover.runs.settings import resolve

STEPS = WARM_UP + 6


def built(name: str, *, seeds: int = 2, **chosen: Any) -> Engine:
    dataset = open_data("ring")
    method, settings = resolve(name, dataset.shape, chosen={"seeds": seeds, "steps": STEPS, "batch": 8, **chosen})
    return build_engine(method, settings, dataset, device=torch.device("cpu"))


def state(engine: Engine) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in engine.state().items()}


def assert_replay_is_eager(make: Callable[[], Engine]) -> None:
    eager, other = make(), make()
    assert traceable(other)
    steps, replayed = TracedSteps(other), False
    for _ in range(STEPS):
        eager.step()
        steps.step()
        replayed |= steps.replaying
        assert eager.losses() == other.losses()
    assert replayed
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
        {"loss_schedule": "G/intervention=0:1,1~0; D/real=0:2,0.5:0.5", "accumulate": 2},
        {"optimizer": "rmsprop", "lr_schedule": "0:1,0.75:0.1", "weight_decay_E": 0.1},
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
        steps = TracedSteps(other)
        for _ in range(STEPS + WARM_UP + 3):
            eager.step()
            steps.step()
        assert steps.replaying
        assert all(torch.equal(a, b) for a, b in zip(state(eager).values(), state(other).values(), strict=True))
    else:
        assert_replay_is_eager(make)


def test_what_replay_cannot_follow_is_stepped_eagerly() -> None:
    images = engine_of("gan", shape=(1, 16, 16))
    assert not traceable(images) and stepper(images) == images.step


class Hooked(nn.Linear):
    """A user's own layer."""


def test_networks_and_methods_of_others_are_stepped_eagerly() -> None:
    engine = built("gan", seeds=1)
    engine.networks["G"].register_forward_hook(lambda *_: None)
    assert not traceable(engine)
    engine = built("gan", seeds=1)
    engine.networks["G"].add_module("own", Hooked(2, 2))
    assert not traceable(engine)
    engine = built("gan", seeds=1)
    engine.method = type("Own", (type(engine.method),), {"__module__": "elsewhere"})()
    assert not traceable(engine)


def test_a_checkpoint_that_is_loaded_voids_the_recording() -> None:
    engine = built("gan", seeds=1)
    steps = TracedSteps(engine)
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
    steps = TracedSteps(engine)
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
    steps = TracedSteps(engine)
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


class Alternating(GAN):
    """Weighs its loss otherwise at every second step."""

    steps = 0

    def step(self, data: Any, prior: Any, D: Any, G: Any) -> Iterator[Any]:
        self.steps += 1
        yield D, (D(data()) ** 2).mean() + D(G(prior())).mean()
        yield G, D(G(prior())).mean() * (1.0 + self.steps % 2)


class Literal(Alternating):
    """Makes a tensor of a number that is another one at every step."""

    def step(self, data: Any, prior: Any, D: Any, G: Any) -> Iterator[Any]:
        self.steps += 1
        yield D, (D(data()) ** 2).mean() + D(G(prior())).mean()
        yield G, D(G(prior())).mean() * torch.tensor(float(self.steps))


@pytest.mark.parametrize("method", [Alternating, Literal])
def test_steps_that_differ_are_told_apart(method: type[GAN]) -> None:
    engine = built("gan")
    engine.method = method()
    engine._arguments = ["data", "prior", "D", "G"]
    steps = TracedSteps(engine)
    for _ in range(STEPS):
        steps.step()
    assert not steps.replaying


def test_a_replay_computes_no_gradient_that_nobody_reads() -> None:
    """A step of a GAN: rows go up through G once and through D three times. For D's two losses the gradients of its
    weights, and of all rows but the lowest; for G's the rows' in D, and G's weights and all its rows but the lowest."""
    engine = built("gan", seeds=2)
    steps = TracedSteps(engine)
    for _ in range(STEPS):
        steps.step()
    assert steps.replaying
    G, D = (len(list(filter(lambda w: w.dim() == 3, engine.networks[name].parameters()))) for name in ("G", "D"))
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        steps.step()
    products = sum(event.count for event in seen.key_averages() if event.key in ("aten::bmm", "aten::baddbmm"))
    assert products == (G + 3 * D) + 2 * (D + D - 1) + (D + G + G - 1)
