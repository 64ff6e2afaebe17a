"""What a run tells while it goes on: a live line on a terminal, a line now and then in a file or a log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from modecover.arguments import held
from modecover.cli.tables import heading, summary
from modecover.data import Dataset
from modecover.methods.base import Method
from modecover.runs.listener import Listener
from modecover.runs.settings import Settings

# Seconds between two pictures of the bar, between two lines where there is no terminal, and that the pace is measured
# over: rich keeps a thousand measurements, enough at one for each `REDRAW`.
REDRAW, PLAIN, WINDOW = 0.1, 10.0, 60.0


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
        self._say(f"Note: {sentence}")

    def preparing(self, what: str, done: int, total: int) -> None:
        self._advance(f"preparing the {what}", done, total)

    def auditing(self, what: str, stage: str, share: float) -> None:
        self.preparing(f"{what} ({stage})", round(100 * share), 100)

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
        parts = (f"{heading(name)} {summary(name, [row[name] for row in numbers])}" for name in headline)
        self._say(f"step {step:,}: {', '.join(parts)}")

    def sampled(self, step: int, path: Path) -> None:
        if self.picture is None:
            self._say(f"First picture of samples, at step {step:,}: {path} (later ones beside it)")
        self.picture = path

    def ended(self, run: Any) -> None:
        self.progress.stop()

    def _say(self, line: str) -> None:
        self.progress.console.print(line, markup=False)

    def _advance(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done; cheap where it was shown a moment ago."""
        now, tasks = time.perf_counter(), self.progress.tasks
        new = not tasks or tasks[0].description != what
        if not new and done < total and now - self._measured < REDRAW:
            return
        self._measured = now
        if new:
            for task in tasks:
                self.progress.remove_task(task.id)
            self.progress.start()
            self.progress.add_task(what, total=total, news="")
            self._told = now
        (task,) = self.progress.tasks
        self.progress.update(task.id, completed=done, total=total)
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
            self._say(f"{what}: {done:,} of {total:,}{pace}  {self.progress.losses}".rstrip())
            self._told = now
