"""What a run tells while it goes on: a live line on a terminal, a line now and then in a file or a log."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from modecover.arguments import held
from modecover.cli.tables import heading, summary
from modecover.data import Dataset
from modecover.methods.base import Method
from modecover.runs.listener import Listener
from modecover.runs.settings import Settings

REDRAW = 0.1
"""Seconds between two looks at the clock's worth of news on a terminal."""
PLAIN = 10.0
"""Seconds between two lines where there is no terminal."""
WINDOW = 60.0
"""Seconds that the pace is measured over."""


class Quiet(Listener):
    """Hears everything and shows nothing: every process but the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


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


class Display(Quiet):
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
        )
        self._task: TaskID | None = None
        self._what = ""
        self._shown = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self._deadline = math.inf
        self.picture: Path | None = None
        """The newest picture of samples."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    # ------------------------------------------------------------------ what a run tells

    def note(self, sentence: str) -> None:
        self._say(f"Note: {sentence}")

    def preparing(self, what: str, done: int, total: int) -> None:
        self._advance(f"preparing the {what}", done, total)

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
        parts = [f"{heading(name)} {summary(name, [row[name] for row in numbers])}" for name in headline]
        self._say(f"step {step:,}: {', '.join(parts)}")

    def sampled(self, step: int, path: Path) -> None:
        if self.picture is None:
            self._say(f"First picture of samples, at step {step:,}: {path} (later ones beside it)")
        self.picture = path

    def ended(self, run: Any) -> None:
        self.progress.stop()

    # ------------------------------------------------------------------ how it is shown

    def _say(self, line: str) -> None:
        self.progress.console.print(line, markup=False)

    def _advance(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` are done; cheap where it was shown a moment ago."""
        now = time.perf_counter()
        if what != self._what:
            self._marks.clear()
        if not self._marks or now - self._marks[-1][0] >= 1:
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > WINDOW:
            self._marks.popleft()
        if now - self._shown < (REDRAW if self.live else PLAIN) and what == self._what and done < total:
            return
        if not self.live:
            # The first and the last call of each kind say nothing that the lines around them do not.
            if what == self._what and done < total:
                pace = self._pace(what, done, total, now)
                self._say(f"{what}: {done:,} of {total:,}{pace}  {self.progress.losses}".rstrip())
        else:
            self._redraw(what, done, total, now)
        self._what, self._shown = what, now

    def _redraw(self, what: str, done: int, total: int, now: float) -> None:
        if what != self._what:
            if self._task is not None:
                self.progress.remove_task(self._task)
            self.progress.start()
            self._task = self.progress.add_task(what, total=total, news="")
        assert self._task is not None
        self.progress.update(self._task, completed=done, news=self._pace(what, done, total, now))
        self.progress.refresh()

    def _pace(self, what: str, done: int, total: int, now: float) -> str:
        """Steps a second over the last minute, and the time left at that pace; nothing before there is a pace."""
        begin, first = self._marks[0]
        if now <= begin or done <= first:
            return ""
        speed = (done - first) / (now - begin)
        left = (total - done) / speed
        if what != "training":
            return f"  {duration(left)} left"
        left = max(0.0, min(left, self._deadline - now))
        return f"  {speed:.3g} steps/s  {duration(left)} left"
