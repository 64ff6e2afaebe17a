"""An audit on the terminal: verdicts with what they mean, then the metrics beside those of real samples."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modecover.auditing.results import Findings, Verdict, interval, number, quantity

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def print_audit(audit: Findings, *, metrics: bool = True) -> None:
    """The verdicts as a table with their sentences, and with `metrics` the metrics as another."""
    from rich.table import Table

    console = _console()
    console.print(f"{headline(audit)}\n{sides(audit)}\n", highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name, justify in (("verdict", "left"), ("effect", "right"), ("real data", "right"), ("", "left")):
        table.add_column(name, justify=justify, no_wrap=bool(name))  # type: ignore[arg-type]  # as rich names them
    for verdict in audit.verdicts:
        effect = f"{quantity(verdict.effect.value, verdict.unit)} ({interval(verdict.effect, verdict.unit)})"
        null = interval(verdict.null, verdict.unit)
        table.add_row(_marked(verdict), effect, null, f"{verdict.sentence}")
    console.print(table)
    if metrics and audit.metrics:
        console.print()
        console.print(_metrics(audit))


def print_audits(audits: Mapping[str, Findings]) -> None:
    """Several audits as one table: a row for each, by its label, and a column for each verdict's effect."""
    from rich.table import Table
    from rich.text import Text

    first = next(iter(audits.values()))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for verdict in first.verdicts:
        table.add_column(verdict.name, justify="right")
    for label, audit in audits.items():
        cells = (
            Text(
                f"{quantity(v.effect.value, v.unit)}{' FOUND' if v.fires else ''}", style="bold red" if v.fires else ""
            )
            for v in audit.verdicts
        )
        table.add_row(label, *cells)
    table.add_row("real data", *(interval(v.null, v.unit) for v in first.verdicts), style="dim")
    _console().print(table)


def headline(audit: Findings) -> str:
    """How many verdicts fire, and which."""
    untold = ", ".join(verdict.name for verdict in audit.untold)
    rest = f" Not enough to tell: {untold}." if untold else ""
    told = len(audit.verdicts) - len(audit.untold)
    if not audit.firing:
        return f"No failure found ({told} verdicts).{rest}"
    names = ", ".join(verdict.name for verdict in audit.firing)
    return f"{len(audit.firing)} of {len(audit.verdicts)} failures found: {names}.{rest}"


def sides(audit: Findings) -> str:
    """What was held against what."""
    words = []
    for role, noun in (("fake", "generated samples"), ("real", "real ones")):
        facts = audit.inputs.get(role, {})
        words.append(f"{facts.get('count', 0):,} {noun} ({facts.get('name', role)})")
    return " against ".join(words)


def _marked(verdict: Verdict) -> Text:
    from rich.text import Text

    return (
        Text(f"{verdict.name}: FOUND", style="bold red")
        if verdict.fires
        else Text(f"{verdict.name}: no", style="green")
        if verdict.measured
        else Text(f"{verdict.name}: cannot tell", style="yellow")
    )


def _metrics(audit: Findings) -> object:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("metric", overflow="fold")
    for name in ("value", "95% interval", "real data"):
        table.add_column(name, justify="right", no_wrap=True)
    for metric in audit.metrics:
        arrow = {"higher": " ↑", "lower": " ↓"}.get(metric.better or "", "")
        known = metric.low is not None and metric.high is not None
        span = f"{number(metric.low or 0.0)} to {number(metric.high or 0.0)}" if known else ""
        null = "" if metric.null is None else number(metric.null)
        table.add_row(metric.name.replace("[", r"\[") + arrow, number(metric.value), span, null)
    return table


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, highlight=False)
