"""Evaluations as a table: a row for each seed, and the control row of the data itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NAMES = {
    "modes_any": "modes (any)",
    "modes_many": "modes (many)",
    "modes_enough": "modes (>= 5)",
    "high_quality": "high quality",
    "kl": "KL",
    "reverse_kl": "reverse KL",
    "kl_uniform": "KL to uniform",
    "kl_reference": "KL to data law",
    "reverse_kl_uniform": "reverse KL to uniform",
    "std_ratio": "std ratio",
    "wasserstein": "Wasserstein",
}
"""Headings of the numbers that an evaluation has, by their names in the log, in the order of a table."""

LEGEND = {
    "modes_many": "any: a mode counts with one high-quality sample, within 3 std of its centre; many: with more than "
    "20 of 2,048.\nstd ratio: spread within modes, 1.0 is ideal.",
    "modes_enough": "any: a mode counts with one sample; >= 5: with five, which a classifier's errors seldom give.",
}
"""What the counts of modes mean, by the number that tells which kind of evaluation it is."""

AVERAGE = "ema_"
"""How the names of numbers under averaged weights begin."""


def heading(name: str) -> str:
    """A number's name as people read it."""
    return NAMES.get(name, name.replace("_", " "))


def shown(name: str, value: float) -> str:
    """A number of an evaluation: modes as counts, shares as percentages, all else to three decimals."""
    if value != value:
        return "-"
    if name.startswith("modes"):
        return f"{value:.0f}"
    return f"{100 * value:.1f}%" if name == "high_quality" else f"{value:.3f}"


def summary(name: str, values: Sequence[float]) -> str:
    """One number over several seeds: its mean, and the range where they differ; seeds without the number left out."""
    values = [value for value in values if value == value]
    if not values:
        return "-"
    mean = sum(values) / len(values)
    average = f"{mean:.1f}" if name.startswith("modes") and mean != round(mean) else shown(name, mean)
    low, high = shown(name, min(values)), shown(name, max(values))
    return average if low == high else f"{average} ({low} to {high})"


def print_evaluation(
    rows: Sequence[Mapping[str, float]], control: Mapping[str, float] | None, labels: Sequence[str]
) -> None:
    """A table with a line for each of `rows`, and one for its numbers under averaged weights where there are any.

    `control`, where there is one, comes last as "real data".
    """
    names = [name for name in (*NAMES, *(rows[0].keys() - NAMES.keys())) if name in rows[0] and AVERAGE not in name]
    table = new_table({"": "left", **{heading(name): "right" for name in names}}, wrap=True)
    for label, row in zip(labels, rows, strict=True):
        table.add_row(label, *(shown(name, row[name]) for name in names))
        if AVERAGE + names[0] in row:
            table.add_row(f"{label}, average", *(shown(name, row[AVERAGE + name]) for name in names))
    if control is not None:
        table.add_row("real data", *(shown(name, control[name]) for name in names), style="dim")
    console(200).print(table)
    for name, text in LEGEND.items():
        if name in names:
            print(text)


def new_table(columns: Mapping[str, str], *, wrap: bool = False) -> Table:
    """An empty table of these columns: each heading with the side its cells stand on, or "fold" for long names."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in columns.items():
        style: dict[str, Any] = {"overflow": "fold"} if side == "fold" else {"justify": side}
        table.add_column(name, no_wrap=bool(name) and side != "fold" and not wrap, **style)
    return table


def console(width: int) -> Console:
    """Standard output, so wide where it is no terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else width, highlight=False)
