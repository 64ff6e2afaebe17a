"""The loop: step, log, look, evaluate, save; stop when told to, and go on from where a run stopped."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from modecover import __version__
from modecover.data import Dataset
from modecover.data.scaling import Scaling
from modecover.engine.engine import Engine
from modecover.engine.recorded import stepper
from modecover.files import write_json
from modecover.methods.roles import is_discriminator
from modecover.pictures.curves import curves_picture
from modecover.pictures.images import save_png_atomic
from modecover.pictures.saving import prepare_pictures, samples_picture
from modecover.runs import checkpoint
from modecover.runs.evaluation import Evaluator
from modecover.runs.interludes import SHARE, Interlude
from modecover.runs.listener import Listener
from modecover.runs.log import JsonLines, TensorBoardSink, read_log, with_numbers
from modecover.runs.model import GenerativeModel
from modecover.runs.records import RunFolder, git_commit, hardware, versions
from modecover.runs.settings import Settings
from modecover.runs.stopping import asked_to_stop

SECONDS_BETWEEN_CHECKPOINTS = 60.0

FIRST_PICTURE = 32
"""The step of the first picture of samples by default."""


class Loop:
    """Runs an engine to the end of its settings.

    Args:
        engine: at its first step; it is put where the run stopped, if the folder holds a checkpoint.
        settings: resolved.
        dataset: for the target in pictures.
        path: the run folder, None where nothing is written. All processes read it; the first alone writes.
        folder: the open run folder in the process that writes.
        evaluator: judges samples; None where modes are not known.
        listener: is told of everything.
        method_name: as the registry has it, for the model files.
        scaling: how the engine sees rows; undone in all that is shown, judged and kept.

    Attributes:
        evaluations: (step, numbers of each seed).
        control: the evaluator's numbers for real data.
        finished: whether all steps are done.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        dataset: Dataset,
        path: Path | None,
        folder: RunFolder | None,
        evaluator: Evaluator | None,
        listener: Listener,
        method_name: str = "",
        scaling: Scaling | None = None,
    ):
        self.method_name, self.scaling = method_name, scaling
        self.engine, self.settings, self.dataset = engine, settings, dataset
        self.path, self.folder, self.evaluator, self.listener = path, folder, evaluator, listener
        self.evaluations: list[tuple[int, list[dict[str, float]]]] = []
        self.control: dict[str, float] | None = None
        self.finished = self.interrupted = False
        self._logs: list[JsonLines | TensorBoardSink] = []
        tenth = max(1, settings.steps // 10)
        self._log_every = settings.log_every or max(1, min(100, settings.steps // 100))
        self._pictures = Interlude(settings.sample_every, tenth, first=FIRST_PICTURE)
        self._judging = Interlude(settings.evaluate_every, tenth)
        self._skipped = False
        self._spent_before = {"seconds": 0.0, "processor_seconds": 0.0}
        self._step = stepper(engine, capture=settings.capture)

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Train until the last step, a signal, or the end of `settings.minutes`."""
        engine, steps = self.engine, self.settings.steps
        self._resume()
        self._begin = self._last_log = self._last_save = time.monotonic()
        self._begin_processor = time.process_time()
        self._logged_step = engine.step_number
        was_whole = self._agreed(self._is_whole())
        try:
            with asked_to_stop() as stop:
                while engine.step_number < steps:
                    self._step()
                    self.listener.stepped(engine.step_number, steps)
                    self._after_step()
                    if self._asked_to_stop(stop):
                        self.interrupted = stop.is_set()
                        break
                self.finished = engine.step_number >= steps
                if not was_whole:
                    self._finish()
        finally:
            for log in self._logs:
                log.close()

    def _is_whole(self) -> bool:
        """Whether an earlier start has ended this run and written all of it: then nothing is touched, so that the
        summary keeps the commit and the machine that its numbers come from."""
        if self.folder is None or self.engine.step_number < self.settings.steps:
            return False
        try:
            summary = with_numbers(json.loads((self.folder.path / "summary.json").read_text("utf-8")))
        except (OSError, ValueError):
            return False
        whole = summary.get("finished") is True and summary.get("steps") == self.engine.step_number
        if not whole or (self.evaluator is not None and "control" not in summary):
            return False
        self.control = summary.get("control")
        return True

    def _after_step(self) -> None:
        step, settings = self.engine.step_number, self.settings
        at_log = step % self._log_every == 0 or step == 1
        if at_log:
            self._write_log()
        if step < settings.steps:
            if self._is_due(self._pictures):
                self._sample()
            if self._is_due(self._judging):
                self._evaluate()
            elif self._judging.falls_on(step) and not self._skipped:
                self._skipped = True
                self.listener.note(
                    f"evaluations take more than {SHARE:.1%} of the time, so some are skipped; --evaluate-every N has "
                    "one at every N steps"
                )
        if settings.checkpoint_every:
            if step % settings.checkpoint_every == 0:
                self._save()
        elif at_log and self._agreed(time.monotonic() - self._last_save > SECONDS_BETWEEN_CHECKPOINTS):
            self._save()

    def _asked_to_stop(self, stop: threading.Event) -> bool:
        over = self.settings.minutes is not None and time.monotonic() - self._begin > 60 * self.settings.minutes
        wish = stop.is_set() or over
        # Several processes must stop at the same step: they vote now and then.
        if self.engine.processes.count > 1 and self.engine.step_number % 10:
            return False
        return self._agreed(wish)

    def _agreed(self, wish: bool) -> bool:
        return self.engine.processes.any(wish, self.engine.device)

    # ------------------------------------------------------------------ log, pictures, numbers

    def _write_log(self) -> None:
        if self.engine.device.type != "cpu":
            self.engine.check()
        losses = self.engine.losses()
        now, step = time.monotonic(), self.engine.step_number
        speed = (step - self._logged_step) / max(now - self._last_log, 1e-9)
        self._last_log, self._logged_step = now, step
        self._write({"step": step, "steps_per_second": round(speed, 3), "losses": losses})
        self.listener.logged(step, losses, speed)

    def _write(self, row: Mapping[str, Any]) -> None:
        for log in self._logs:
            log.write(row)

    def _sample(self) -> None:
        """A picture of samples from noise that is the same at every step."""
        self.engine.share_batch_statistics()
        if self.folder is None:
            return
        prepare_pictures(self.dataset)
        with self._pictures.timed(), self.engine.evaluating():
            count = 1000 if len(self.dataset.shape) == 1 else (64 if len(self.engine.seeds) == 1 else 8)
            samples = self._samples(count, "picture", average=self.engine.averaged)
            picture = samples_picture(samples, self.dataset, self.engine.seeds)
            if picture is None:
                return
            path = save_png_atomic(picture, self.folder.samples / f"step-{self.engine.step_number:09d}.png")
        self.listener.sampled(self.engine.step_number, path)

    def _samples(self, count: int, key: str, *, average: bool) -> Tensor:
        """Samples of every seed in the data's units, (S, count, *shape), on the CPU."""
        rows = self.engine.sample(count, average=average, key=key).cpu()
        return rows if self.scaling is None else self.scaling.undo(rows)

    def _is_due(self, interlude: Interlude) -> bool:
        """Whether it comes now. Several processes keep to the steps alone: they join their batch statistics for it,
        and a clock would decide how often."""
        timeless = self.engine.processes.count > 1
        has_time = timeless or interlude.has_time(time.monotonic() - self._begin)
        return interlude.falls_on(self.engine.step_number) and has_time

    def _evaluate(self) -> None:
        self.engine.share_batch_statistics()
        if self.evaluator is None:
            return
        step = self.engine.step_number
        with self._judging.timed(), self.engine.evaluating():
            raw = self._samples(self.evaluator.samples, "evaluation", average=False)
            numbers = [self.evaluator.judge(samples) for samples in raw]
            if self.engine.averaged:
                mean = self._samples(self.evaluator.samples, "evaluation", average=True)
                for row, samples in zip(numbers, mean, strict=True):
                    row |= {f"ema_{name}": value for name, value in self.evaluator.judge(samples).items()}
        self.evaluations = [entry for entry in self.evaluations if entry[0] < step] + [(step, numbers)]
        self._write({"step": step, "evaluation": {name: [row[name] for row in numbers] for name in numbers[0]}})
        self.listener.evaluated(step, numbers, self.evaluator.headline)

    # ------------------------------------------------------------------ saving and resuming

    def _resume(self) -> None:
        self.engine.processes.barrier()  # the first process may still be making the folder
        engine = self.engine
        found = None if self.path is None else checkpoint.load_newest(self.path / "checkpoints")
        self.listener.started(engine.method, self.settings, self.dataset, engine.seeds, engine.device)
        if found is not None:
            engine.load(found.tensors)
            self.evaluations = [(step, rows) for step, rows in found.record["evaluations"]]
            self._note_other_steps(found.record["steps"])
            self._spent_before = found.record.get("spent", self._spent_before)
            self.listener.resumed(found.step)
            if found.step >= self.settings.steps:
                self.listener.note(
                    f"nothing is left to train: {found.step:,} of {self.settings.steps:,} steps were done before. "
                    "Give more steps to go on."
                )
        if self.folder is not None:
            self._logs.append(self.folder.log(step=self.engine.step_number))
            if self.settings.tensorboard:
                self._logs.append(TensorBoardSink(self.folder.path / "tensorboard", step=self.engine.step_number))

    def _note_other_steps(self, before: int) -> None:
        options = self.engine.options
        constant = options.lr_schedule.constant is not None and options.instance_noise.constant is not None
        if before != self.settings.steps and not constant:
            self.listener.note(
                f"steps was {before} and is now {self.settings.steps}: schedules are fractions of it, so this run is "
                f"not what {self.settings.steps} steps from the start would have given."
            )

    def _save(self) -> None:
        self._last_save = time.monotonic()
        if self.path is None:
            return
        if self.engine.device.type != "cpu":
            self.engine.check()
        self.engine.share_batch_statistics()
        if self.folder is not None:
            evaluations = [list(entry) for entry in self.evaluations]
            record: dict[str, Any] = {"evaluations": evaluations, "steps": self.settings.steps, "spent": self._spent()}
            checkpoint.save(self.folder.checkpoints, self.engine.step_number, self.engine.state(), record)
            self.listener.saved(self.engine.step_number)

    def _spent(self) -> dict[str, float]:
        """Seconds of all starts of this run together: by the clock, and of this process on its processor."""
        now = {
            "seconds": time.monotonic() - self._begin,
            "processor_seconds": time.process_time() - self._begin_processor,
        }
        return {name: self._spent_before[name] + value for name, value in now.items()}

    def _finish(self) -> None:
        """Save first: what follows may take long, and may be interrupted."""
        self._save()
        if not self.evaluations or self.evaluations[-1][0] != self.engine.step_number:
            self._evaluate()
            self._save()
        self._sample()
        if self.folder is not None:
            self._draw_curves(self.folder)
            self._write_models(self.folder)
            self.control = None if self.evaluator is None else self.evaluator.control()
            write_json(self.folder.path / "summary.json", self._summary())
        elif self.evaluator is not None:
            self.control = self.evaluator.control()

    def _draw_curves(self, folder: RunFolder) -> None:
        """The log as a picture: losses by network and numbers of the evaluations over the steps."""
        rows = read_log(folder.path)
        picture = curves_picture(rows, f"{self.method_name} on {self.dataset.name}", self.engine.seeds)
        save_png_atomic(picture, folder.path / "curves.png")

    def _write_models(self, folder: RunFolder) -> None:
        models = self.models()
        for seed, model in zip(self.engine.seeds, models, strict=True):
            model.save_pretrained(folder.model / f"seed-{seed}" if len(models) > 1 else folder.model)

    def models(self) -> list[GenerativeModel]:
        """A model for each seed: G, and E where the method has one; averaged weights where an average is kept."""
        roles = self.engine.method.roles()
        names = [name for name, role in roles.items() if not is_discriminator(role)]
        data = {
            "name": self.dataset.name,
            "shape": list(self.dataset.shape),
            "value_range": self.dataset.value_range,
            "scaling": None if self.scaling is None else self.scaling.facts(),
            "fingerprint": self.dataset.fingerprint,
            "opened": self.dataset.opened,
        }
        return [
            GenerativeModel(
                {name: self.engine.network(name, index, average=self.engine.averaged) for name in names},
                prior=self.engine.prior,
                data=data,
                method={"name": self.method_name, "settings": self.engine.method.settings()},
                training={
                    "seed": seed,
                    "step": self.engine.step_number,
                    "averaged": self.engine.averaged,
                    "settings": self.settings.as_dict(),
                    "modecover": __version__,
                },
            )
            for index, seed in enumerate(self.engine.seeds)
        ]

    def _summary(self) -> Mapping[str, Any]:
        """What the run comes to: the last numbers beside the best of the curve, and those of real data."""
        summary: dict[str, Any] = {
            "steps": self.engine.step_number,
            "finished": self.finished,
            **{name: round(value, 1) for name, value in self._spent().items()},
            "seeds": list(self.engine.seeds),
            "schedule": self.engine.schedule(),
            "commit": git_commit(),
            "hardware": hardware(),
            "versions": versions(),
        }
        if self.evaluator is not None and self.evaluations:
            evaluator = self.evaluator
            curves = [[(step, rows[i]) for step, rows in self.evaluations] for i in range(len(self.engine.seeds))]
            best = [max(curve, key=lambda entry: evaluator.score(entry[1])) for curve in curves]
            summary |= {
                "evaluation": evaluator.facts,
                "control": self.control,
                "last": self.evaluations[-1][1],
                "best": [{"step": step, **numbers} for step, numbers in best],
            }
        return summary
