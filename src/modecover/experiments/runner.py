"""Runs the arms of experiments, as many at a time as there are cores, and gathers what they come to.

Each arm is a run in a folder of its own and resumes like any other: a second call computes only what is missing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

from modecover.errors import UserError
from modecover.experiments.declared import Arm, Experiment
from modecover.runs.listener import Listener, asked_to_stop
from modecover.runs.log import with_numbers

News = tuple[str, int, int]


@dataclass(frozen=True)
class Result:
    """What one arm came to.

    Attributes:
        arm, folder: the arm and its run folder.
        summary: that run's summary (see `summary.json`); empty where the run broke off.
        broken: why it broke off, where a loss or a gradient became infinite or NaN.
    """

    arm: Arm
    folder: Path
    summary: dict[str, Any]
    broken: str = ""


def run_experiment(experiment: Experiment, out: Path, listener: Listener, workers: int | None = None) -> list[Result]:
    """Run all arms in folders below `out`, and return their results in order (see `run_experiments`).

    Raises:
        UserError: an arm was refused, was stopped or broke off; the others are kept.
    """
    (results,) = run_experiments([experiment], [out], listener, workers)
    for result in results:
        if result.broken:
            raise UserError(f"{result.arm.label} broke off: {result.broken}")
    return results


def run_experiments(
    experiments: Sequence[Experiment], out: Sequence[Path], listener: Listener, workers: int | None = None
) -> list[list[Result]]:
    """Run all arms of all experiments. Ctrl-C and SIGTERM stop the arms that run, which save where they are, and start
    no other.

    Args:
        out: a folder for each experiment; its arms are in folders below, by group and label.
        workers: arms at a time. Default: as many as there are cores.

    Raises:
        UserError: an arm was refused or stopped; the others are kept.
    """
    if workers is not None and workers < 1:
        raise UserError(f"{workers} runs at a time make no progress: give at least one worker, or leave it out.")
    count = sum(len(experiment.arms) for experiment in experiments)
    workers = min(count, workers or os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_stand_apart)
    with asked_to_stop() as asked, manager:
        news, stop = manager.Queue(), manager.Event()
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_stand_apart) as pool:
            jobs = [
                [
                    pool.submit(_run_arm, experiment, arm, place / arm.group / arm.label, news, stop)
                    for arm in experiment.arms
                ]
                for experiment, place in zip(experiments, out, strict=True)
            ]
            _relay([job for of_one in jobs for job in of_one], news, count, listener, asked)
            if asked.is_set():
                stop.set()
                listener.note("stopping: the runs save where they are, and the same command goes on from there")
                pool.shutdown(cancel_futures=True)
                raise KeyboardInterrupt
            return [[job.result() for job in of_one] for of_one in jobs]


def _stand_apart() -> None:
    """Leave the terminal's process group: Ctrl-C is then for the process that asked, which tells this one."""
    if hasattr(os, "setsid"):
        os.setsid()


def read_summary(folder: Path) -> dict[str, Any]:
    """A run's `summary.json`; numbers that are not finite, which JSON writes as text, are numbers again."""
    summary: dict[str, Any] = with_numbers(json.loads((folder / "summary.json").read_text()))
    return summary


class _Messenger(Listener):
    """Tells another process how far the steps are, twice a second; stops, as by Ctrl-C, when that one says so, or is
    gone."""

    def __init__(self, label: str, news: queue.Queue[News], stop: threading.Event | None = None):
        self.label, self.news, self.stop = label, news, stop
        self.told, self.parent, self.stopped = 0.0, os.getppid(), False

    def stepped(self, step: int, steps: int) -> None:
        if self.stopped or (step < steps and time.monotonic() - self.told < 0.5):
            return
        self.told = time.monotonic()
        if os.getppid() != self.parent or (self.stop is not None and self.stop.is_set()):
            self.stopped = True  # a second signal would not wait until the run is saved
            signal.raise_signal(signal.SIGTERM)
        else:
            self.news.put((self.label, step, steps))


def _run_arm(
    experiment: Experiment, arm: Arm, folder: Path, news: queue.Queue[News], stop: threading.Event | None = None
) -> Result:
    if stop is not None and stop.is_set():  # the pool had handed it over already
        raise UserError(f"{arm.label} was not begun.")
    import torch

    from modecover.engine.finite import NonFiniteError
    from modecover.runs.run import train

    torch.set_num_threads(1)  # the arms share the cores
    settings = {**experiment.settings, **arm.settings}
    try:
        run = train(arm.method, experiment.data, folder, listener=_Messenger(str(folder), news, stop), **settings)
    except NonFiniteError as error:
        news.put((str(folder), settings["steps"], settings["steps"]))
        return Result(arm, folder, {}, str(error))
    if not run.finished:
        raise UserError(f"{arm.label} was stopped before its end: the same command goes on from there.")
    news.put((str(folder), run.step, run.step))  # a finished run takes no more steps
    return Result(arm, folder, read_summary(folder))


def _relay(
    jobs: list[Future[Result]], news: queue.Queue[News], arms: int, listener: Listener, asked: threading.Event
) -> None:
    """Tell the listener of the steps of all arms together until they are done, or asked to stop."""
    known: dict[str, tuple[int, int]] = {}
    while not asked.is_set() and not all(job.done() for job in jobs):
        try:
            label, step, steps = news.get(timeout=0.5)
        except queue.Empty:
            continue
        known[label] = (step, steps)
        total = arms * max(steps for _, steps in known.values())
        listener.stepped(sum(step for step, _ in known.values()), total)
