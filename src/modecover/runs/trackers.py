"""Runs told to TensorBoard, trackio or wandb: one listener, and what each of these wants of it.

`log.jsonl` and `samples/` hold the same in any case; a tracker that breaks down never ends a run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
import torch

from modecover.data import Dataset
from modecover.data.base import needs
from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.methods.base import Method
from modecover.pictures.curves import numbers_in
from modecover.runs.listener import Listener
from modecover.runs.records import read_run

if TYPE_CHECKING:
    from modecover.runs.settings import Settings

Tracker = Literal["tensorboard", "trackio", "wandb"]
PROJECT = "modecover"  # where the environment names none, as in WANDB_PROJECT


class Sink(Protocol):
    """Where a run is told to."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a step by name."""

    def picture(self, step: int, path: Path) -> None:
        """A picture of samples."""

    def close(self) -> None:
        """The run is over, or stopped."""


class TensorBoard:
    """Event files in a folder; those of later steps than `step`, from before a resumption, are hidden."""

    def __init__(self, folder: Path, *, step: int = 0):
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def picture(self, step: int, path: Path) -> None:
        from PIL import Image

        with Image.open(path) as image:
            self._writer.add_image("samples", np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class Service:
    """A run of trackio or wandb, which have the same functions by the same names."""

    def __init__(self, module: Any, run: Any):
        self._module, self._run = module, run

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def picture(self, step: int, path: Path) -> None:
        self._run.log({"samples": self._module.Image(str(path))}, step=step)

    def close(self) -> None:
        self._run.finish()


class Tracking(Listener):
    """Tells a tracker the losses at logging steps, evaluations, and pictures of samples.

    Args:
        tracker: which.
        folder: of the run; None where nothing is written.
        listener: is told where the tracker breaks down; no more is told to the tracker from there.

    Raises:
        UserError: its package is not installed, or it needs a folder and there is none.
    """

    def __init__(self, tracker: Tracker, folder: Path | None, listener: Listener):
        require_tracker(tracker, folder)
        self._tracker, self._folder, self._listener = tracker, folder, listener
        self._sink: Sink | None = None
        self._step, self._name, self._config, self._broken = 0, PROJECT, dict[str, Any](), False
        self._seeds: Sequence[int] = ()

    def started(
        self, method: Method, settings: Settings, data: Dataset, seeds: Sequence[int], device: torch.device
    ) -> None:
        self._seeds = seeds
        self._name = f"{method.title} on {data.name}"
        own = {f"method.{name}": value for name, value in method.settings().items()}
        self._config = {"method": method.title, "data": data.name, **settings.as_dict(), **own}

    def resumed(self, step: int) -> None:
        self._step = step

    def logged(self, step: int, losses: Mapping[str, float], steps_per_second: float) -> None:
        self._tell(lambda sink: sink.write(step, self._named({"losses": losses, "steps_per_second": steps_per_second})))

    def evaluated(self, step: int, numbers: Sequence[Mapping[str, float]], headline: Sequence[str]) -> None:
        rows = {name: [row[name] for row in numbers] for name in numbers[0]}
        self._tell(lambda sink: sink.write(step, self._named({"evaluation": rows})))

    def sampled(self, step: int, path: Path) -> None:
        self._tell(lambda sink: sink.picture(step, path))

    def close(self) -> None:
        """The run is over, stopped or broken off."""
        if self._sink is not None:
            self._tell(lambda sink: sink.close())

    def _named(self, row: Mapping[str, Any]) -> dict[str, float]:
        """The numbers of a row by the names under which they are shown: losses/G/adversarial, evaluation/kl/seed-3."""
        named = {}
        for names, place, value in numbers_in(row):
            seed = f"/seed-{self._seeds[int(place[1:])]}" if place else ""
            named["/".join(names) + seed] = value
        return named

    def _tell(self, act: Callable[[Sink], None]) -> None:
        if self._broken:
            return
        try:
            if self._sink is None:
                self._sink = self._opened()
            act(self._sink)
        except (Exception, SystemExit) as error:  # of a server, a network, a disk: no reason to lose the run
            self._broken = True
            said = f"{type(error).__name__}: {first_line(error)}"
            self._listener.note(
                f"{self._tracker} takes no more of this run ({said}): log.jsonl and samples/ hold it all."
            )

    def _opened(self) -> Sink:
        if self._tracker == "tensorboard":
            assert self._folder is not None, "see `require_tracker`"
            return TensorBoard(self._folder / "tensorboard", step=self._step)
        module = needs(self._tracker, "report_to")
        options: dict[str, Any] = {"project": os.environ.get(f"{self._tracker.upper()}_PROJECT", PROJECT)}
        options |= {"name": self._name, "config": self._config}
        if self._folder is not None:
            # A start that resumes goes on with the same run there, which is known by what its first start wrote.
            first = json.dumps(read_run(self._folder)["starts"][0], sort_keys=True)
            identity = hashlib.sha256(first.encode()).hexdigest()[:10]
            options["name"] = f"{self._folder.resolve().name}-{identity[:6]}"  # by which trackio knows it
            options["resume"] = "allow"
            if self._tracker == "wandb":
                options |= {"id": identity, "dir": str(self._folder)}
        return Service(module, module.init(**options))


def require_tracker(tracker: Any, folder: Path | str | None) -> None:
    """Raise `UserError` where a tracker cannot be told to; what is no tracker at all is for the settings to say."""
    if not isinstance(tracker, str) or tracker not in get_args(Tracker):
        return
    if tracker == "tensorboard":
        needs(tracker, "report_to", "pip install 'modecover[tensorboard]'")
        if folder is None:
            raise UserError("report_to is 'tensorboard', which writes into the run folder: give out, the folder.")
    else:
        needs(tracker, "report_to")
