"""Runs what an experiment declares, as many runs at a time as there are cores, and puts each into the store as it ends.

Each run has a folder of its own and resumes like any other: a second call computes only what is missing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol

from modecover.data import open_data
from modecover.data.digits import files_of
from modecover.data.opened import OPTIONS, open_once
from modecover.errors import UserError
from modecover.experiments.declared import Arm, Result
from modecover.experiments.report import counts, full
from modecover.experiments.store import Job, Row, Store, at_once
from modecover.files import writing
from modecover.runs.evaluation import score
from modecover.runs.listener import Listener, asked_to_stop
from modecover.runs.log import read_log, with_numbers
from modecover.runs.records import multiplies_bf16

SHORTEST = 0.2
"""Of the minutes that a run takes: with less time left none is begun."""
SAVING = 60.0
"""Seconds that runs of a cluster have to save where they are."""
MOST_REFUSED = 3
"""Runs; behind so many no other is begun, which would be refused for the same, as where the disk is full."""

News = tuple[str, int, int]


@dataclass(frozen=True)
class Place:
    """Where runs are run.

    Attributes:
        out: the folder of their folders.
        data_dir: where `mnist`, `cifar10` and data that must be brought along are looked for; empty: nowhere.
        workers: runs at a time; None: as many as there are cores.
        minutes: after so many, what runs is stopped and saved, and nothing more is begun; None: there is no hurry.
        backend: "local" processes, or "ray" for a cluster's.
        at_once: whether the seeds of an arm are one run, as on a GPU, which a single one leaves mostly idle.
    """

    out: Path
    data_dir: str = ""
    workers: int | None = None
    minutes: float | None = None
    backend: str = "local"
    at_once: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(
                f"{self.workers} runs at a time make no progress: give at least one worker, or leave it out."
            )
        if self.minutes is not None and not self.minutes > 0:
            raise UserError(f"minutes is {self.minutes}: give a positive number, for example 9.")


def run_jobs(jobs: Sequence[Job], stores: dict[str, Store], place: Place, listener: Listener) -> bool:
    """Run what the stores lack, experiment after experiment, and add every row as its run ends; within one, candidates
    go before the runs that they choose the settings of.

    Ctrl-C and SIGTERM stop the runs, which save where they are, and start no other; so does the end of the time.

    Args:
        jobs: of any experiments.
        stores: of each experiment, by name.

    Returns:
        Whether all are in the store now.

    Raises:
        UserError: the folder of the runs cannot be made, or a run was refused, or data cannot be read; the others are
            kept. Data that must be brought along, and are not there, are no error.
    """
    declared, (jobs, refused) = jobs, _with_data(jobs, stores, place, listener)
    if any(job not in stores[job.experiment] and _in_fp32(job.settings) for job in jobs) and place.backend == "local":
        listener.note("runs declared in bf16 are in fp32 here: this processor has no instructions for it")
    deadline = None if place.minutes is None else time.monotonic() + 60 * place.minutes
    groups = itertools.groupby(jobs, key=lambda job: job.experiment)
    # Where one is not whole, for want of time or as a run was refused, another may have runs that can be done.
    whole = []
    for _, group in groups:
        try:
            whole.append(_run_experiment(list(group), stores, place, listener, deadline))
        except UserError as error:
            refused.append(error)
    _raise_first(refused, listener)
    return all(whole) and len(jobs) == len(declared)


def _run_experiment(
    jobs: Sequence[Job], stores: dict[str, Store], place: Place, listener: Listener, deadline: float | None
) -> bool:
    rivals = [rival for job in jobs if job not in stores[job.experiment] for rival in job.rivals]
    if not _run_all(rivals, stores, place, listener, deadline):
        return False
    chosen = []
    for job in jobs:
        if job.rivals and job not in stores[job.experiment]:
            best = choose([_result(stores[job.experiment].rows[rival.key]) for rival in job.rivals])
            own = replace(job.arm, settings=best.arm.settings)
            job = replace(job, settings={**job.settings, **best.arm.settings}, arm=own, rivals=())
        chosen.append(job)
    return _run_all(chosen, stores, place, listener, deadline)


def _with_data(
    jobs: Sequence[Job], stores: dict[str, Store], place: Place, listener: Listener
) -> tuple[list[Job], list[UserError]]:
    """The jobs that are done, and those whose data are there; and of data that are not what is told: here, where they
    must be brought along, and else as errors, which are told at once, too, if there is something else to do."""
    there: dict[str, bool] = {"": True}
    refused: list[UserError] = []
    sources = list(dict.fromkeys(_source(job, place) for job in jobs if job not in stores[job.experiment]))

    def has_data(job: Job) -> bool:
        source = _source(job, place)
        if job in stores[job.experiment]:
            return True
        if source in there:
            return there[source]
        listener.preparing("data", sources.index(source), len(sources))
        stacks = job.scale != "smoke" and source.startswith("stacked-mnist")
        options = {name: job.settings[name] for name in OPTIONS if name in job.settings}
        try:
            if stacks and not (place.data_dir and files_of("mnist", Path(place.data_dir), "train")):
                raise UserError("--data-dir names the folder of MNIST: stacks of other digits are another experiment.")
            if job.table.brought and not place.data_dir and job.data == job.table.data:
                raise UserError(f"--data-dir names the folder of a folder {source!r} that holds {job.table.brought}.")
            open_data(source, data_dir=place.data_dir or None, **options)
            there[source] = True
        except UserError as error:
            there[source] = False
            said = f"{job.experiment}: runs on {job.data} are left out, for they are not here: {error}"
            if is_to_be_brought(job, place):
                listener.note(said)
            else:
                refused.append(UserError(said))
        return there[source]

    found = [job for job in jobs if has_data(job)]
    if any(job not in stores[job.experiment] for job in found):
        for error in refused:
            listener.note(str(error))
    return found, refused


def is_to_be_brought(job: Job, place: Place) -> bool:
    """Whether a job's data must be brought along, and are not there."""
    return bool(job.table.brought) and job.data == job.table.data and not Path(_source(job, place)).exists()


