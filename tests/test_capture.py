"""A captured step computes what the eager one does; without a GPU it is refused before anything is made."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny import METHODS, engine_of
from torch import Tensor, nn

from modecover.data import open_data
from modecover.engine.engine import Engine
from modecover.engine.finite import NonFiniteError
from modecover.engine.replay import CAPTURE_WARM_UP, Buffers, CapturedSteps, stepper
from modecover.engine.schedules import Schedule
from modecover.engine.side_by_side import AnyEngine
from modecover.engine.state import EngineOptions
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.roles import Feed, Generator, Updates
from modecover.runs import checkpoint
from modecover.runs.build import build_engine, build_networks, captures
from modecover.runs.listener import Listener
from modecover.runs.run import train
from modecover.runs.settings import resolve

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU, and there is none here")

STEPS = 10
SMALL: dict[str, Any] = {"width": 16, "batch": 16, "steps": STEPS, "log_every": 2}
EVERYTHING: dict[str, Any] = {
    **{"seeds": 2, "ema": 0.9, "clip": 5.0, "lr_schedule": "0:1,0.5~0.5,0.8:0.2", "instance_noise": "0:0.2,0.6~0.05"},
    **SMALL,
}
"""Every option whose value changes from step to step, or that adds to the step."""


class Looks(nn.Module):
    """A network that reads a number back from the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x) if x.abs().max().item() < 100 else self.score(x / 100)


@dataclass(frozen=True)
class Mean(Method):
    """G on the mean of its output: the gradient of a linear G is the mean of its input."""

    def step(self, G: Generator, prior: Feed, data: Feed) -> Updates:
        data()
        yield G, {"mean": G(prior()).mean()}


# -------------------------------------------------------------------------------------------------------- no GPU


def test_without_a_gpu_capture_is_refused_and_no_folder_is_left(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        train("gan", "ring", tmp_path / "run", steps=5, capture=True, device="cpu")
    assert str(caught.value) == "capture replays a CUDA graph and needs a GPU: leave it out, or use device=cuda."
    assert list(tmp_path.iterdir()) == []


def test_steps_on_the_cpu_cannot_be_captured() -> None:
    with pytest.raises(ValueError, match="only a step on a GPU can be captured"):
        CapturedSteps(engine_of("gan"))


def test_batch_norm_cannot_freeze_on_the_way_through_a_captured_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="A captured step cannot change its mode: leave out capture, or freeze_bn_from"):
        train("gan", "ring", tmp_path / "run", steps=5, capture=True, freeze_bn_from=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("chosen", "own", "device", "processes", "wanted"),
    [
        ({}, {}, "cuda", 1, True),
        ({}, {}, "cpu", 1, False),
        ({}, {}, "cuda", 2, False),
        ({}, {"D": Looks}, "cuda", 1, False),
        ({"freeze_bn_from": 5}, {}, "cuda", 1, False),
        ({"capture": False}, {}, "cuda", 1, False),
        ({"capture": True}, {"D": Looks}, "cuda", 1, True),
    ],
    ids=["on a GPU", "on a CPU", "two processes", "a user's network", "a mode that changes", "unwanted", "asked for"],
)
def test_steps_are_captured_by_themselves_where_all_are_known_to_do_the_same(
    chosen: dict[str, Any], own: Any, device: str, processes: int, wanted: bool
) -> None:
    method, settings = resolve("gan", (2,), chosen={"width": 4, **chosen})
    networks = build_networks(method, settings, (2,), 0, own)
    assert captures(method, settings, networks, torch.device(device), processes) is wanted


def test_a_method_of_others_is_not_captured_unasked() -> None:
    _, settings = resolve("gan", (2,))
    assert not captures(Mean(), settings, {"G": nn.Linear(1, 1)}, torch.device("cuda"), 1)


def test_a_buffer_that_was_assigned_lies_where_it_lay_with_its_new_content() -> None:
    network = TiedWithMemory()
    place, buffers = network.mean, Buffers([network])
    network(torch.ones(4, 2))
    assert network.mean is not place
    buffers.put_back()
    assert network.mean is place
    torch.testing.assert_close(place, torch.full((2,), 0.1))


