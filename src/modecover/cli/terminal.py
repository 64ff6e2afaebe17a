"""The terminal: what a run tells while it goes on, a live line or one now and then in a log; and tables of results."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from modecover.arguments import held
from modecover.auditing.results import ABOUT, Findings, interval, number, quantity, signed
from modecover.cli.parser import as_flags
from modecover.data import Dataset
from modecover.methods.base import Method
from modecover.runs.alarm import Look
from modecover.runs.listener import Listener
from modecover.runs.settings import Settings

if TYPE_CHECKING:
    from modecover.auditing.versus import Comparison

# Seconds between two pictures of the bar, between two lines where there is no terminal, and that the pace is measured
# over: rich keeps a thousand measurements, enough at one for each `REDRAW`.
REDRAW, PLAIN, WINDOW = 0.1, 10.0, 60.0


WIDE = 110
"""Letters of a line in which a verdict's numbers and its sentence stand beside each other."""


class _Live(Progress):
    """The bar, and the losses on a line of their own."""

    losses = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.losses:
            yield Text(self.losses, style="dim")


def by_network(losses: Mapping[str, float]) -> str:
    """{"D/real": 0.5, "D/fake": 0.25, "G/adversarial": 1} as "D: real 0.5, fake 0.25  G: adversarial 1"."""
    terms: dict[str, list[str]] = {}
    for name, value in losses.items():
        network, _, term = name.partition("/")
        terms.setdefault(network, []).append(f"{term} {value:.3g}")
    return "  ".join(f"{network}: {', '.join(values)}" for network, values in terms.items())


def duration(seconds: float) -> str:
    """A time in words: "0:01:30", "2 days, 3:00:00"; in years where they are more than a thousand."""
    years = seconds / (365.25 * 24 * 3600)
    return f"{years:.2g} years" if years > 1000 else str(timedelta(seconds=round(seconds)))


