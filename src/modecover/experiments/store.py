"""The rows of finished runs: one line of JSON for each in `results/NAME.jsonl`, which is committed and never run again.

A row is known by its key: the experiment's name, scale, table, label and everything that was set. Lines that were
copied from another machine's file count like one's own; of two with one key the first does.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modecover.errors import UserError
from modecover.experiments.declared import Arm, Experiment, Result, Table
from modecover.files import plain
from modecover.kinds import checked
from modecover.runs.log import JsonLines, read_log

Row = dict[str, Any]

_ROW: dict[str, Any] = dict.fromkeys(("key", "scale", "table", "label", "method", "broken"), str)
_ROW |= {"own": dict, "summary": dict}
_SUMMARY: dict[str, Any] = {"seeds": Sequence[int], "last": Sequence[Row], "best": Sequence[Row]}
_SUMMARY |= {"versions": dict, "hardware": dict, "commit": dict | None}
"""Kinds of what a row must have, and its summary where the run did not break off: what pages are made of."""

_SUMMED = ("seconds", "processor_seconds")

_FACTS = {"versions": ("torch", "python"), "hardware": ("accelerators", "processor"), "commit": ("commit", "modified")}
"""What is told of these."""


@dataclass(frozen=True)
class Job:
    """A run that an experiment declares."""

    experiment: str
    scale: str
    table: Table
    arm: Arm
    settings: Mapping[str, Any]
    """All that is given to the run."""
    key: str
    rivals: tuple[Job, ...] = ()
    """Runs with each of the arm's candidates, the best of which chooses this run's settings."""
    beside: tuple[Job, ...] = ()
    """Runs of the seeds behind this one's, which are trained in the same program."""

    @property
    def folder(self) -> Path:
        """Where it is run, below the folder of runs."""
        name = "".join(letter if letter.isalnum() or letter in " .-" else "_" for letter in self.arm.label)
        more = f" and {len(self.beside)} more" if self.beside else ""
        return Path(self.experiment, self.scale, self.table.name, f"{name} {self.key}{more}")

    @property
    def data(self) -> str:
        """What it is trained on."""
        return self.table.stand_in if self.scale == "smoke" and self.table.stand_in else self.table.data

    @property
    def minutes(self) -> float:
        """That it is said to take; at once several seeds take about six tenths of what they take in turn."""
        alone = self.table.minutes.get(self.scale, 1.0)
        return alone * max(1.0, 0.6 * (1 + len(self.beside)))


