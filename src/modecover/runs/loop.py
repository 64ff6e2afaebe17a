"""The loop: train, log, look, judge, keep; and go on from where an earlier start stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from modecover import __version__
from modecover.data import Dataset
from modecover.data.scaling import Scaling
from modecover.engine.replay import stepper
from modecover.engine.side_by_side import AnyEngine
from modecover.errors import UserError
from modecover.files import plain
from modecover.methods.roles import is_discriminator
from modecover.pictures.images import save_png_atomic
from modecover.pictures.saving import can_be_drawn, prepare_pictures, samples_picture
from modecover.runs import checkpoint, evaluation
from modecover.runs.alarm import SKIPPED as LOOKS_SKIPPED
from modecover.runs.alarm import RunAlarm
from modecover.runs.evaluation import Evaluator, Interlude
from modecover.runs.listener import Listener, asked_to_stop
from modecover.runs.model import GenerativeModel
from modecover.runs.records import RunFolder, Spent, circumstances
from modecover.runs.rows import column_facts

if TYPE_CHECKING:
    from modecover.runs.run import Run

FIRST_CHECKPOINT, BETWEEN_CHECKPOINTS = 5.0, 60.0
"""Seconds by default: before the first, doubled from one to the next, and at most."""


@dataclass
class Loop:
    """Runs an engine, at its first step, to the end of the run's settings.

    Attributes:
        run: is told in what has been done, as it is done.
        method: its name, as the registry has it.
        scaling: how the engine sees rows; undone in all that is shown, judged and kept.
        path: the run folder, None where nothing is written. All processes read it; the first alone writes.
        folder: the open run folder in the process that writes.
        evaluator: judges samples; None where modes are not known.
        alarm: thresholds by the keys of their numbers; empty for no alarm.
    """

    engine: AnyEngine
    run: Run
    dataset: Dataset
    method: str
    scaling: Scaling | None
    path: Path | None
    folder: RunFolder | None
    evaluator: Evaluator | None
    alarm: Mapping[str, float]
    listener: Listener

    def train(self) -> None:
        """Train until the last step, a signal, the end of `settings.minutes`, or until the alarm goes off."""
        engine, run, settings, listener = self.engine, self.run, self.run.settings, self.listener
        steps = settings.steps
        several, any_wishes = engine.processes.count > 1, partial(engine.processes.any, device=engine.device)
        timed = settings.minutes is not None  # and may end long before a tenth of its steps: early looks make a curve
        tenth, log_every = max(1, steps // 10), settings.log_every or max(1, min(20 if timed else 100, steps // 100))
        self._pictures = Interlude(settings.sample_every, tenth, first=evaluation.FIRST_LOOK)
        often = (evaluation.FIRST_LOOK, evaluation.SHARE_OF_MINUTES) if timed else ()
        self._judging = Interlude(settings.evaluate_every, tenth, *often)
        self._alarm = alarm = RunAlarm(self.alarm, settings.evaluate_every or tenth)
        told: set[str] = set()
        train_step = stepper(engine)

        # Go on from where an earlier start stopped; a run that one has ended and written is left as it is.
        self._resume()
        logged_step = engine.step_number
        ended = None if self.folder is None else self.folder.ended(logged_step, judged=self.evaluator is not None)
        was_ended = any_wishes(ended is not None and (logged_step >= steps or alarm.tripped))
        run.control = None if ended is None else ended.get("control")
        looked = alarm.tripped or (logged_step >= steps and alarm.step >= logged_step)
        if alarm.wanted and not looked and engine.processes.first:
            alarm.prepare(self.dataset, engine, listener, self.scaling)
        begin = last_log = last_save = time.monotonic()
        pause = FIRST_CHECKPOINT

        with asked_to_stop() as stop:
            while engine.step_number < steps and not alarm.tripped:
                # Train. On a CPU a step looks itself whether its losses and gradients are finite.
                train_step()
                run.step = step = engine.step_number
                listener.stepped(step, steps)

                # Log. On a GPU, where to look is to wait, all steps since are looked at now.
                at_log = step % log_every == 0 or step == 1
                if at_log:
                    engine.check()
                    losses, now = engine.losses(), time.monotonic()
                    speed = (step - logged_step) / max(now - last_log, 1e-9)
                    last_log, logged_step = now, step
                    if self.folder is not None:
                        self.folder.write({"step": step, "steps_per_second": round(speed, 3), "losses": losses})
                    listener.logged(step, losses, speed)

                # Look at samples and judge them, where there is time; after the last step both come in any case.
                # Several processes keep to the steps alone: they meet for it, and a clock would decide how often.
                elapsed = math.inf if several else time.monotonic() - begin
                if step < steps and self._pictures.falls_on(step) and self._pictures.has_time(elapsed):
                    self._sample()
                if step < steps and self._judging.falls_on(step):
                    if self._judging.has_time(elapsed):
                        self._evaluate()
                    elif step >= tenth and evaluation.SKIPPED not in told:
                        told.add(evaluation.SKIPPED)
                        listener.note(evaluation.SKIPPED)

                # Hold samples against the alarm's thresholds; the checkpoint of a model that keeps them is kept.
                if step < steps and alarm.wanted and alarm.pace.falls_on(step):
                    if alarm.pace.has_time(elapsed):
                        self._look()
                        if alarm.tripped:
                            break
                    elif LOOKS_SKIPPED not in told:
                        told.add(LOOKS_SKIPPED)
                        listener.note(LOOKS_SKIPPED)

                # Keep a checkpoint.
                if settings.checkpoint_every:
                    is_due = step % settings.checkpoint_every == 0
                else:
                    is_due = at_log and any_wishes(time.monotonic() - last_save > pause)
                if is_due:
                    last_save, pause = time.monotonic(), min(2 * pause, BETWEEN_CHECKPOINTS)
                    self._save()

                # Stop early where a signal or the clock says so. Several processes vote, to stop at the same step.
                is_over = settings.minutes is not None and time.monotonic() - begin > 60 * settings.minutes
                if (not several or step % 10 == 0) and any_wishes(stop.is_set() or is_over):
                    run.interrupted = stop.is_set()
                    break

            if run.step >= steps and alarm.wanted and alarm.step < run.step:
                self._look(last=True)
            if alarm.tripped and not was_ended:
                self._go_back()
            run.alarm, run.finished = alarm.rule.last_look(), run.step >= steps
            if not was_ended:
                self._judge_last()
            run.models = self._models()
            if not was_ended:
                self._conclude()

    def _resume(self) -> None:
        engine, settings, listener = self.engine, self.run.settings, self.listener
        engine.processes.barrier()  # the first process may still be making the folder
        found = None if self.path is None else checkpoint.load_newest(self.path / "checkpoints")
        listener.started(engine.method, settings, self.dataset, engine.seeds, engine.device)
        self._judged_step = -1
        self._good: checkpoint.Checkpoint | None = None  # where no folder keeps it
        if found is not None:
            self._take_up(found)
            self._alarm.load(found.record.get("alarm"))
        self._spent = Spent({} if found is None else found.record.get("spent", {}))
        if self.folder is not None:
            # What led to an alarm is told by the lines behind the step that was gone back to.
            logged = self._alarm.step if self._alarm.tripped else engine.step_number
            self.folder.open_log(logged)
        if found is None:
            if self.folder is not None and self.folder.resumed and settings.steps > 0:
                listener.note("an earlier start of this run left no checkpoint, so that it begins anew")
            return
        before, now, options = found.record["steps"], settings.steps, engine.options
        if before != now and None in (options.lr_schedule.constant, options.instance_noise.constant):
            listener.note(
                f"steps was {before} and is now {now}: schedules are fractions of it, so this run is not what {now} "
                "steps from the start would have given."
            )
        if self._alarm.tripped:
            return
        listener.resumed(found.step)
        if found.step >= now:
            listener.note(f"{found.step:,} of {now:,} steps were done before: give more steps to train on.")

    def _take_up(self, found: checkpoint.Checkpoint) -> None:
        """Make what a checkpoint holds the run's state."""
        run = self.run
        self.engine.load(found.tensors)
        run.step, run.evaluations = found.step, [(step, rows) for step, rows in found.record["evaluations"]]
        self._judged_step = run.evaluations[-1][0] if run.evaluations else -1  # is the same in all processes

    def _models(self) -> list[GenerativeModel]:
        """A model for each seed: G, and E where the method has one; averaged weights where an average is kept."""
        engine, dataset, method = self.engine, self.dataset, self.engine.method
        names = [name for name, role in method.roles().items() if not is_discriminator(role)]
        told = {name: getattr(dataset, name) for name in ("name", "value_range", "fingerprint", "opened")}
        scaling = None if self.scaling is None else self.scaling.facts()
        columns = None if dataset.encoding is None else column_facts(dataset.encoding.columns)
        classes = {} if engine.options.classes is None else {"classes": engine.options.classes.facts()}
        training = {"step": engine.step_number, "averaged": engine.averaged, "settings": self.run.settings.as_dict()}
        by = {} if self.evaluator is None else {"by": self.evaluator.facts}
        judged: list[Any] = [{"numbers": row, "real data": self.run.control, **by} for row in self.run.last]
        judged = judged or [None] * len(engine.seeds)
        return [
            GenerativeModel(
                {name: engine.network(name, index, average=engine.averaged) for name in names},
                prior=engine.prior,
                data={**told, "shape": list(dataset.shape), "scaling": scaling, "columns": columns, **classes},
                method={"name": self.method, "settings": method.settings()},
                training={"seed": seed, **training, "modecover": __version__, "evaluation": plain(found)},
            )
            for index, (seed, found) in enumerate(zip(engine.seeds, judged, strict=True))
        ]

    def _sample(self) -> None:
        """A picture of samples from noise that is the same at every step."""
        self.engine.share_batch_statistics()
        engine, dataset, step = self.engine, self.dataset, self.engine.step_number
        if self.folder is not None and can_be_drawn(dataset.shape):
            prepare_pictures(dataset)
            count = 1000 if len(dataset.shape) == 1 else 64 if len(engine.seeds) == 1 else 8
            with self._pictures.timed(), engine.evaluating():
                samples = evaluation.samples_of(engine, self.scaling, count, "picture", average=engine.averaged)
                picture = samples_picture(samples, dataset, engine.seeds)
                path = save_png_atomic(picture, self.folder.samples / f"step-{step:09d}.png")
            self.listener.sampled(step, path)

    def _evaluate(self) -> None:
        self.engine.share_batch_statistics()
        step = self._judged_step = self.engine.step_number
        if self.evaluator is None:
            return
        with self._judging.timed(), self.engine.evaluating():
            numbers = self.evaluator.judge_run(self.engine, self.scaling)
        self.run.evaluations = [entry for entry in self.run.evaluations if entry[0] < step] + [(step, numbers)]
        if self.folder is not None:
            self.folder.write({"step": step, "evaluation": {key: [row[key] for row in numbers] for key in numbers[0]}})
        self.listener.evaluated(step, numbers, self.evaluator.headline)

    def _save(self) -> None:
        if self.path is None:
            return
        self.engine.check()
        self.engine.share_batch_statistics()
        if self.folder is not None:
            self._write(self.engine.step_number, self.engine.state(), self.run.evaluations)

    def _write(self, step: int, tensors: Mapping[str, Tensor], evaluations: evaluation.Evaluations) -> None:
        """Write a checkpoint, with all that is known now beside its tensors and the evaluations up to it."""
        assert self.folder is not None, "this process writes"
        record: Any = {"evaluations": evaluations, "steps": self.run.settings.steps, "spent": self._spent.seconds()}
        if self._alarm.wanted:
            record["alarm"] = self._alarm.state()
        checkpoint.save(self.folder.checkpoints, step, tensors, record, keep=self._alarm.good_step)
        self.listener.saved(step)

    def _look(self, *, last: bool = False) -> None:
        """Let the alarm look at samples, and keep the model that it finds good; after the last step, a second time
        where the first look leaves it open."""
        engine, alarm = self.engine, self._alarm
        engine.check()
        engine.share_batch_statistics()
        with alarm.pace.timed():
            look = None
            if engine.processes.first:
                with engine.evaluating():
                    look = alarm.look(engine, last=last)
                if last and look.beyond and not look.tripped:
                    with engine.evaluating():
                        look = alarm.look(engine, last=last)
                if self.folder is not None:
                    self.folder.write(alarm.row(engine.step_number, look))
                self.listener.looked(engine.step_number, look)
            # The first process tells the others, for all go back, or keep a checkpoint, together.
            flags = (False, False) if look is None else (look.kept, look.tripped)
            kept, tripped = (engine.processes.any(flag, engine.device) for flag in flags)
            alarm.remember(engine.step_number, kept=kept, tripped=tripped)
            if kept:
                self._save()
                if self.path is None:
                    own = {name: tensor.detach().to("cpu", copy=True) for name, tensor in engine.state().items()}
                    self._good = checkpoint.Checkpoint(alarm.step, own, {"evaluations": [*self.run.evaluations]})

    def _go_back(self) -> None:
        """Make the last model that kept the alarm's thresholds the run's: later checkpoints go, it stays."""
        engine, folder = self.engine, self.folder
        found = self._good
        if folder is not None:
            found = checkpoint.load_newest(folder.checkpoints, until=self._alarm.good_step)
            if found is None:
                raise UserError(
                    f"The alarm went off, and no checkpoint of step {self._alarm.good_step} is left in "
                    f"{folder.checkpoints}: train again in another folder."
                )
            self._write(found.step, found.tensors, found.record["evaluations"])
        engine.processes.barrier()
        if found is None and self.path is not None:
            found = checkpoint.load_newest(self.path / "checkpoints")
        assert found is not None, "an alarm goes off only after it has kept a model"
        self._take_up(found)

    def _judge_last(self) -> None:
        """Keep and judge the end of a run. Its checkpoint first: the rest may take long, and be interrupted."""
        self._save()
        if self._judged_step != self.engine.step_number:
            self._evaluate()
            self._save()
        self._sample()
        self.run.control = None if self.evaluator is None else self.evaluator.control()

    def _conclude(self) -> None:
        """What an ended or stopped run leaves beside its checkpoint."""
        engine, run, evaluator, folder = self.engine, self.run, self.evaluator, self.folder
        if folder is None:
            return
        summary: dict[str, Any] = {"steps": engine.step_number, "finished": run.finished, **self._spent.seconds()}
        summary |= {"seeds": list(engine.seeds), "schedule": engine.schedule(), **circumstances("commit")}
        if run.alarm is not None:
            summary["alarm"] = {"tripped": run.alarm.tripped, "sentence": run.alarm.sentence}
        if evaluator is not None:
            summary |= evaluator.summary(run.evaluations) | {"control": run.control}
        folder.conclude(f"{self.method} on {self.dataset.name}", engine.seeds, run.models, summary)