class Display(Listener):
    """A bar with steps per second and time left, the losses by name below it, evaluations and notes above it."""

    @held()
    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = self.console.is_terminal
        self.progress = _Live(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[news]}"),
            console=self.console,
            transient=True,
            auto_refresh=False,
            disable=not self.live,
            speed_estimate_period=WINDOW,
            get_time=lambda: time.perf_counter(),
        )
        self._measured = self._told = 0.0
        self._deadline = math.inf
        self.picture: Path | None = None
        """The newest picture of samples."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.progress.stop()

    def note(self, sentence: str) -> None:
        self._say(f"Note: {as_flags(sentence)}")

    def preparing(self, what: str, done: int, total: int) -> None:
        self._advance(f"preparing the {what}", done, total)

    def auditing(self, what: str, stage: str, share: float) -> None:
        if stage.startswith(ABOUT):
            self._say(f"{what}: {stage}")
        else:
            self._advance(what, round(100 * share), 100, f" ({stage})")

    def started(
        self, method: Method, settings: Settings, data: Dataset, seeds: Sequence[int], device: torch.device
    ) -> None:
        if settings.minutes is not None:
            self._deadline = time.perf_counter() + 60 * settings.minutes
        several = f", seeds {seeds[0]} to {seeds[-1]} as one program" if len(seeds) > 1 else f", seed {seeds[0]}"
        self._say(f"{method.title} on {data.name}, {settings.steps:,} steps of {settings.batch}{several}, on {device}")

    def resumed(self, step: int) -> None:
        self._say(f"Resumed at step {step:,}.")

    def stepped(self, step: int, steps: int) -> None:
        self._advance("training", step, steps)

    def logged(self, step: int, losses: Mapping[str, float], steps_per_second: float) -> None:
        self.progress.losses = f"(step {step:,}) {by_network(losses)}"

    def evaluated(self, step: int, numbers: Sequence[Mapping[str, float]], headline: Sequence[str]) -> None:
        averaged = AVERAGE + headline[0] in numbers[0]  # as the model is that is saved
        names = {name: AVERAGE + name if averaged else name for name in headline}
        parts = (f"{heading(name)} {summary(name, [row[own] for row in numbers])}" for name, own in names.items())
        self._say(f"step {step:,}: {', '.join(parts)}{' (averaged weights)' * averaged}")

    def looked(self, step: int, look: Look) -> None:
        if not look.tripped:  # which is told at the end
            self._say(look.sentence)

    def sampled(self, step: int, path: Path) -> None:
        if self.picture is None:
            self._say(f"Picture of samples, at step {step:,}: {path} (others beside it)")
        self.picture = path

    def ended(self, run: Any) -> None:
        self.progress.stop()

    def _say(self, line: str) -> None:
        self.progress.console.print(line, markup=False)

    def _advance(self, what: str, done: int, total: int, now_at: str = "") -> None:
        """Show that `done` of `total` are done, and which part of it is being done; cheap where it was shown a moment
        ago."""
        now, tasks = time.perf_counter(), self.progress.tasks
        # Runs behind a search begin anew, once that is done.
        new = not tasks or tasks[0].fields["what"] != what or (tasks[0].finished and done < total)
        if not new and done < total and now - self._measured < REDRAW:
            return
        self._measured = now
        if new:
            for task in tasks:
                self.progress.remove_task(task.id)
            self.progress.start()
            self.progress.add_task(what, total=total, news="", what=what)
            self._told = now
        (task,) = self.progress.tasks
        self.progress.update(task.id, description=what + now_at, completed=done, total=total)
        # Steps a second over the last minute, and the time left at that pace; nothing before there is a pace.
        pace, left = "", task.time_remaining
        if task.speed is not None and left is not None:
            if what == "training":
                pace, left = f"  {task.speed:.3g} steps/s", max(0.0, min(left, self._deadline - now))
            pace += f"  {duration(left)} left"
        self.progress.update(task.id, news=pace)
        if self.live:
            self.progress.refresh()
        elif not new and done < total and now - self._told >= PLAIN:
            # The first and the last call of each kind say nothing that the lines around them do not.
            self._say(f"{what}{now_at}: {done:,} of {total:,}{pace}  {self.progress.losses}".rstrip())
            self._told = now


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
    "frechet": "Frechet",
}
"""Headings of the numbers that an evaluation has, by their names in the log, in the order of a table."""

LEGEND = {
    "modes_many": "any: a mode counts with one high-quality sample, within 3 std of its centre; many: with more than "
    "20 of 2,048.\nstd ratio: spread within modes, 1.0 is ideal.",
    "modes_enough": "any: a mode counts with one sample; >= 5: with five, which a classifier's errors seldom give.",
    "frechet": "Frechet: squared distance to real rows in features, less is better; real data: that of others to them.",
}
"""What numbers mean, by the one that tells which kind of evaluation it is."""

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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, side in columns.items():
        style: dict[str, Any] = {"overflow": "fold"} if side == "fold" else {"justify": side}
        table.add_column(name, no_wrap=bool(name) and side != "fold" and not wrap, **style)
    return table


def console(width: int) -> Console:
    """Standard output, so wide where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else width, highlight=False)


def print_audit(audit: Findings, *, metrics: bool = True) -> None:
    """The verdicts as a table with their sentences, and with `metrics` the metrics as another."""
    terminal = console(160)
    fake, real = (audit.inputs.get(role, {}) for role in ("fake", "real"))
    made = f"{fake.get('count', 0):,} generated samples ({fake.get('name', 'fake')})"
    sides = f"{made} against {real.get('count', 0):,} real ones ({real.get('name', 'real')})"
    terminal.print(f"{headline(audit)}\n{sides}\n", highlight=False, markup=False)
    if audit.warning:
        terminal.print(Text(f"{audit.warning}\n", style="yellow"))
    rows = []
    for verdict in audit.verdicts:
        told, style = ("no", "green") if verdict.measured else ("cannot tell", "yellow")
        told, style = ("FOUND", "bold red") if verdict.fires else (told, style)
        effect = f"{quantity(verdict.effect.value, verdict.unit)} ({interval(verdict.effect, verdict.unit)})"
        cells = (effect if verdict.measured else "not measured", interval(verdict.null, verdict.unit))
        rows.append((Text(f"{verdict.name}: {told}", style=style), cells, verdict.sentence))
    _print_verdicts(terminal, ("effect", "real data"), rows)
    for mode in audit.invented:
        share = f"{mode.share:.1%} of the samples, such as {first_rows(mode.examples)}"
        terminal.print(f"A mode that the data do not have: {share}.")
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