def at_once(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, those that differ in nothing but seeds that follow on each other as one: where nothing is measured of a
    run's folder, which is of its first seed alone."""
    found: list[Job] = []
    for job in jobs:
        place = next((place for place, other in enumerate(found) if _follows(job, other)), None)
        if place is None:
            found.append(job)
        else:
            beside = (*found[place].beside, job)
            settings = {**found[place].settings, "seeds": 1 + len(beside)}
            found[place] = replace(found[place], settings=settings, beside=beside)
    return found


def _follows(job: Job, other: Job) -> bool:
    table, one = job.table, {"seed": 0, "seeds": 1}
    if not table.apart or table.measure is not None or table.compute is not None or job.rivals:
        return False
    alike = (job.experiment, job.scale, job.arm, {**job.settings, **one})
    if table is not other.table or alike != (other.experiment, other.scale, other.arm, {**other.settings, **one}):
        return False
    return bool(job.settings.get("seed", 0) == other.settings.get("seed", 0) + 1 + len(other.beside))


def jobs(experiment: Experiment, scale: str, only: str = "") -> list[Job]:
    """All runs of an experiment at a scale, or those of the arm or of the table that is called `only`, in the order of
    their value: the first seed of all arms before the second."""
    found: list[tuple[int, Job]] = []
    for table in experiment.tables:
        shared = {**table.settings, **table.scales.get(scale, {})}
        seeds = [{}] if not table.apart else [{"seed": n, "seeds": 1} for n in _seeds(shared)]
        for arm in table.at(scale):
            if only not in ("", table.name, arm.label):
                continue
            for place, seed in enumerate(seeds):
                settings = {**shared, **arm.settings, **seed}
                rivals: tuple[Job, ...] = ()
                # To see that it runs, the first candidate is enough.
                candidates = arm.candidates[:1] if scale == "smoke" else arm.candidates
                if len(candidates) > 1:
                    searched = {**settings, **experiment.search}
                    rivals = tuple(
                        _job(experiment, scale, table, _with(arm, own, f", candidate {number}"), {**searched, **own})
                        for number, own in enumerate(candidates, 1)
                    )
                elif candidates:
                    arm, settings = _with(arm, candidates[0]), {**settings, **candidates[0]}
                found.append((place, _job(experiment, scale, table, _with(arm), settings, rivals)))
    return [job for _, job in sorted(found, key=lambda each: each[0])]


def _seeds(settings: Mapping[str, Any]) -> range:
    first = settings.get("seed", 0)
    return range(first, first + settings.get("seeds", 1))


def _with(arm: Arm, own: Mapping[str, Any] | None = None, more: str = "") -> Arm:
    return replace(arm, label=arm.label + more, settings={**arm.settings, **(own or {})}, candidates=())


def _job(
    experiment: Experiment,
    scale: str,
    table: Table,
    arm: Arm,
    settings: Mapping[str, Any],
    rivals: tuple[Job, ...] = (),
) -> Job:
    # Of an arm with candidates the key holds these, not the one that is chosen: known before anything is run.
    names = [experiment.name, scale, table.name, arm.label, arm.method, table.data]
    what = [*names, dict(settings), [dict(rival.settings) for rival in rivals]]
    digest = hashlib.sha256(json.dumps(plain(what), sort_keys=True).encode()).hexdigest()[:10]
    return Job(experiment.name, scale, table, arm, settings, digest, rivals)


class Store:
    """The rows of one experiment.

    Args:
        path: the file; it may be absent. A torn last line, which a killed program left, is dropped when a row is added.
            Lines that are no rows do not count, which is a warning, and stay.

    Raises:
        UserError: it cannot be read, or (`add`) written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, Row] = {}
        self.twice = 0
        """Lines whose key another line before them has."""
        found = read_log(path)
        whole = [row for row in found if _is_whole(row)]
        if strangers := len(found) - len(whole):
            warnings.warn(f"{strangers} lines of {path} are no rows of finished runs, and do not count.", stacklevel=2)
        for row in whole:
            self.twice += row["key"] in self.rows
            self.rows.setdefault(row["key"], row)

    def __contains__(self, job: Job) -> bool:
        return job.key in self.rows

    def require_writable(self) -> None:
        """Raise `UserError` where the file is there and rows cannot be added to it."""
        if self.path.exists():
            JsonLines(self.path).close()

    def add(self, row: Row) -> None:
        """Append a row, unless there is one with its key."""
        if row["key"] in self.rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = JsonLines(self.path)
        try:
            lines.write(row)
        finally:
            lines.close()
        self.rows[row["key"]] = row

    def results(self, experiment: Experiment, scale: str) -> list[list[Result]]:
        """What each arm of each table came to, its runs together; one that has no rows was not run."""
        declared = jobs(experiment, scale)
        return [
            [
                self._result(arm, [job for job in declared if job.table is table and job.arm.label == arm.label])
                for arm in table.at(scale)
            ]
            for table in experiment.tables
        ]

    def _result(self, arm: Arm, declared: list[Job]) -> Result:
        rows = [self.rows[job.key] for job in declared if job in self]
        table = declared[0].table.name
        whole = [row for row in rows if not row["broken"]]
        if not whole:
            absent = f"not run: no data ({declared[0].table.brought})" if declared[0].table.brought else "not run"
            return Result(arm, {}, rows[0]["broken"] if rows else absent, table)
        own = replace(arm, settings=whole[0]["own"], candidates=())
        # The facts of the first run, the numbers of all, and where each of them comes from.
        summary = {**whole[0]["summary"], "runs": [row["summary"] for row in whole]}
        for name in ("seeds", "last", "best"):
            summary[name] = [each for row in whole for each in row["summary"][name]]
        for name in _SUMMED:
            summary[name] = sum(row["summary"].get(name, 0.0) for row in whole)
        curves = [
            tuple(
                (step, {name: values[place] for name, values in numbers.items()})
                for step, numbers in row.get("curve", ())
            )
            for row in whole
            for place in range(len(row["summary"]["seeds"]))
        ]
        lost = len(declared) - len(whole)
        short = f"{lost} of {len(declared)} runs broke off or were not run" if lost else ""
        return Result(own, {**summary, "short": short}, "", table, tuple(curves))


def _is_whole(row: Row) -> bool:
    """Whether a line has all that pages are made of."""
    try:
        for name, kind in _ROW.items():
            checked(name, row.get(name), kind)
        if row["broken"]:
            return True
        summary = row["summary"]
        for name, kind in _SUMMARY.items():
            checked(name, summary.get(name), kind)
        for name in _SUMMED:
            checked(name, summary.get(name, 0.0), float)
        seeds, last, best = (len(summary[name]) for name in ("seeds", "last", "best"))
        told = all(summary[part] is None or set(names) <= summary[part].keys() for part, names in _FACTS.items())
        drawn = [values for _, numbers in row.get("curve", ()) for values in numbers.values()]
        return min(seeds, last, best) > 0 and told and all(len(values) == seeds for values in drawn)
    except (UserError, TypeError, ValueError, AttributeError, KeyError):
        return False
