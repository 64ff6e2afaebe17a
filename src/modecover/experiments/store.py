"""The rows of finished runs: one line of JSON for each in `results/NAME.jsonl`, which is committed and never run again.

A row is known by its key: the experiment's name, scale, table, label and everything that was set. Lines that were
copied from another machine's file count like one's own; of two with one key the first does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modecover.errors import UserError
from modecover.experiments.declared import Arm, Experiment, Result, Table
from modecover.files import lock, plain, writing
from modecover.kinds import checked
from modecover.runs.log import rows_in

Row = dict[str, Any]

_ROW: dict[str, Any] = dict.fromkeys(("key", "scale", "table", "label", "method", "broken"), str)
_ROW |= {"own": dict, "summary": dict}
_SUMMARY: dict[str, Any] = {"seeds": Sequence[int], "last": Sequence[Row], "best": Sequence[Row]}
_SUMMARY |= {"versions": dict, "hardware": dict, "commit": dict | None}
"""Kinds of what a row must have, and its summary where the run did not break off: what pages are made of."""

_IF_THERE: dict[str, Any] = {"evaluation": dict, "control": dict | None, "steps": int, "schedule": str}
_IF_THERE["fingerprint"] = str  # of the data that it was trained on
"""Kinds of what a summary may lack."""

_SUMMED = ("seconds", "processor_seconds")

_FACTS: dict[str, dict[str, Any]] = {
    "versions": {"torch": str, "python": str},
    "hardware": {"accelerators": Sequence[str], "processor": str},
    "commit": {"commit": str, "modified": bool},
}
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
            Lines that are no rows do not count, which is a warning, and stay. Several programs may add to it at a time.

    Raises:
        UserError: it cannot be read, or (`add`) written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, Row] = {}
        self.twice = 0
        """Lines whose key another line before them has."""
        self._text = b""
        if strangers := self.refresh(warned=True):
            warnings.warn(f"{strangers} lines of {path} are no rows of finished runs, and do not count.", stacklevel=2)

    def __contains__(self, job: Job) -> bool:
        return job.key in self.rows

    def refresh(self, *, warned: bool = False) -> int:
        """Read what others have added meanwhile; lines that are no rows, the number of which it returns, are a warning
        where they shall be."""
        return self._take(self.path.read_bytes() if self.path.is_file() else b"", warned=warned)

    def _take(self, text: bytes, *, warned: bool = False) -> int:
        if text == self._text:
            return 0
        found = rows_in(text, self.path, warned=warned)
        whole = [row for row in found if row is not None and _is_whole(row)]
        there: dict[str, Row] = {}
        for row in whole:
            there.setdefault(row["key"], row)
        self._text, self.twice = text, len(whole) - len(there)
        self.rows = {**there, **self.rows}
        return len(found) - len(whole)

    def require_writable(self) -> None:
        """Raise `UserError` where the file is there and rows cannot be added to it."""
        if self.path.exists() or self.path.is_symlink():
            if not self.path.is_file():
                raise UserError(f"{self.path} is no plain file: move it away, or choose another folder with --results.")
            with writing(self.path, _CURE), open(self.path, "ab"):
                pass

    def add(self, row: Row) -> None:
        """Append a row, unless there is one with its key, here or in the file by now."""
        if row["key"] in self.rows:
            return
        with writing(self.path, _CURE):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One descriptor for all of it: to close another one would let go of the lock.
            with open(self.path, "ab+", buffering=0) as file:
                with contextlib.suppress(OSError):  # a file system without locks
                    lock(file.fileno(), wait=True)
                file.seek(0)
                text = file.read()
                self._take(text)
                if row["key"] in self.rows:
                    return
                line = json.dumps(plain(row), allow_nan=False, ensure_ascii=False) + "\n"
                rest = line.encode(errors="backslashreplace")  # which is how JSON writes what is not in UTF-8
                end = len(text)
                if tail := text.rpartition(b"\n")[2]:
                    if _is_json(tail):
                        rest = b"\n" + rest
                    else:
                        end -= len(tail)
                        file.truncate(end)
                try:
                    while rest:
                        rest = rest[file.write(rest) or 0 :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(end)
                    raise
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


_CURE = "free disk space or make it writable, then run the same command again to go on"


def _is_number(value: Any) -> bool:
    """Whether it is one, NaN and infinity among them."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isinstance(float(value), float)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


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
        for name, kind in _IF_THERE.items():
            if name in summary:
                checked(name, summary[name], kind)
        for part, facts in _FACTS.items():
            for name, kind in {} if summary[part] is None else facts.items():
                checked(name, summary[part].get(name), kind)
        judged = summary.get("evaluation", {})
        numbers = [*summary["last"], *summary["best"]]
        if "modes" in judged:  # which are counted
            checked("modes", judged["modes"], int)
            of_data = [control] if (control := summary.get("control")) else []
            both = {"modes_many", "modes_enough"}
            counted = all("modes_any" in each and both & each.keys() for each in (*numbers, *of_data))
        else:
            counted = True
        curve = row.get("curve", ())
        drawn = [values for step, each in curve for values in each.values() if checked("step", step, int) is not None]
        seeds = len(summary["seeds"])
        alike = all(len(values) == seeds for values in (summary["last"], summary["best"], *drawn))
        values = [value for each in (*numbers, summary.get("control") or {}) for value in each.values()]
        values += [value for each in drawn for value in each]
        return seeds > 0 and alike and counted and all(map(_is_number, values))
    except (UserError, TypeError, ValueError, AttributeError, KeyError, OverflowError):
        return False
