"""Our side: engines as a run builds them, what steps them, and where the time of a step goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from floors import double_precision
from torch import Tensor, nn

from modecover.data import Dataset, open_data
from modecover.engine import replay
from modecover.engine.engine import Engine
from modecover.engine.side_by_side import AnyEngine
from modecover.random import derive_seed
from modecover.runs.build import build_engine
from modecover.runs.settings import resolve

PARTS = ("data", "forward and all else", "backward", "optimiser")


def engine_of(name: str, data: Dataset, *, protocol: str | None = None, device: str = "cpu", **chosen: Any) -> Any:
    """The engine of a long run, before its first step: an `Engine`, or one of seeds side by side."""
    method, settings = resolve(name, data.shape, protocol=protocol, chosen={"steps": 10**6, **chosen})
    return build_engine(method, settings, data, device=torch.device(device))


def stepper(engine: AnyEngine) -> Callable[[], None]:
    """What a run calls for a step of this engine: the only line here that knows how."""
    return replay.stepper(engine)


def pictures(count: int, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth coloured patches, uint8 (count, side, side, 3): what they show does not matter to the time of a step."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    fine = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear", align_corners=False)
    return (fine * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def operations(step: Callable[[], object], steps: int, device: str = "cpu") -> dict[str, float]:
    """Seconds of one step by outermost operation, as torch's profiler sees them: its own cost is in them, so look at
    the shares. On a GPU the seconds of the kernels they launched."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] if device == "cuda" else []
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(steps):
            step()
    found: defaultdict[str, float] = defaultdict(float)
    for event in profile.events() or ():
        if event.cpu_parent is None and event.device_type == torch.autograd.DeviceType.CPU:
            time = event.device_time_total if device == "cuda" else event.cpu_time_total
            found[event.name] += time / 1e6 / steps
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def parts(of: Mapping[str, float]) -> list[str]:
    """Operations summed into `PARTS`, as shares: of steps that go through autograd, which a replayed one does not."""
    found = dict.fromkeys(PARTS, 0.0)
    for name, seconds in of.items():
        found[_part(name)] += seconds
    return [f"{found[part] / (sum(found.values()) or 1):.0%}" for part in PARTS]


def largest(of: Mapping[str, float], count: int = 8) -> str:
    """The operations that take most of a step, in one line."""
    total = sum(of.values()) or 1.0
    return ", ".join(
        f"{name.removeprefix('aten::')} {seconds / total:.0%}" for name, seconds in list(of.items())[:count]
    )


def _part(event: str) -> str:
    if event.startswith(("enumerate(DataLoader)", "data")):
        return "data"
    if event.startswith("Optimizer."):
        return "optimiser"
    return "backward" if event.startswith("autograd::engine") else "forward and all else"


def with_named_data(engine: Engine) -> Engine:
    """The engine with its minibatches under a name of their own in a profile."""
    read = engine.read_batch

    def named(index: int, part: int) -> Tensor:
        with torch.profiler.record_function("data"):
            return read(index, part)

    return _reading(engine, named)


def _reading(engine: Engine, read: Callable[[int, int], Tensor]) -> Engine:
    """The engine with another source of minibatches, whichever way its steps ask for them."""
    vars(engine)["read_batch"] = read
    return engine


# ------------------------------------------------------------------------------------------- do both compute the same?

RATE = 2.0**-10
"""Learning rate of the steps of gradient descent by which gradients are read off: a power of two loses no digits."""


@dataclass(frozen=True)
class SeedStep:
    """A step of one of our seeds, in float64, as whoever writes it out again needs it.

    Attributes:
        number: of the step.
        networks: G, E, D by name, before the step.
        x: the minibatch.
        gradients: of each network, those it moved on, in the order of its parameters.
    """

    seed: int
    number: int
    networks: dict[str, nn.Module]
    x: Tensor
    gradients: dict[str, list[Tensor]]

    def put_generator(self) -> None:
        """Put torch's own generator where this seed's stream was when the step began."""
        torch.manual_seed(derive_seed(self.seed, "step", self.number))


def a_step(name: str, data: Dataset, number: int, **chosen: Any) -> list[SeedStep]:
    """Step `number` of each stacked seed, through whatever way the engine takes by then.

    All steps before it see the same minibatch, and move so little that they are still the first weights, nearly.
    """
    descent = {"optimizer": "sgd", **dict.fromkeys(("lr", "lr_G", "lr_D", "lr_E"), RATE), "weight_decay_E": 0.0}
    # Networks that hold float64 are refused to users; here they are wanted.
    with double_precision(), mock.patch("modecover.runs.build.check_network"):
        engine = engine_of(name, data, **{**chosen, **descent})
        batch = engine.read_batch(0, 0).double()
        step = stepper(_reading(engine, lambda index, part: batch))
        for _ in range(number):
            step()
        before = _by_seed(engine)
        step()
        after = _by_seed(engine)
    rows = batch.chunk(len(engine.seeds))
    return [
        SeedStep(seed, number, old, x, {network: _moved_on(old[network], new[network]) for network in old})
        for seed, x, old, new in zip(engine.seeds, rows, before, after, strict=True)
    ]


def _by_seed(engine: Engine) -> list[dict[str, nn.Module]]:
    return [{name: engine.network(name, i) for name in engine.networks} for i in range(len(engine.seeds))]


def _moved_on(before: nn.Module, after: nn.Module) -> list[Tensor]:
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return [(old.detach() - new.detach()) / RATE for old, new in pairs]


def disagreement(ours: Mapping[str, Sequence[Tensor]], theirs: Mapping[str, Sequence[Tensor]]) -> float:
    """The largest difference of a gradient, as a share of the largest number in the gradient of its parameter."""
    worst = 0.0
    for network, mine in ours.items():
        for a, b in zip(mine, theirs[network], strict=True):
            worst = max(worst, float((a - b.reshape(a.shape)).abs().max() / b.abs().max().clamp_min(1e-12)))
    return worst


def generated(side: int, count: int = 512) -> Dataset:
    """Generated images as a run would open them."""
    return open_data(pictures(count, side))
