"""The loop: train, log, look, judge, keep; and go on from where an earlier start stopped."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from modecover.data import Dataset
from modecover.data.scaling import Scaling
from modecover.engine.engine import Engine
from modecover.engine.recorded import stepper
from modecover.errors import UserError
from modecover.files import read_json, write_json
from modecover.pictures.curves import curves_picture
from modecover.pictures.images import save_png_atomic
from modecover.pictures.saving import can_be_drawn, prepare_pictures, samples_picture
from modecover.runs import checkpoint, evaluation
from modecover.runs.evaluation import Evaluations, Evaluator, Interlude, samples_of
from modecover.runs.listener import Listener, asked_to_stop
from modecover.runs.log import JsonLines, TensorBoardSink, read_log, with_numbers
from modecover.runs.model import GenerativeModel, trained_models
from modecover.runs.records import RunFolder, circumstances
from modecover.runs.settings import Settings

SECONDS_BETWEEN_CHECKPOINTS = 60.0

FIRST_PICTURE = 32
"""The step of the first picture of samples by default."""

STEPS_BETWEEN_VOTES = 10
"""Several processes must stop at the same step: they vote now and then."""


@dataclass
class Loop:
    """Runs an engine, at its first step, to the end of its settings."""

    engine: Engine
    settings: Settings
    dataset: Dataset
    method: str
    """As the registry has it, for the model files."""
    scaling: Scaling | None
    """How the engine sees rows; undone in all that is shown, judged and kept."""
    path: Path | None
    """The run folder, None where nothing is written. All processes read it; the first alone writes."""
    folder: RunFolder | None
    """The open run folder in the process that writes."""
    evaluator: Evaluator | None
    """Judges samples; None where modes are not known."""
    listener: Listener
    evaluations: Evaluations = field(default_factory=list)
    control: dict[str, float] | None = None
    """The evaluator's numbers for real data."""
    finished: bool = False
    """Whether all steps are done."""
    interrupted: bool = False
    """Whether a signal ended the training."""

    def run(self) -> None:
        """Train until the last step, a signal, or the end of `settings.minutes`."""
        engine, settings, listener, steps = self.engine, self.settings, self.listener, self.settings.steps
        several, vote = engine.processes.count > 1, lambda wish: engine.processes.any(wish, engine.device)
        tenth, log_every = max(1, steps // 10), settings.log_every or max(1, min(100, steps // 100))
        self._pictures = Interlude(settings.sample_every, tenth, first=FIRST_PICTURE)
        self._judging = Interlude(settings.evaluate_every, tenth)
        told_of_skipping = False
        train_step = stepper(engine, capture=settings.capture)

        # Go on from where an earlier start stopped; all that one has ended and written is left as it is.
        self._resume()
        begin = last_log = last_save = time.monotonic()
        self._begin = (begin, time.process_time())
        logged_step = engine.step_number
        was_whole = vote(self._is_whole())

        with asked_to_stop() as stop, ExitStack() as logs:
            self._logs: list[JsonLines | TensorBoardSink] = []
            if self.folder is not None:
                self._logs.append(logs.enter_context(closing(self.folder.log(step=logged_step))))
                if settings.tensorboard:
                    sink = TensorBoardSink(self.folder.path / "tensorboard", step=logged_step)
                    self._logs.append(logs.enter_context(closing(sink)))
            while engine.step_number < steps:
                # Train. On a CPU a step looks itself whether its losses and gradients are finite.
                train_step()
                step = engine.step_number
                listener.stepped(step, steps)

                # Log. On a GPU, where to look is to wait, all steps since are looked at now.
                at_log = step % log_every == 0 or step == 1
                if at_log:
                    engine.check()
                    losses, now = engine.losses(), time.monotonic()
                    speed = (step - logged_step) / max(now - last_log, 1e-9)
                    last_log, logged_step = now, step
                    self._write({"step": step, "steps_per_second": round(speed, 3), "losses": losses})
                    listener.logged(step, losses, speed)

                # Look at samples and judge them, where there is time; after the last step both come in any case.
                # Several processes keep to the steps alone: they meet for it, and a clock would decide how often.
                elapsed = math.inf if several else time.monotonic() - begin
                if step < steps and self._pictures.falls_on(step) and self._pictures.has_time(elapsed):
                    self._sample()
                if step < steps and self._judging.falls_on(step):
                    if self._judging.has_time(elapsed):
                        self._evaluate()
                    elif not told_of_skipping:
                        told_of_skipping = True
                        listener.note(
                            f"evaluations take more than {evaluation.SHARE:.1%} of the time, so some are skipped; "
                            "--evaluate-every N has one at every N steps"
                        )

                # Keep a checkpoint.
                if settings.checkpoint_every:
                    is_due = step % settings.checkpoint_every == 0
                else:
                    is_due = at_log and vote(time.monotonic() - last_save > SECONDS_BETWEEN_CHECKPOINTS)
                if is_due:
                    last_save = time.monotonic()
                    self._save()

                # Stop before the end where a signal or the clock says so.
                is_over = settings.minutes is not None and time.monotonic() - begin > 60 * settings.minutes
                asked = not several or step % STEPS_BETWEEN_VOTES == 0
                if asked and vote(stop.is_set() or is_over):
                    self.interrupted = stop.is_set()
                    break

            self.finished = engine.step_number >= steps
            if not was_whole:
                self._conclude()

    def models(self) -> list[GenerativeModel]:
        """A model for each seed, as trained so far."""
        return trained_models(self.engine, self.method, self.settings.as_dict(), self.dataset, self.scaling)

    def _resume(self) -> None:
        engine, settings, listener = self.engine, self.settings, self.listener
        engine.processes.barrier()  # the first process may still be making the folder
        found = None if self.path is None else checkpoint.load_newest(self.path / "checkpoints")
        listener.started(engine.method, settings, self.dataset, engine.seeds, engine.device)
        self._spent_before = {"seconds": 0.0, "processor_seconds": 0.0}
        if found is None:
            return
        engine.load(found.tensors)
        self.evaluations = [(step, rows) for step, rows in found.record["evaluations"]]
        self._spent_before = found.record.get("spent", self._spent_before)
        before, now, options = found.record["steps"], settings.steps, engine.options
        if before != now and None in (options.lr_schedule.constant, options.instance_noise.constant):
            listener.note(
                f"steps was {before} and is now {now}: schedules are fractions of it, so this run is not what {now} "
                "steps from the start would have given."
            )
        listener.resumed(found.step)
        if found.step >= now:
            done = f"{found.step:,} of {now:,} steps were done before"
            listener.note(f"nothing is left to train: {done}. Give more steps to go on.")

    def _is_whole(self) -> bool:
        """Whether an earlier start has ended this run and written all of it: then nothing is touched, so that the
        summary keeps the commit and the machine that its numbers come from."""
        if self.folder is None or self.engine.step_number < self.settings.steps:
            return False
        try:
            summary = with_numbers(read_json(self.folder.path / "summary.json", "train again"))
            whole = bool(summary["finished"]) and summary["steps"] == self.engine.step_number
            self.control = summary["control"] if self.evaluator is not None else None
        except (OSError, UserError, KeyError, TypeError):
            return False
        return whole

    def _write(self, row: dict[str, object]) -> None:
        for log in self._logs:
            log.write(row)

    def _sample(self) -> None:
        """A picture of samples from noise that is the same at every step."""
        self.engine.share_batch_statistics()
        if self.folder is None or not can_be_drawn(self.dataset.shape):
            return
        prepare_pictures(self.dataset)
        seeds, step = self.engine.seeds, self.engine.step_number
        count = 1000 if len(self.dataset.shape) == 1 else 64 if len(seeds) == 1 else 8
        with self._pictures.timed(), self.engine.evaluating():
            samples = samples_of(self.engine, self.scaling, count, "picture", average=self.engine.averaged)
            picture = samples_picture(samples, self.dataset, seeds)
            path = save_png_atomic(picture, self.folder.samples / f"step-{step:09d}.png")
        self.listener.sampled(step, path)

    def _evaluate(self) -> None:
        self.engine.share_batch_statistics()
        if self.evaluator is None:
            return
        step = self.engine.step_number
        with self._judging.timed(), self.engine.evaluating():
            numbers = self.evaluator.judge_run(self.engine, self.scaling)
        self.evaluations = [entry for entry in self.evaluations if entry[0] < step] + [(step, numbers)]
        self._write({"step": step, "evaluation": {name: [row[name] for row in numbers] for name in numbers[0]}})
        self.listener.evaluated(step, numbers, self.evaluator.headline)

    def _save(self) -> None:
        if self.path is None:
            return
        self.engine.check()
        self.engine.share_batch_statistics()
        if self.folder is not None:
            evaluations = [list(entry) for entry in self.evaluations]
            record = {"evaluations": evaluations, "steps": self.settings.steps, "spent": self._spent()}
            checkpoint.save(self.folder.checkpoints, self.engine.step_number, self.engine.state(), record)
            self.listener.saved(self.engine.step_number)

    def _spent(self) -> dict[str, float]:
        """Seconds of all starts of this run together: by the clock, and of this process on its processor."""
        now = zip(self._spent_before, (time.monotonic(), time.process_time()), self._begin, strict=True)
        return {name: self._spent_before[name] + end - begin for name, end, begin in now}

    def _conclude(self) -> None:
        """What an ended or stopped run leaves. Its checkpoint first: what follows may take long, and be interrupted."""
        engine, evaluator, folder = self.engine, self.evaluator, self.folder
        self._save()
        if not self.evaluations or self.evaluations[-1][0] != engine.step_number:
            self._evaluate()
            self._save()
        self._sample()
        self.control = None if evaluator is None else evaluator.control()
        if folder is None:
            return
        curves = curves_picture(read_log(folder.path), f"{self.method} on {self.dataset.name}", engine.seeds)
        save_png_atomic(curves, folder.path / "curves.png")
        models = self.models()
        for seed, model in zip(engine.seeds, models, strict=True):
            model.save_pretrained(folder.model / f"seed-{seed}" if len(models) > 1 else folder.model)
        summary = {
            "steps": engine.step_number,
            "finished": self.finished,
            **{name: round(value, 1) for name, value in self._spent().items()},
            "seeds": list(engine.seeds),
            "schedule": engine.schedule(),
            **circumstances("commit"),
        }
        if evaluator is not None and self.evaluations:
            summary |= evaluator.summary(self.evaluations) | {"control": self.control}
        write_json(folder.path / "summary.json", summary)
