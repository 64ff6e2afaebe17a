"""Evaluations and audits on the terminal: a row for each seed or verdict, beside that of the data itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modecover.auditing.results import Findings, interval, number, quantity

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

AVERAGE = "ema_"  # how the names of numbers under averaged weights begin


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
    """A table with a line for each of `rows`, and one for its averaged weights where there are any; last `control`."""
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


def print_audit(audit: Findings, *, metrics: bool = True) -> None:
    """The verdicts as a table with their sentences, and with `metrics` the metrics as another."""
    from rich.text import Text

    terminal = console(160)
    fake, real = (audit.inputs.get(role, {}) for role in ("fake", "real"))
    made = f"{fake.get('count', 0):,} generated samples ({fake.get('name', 'fake')})"
    sides = f"{made} against {real.get('count', 0):,} real ones ({real.get('name', 'real')})"
    terminal.print(f"{headline(audit)}\n{sides}\n", highlight=False, markup=False)
    table = new_table({"verdict": "left", "effect": "right", "real data": "right", "": "left"})
    for verdict in audit.verdicts:
        told, style = ("no", "green") if verdict.measured else ("cannot tell", "yellow")
        told, style = ("FOUND", "bold red") if verdict.fires else (told, style)
        effect = f"{quantity(verdict.effect.value, verdict.unit)} ({interval(verdict.effect, verdict.unit)})"
        name = Text(f"{verdict.name}: {told}", style=style)
        table.add_row(name, effect, interval(verdict.null, verdict.unit), f"{verdict.sentence}")
    terminal.print(table)
    if not metrics or not audit.metrics:
        return
    table = new_table({"metric": "fold", "value": "right", "95% interval": "right", "real data": "right"})
    for metric in audit.metrics:
        arrow = {"higher": " ↑", "lower": " ↓"}.get(metric.better or "", "")
        low, high = metric.low, metric.high
        span = "" if low is None or high is None else f"{number(low)} to {number(high)}"
        null = "" if metric.null is None else number(metric.null)
        table.add_row(metric.name.replace("[", r"\[") + arrow, number(metric.value), span, null)
    terminal.print()
    terminal.print(table)


def print_audits(audits: Mapping[str, Findings]) -> None:
    """Several audits as one table: a row for each, by its label, and a column for each verdict's effect."""
    from rich.text import Text

    verdicts = next(iter(audits.values())).verdicts
    table = new_table({"": "left", **{verdict.name: "right" for verdict in verdicts}}, wrap=True)
    for label, audit in audits.items():
        cells = (f"{quantity(v.effect.value, v.unit)}{' FOUND' if v.fires else ''}" for v in audit.verdicts)
        styles = ("bold red" if v.fires else "" for v in audit.verdicts)
        table.add_row(label, *map(Text, cells, styles))
    table.add_row("real data", *(interval(v.null, v.unit) for v in verdicts), style="dim")
    console(160).print(table)


def headline(audit: Findings) -> str:
    """How many verdicts fire, and which."""
    untold = ", ".join(verdict.name for verdict in audit.untold)
    rest = f" Not enough to tell: {untold}." if untold else ""
    if not audit.firing:
        return f"No failure found ({len(audit.verdicts) - len(audit.untold)} verdicts).{rest}"
    names = ", ".join(verdict.name for verdict in audit.firing)
    return f"{len(audit.firing)} of {len(audit.verdicts)} failures found: {names}.{rest}"