# ----------------------------------------------------------------------------------------------------- with a GPU


def engine_on_gpu(name: str, *, own: Any = None, source: Any = "ring", **settings: Any) -> AnyEngine:
    data = open_data(source)
    method, resolved = resolve(name, data.shape, chosen={**EVERYTHING, "capture": True, **settings})
    return build_engine(method, resolved, data, device=torch.device("cuda"), own=own)


def floats(engine: AnyEngine) -> dict[str, Tensor]:
    """Weights, buffers, optimisers' state and averages."""
    return {key: value.detach().clone() for key, value in engine.state().items() if value.is_floating_point()}


def assert_alike(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        torch.testing.assert_close(value, theirs[key], rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}")


def assert_captured_equals_eager(name: str, tolerance: float, own: Any = None, **settings: Any) -> None:
    eager, captured = (engine_on_gpu(name, own=own, **settings) for _ in range(2))
    step = stepper(captured)
    for _ in range(STEPS):
        eager.step()
        step()
        if captured.step_number == CAPTURE_WARM_UP:
            warm = floats(captured)
    captured.check()
    assert captured.step_number == STEPS
    assert_alike(floats(captured), floats(eager), tolerance)
    assert captured.losses() == pytest.approx(eager.losses(), rel=100 * tolerance, abs=100 * tolerance)
    assert captured.schedule() == eager.schedule()
    moved = {key for key, value in floats(captured).items() if not torch.equal(value, warm[key])}
    for place in {key.rpartition("/")[0] for key in warm if key.startswith(("network/", "average/"))}:
        assert any(key.startswith(f"{place}/") for key in moved), f"no replay moved {place}"


@needs_gpu
@pytest.mark.parametrize("name", METHODS)
def test_every_method_captured_equals_eager(name: str) -> None:
    assert_captured_equals_eager(name, 1e-5)


@needs_gpu
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_every_optimiser_captured_equals_eager(optimizer: str) -> None:
    assert_captured_equals_eager("ivlsgan", 1e-5, optimizer=optimizer)


@needs_gpu
def test_bf16_captured_equals_eager() -> None:
    assert_captured_equals_eager("reg-gan", 1e-3, precision="bf16")


@needs_gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 2e-2)])
@pytest.mark.parametrize("seeds", [1, 3], ids=["one seed", "three at once"])
def test_convolutions_captured_equal_eager(precision: str, tolerance: float, seeds: int) -> None:
    """By plain descent, with kernels that always add up in the same order: else atomic sums and TF32 (a mantissa of 10
    bits) differ by 1e-3 of a gradient, of which Adam makes full steps wherever the gradient is rounding."""
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
    chosen = {"source": images, "precision": precision, "seeds": seeds, "optimizer": "sgd", "lr": 0.01, "lr_E": 0.01}
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=False):
        assert_captured_equals_eager("ivlsgan", tolerance, **chosen)


@needs_gpu
def test_micro_batches_captured_equal_eager() -> None:
    assert_captured_equals_eager("ivlsgan", 1e-5, accumulate=2)