def _source(job: Job, place: Place) -> str:
    return str(Path(place.data_dir, job.data)) if job.table.brought and job.data == job.table.data else job.data


def choose(results: Sequence[Result]) -> Result:
    """The best by its last evaluation: seeds with all modes, then the mean of both counts of modes, then the distance.

    The stricter count alone is chance where a search is shorter than what it is for: next to 0, for candidates that
    cover all modes by the looser one and for those that have collapsed: docs/decisions/0024-what-a-search-asks.md.
    """

    def merit(result: Result) -> tuple[float, float, float]:
        if result.broken:
            return (-1.0, 0.0, 0.0)
        rows, total = result.summary["last"], int(result.summary["evaluation"]["modes"])
        modes, distance = (
            sum(values)
            for values in zip(*((sum(counts(r)), r.get("wasserstein", r.get("kl_uniform"))) for r in rows), strict=True)
        )
        return (full(rows, total), modes / len(rows), -distance / len(rows))

    return max(results, key=merit)


def _result(row: Row) -> Result:
    return Result(Arm(row["label"], row["method"], row["own"]), row["summary"], row["broken"], row["table"])


def _run_all(
    jobs: Sequence[Job], stores: dict[str, Store], place: Place, listener: Listener, deadline: float | None
) -> bool:
    def is_done(job: Job) -> bool:
        stores[job.experiment].refresh()  # which another program may have added it to
        return all(each in stores[job.experiment] for each in (job, *job.beside))

    missing = [job for job in jobs if not is_done(job)]
    if not missing:
        return True
    if not any(_time_for(job, deadline) for job in missing):
        return False
    runs = _over_ray if place.backend == "ray" else _over_processes
    runnable = at_once(missing) if place.at_once else missing
    with contextlib.closing(runs(runnable, is_done, place, listener, deadline)) as ended:
        for job, rows in ended:
            for row in rows:
                stores[job.experiment].add(row)
    return all(job in stores[job.experiment] for job in jobs)


