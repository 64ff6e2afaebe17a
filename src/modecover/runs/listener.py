"""What a training run tells while it goes on, and how it is asked to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from modecover.data import Dataset
from modecover.methods.base import Method
from modecover.runs.settings import Settings

if TYPE_CHECKING:
    from modecover.runs.alarm import Look
    from modecover.runs.run import Run


class Listener:
    """Hears everything and does nothing: override what you want to know.

    The command line prints it; a notebook may plot it. What a method raises ends the run, which can be resumed.
    """

    def note(self, sentence: str) -> None:
        """Something the user should know, in one sentence."""

    def preparing(self, what: str, done: int, total: int) -> None:
        """A preparation that takes a while: `done` of `total`."""

    def started(
        self, method: Method, settings: Settings, data: Dataset, seeds: Sequence[int], device: torch.device
    ) -> None:
        """Training begins."""

    def resumed(self, step: int) -> None:
        """The run was taken up at this step."""

    def stepped(self, step: int, steps: int) -> None:
        """A step is done."""

    def logged(self, step: int, losses: Mapping[str, float], steps_per_second: float) -> None:
        """A line of the log was written."""

    def evaluated(self, step: int, numbers: Sequence[Mapping[str, float]], headline: Sequence[str]) -> None:
        """The numbers of each seed, and the names of those worth showing first."""

    def looked(self, step: int, look: Look) -> None:
        """The alarm looked at samples of the run."""

    def sampled(self, step: int, path: Path) -> None:
        """A picture of samples was written."""

    def saved(self, step: int) -> None:
        """A checkpoint was written."""

    def ended(self, run: Run) -> None:
        """All steps are done, or the run was stopped and can be resumed."""


class Listeners(Listener):
    """Several listeners as one: each hears everything, in order."""

    def __init__(self, listeners: Sequence[Listener]):
        for event in (name for name in vars(Listener) if not name.startswith("_")):
            setattr(self, event, partial(_tell_all, [getattr(each, event) for each in listeners]))


def _tell_all(functions: Sequence[Callable[..., None]], *told: Any, **named: Any) -> None:
    for function in functions:
        function(*told, **named)


@contextmanager
def asked_to_stop(again: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second one interrupts at once, or calls `again`.

    Not an exception at once: it could come in the middle of a step, or of a call to another process, whose answer would
    then be taken for that of the next call.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if not asked.is_set():
            asked.set()
        elif again is None:
            raise KeyboardInterrupt
        else:
            again()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