class TiedWithMemory(nn.Module):
    """A layer used twice, and a buffer that is assigned: nothing that stacked seeds have a batched form of."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.score = nn.Linear(2, 2), nn.Linear(2, 1)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return self.score(self.layer(torch.tanh(self.layer(x - self.mean))))


@needs_gpu
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_users_network_captured_equals_eager(seeds: int) -> None:
    assert_captured_equals_eager("gan", 1e-5, own={"D": TiedWithMemory}, seeds=seeds)


@needs_gpu
def test_a_network_that_reads_a_number_back_is_refused() -> None:
    step = stepper(engine_on_gpu("gan", own={"D": Looks}, seeds=1))
    for _ in range(CAPTURE_WARM_UP):
        step()
    with pytest.raises(UserError, match=r"cannot be captured: .*leave out capture"):
        step()


@needs_gpu
def test_on_a_gpu_a_run_is_captured_by_itself() -> None:
    engine = engine_on_gpu("lsgan", capture=None)
    assert engine.options.capture and stepper(engine).__func__ is CapturedSteps.step  # type: ignore[attr-defined]


@needs_gpu
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_a_captured_run_is_the_run_without_capture(optimizer: str, tmp_path: Path) -> None:
    """Other kernels of the optimiser may round otherwise, and Adam turns a rounding of nought into a step."""
    found = []
    for capture in (False, True):
        out = tmp_path / str(capture)
        train("lsgan", "ring", out, **EVERYTHING, optimizer=optimizer, lr=1e-3, capture=capture, device="cuda")
        found.append({k: v for k, v in newest(out).items() if k.startswith(("network/", "average/"))})
    assert_alike(found[1], found[0], 1e-4)


# --------------------------------------------------------------------------------------------- known numbers


def linear_engine(rows: Tensor, lr: float, steps: int, schedule: str) -> Engine:
    network = nn.Linear(1, 1).cuda()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    rate = torch.tensor(lr, device="cuda")
    return Engine(
        Mean(),
        {"G": network},
        {"G": torch.optim.SGD(network.parameters(), rate, fused=True)},  # type: ignore[arg-type]
        data=SimpleNamespace(batch=lambda position, part=0, parts=1: rows),
        prior=SimpleNamespace(rows=lambda count, device: rows),  # type: ignore[arg-type]
        seeds=[0],
        device=torch.device("cuda"),
        options=EngineOptions(batch=len(rows), steps=steps, lr_schedule=Schedule.parse(schedule)),
    )


@needs_gpu
def test_replays_take_each_steps_own_learning_rate() -> None:
    """Rate 2, gradient 1: steps of 2 for the first half, then of 1."""
    engine = linear_engine(torch.ones(4, 1, device="cuda"), 2.0, 8, "0:1,0.5:0.5")
    steps, path = CapturedSteps(engine), []
    for _ in range(8):
        steps.step()
        path.append(engine.networks["G"].weight.item())
    assert path == pytest.approx([-2, -4, -6, -8, -9, -10, -11, -12])


@needs_gpu
def test_a_replay_that_went_wrong_is_named_with_its_step_and_a_large_finite_gradient_is_not() -> None:
    rows = torch.ones(4, 1, device="cuda")
    engine = linear_engine(rows, 1e-30, 8, "1")
    steps = CapturedSteps(engine)
    for _ in range(5):
        steps.step()
    rows.fill_(1e30)  # read in place by the graph; its square is infinite
    steps.step()
    engine.check()
    rows.fill_(float("nan"))
    steps.step()
    rows.fill_(1.0)
    steps.step()
    with pytest.raises(NonFiniteError, match="stopped at step 6: the loss term 'mean' of G is not a finite number"):
        engine.check()


# -------------------------------------------------------------------------------------------------------- resuming


class StopAt(Listener):
    """Sends this process Ctrl-C at a step."""

    def __init__(self, step: int):
        self.at = step

    def stepped(self, step: int, steps: int) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def newest(run: Path) -> dict[str, Tensor]:
    found = checkpoint.load_newest(run / "checkpoints")
    assert found is not None
    return found.tensors


@needs_gpu
@pytest.mark.parametrize("stop", [2, 6], ids=["before the capture", "after it"])
def test_a_captured_run_goes_on_from_its_checkpoint(stop: int, tmp_path: Path) -> None:
    def run(out: str, listener: Listener | None = None) -> Any:
        settings = {**EVERYTHING, "steps": 14, "capture": True, "device": "cuda"}
        return train("ivlsgan", "ring", tmp_path / out, listener=listener, **settings)

    assert run("straight").finished
    assert run("stopped", StopAt(stop)).step == stop
    assert run("stopped").finished
    assert_alike(newest(tmp_path / "stopped"), newest(tmp_path / "straight"), 1e-5)