def print_comparison(comparison: Comparison) -> None:
    """Two generators verdict by verdict, and what only one of them has."""
    from modecover.auditing.findings import BINS_SHOWN

    terminal, sides = console(160), {"A": comparison.a, "B": comparison.b}
    real = comparison.a.inputs.get("real", {})
    named = ", ".join(f"{name} is {side.inputs.get('fake', {}).get('name', 'fake')}" for name, side in sides.items())
    against = f"{named}; real data: {real.get('count', 0):,} samples ({real.get('name', 'real')})"
    terminal.print(f"{comparison.headline}\n{against}\n", highlight=False, markup=False)
    rows = []
    for each in comparison.differences:
        value, low, high = (signed(end, each.unit) for end in dataclasses.astuple(each.difference))
        span = f"{value} ({low} to {high})" if each.measured else value
        cells = (*(quantity(effect.value, each.unit) for effect in (each.a, each.b)), span)
        style = "bold" if each.better else "" if each.measured else "yellow"
        rows.append((Text(each.name, style=style), cells, each.sentence))
    _print_verdicts(terminal, ("A", "B", "A less B"), rows)
    told = "A less B: of each failure, below 0 where A is better; of a ratio, of its distance from real data's."
    terminal.print(f"\n{told}")
    for name, regions in (("A", comparison.only_a), ("B", comparison.only_b)):
        for region in regions[:BINS_SHOWN]:
            terminal.print(f"Only {name} covers {region.share:.1%} of the data, such as {first_rows(region.examples)}.")
        if more := regions[BINS_SHOWN:]:
            rest = sum(region.share for region in more)
            terminal.print(f"Only {name} covers another {rest:.1%} in {len(more)} smaller regions.")
    for name, side in sides.items():
        for mode in side.invented:
            share = f"{mode.share:.1%} of its samples, such as {first_rows(mode.examples)}"
            terminal.print(f"A mode of {name} that the data do not have: {share}.")


def _print_verdicts(terminal: Console, columns: Sequence[str], rows: Iterable[tuple[Text, Sequence[str], str]]) -> None:
    """A table of numbers, a row for each verdict; its sentence ends the row, or stands below where lines are short."""
    wide, below = terminal.width >= WIDE, []
    table = new_table({"verdict": "left", **dict.fromkeys(columns, "right"), **({"": "left"} if wide else {})})
    for name, cells, sentence in rows:
        table.add_row(name if wide else name.split(":")[0], *cells, *[sentence] * wide)
        below.append(Text.assemble(name, ". " if ":" in name.plain else ": ", sentence))
    terminal.print(table)
    if not wide:
        terminal.print("", *below, sep="\n")


def first_rows(examples: Sequence[int]) -> str:
    """The first of some rows, in words."""
    return f"row {examples[0]}" if len(examples) == 1 else f"rows {', '.join(map(str, examples[:3]))}"


def print_audits(audits: Mapping[str, Findings]) -> None:
    """Several audits as one table: a row for each, by its label, and a column for each verdict's effect."""
    verdicts = next(iter(audits.values())).verdicts
    table = new_table({"": "left", **{verdict.name: "right" for verdict in verdicts}}, wrap=True)
    for label, audit in audits.items():
        cells = (
            f"{quantity(v.effect.value, v.unit)}{' FOUND' if v.fires else ''}" if v.measured else "cannot tell"
            for v in audit.verdicts
        )
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