def _time_for(job: Job, deadline: float | None) -> bool:
    return deadline is None or deadline - time.monotonic() > 60 * SHORTEST * job.minutes


# ---------------------------------------------------------------------------------------------- processes, and Ray


def _over_processes(
    jobs: Sequence[Job], is_done: Callable[[Job], bool], place: Place, listener: Listener, deadline: float | None
) -> Generator[tuple[Job, list[Row]]]:
    """Jobs and their rows as they end; none for one that was stopped. What is refused is told behind the others."""
    refused: list[UserError] = []
    if any(job.table.compute is None and _time_for(job, deadline) for job in jobs):
        with writing(place.out, "choose another folder with --out"):  # before processes are started
            place.out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    news, stop = context.SimpleQueue(), context.Event()
    workers = min(len(jobs), place.workers or os.cpu_count() or 1)
    told_apart = ProcessPoolExecutor(workers, context, initializer=_stand_apart, initargs=(news, stop))
    with asked_to_stop(_kill_runs) as asked, told_apart as pool:
        waiting, running, known = list(jobs), dict[Future[list[Row]], Job](), dict[str, tuple[int, int]]()
        try:
            while running or waiting:
                for job in waiting[: workers - len(running)]:
                    waiting.remove(job)
                    if _time_for(job, deadline) and not is_done(job):
                        with _signals_later():
                            running[pool.submit(_run_here, job, place)] = job
                done, _ = wait(running, 0.5, FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    try:
                        rows = future.result()
                    except UserError as error:
                        refused.append(error)
                        continue
                    yield job, rows
                if len(refused) >= MOST_REFUSED:
                    waiting.clear()
                while not news.empty():
                    folder, step, steps = news.get()
                    known[folder] = (step, steps)
                if known:
                    most = max(steps for _, steps in known.values())  # where a run has its method's own number of them
                    listener.stepped(
                        sum(step for step, _ in known.values()), sum(job.settings.get("steps", most) for job in jobs)
                    )
                if deadline is not None and time.monotonic() > deadline and not stop.is_set():
                    listener.note("the time is over: the runs save where they are")
                    stop.set()
                if asked.is_set():
                    listener.note("stopping: the runs save where they are, and the same command goes on from there")
                    raise KeyboardInterrupt
            _raise_first(refused, listener)
        except BrokenProcessPool as error:
            if asked.is_set():  # by a signal to all processes
                raise KeyboardInterrupt from None
            raise UserError(
                "The process of a run was killed, as the system does where memory runs out: give fewer workers, and "
                "the same command goes on from there."
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _kill_runs() -> None:
    """End the processes of the pool where they are, for whom it takes too long to save. An interrupt in this process
    would come while the pool waits for them, and leave both waiting for ever."""
    for process in multiprocessing.active_children():
        process.kill()


def _raise_first(refused: Sequence[UserError], listener: Listener) -> None:
    """Raise the first of what runs were refused for, and tell the others."""
    for error in refused[1:]:
        listener.note(str(error))
    if refused:
        raise refused[0]


def _over_ray(
    jobs: Sequence[Job], is_done: Callable[[Job], bool], place: Place, listener: Listener, deadline: float | None
) -> Generator[tuple[Job, list[Row]]]:
    """The same over a Ray cluster, or this machine's cores. Folders of runs lie where each is run."""
    try:
        import ray
    except ImportError:
        raise UserError("Ray is not installed: pip install 'modecover[ray]', or --backend local.") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False, num_cpus=place.workers)
    try:
        task = ray.remote(run_job)
        data_dir = str(Path(place.data_dir).absolute()) if place.data_dir else ""
        apart, refused = replace(place, out=place.out.absolute(), data_dir=data_dir), list[UserError]()
        found = {task.remote(job, apart): job for job in jobs if _time_for(job, deadline) and not is_done(job)}
        done = 0
        while found:
            for reference in ray.wait(list(found), timeout=0.5)[0]:
                done, job = done + 1, found.pop(reference)
                listener.stepped(done, len(jobs))
                try:
                    rows = ray.get(reference)
                except UserError as error:
                    refused.append(error)
                    continue
                yield job, rows
            if deadline is not None and time.monotonic() > deadline:
                for reference in found:
                    ray.cancel(reference)  # an interrupt, at which a run saves where it is
                ray.wait(list(found), num_returns=len(found), timeout=SAVING)
                break
        _raise_first(refused, listener)
    finally:
        ray.shutdown()


class _Queue(Protocol):
    def put(self, news: News, /) -> None: ...


class _Flag(Protocol):
    def is_set(self) -> bool: ...


_shared: tuple[_Queue, _Flag] | None = None
"""Of a process of the pool: where it tells how far it is, and what says that it shall stop."""


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """In the block signals wait, also for a process that is started in it: until it stands apart."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lets signals through when it starts
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _stand_apart(news: _Queue, stop: _Flag) -> None:
    """Leave the terminal's process group: Ctrl-C is then for the process that asked, which tells this one. What waited
    for this one is forgotten."""
    global _shared
    _shared = (news, stop)
    if hasattr(os, "setsid"):
        os.setsid()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """End this process behind the one that it works for, however that ended: once no run is going on here, which sees
    that by itself and is saved."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was started by the pool"
    parent.join()
    while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        time.sleep(0.5)
    os._exit(1)


def _run_here(job: Job, place: Place) -> list[Row]:
    assert _shared is not None, "see `_stand_apart`"
    return run_job(job, place, *_shared)


class _Messenger(Listener):
    """Tells another process how far the steps are, twice a second; stops, as by Ctrl-C, when that one says so, or is
    gone."""

    def __init__(self, label: str, tell: Callable[[News], None], stop: _Flag | None = None):
        self.label, self.tell, self.stop = label, tell, stop
        parent = multiprocessing.parent_process()  # may be gone already
        self.told, self.parent, self.stopped = 0.0, parent.pid if parent else os.getppid(), False

    def stepped(self, step: int, steps: int) -> None:
        if self.stopped or (step < steps and time.monotonic() - self.told < 0.5):
            return
        self.told = time.monotonic()
        if os.getppid() != self.parent or (self.stop is not None and self.stop.is_set()):
            self.stopped = True  # a second signal would not wait until the run is saved
            signal.raise_signal(signal.SIGTERM)
        else:
            self.tell((self.label, step, steps))


# ------------------------------------------------------------------------------------------------------- one run


def run_job(job: Job, place: Place, news: _Queue | None = None, stop: _Flag | None = None) -> list[Row]:
    """Run it, or what is missing of it: its row, and those of the jobs beside it; none where it was stopped before its
    end, or not begun."""
    if stop is not None and stop.is_set():  # the pool had handed it over already
        return []
    if job.table.compute is not None:
        return [{**_facts(job), **_computed(job), "curve": []}]

    import torch

    from modecover.engine.finite import NonFiniteError
    from modecover.runs.run import train

    torch.set_num_threads(1)  # the runs share the cores
    folder, tell = place.out / job.folder, (lambda _: None) if news is None else news.put
    settings: dict[str, Any] = {**job.settings, **({"data_dir": place.data_dir} if place.data_dir else {})}
    if "steps" in settings:  # at the same steps on every machine: else a slow one is judged less often
        settings.setdefault("evaluate_every", max(1, settings["steps"] // 10))
    if fallen := _in_fp32(settings):
        settings["precision"] = "fp32"
    try:
        messenger = _Messenger(str(folder), tell, stop)
        source: Any = _source(job, place)
        if job.table.prepare is not None:
            source, settings = job.table.prepare(source, place.data_dir, settings)
        if isinstance(source, str):
            source = open_once(source, **{name: settings.pop(name) for name in OPTIONS if name in settings})
        run = train(job.arm.method, source, folder, listener=messenger, **settings)
        measured = None
        if run.finished and job.table.measure is not None:
            measured = dict(job.table.measure(folder, place.data_dir, job.table.samples.get(job.scale, 10_000)))
    except NonFiniteError as error:
        if job.beside:  # one of them, and the others are well: each by itself
            alone = replace(job, settings={**job.settings, "seeds": 1}, beside=())
            return [row for each in (alone, *job.beside) for row in run_job(each, place, news, stop)]
        return [{**_facts(job), "broken": str(error), "summary": {}, "curve": []}]
    except UserError as error:
        raise UserError(f"{job.experiment}, {job.table.name or 'its table'}, {job.arm.label}: {error}") from None
    if not run.finished:
        return []
    tell((str(folder), run.step, run.step))  # a finished run takes no more steps
    summary: dict[str, Any] = with_numbers(json.loads((folder / "summary.json").read_text()))
    summary |= {"precision": "fp32"} if fallen else {}
    summary["fingerprint"] = json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"]["fingerprint"]
    # A run that is stopped is evaluated where it stops, too: such points are no part of the curve that was asked for,
    # nor one more look for the best.
    every, judged = settings.get("evaluate_every"), [row for row in read_log(folder) if "evaluation" in row]
    asked = [row for row in judged if every is None or row["step"] == run.step or (every and row["step"] % every == 0)]
    curve = [[row["step"], row["evaluation"]] for row in asked]
    if curve:
        summary["best"] = [
            max(
                ({"step": step, **{name: values[seed] for name, values in numbers.items()}} for step, numbers in curve),
                key=score,
            )
            for seed in range(len(summary["seeds"]))
        ]
    elif summary.get("last"):
        raise UserError(
            f"The log {folder / 'log.jsonl'} has lost the evaluations of a run that is finished: remove its folder, "
            "and the same command makes it anew."
        )
    if measured is not None:
        last = summary.get("last") or [{}]
        summary |= {"last": [{**last[0], **measured}], "best": summary.get("best") or [{**measured, "step": run.step}]}
    if not job.beside:
        return [{**_facts(job), "summary": summary, "curve": curve}]
    several = (job, *job.beside)
    rows = []
    for place_of, each in enumerate(several):
        own = {**summary, **{name: [summary[name][place_of]] for name in ("seeds", "last", "best")}}
        own |= {name: round(summary[name] / len(several), 1) for name in ("seconds", "processor_seconds")}
        told = [[step, {key: [values[place_of]] for key, values in numbers.items()}] for step, numbers in curve]
        rows.append({**_facts(each), "summary": {**own, "at once": len(several)}, "curve": told})
    return rows


def _in_fp32(settings: Mapping[str, Any]) -> bool:
    """Whether a run that is declared in bf16 is in fp32 here, as on a processor without its instructions, which would
    take ten times as long. Its row says so."""
    import torch

    return settings.get("precision") == "bf16" and not (torch.cuda.is_available() or multiplies_bf16())


def _facts(job: Job) -> Row:
    """What a row says of its job, beside what came of it."""
    return {
        "key": job.key,
        "experiment": job.experiment,
        "scale": job.scale,
        "table": job.table.name,
        "label": job.arm.label,
        "method": job.arm.method,
        "data": job.data,
        "settings": {**job.settings, **({"seeds": 1} if job.beside else {})},
        "own": dict(job.arm.settings),
        "broken": "",
    }


def _computed(job: Job) -> dict[str, Any]:
    from modecover.runs.records import circumstances

    assert job.table.compute is not None
    seed, started, used = int(job.settings.get("seed", 0)), time.monotonic(), time.process_time()
    numbers = dict(job.table.compute(job.settings, seed))
    summary = {
        "seeds": [seed],
        "seconds": round(time.monotonic() - started, 1),
        "processor_seconds": round(time.process_time() - used, 1),
        **circumstances("commit"),
        "last": [numbers],
        "best": [numbers],
    }
    return {"summary": summary}
