"""Runs the arms of an experiment, as many at a time as there are cores, and gathers what they come to.

Each arm is a run in a folder of its own and resumes like any other: a second call computes only what is missing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modecover.errors import UserError
from modecover.experiments.declared import Arm, Experiment
from modecover.training.listener import Listener
from modecover.training.log import with_numbers


@dataclass(frozen=True)
class Result:
    """What one arm came to: its run folder and that run's summary (see `summary.json`)."""

    arm: Arm
    folder: Path
    summary: dict[str, Any]
    seconds: float


def run_experiment(experiment: Experiment, out: Path, listener: Listener, workers: int | None = None) -> list[Result]:
    """Run all arms in folders below `out`, and return their results in order.

    Args:
        workers: arms at a time. Default: as many as there are cores.

    Raises:
        UserError: an arm was refused or stopped; the others are kept.
    """
    workers = min(len(experiment.arms), workers or os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        news: queue.Queue[tuple[str, int, int]] = manager.Queue()
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs = [pool.submit(_run_arm, experiment, arm, out, news) for arm in experiment.arms]
            _relay(jobs, news, len(experiment.arms), listener)
            seconds = [job.result() for job in jobs]
    folders = [out / arm.label for arm in experiment.arms]
    return [
        Result(arm, folder, read_summary(folder), spent)
        for arm, folder, spent in zip(experiment.arms, folders, seconds, strict=True)
    ]


def read_summary(folder: Path) -> dict[str, Any]:
    """A run's `summary.json`; numbers that are not finite, which JSON writes as text, are numbers again."""
    summary: dict[str, Any] = with_numbers(json.loads((folder / "summary.json").read_text()))
    return summary


class _Messenger(Listener):
    """Tells another process how far the steps are, twice a second."""

    def __init__(self, label: str, news: queue.Queue[tuple[str, int, int]]):
        self.label, self.news, self.told = label, news, 0.0

    def stepped(self, step: int, steps: int) -> None:
        if step == steps or time.monotonic() - self.told > 0.5:
            self.told = time.monotonic()
            self.news.put((self.label, step, steps))


def _run_arm(experiment: Experiment, arm: Arm, out: Path, news: queue.Queue[tuple[str, int, int]]) -> float:
    import torch

    from modecover.training.run import train

    torch.set_num_threads(1)  # the arms share the cores
    start = time.monotonic()
    settings = {**experiment.settings, **arm.settings}
    run = train(arm.method, experiment.data, out / arm.label, listener=_Messenger(arm.label, news), **settings)
    if not run.finished:
        raise UserError(f"{arm.label} was stopped before its end: the same command goes on from there.")
    return time.monotonic() - start


def _relay(jobs: list[Future[float]], news: queue.Queue[tuple[str, int, int]], arms: int, listener: Listener) -> None:
    """Tell the listener of the steps of all arms together until they are done."""
    known: dict[str, tuple[int, int]] = {}
    while not all(job.done() for job in jobs):
        try:
            label, step, steps = news.get(timeout=0.5)
        except queue.Empty:
            continue
        known[label] = (step, steps)
        total = arms * max(steps for _, steps in known.values())
        listener.stepped(sum(step for step, _ in known.values()), total)
