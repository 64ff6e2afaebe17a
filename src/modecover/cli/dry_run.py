"""One step of a run, to see its schedule of updates, its networks and what it costs; nothing is kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import torch

from modecover.cli.flags import shown_value
from modecover.cli.progress import Display, duration
from modecover.data import open_data
from modecover.engine.processes import choose_device
from modecover.methods.base import Method
from modecover.runs.build import build_engine
from modecover.runs.listener import Listener
from modecover.runs.resolve import resolve
from modecover.runs.run import open_for_networks
from modecover.runs.settings import Settings

TIMED_STEPS = 3


class _Notes(Listener):
    def note(self, sentence: str) -> None:
        print(f"note       {sentence}")


def dry_run(
    name: str,
    data: Any,
    opening: Mapping[str, Any],
    *,
    preset: str | None = None,
    protocol: str | None = None,
    **chosen: Any,
) -> None:
    """Print what `train` with these arguments would do at each step, after doing a few steps.

    `opening`: options of `open_data`; `chosen`: settings of the method and of training.
    """
    dataset = open_for_networks(name, data, chosen.get("networks", "auto"), None, _Notes(), **opening)
    method, settings = resolve(name, dataset.shape, preset=preset, protocol=protocol, chosen=chosen)
    device = choose_device(settings.device)
    with Display() as display:
        engine = build_engine(
            method,
            settings,
            dataset,
            device=device,
            progress=lambda done, total: display.preparing("networks of each seed", done, total),
        )
    sizes = {key: sum(p.numel() for p in net.parameters()) // settings.seeds for key, net in engine.networks.items()}
    print(f"data       {dataset.name}, samples of shape {dataset.shape}")
    print(f"networks   {', '.join(f'{key} {count:,} weights' for key, count in sizes.items())}")
    print(f"settings   {_listed({**method.settings(), **_unusual(settings)})}", flush=True)  # a step may take minutes
    engine.step()
    print(f"schedule   {engine.schedule()}", flush=True)
    start = time.perf_counter()
    for _ in range(TIMED_STEPS):
        engine.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = (time.perf_counter() - start) / TIMED_STEPS
    whole = duration(seconds * settings.steps)
    print(f"cost       {seconds:.3g} s a step on {device}: {settings.steps:,} steps take about {whole}")


def schedule(method: Method) -> str:
    """The updates of one step, such as "D x5 -> G", seen by doing one on a small problem of points."""
    small = Settings(batch=16, latent=4 * (method.classes or 1), prior="normal", networks="mlp", width=8)
    engine = build_engine(method, small, open_data("ring"), device=torch.device("cpu"))
    engine.step()
    return engine.schedule()


def _unusual(settings: Settings) -> dict[str, Any]:
    """The training settings that are not their field's default."""
    usual = {field.name: field.default for field in dataclasses.fields(settings)}
    return {name: value for name, value in settings.as_dict().items() if value != usual[name]}


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown_value(value)}" for name, value in values.items())
