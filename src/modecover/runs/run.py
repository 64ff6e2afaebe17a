"""`train`: from a method's name and data to trained models, in a run folder that can be taken up again."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from modecover.data import Dataset, open_data
from modecover.data.base import MEMORY_LIMIT
from modecover.data.opening import Source
from modecover.data.scaling import Scaling
from modecover.engine.processes import choose_device, join
from modecover.errors import UserError
from modecover.kinds import shown
from modecover.limits import within_limits
from modecover.methods import registry
from modecover.methods.base import Method
from modecover.networks import PRESETS
from modecover.runs.alarm import Look, read_bounds
from modecover.runs.build import OwnNetworks, build_engine, has_batch_norm
from modecover.runs.evaluation import Evaluations, evaluator_for
from modecover.runs.fitting import seconds_of_a_step
from modecover.runs.listener import Listener, Listeners
from modecover.runs.loop import Loop
from modecover.runs.model import GenerativeModel, Labels
from modecover.runs.records import Description, RunFolder, multiplies_bf16
from modecover.runs.settings import MAY_CHANGE, Settings, resolve
from modecover.runs.trackers import Tracking, require_tracker

SLOW_STEP = 10  # seconds, of which the user is told before it begins


@dataclass(repr=False)
class Run:
    """A training run: while it goes on, and finished or stopped.

    Attributes:
        method, settings: as resolved.
        folder: where the run lies; None where nothing was written.
        models: one for each seed, in order.
        evaluations: (step, numbers of each seed) in order; the last entry is that of the end.
        control: the same numbers for fresh samples of the data itself.
        step: how many steps are done.
        finished: whether these are all.
        alarm: what the alarm found at its last look; None without an alarm, and before its first look. Where it has
            `tripped`, the run was stopped, and `models` and `step` are those of the last model that was good.
        interrupted: whether a signal (Ctrl-C) ended it before its steps or its minutes were over.
    """

    method: Method
    settings: Settings
    folder: Path | None = None
    models: list[GenerativeModel] = field(default_factory=list)
    evaluations: Evaluations = field(default_factory=list)
    control: dict[str, float] | None = None
    step: int = 0
    finished: bool = False
    interrupted: bool = False
    alarm: Look | None = None

    def sample(self, count: int, seed: int = 0, *, labels: Labels | None = None) -> Tensor:
        """`count` samples of the first seed's model, shape (count, *shape); images in [-1, 1]. Of a conditional model
        `labels` are the class of all, or of each."""
        return self.models[0].sample(count, seed, labels=labels)

    def __repr__(self) -> str:
        place = "" if self.folder is None else f", folder={str(self.folder)!r}"
        return (
            f"Run({self.method.title!r}, step={self.step}, seeds={len(self.models)}, finished={self.finished}{place})"
        )

    @property
    def alarmed(self) -> bool:
        """Whether the alarm has stopped the run, or the run has ended beyond a threshold that it never kept."""
        return self.alarm is not None and (self.alarm.tripped or (self.finished and self.alarm.beyond))

    @property
    def last(self) -> list[dict[str, float]]:
        """The numbers of each seed at the end of training."""
        return self.evaluations[-1][1] if self.evaluations else []


@within_limits()
def train(
    method: str | Method | type[Method],
    data: Source,
    out: Path | str | None = None,
    *,
    preset: str | None = None,
    protocol: str | None = None,
    networks: str | OwnNetworks | None = None,
    size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    data_dir: Path | str | None = None,
    split: str = "train",
    key: str | Sequence[str] | None = None,
    labels: ArrayLike | str | None = None,
    layout: str | None = None,
    value_range: str | None = None,
    memory_limit: int | str = MEMORY_LIMIT,
    alarm: Mapping[str, float] | None = None,
    listener: Listener | Sequence[Listener] | None = None,
    **settings: Any,
) -> Run:
    """Train a method on data. The same call with the same `out` continues a run that was stopped.

    Args:
        method: a name that `modecover list` shows; or a `Method` of your own, as a class or with its settings.
        data: whatever `open_data` takes: a name, a path, an array, a tensor.
        out: the run folder; None writes nothing.
        preset: one of the method's own presets.
        protocol: a benchmark protocol of the literature (see `modecover.runs.settings`), or "none".
        networks: a preset of networks by name; or your own modules by the method's names, for example
            `{"G": my_generator}`.
        size, crop, channels, data_dir, split, key, labels, layout, value_range, memory_limit: as for `open_data`.
            Images of a side the networks cannot make are resized to the nearest that they can, unless `size` is given.
        alarm: shares at which a run that fails is stopped: {"missing": 0.2} where it misses a fifth of the data, having
            missed less before. See `modecover.runs.alarm`.
        listener: is told of progress: what you make of `modecover.Listener`, or several of these.
        settings: fields of the method and of `Settings`, by name.

    Raises:
        UserError: something in the input is wrong; nothing was lost.
        NonFiniteError: a loss or gradient became infinite or NaN; the last checkpoint is kept.
    """
    # What is wrong is told before anything is opened.
    for argument, given, kind, give in (
        ("out", out, os.PathLike | str, "the path of a folder"),
        ("preset", preset, str, "the name of one of the method's presets"),
        ("protocol", protocol, str, "the name of a protocol"),
        ("networks", networks, Mapping | str, "the name of a preset, or your modules by the method's names for them"),
    ):
        empty = isinstance(given, str) and not given.strip()
        if given is not None and (empty or not isinstance(given, kind)):
            raise UserError(f"{argument} is {shown(given)}: give {give}, or leave it out.")
    _require_samples(data)
    bounds = read_bounds(alarm)
    listener = _one_listener(listener)
    require_tracker(settings.get("report_to"), out)
    name = registry.name_of(method)
    if isinstance(method, Method):
        settings = {**method.settings(), **settings}
    if isinstance(settings.get("device"), torch.device):
        settings["device"] = str(settings["device"])
    if isinstance(networks, str):
        settings["networks"] = networks
    own = networks if isinstance(networks, Mapping) else None

    # The data decide on settings, and both on the networks.
    opening: dict[str, Any] = {"channels": channels, "data_dir": data_dir, "split": split, "key": key, "labels": labels}
    opening |= {"crop": crop, "layout": layout, "value_range": value_range, "memory_limit": memory_limit}
    dataset = open_for_networks(name, data, settings.get("networks", "auto"), own, listener, size=size, **opening)
    chosen_method, resolved = resolve(name, dataset.shape, preset=preset, protocol=protocol, chosen=settings)
    device = choose_device(resolved.device)
    processes = join(device)
    scaling = _scaling(dataset, resolved.standardize, listener)
    engine = build_engine(
        chosen_method,
        resolved,
        dataset,
        device=device,
        own=own,
        processes=processes,
        scaling=scaling,
        progress=partial(listener.preparing, "networks of each seed"),
    )
    if resolved.accumulate > 1 and any(has_batch_norm(network) for network in engine.networks.values()):
        listener.note(
            f"batch norm takes statistics over each of the {resolved.accumulate} micro-batches, not the whole batch: "
            f"{resolved.batch // resolved.accumulate} rows of {resolved.batch}, which is not the run of accumulate=1"
        )
    if device.type == "cuda" and resolved.capture is None and not engine.options.capture:
        listener.note(
            "steps are not captured as a CUDA graph, which would make small ones faster: that is done by itself where "
            "methods and networks are modecover's own, in one process and without freeze_bn_from; capture=True tries it"
        )
    if device.type == "cpu" and resolved.precision == "bf16" and not multiplies_bf16():
        listener.note(
            "this processor has no instructions for bf16, as none of its flags names it: steps may take ten times as "
            "long as in fp32"
        )
    if device.type == "cpu" and (seconds := seconds_of_a_step(resolved, engine.networks)) > SLOW_STEP:
        listener.note(
            f"a step of {resolved.batch:,} rows takes {seconds:,.0f} seconds or more on this processor, in which "
            "nothing is shown; a smaller batch makes shorter ones"
        )

    # The first process alone writes and judges.
    with ExitStack() as stack:
        folder = evaluator = None
        if out is not None and processes.first:
            own_settings = {f"method.{key}": value for key, value in chosen_method.settings().items()}
            described = {**resolved.as_dict(), **own_settings, **({"alarm": bounds} if bounds else {})}
            description = Description(name, dataset.name, dataset.fingerprint, described, dataset.opened)
            folder = stack.enter_context(RunFolder(out, description, may_differ=MAY_CHANGE | {"alarm"}))
        if processes.first and resolved.report_to is not None:
            tracking = Tracking(resolved.report_to, None if folder is None else folder.path, listener)
            stack.callback(tracking.close)
            listener = Listeners([listener, tracking])
        if processes.first:
            evaluator = evaluator_for(
                dataset,
                resolved.evaluate_samples,
                listener.preparing,
                features=resolved.evaluate_features,
                device=device,
            )
        run = Run(chosen_method, resolved, folder=None if folder is None else folder.path)
        path = None if out is None else Path(out)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            Loop(engine, run, dataset, name, scaling, path, folder, evaluator, bounds, listener).train()
    listener.ended(run)
    return run


def _one_listener(given: Any) -> Listener:
    """What hears all that `train` was given to tell; `UserError` where that is no listener."""
    several = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
    for each in several:
        if not isinstance(each, Listener):
            raise UserError(f"listener is {shown(each)}: give an instance of modecover.Listener, or leave it out.")
    return several[0] if len(several) == 1 else Listeners(several)


def _require_samples(data: Any) -> None:
    """Raise `UserError` where `data` can be no samples."""
    empty = isinstance(data, str) and not data.strip()
    if data is None or empty or isinstance(data, bool | int | float | complex | bytes | type) or callable(data):
        raise UserError(
            f"data is {shown(data)}: give a name, for example 'ring', a path, or the samples as an array or tensor."
        )


def _scaling(dataset: Dataset, standardize: str, listener: Listener) -> Scaling | None:
    """How the networks of a run see the rows of its data, by the setting; None for as they are."""
    if len(dataset.shape) != 1:
        if standardize == "on":
            raise UserError("standardize is for points: images are learned in [-1, 1]. Leave it out.")
        return None
    if dataset.size is None:
        rows = dataset.sample(10_000, torch.Generator(dataset.device).manual_seed(0))
    else:
        rows = dataset.exact(torch.arange(dataset.size))
    scaling = Scaling.of(rows) if dataset.encoding is None else dataset.encoding.scaling
    if standardize == "on" or (standardize == "auto" and dataset.own_units):
        return scaling
    if told := scaling.uneven():
        listener.note(
            f"{told}, and networks see points as they are, which may end in losses that are no numbers: standardize=on "
            "gives every coordinate mean 0 and deviation 1"
        )
    return None


def open_for_networks(
    method: str,
    data: Source,
    networks: str,
    own: OwnNetworks | None,
    listener: Listener,
    *,
    size: int | None = None,
    memory_limit: int | str = MEMORY_LIMIT,
    **opening: Any,
) -> Dataset:
    """The data, resized where convolutional networks are to be built that cannot make images of its size.

    `own` are those of the method's networks that the user gives, `networks` is the preset of the others, and the rest
    as for `open_data`.
    """
    built = set(registry.get(method).roles()) - set(own or {})
    dataset = open_data(data, size=size, memory_limit=memory_limit, progress=listener.preparing, **opening)
    preset = PRESETS.get("dcgan" if networks == "auto" else networks)
    if size is not None or len(dataset.shape) != 3 or preset is None or not preset.sides or not built:
        return dataset
    _, height, width = dataset.shape
    if height == width and height in preset.sides:
        return dataset
    side = min(preset.sides, key=lambda side: abs(math.log(side / min(height, width))))
    listener.note(f"images of {height}x{width} are resized to {side}x{side} (--size chooses another side)")
    return dataset.resized(side, memory_limit, listener.preparing)
