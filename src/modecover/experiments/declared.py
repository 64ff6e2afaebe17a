"""What an experiment is: tables of arms that differ in what is compared and share everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SCALES = {
    "smoke": "seconds: whether it runs",
    "cpu": "what two cores can do, reduced where the table says so",
    "full": "as in the paper, for a GPU",
}
"""How much of an experiment is run."""

CELEBA = "CelebA, aligned, 178x218 pixels, of which the middle 140 are cut out"
"""What the folder of that name must hold."""
FACES: Mapping[str, Any] = {"crop": 140}
"""How it is opened, as IVAAE has it."""

DISTANCE: Mapping[str, Any] = {"evaluate_features": "auto", "evaluate_every": 500, "evaluate_samples": 5_000}
"""Evaluations of images whose modes are not known, as a CPU can afford them."""

SMOKE: Mapping[str, Any] = {
    **{"seeds": 2, "steps": 4, "batch": 8, "width": 4, "evaluate_samples": 64},
    **{"sample_every": 0, "evaluate_every": 0},
}
"""Settings under which two seeds of points take a moment."""
SMOKE_OF_IMAGES: Mapping[str, Any] = {
    **{"width": 4, "steps": 2, "batch": 4, "seeds": 1, "evaluate_samples": 64, "evaluate_every": 0, "sample_every": 0},
}
"""The same of a run on images."""


@dataclass(frozen=True)
class Arm:
    """One row of a table: a method with the settings that are its own.

    Attributes:
        label: names it within its table.
        method: what it trains with; nothing where the table computes.
        settings: its own, before those that the whole table shares.
        candidates: settings that a search chooses among before the table is run; none: `settings` as they are.
        published: what papers print for it, with the source; None: the table has no such column, unless for others.
        scales: settings of its own at a scale, as a search at that scale found them.
    """

    label: str
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[Mapping[str, Any], ...] = ()
    published: str | None = None
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Arms on the same data.

    Attributes:
        name: its heading, and the folder of its runs; empty where an experiment has one table.
        data: as `open_data` takes it; nothing where the table computes.
        settings: shared by all arms (`protocol` included); an arm's own go before them.
        arms: what is compared.
        scales: settings of a scale, before the table's and behind an arm's own. A scale that is not named has none.
        apart: whether each of the `seeds` is a run of its own, as of convolutional networks; else they are stacked.
        measure: more numbers of the first seed of a finished run, by name, from its folder, the folder of data and a
            number of samples. Pictures that it leaves in the folder's `pictures` are shown on the page.
        samples: that `measure` is given at a scale; 10,000 at one that is not named.
        compute: numbers by name, from the settings and a seed, where nothing is trained.
        prepare: what `train` is given as data and settings, from the name of the data, the folder of data and the
            settings; None: these as they are.
        most: so many of the arms, the first, at a scale; one that is not named has all.
        stand_in: data for the scale "smoke" where `data` are to be brought along.
        brought: what a folder of images named `data` below `--data-dir` must hold, where nobody else knows it.
        reduced: how the scale "cpu" differs from the paper, in a sentence.
        minutes: that a run takes at each scale, on one core or one card.
    """

    name: str
    data: str
    settings: Mapping[str, Any]
    arms: tuple[Arm, ...]
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    apart: bool = False
    measure: Callable[[Path, str, int], Mapping[str, float]] | None = None
    samples: Mapping[str, int] = field(default_factory=lambda: {"smoke": 64})
    compute: Callable[[Mapping[str, Any], int], Mapping[str, float]] | None = None
    prepare: Callable[[str, str, Mapping[str, Any]], tuple[Any, dict[str, Any]]] | None = None
    most: Mapping[str, int] = field(default_factory=dict)
    stand_in: str = ""
    brought: str = ""
    reduced: str = ""
    minutes: Mapping[str, float] = field(default_factory=dict)

    def at(self, scale: str) -> tuple[Arm, ...]:
        """The arms of a scale, with the settings that they have there."""
        return tuple(
            replace(arm, settings={**arm.settings, **arm.scales.get(scale, {})}, scales={})
            for arm in self.arms[: self.most.get(scale)]
        )


@dataclass(frozen=True)
class Result:
    """What one arm came to.

    Attributes:
        arm, table: with the settings chosen for it; the name of its table.
        summary: its runs' `summary.json`, with the numbers of all seeds; empty where it was not run or broke off.
        broken: why it has no numbers: a loss or a gradient became infinite or NaN, or it was not run.
        curves: for each seed (step, numbers) of every evaluation.
    """

    arm: Arm
    summary: dict[str, Any]
    broken: str = ""
    table: str = ""
    curves: tuple[tuple[tuple[int, dict[str, float]], ...], ...] = ()


Sheets = Mapping[tuple[str, str], Mapping[str, str]]
"""Pictures of the first seed of each arm, beside a page: their paths by what they show, by table and label."""


@dataclass(frozen=True)
class Experiment:
    """A comparison.

    Attributes:
        name: what `modecover reproduce` calls it, and the file of its results.
        question: what it asks, in a sentence or two.
        tables: what is run, the most valuable first.
        search: settings under which an arm's candidates are compared, before those of its table.
        write: its page, from a scale, the results of each table, where its picture lies beside the page, or nothing,
            and pictures of runs by what they show, by table and label; None: as all pages are written.
        draw: makes its picture, a file, of the results of each table, and says whether it did, for there may be nothing
            to draw; None: curves.
        curve: the number that the page draws over training, by its key; none: no picture.
        spread: numbers whose spread over the arms of each table the page shows, in place of a row for each arm; of the
            first it draws a histogram, too.
        sheets: whether pictures of runs are kept for its page.
        value: among the experiments of `modecover reproduce --queue` those with more come first.
    """

    name: str
    question: str
    tables: tuple[Table, ...]
    search: Mapping[str, Any] = field(default_factory=dict)
    write: Callable[[str, Sequence[Sequence[Result]], str, Sheets], str] | None = None
    draw: Callable[[Sequence[Sequence[Result]], Path], bool] | None = None
    curve: str = ""
    spread: Sequence[str] = ()
    sheets: bool = True
    value: float = 0.0
