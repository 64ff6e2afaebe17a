"""`modecover compare RUN RUN ...`: runs on the same data beside each other, as a table and as a page."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.cli.parser import Parser
from modecover.errors import UserError, printable
from modecover.kinds import counted

if TYPE_CHECKING:
    from modecover.comparing.runs import Number, RunComparison

SELDOM = ("reverse_kl", "reverse_kl_uniform", "kl_reference")
"""Numbers for which a terminal has no room; page and JSON have all."""


def run(words: list[str]) -> int:
    """`modecover compare RUN RUN ...`"""
    parser = Parser(
        "modecover compare",
        description="Hold runs on the same data beside each other: settings that differ, evaluations with intervals "
        "over seeds, and tests of every run against the first.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs, finished or not")
    parser.add_argument("--out", metavar="FILE", help="write a page with curves and samples, as in compare.html")
    parser.add_argument("--json", metavar="FILE", help="all numbers as JSON; - prints them instead of the table")
    parser.add_argument(
        "--audit", action="store_true", help="audit every seed's model, and compare what is found; takes minutes"
    )
    parser.add_argument("--data", metavar="SOURCE", help="for audits: the data [what the runs were trained on]")
    given = parser.parse(words)
    if given.data is not None and not given.audit:
        raise UserError("--data is what --audit holds models against: say --audit, too, or leave it out.")

    from modecover.cli.terminal import Display
    from modecover.comparing.runs import compare
    from modecover.files import require_writable

    places: dict[Path, tuple[str, ...]] = {Path(given.out): (".html", ".htm")} if given.out else {}
    if given.json not in (None, "-"):
        places[Path(given.json)] = (".json",)
    for place, endings in places.items():
        if place.suffix.lower() not in endings:
            raise UserError(f"{place} is to be {'a page' if '.html' in endings else 'JSON'}: end it in {endings[0]}.")
        require_writable(place)
    with Display() as display:
        reading = partial(display.preparing, "comparison")
        found = compare(
            given.runs, reading, audit=given.audit, data=given.data, auditing=partial(display.auditing, "audits")
        )
    if given.json == "-":
        print(found.to_json(), end="")
    else:
        _print(found)
    saved = [found.save(place) for place in places]
    for path in saved if given.json != "-" else ():
        print(f"{'Page' if path.suffix != '.json' else 'JSON'}: {printable(path)}")
    return 0


def _print(found: RunComparison) -> None:
    from modecover.cli.terminal import console, new_table
    from modecover.comparing.page import groups
    from modecover.comparing.runs import RAW
    from modecover.experiments.report import heading, written

    terminal = console(200)
    names = [name for name in found.names if name not in SELDOM and not name.startswith(RAW)]
    table = new_table({"run": "fold", "": "left", **{heading(name): "right" for name in names}}, wrap=True)
    for place, run in enumerate(found.runs):
        count = f"{len(run.seeds)} seed{'s' * (len(run.seeds) > 1)}"
        label = printable(run.name)
        if not run.numbers:
            table.add_row(label, f"no evaluation, {count}")
        if len(run.evaluations) == 1:  # which is the best, too
            cells = [_cell(name, run.numbers.get(name), "last") for name in names]
            table.add_row(f"{label}\n  {run.method}, {count}", "last", *cells)
        for which in ("last", "best") if len(run.evaluations) > 1 else ():
            cells = [_cell(name, run.numbers.get(name), which) for name in names]
            table.add_row(label if which == "last" else f"  {run.method}, {count}", which, *cells)
        told = [run.numbers.get(name) for name in names]
        if place and any(number is not None and number.p is not None for number in told):
            table.add_row("", "p", *(_chance(number) for number in told), style="dim")
    if found.control and names:
        cells = [written(name, found.control.get(name, math.nan)) for name in names]
        table.add_row("real data", "", *cells, style="dim")
    terminal.print(table)
    if names:
        print(
            f"last, best: mean ± half the 95% interval over seeds; best is chosen for each seed by looking. p: of the "
            f"last,\nagainst {printable(found.runs[0].name)}, by signed ranks of the same seeds, else Welch's t; "
            "corrected for the number of runs.\nIntervals can reach beyond what a number can be; -: no seed has it."
        )
    if found.differing:
        print("\nSettings that differ")
        for name, values in found.differing.items():
            told_values = (
                f"{printable(value)} ({counted(runs, 4)})" for value, runs in groups(values, found.runs).items()
            )
            print(f"  {name}: {', '.join(told_values)}")
    for note in found.notes:
        print(f"Note: {printable(note)}")


def _cell(name: str, number: Number | None, which: str) -> str:
    from modecover.experiments.report import written

    if number is None:
        return "-"
    estimate = number.last if which == "last" else number.best
    mean = written(name, estimate.value)
    return mean if math.isnan(estimate.low) else f"{mean} ± {written(name, estimate.high - estimate.value)}"


def _chance(number: Number | None) -> str:
    return "" if number is None or number.p is None else f"{number.verdict} {number.p:.2g}".strip()
