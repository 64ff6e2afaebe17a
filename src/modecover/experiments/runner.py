"""Runs the arms of an experiment, as many at a time as there are cores, and gathers what they come to.

Each arm is a run in a folder of its own and resumes like any other: a second call computes only what is missing.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing.managers import SyncManager
from pathlib import Path
from string import ascii_lowercase

from modecover.errors import UserError
from modecover.experiments.declared import Arm, Experiment, Result, Table
from modecover.experiments.report import counts, full
from modecover.runs.listener import Listener, asked_to_stop
from modecover.runs.log import with_numbers

News = tuple[str, int, int]


def run_experiment(
    experiment: Experiment, out: Path, listener: Listener, workers: int | None = None
) -> list[list[Result]]:
    """Run all arms of an experiment in folders below `out`, by table and label; where arms have candidates these first,
    each in a folder below `search`, and the tables below `table` with the best.

    Ctrl-C and SIGTERM stop the arms that run, which save where they are, and start no other.

    Args:
        workers: arms at a time; None: as many as there are cores.

    Returns:
        The results of each table, in order. An arm that broke off is a result that says so.

    Raises:
        UserError: an arm was refused or stopped; the others are kept.
    """
    require_workers(workers)
    tables = experiment.tables
    searches = []
    for table in tables:
        for arm in (arm for arm in table.arms if arm.candidates):
            arms = tuple(
                Arm(letter, arm.method, own) for letter, own in zip(ascii_lowercase, arm.candidates, strict=False)
            )
            name, settings = f"{table.name}/{arm.label}", {**table.settings, **experiment.search}
            searches.append(Table(name, table.data, settings, arms))
    if searches:
        found = _run_tables(searches, out / "search", listener, workers)
        best = iter([choose(results).arm.settings for results in found])

        def chosen(arm: Arm) -> Arm:
            return replace(arm, settings=next(best), candidates=()) if arm.candidates else arm

        tables = tuple(replace(table, arms=tuple(map(chosen, table.arms))) for table in tables)
        out = out / "table"
    return _run_tables(tables, out, listener, workers)


def choose(results: Sequence[Result]) -> Result:
    """The best by its last evaluation: seeds with all modes, then modes by the stricter count, then W1."""

    def merit(result: Result) -> tuple[float, float, float]:
        if result.broken:
            return (-1.0, 0.0, 0.0)
        rows, total = result.summary["last"], int(result.summary["evaluation"]["modes"])
        modes, distance = (
            sum(values) for values in zip(*((counts(r)[1], r["wasserstein"]) for r in rows), strict=True)
        )
        return (full(rows, total), modes / len(rows), -distance / len(rows))

    return max(results, key=merit)


def require_workers(workers: int | None) -> None:
    """Refuse fewer arms at a time than one, by a `UserError`."""
    if workers is not None and workers < 1:
        raise UserError(f"{workers} runs at a time make no progress: give at least one worker, or leave it out.")


def _run_tables(tables: Sequence[Table], out: Path, listener: Listener, workers: int | None) -> list[list[Result]]:
    """Run all arms of all tables, in processes of their own, and tell the listener of the steps of all together."""
    count = sum(len(table.arms) for table in tables)
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_stand_apart)
    with asked_to_stop() as asked, manager:
        news, stop = manager.Queue(), manager.Event()
        workers = min(count, workers or os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_stand_apart) as pool:
            jobs = [
                [pool.submit(_run_arm, table, arm, out / table.name / arm.label, news, stop) for arm in table.arms]
                for table in tables
            ]
            known: dict[str, tuple[int, int]] = {}
            while not asked.is_set() and not all(job.done() for of_one in jobs for job in of_one):
                with contextlib.suppress(queue.Empty):
                    folder, step, steps = news.get(timeout=0.5)
                    known[folder] = (step, steps)
                    total = count * max(steps for _, steps in known.values())
                    listener.stepped(sum(step for step, _ in known.values()), total)
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
    table: Table, arm: Arm, folder: Path, news: queue.Queue[News], stop: threading.Event | None = None
) -> Result:
    if stop is not None and stop.is_set():  # the pool had handed it over already
        raise UserError(f"{arm.label} was not begun.")
    import torch

    from modecover.engine.finite import NonFiniteError
    from modecover.runs.run import train

    torch.set_num_threads(1)  # the arms share the cores
    settings = {**table.settings, **arm.settings}
    try:
        run = train(arm.method, table.data, folder, listener=_Messenger(str(folder), news, stop), **settings)
    except NonFiniteError as error:
        news.put((str(folder), settings.get("steps", 1), settings.get("steps", 1)))
        return Result(arm, folder, {}, str(error), table.name)
    if not run.finished:
        raise UserError(f"{arm.label} was stopped before its end: the same command goes on from there.")
    news.put((str(folder), run.step, run.step))  # a finished run takes no more steps
    summary = with_numbers(json.loads((folder / "summary.json").read_text()))
    return Result(arm, folder, summary, table=table.name)
