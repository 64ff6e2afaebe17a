"""What an experiment is: tables of arms that differ in what is compared and share everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One row of a table: a method with the settings that are its own.

    Attributes:
        label: names it within its table.
        method: what it trains with.
        settings: its own, before those that the whole table shares.
        candidates: settings that a search chooses among before the table is run; none: `settings` as they are.
        published: what papers print for it, with the source; None: the table has no such column, unless for others.
    """

    label: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[Mapping[str, Any], ...] = ()
    published: str | None = None


@dataclass(frozen=True)
class Table:
    """Arms on the same data.

    Attributes:
        name: its heading, and the folder of its runs; empty where an experiment has one table.
        data: as `open_data` takes it.
        settings: shared by all arms (`protocol` included); an arm's own go before them.
        arms: what is compared.
    """

    name: str
    data: str
    settings: Mapping[str, Any]
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class Result:
    """What one arm came to.

    Attributes:
        arm, folder, table: with the settings chosen for it; that of its run; the name of its table.
        summary: that run's `summary.json`; empty where the run broke off.
        broken: why it broke off, where a loss or a gradient became infinite or NaN.
    """

    arm: Arm
    folder: Path
    summary: dict[str, Any]
    broken: str = ""
    table: str = ""


@dataclass(frozen=True)
class Experiment:
    """A comparison.

    Attributes:
        name: what `modecover reproduce` calls it, and the file of its results.
        question: what it asks, in a sentence or two.
        tables: what is run.
        search: settings under which an arm's candidates are compared, before those of its table.
        takes: how long, in a word.
        write: its page, from the results of each table; None: as all pages are written.
    """

    name: str
    question: str
    tables: tuple[Table, ...]
    search: Mapping[str, Any] = field(default_factory=dict)
    takes: str = "minutes"
    write: Callable[[Sequence[Sequence[Result]]], str] | None = None
