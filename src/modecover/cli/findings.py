"""An audit on the terminal: verdicts with what they mean, then the metrics beside those of real samples."""

from __future__ import annotations

from collections.abc import Mapping

from modecover.auditing.results import Audit
from modecover.auditing.words import interval, number, quantity
from modecover.cli.tables import console, new_table


def print_audit(audit: Audit, *, metrics: bool = True) -> None:
    """The verdicts as a table with their sentences, and with `metrics` the metrics as another."""
    from rich.text import Text

    terminal = console(160)
    terminal.print(f"{headline(audit)}\n{sides(audit)}\n", highlight=False, markup=False)
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
        known = metric.low is not None and metric.high is not None
        span = f"{number(metric.low or 0.0)} to {number(metric.high or 0.0)}" if known else ""
        null = "" if metric.null is None else number(metric.null)
        table.add_row(metric.name.replace("[", r"\[") + arrow, number(metric.value), span, null)
    terminal.print()
    terminal.print(table)


def print_audits(audits: Mapping[str, Audit]) -> None:
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


def headline(audit: Audit) -> str:
    """How many verdicts fire, and which."""
    untold = ", ".join(verdict.name for verdict in audit.untold)
    rest = f" Not enough to tell: {untold}." if untold else ""
    told = len(audit.verdicts) - len(audit.untold)
    if not audit.firing:
        return f"No failure found ({told} verdicts).{rest}"
    names = ", ".join(verdict.name for verdict in audit.firing)
    return f"{len(audit.firing)} of {len(audit.verdicts)} failures found: {names}.{rest}"


def sides(audit: Audit) -> str:
    """What was held against what."""
    fake, real = (audit.inputs.get(role, {}) for role in ("fake", "real"))
    made = f"{fake.get('count', 0):,} generated samples ({fake.get('name', 'fake')})"
    return f"{made} against {real.get('count', 0):,} real ones ({real.get('name', 'real')})"
