"""Contenders that take turns, each in a process of its own, so that noise of the machine hits all alike.

A contender is a program that first prints one line of facts about itself, then answers each line it reads with one
line of JSON: what was asked for is run there and then, and timed there. Between its turns it waits and costs nothing.
Own processes, because what one side does to the memory allocator or to the threads is not to help or harm the other.
Needs nothing but the standard library: a peer may live in an interpreter that has none of our packages.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
QUIET = {"KINETO_LOG_LEVEL": "9"}
"""Torch's profiler tells the world when it starts and stops."""

Times = Mapping[str, Sequence[float]]
"""What each contender took, by name: one number for each round."""


class Absent(Exception):
    """A contender that cannot run here; the message says what is missing."""


class Contender:
    """A program that measures one side.

    Args:
        command: how to start it.
        environment: beside this process's own.

    Raises:
        Absent: it says that it cannot run here.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self._command = list(command)
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, **ONE_THREAD, **QUIET, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.facts: dict[str, Any] = self._read()
        if "absent" in self.facts:
            self.close()
            raise Absent(self.facts["absent"])

    def ask(self, words: str) -> Any:
        """What it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it, and wait until its memory is free."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith(_MARK):
                return json.loads(line.removeprefix(_MARK))
        raise SystemExit(f"{' '.join(self._command)} ended with code {self._process.wait()}; its reason is above.")


_MARK = "answer: "
"""Begins the lines that are answers: libraries may print what they like besides."""


def serve(answer: Callable[[str], Any], facts: Mapping[str, Any]) -> None:
    """Be a contender: tell the facts, then answer every line until there are no more."""
    _say(facts)
    for line in sys.stdin:
        _say(answer(line.strip()))


def say_absent(reason: str) -> None:
    """Be a contender that cannot run here."""
    _say({"absent": reason})


def _say(answer: Any) -> None:
    print(_MARK + json.dumps(answer), flush=True)


def rounds(turns: Mapping[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """Let all take `count` turns, one after the other in every round; in every other round in reverse."""
    taken: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(count):
        for name in list(turns)[:: -1 if number % 2 else 1]:
            taken[name].append(turns[name]())
        print(f"  round {number + 1} of {count}", file=sys.stderr, flush=True)
    return taken


@dataclass(frozen=True)
class Spread:
    """A median, or a ratio of two, and the range within the rounds."""

    value: float
    low: float
    high: float


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """How many times the first is the second."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    return Spread(statistics.median(above) / statistics.median(below), min(each), max(each))


def spread(numbers: Sequence[float]) -> Spread:
    """A median and the range, of what is no ratio."""
    return Spread(statistics.median(numbers), min(numbers), max(numbers))


class Repeated:
    """Times a step that is too short for the clock: as many of them as take `seconds`, found out at the first turn.

    Args:
        step: what is timed.
        clock: CPU seconds of this process, or seconds by the wall where the work is elsewhere.
        seconds: of one turn.
        warm_up: steps before the first turn.
        multiple: steps in a turn are a multiple of it, so that what happens every so many steps has its due share.
    """

    def __init__(
        self,
        step: Callable[[], object],
        *,
        clock: Callable[[], float] = time.process_time,
        seconds: float = 0.3,
        warm_up: int = 3,
        multiple: int = 1,
    ):
        self.step, self.clock = step, clock
        for _ in range(warm_up):
            step()
        once = self._run(multiple)
        self.steps = multiple * max(1, round(seconds / once))
        self._first = once / multiple if self.steps == multiple else None

    def turn(self) -> float:
        """Seconds of one step."""
        first, self._first = self._first, None  # a long step's trial was as good as a turn
        return self._run(self.steps) / self.steps if first is None else first

    def _run(self, steps: int) -> float:
        start = self.clock()
        for _ in range(steps):
            self.step()
        return self.clock() - start


def hold_to_one_core() -> None:
    """Keep this process, and those it starts from now on, on one core: the last that it may use."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
