"""Pages of Markdown as what they tell to type: commands and Python, typed in one folder from first to last."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modecover.cli import main as command
from modecover.cli.train import EXIT_ALARM

ROOT = Path(__file__).parents[1]
SMALL = {"steps": 6, "batch": 16, "width": 4, "evaluate_samples": 50}
"""Settings under which a run of a page takes a moment."""
NOT_RUN = "<!-- not run: "
"""Before a block that needs what a test has not, with the reason."""


@dataclass(frozen=True)
class Step:
    """A block of Python, or a line of a terminal."""

    text: str
    python: bool


def pages() -> list[Path]:
    """All that are written by hand and tell what to type."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def steps(page: str) -> Iterator[Step]:
    """What a page tells to type, in its order: fenced blocks, and lines of indented blocks."""
    page = re.sub(rf"{re.escape(NOT_RUN)}[^\n]*-->\n *```.*?^ *```", "", page, flags=re.DOTALL | re.MULTILINE)
    fence = r"^(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<block>.*?)^(?P=indent)```$"
    line = r"(?:(?<=\n\n)|(?<=\A))(?P<lines>(?: {4}(?! )[^\n]*\n)+)"
    for found in re.finditer(f"{fence}|{line}", page, re.DOTALL | re.MULTILINE):
        if found["lines"]:
            yield from (Step(each[4:], False) for each in found["lines"].splitlines())
        elif found["kind"] == "python":
            yield Step(re.sub(rf"^{found['indent']}", "", found["block"], flags=re.MULTILINE), True)
        else:
            assert found["kind"].startswith(("{toctree}", "{eval-rst}")), f"a block of {found['kind'] or 'nothing'}"


def shortened(text: str) -> str:
    """A step with runs as short as `SMALL`: what is set last counts for a command, and Python has each name once."""
    if text.startswith("modecover train ") and "--config" not in text:
        spoken = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        words, arrow, file = text.partition(" > ")
        return f"{words.partition('#')[0].rstrip()} {' '.join(spoken)}{arrow}{file}"
    if text.startswith("modecover audit "):
        return f"{text.partition('#')[0].rstrip()} --samples 300"
    small = ", ".join(f"{name}={value}" for name, value in SMALL.items())
    return re.sub(r"\bsteps=[\d_]+(?=, | *\))(?=.*(?:out=|listener=|\"runs/))", small, text)


def follow(page: str, names: dict[str, Any], said: Callable[[], str], other: Mapping[str, str]) -> int:
    """Do what a page tells, in the current folder; how many steps that were.

    Args:
        names: what its Python finds; what it defines is added.
        said: gives what was printed since it was last asked.
        other: lines of the page that are not typed as they stand, by their beginning: what is typed for them, or "".
    """
    done = 0
    for step in steps(page):
        if step.python:
            exec(compile(shortened(step.text), "<page>", "exec"), names)
            done += 1
            continue
        beginning = next((each for each in other if step.text.startswith(each)), None)
        text = shortened(step.text if beginning is None else other[beginning])
        if not text:
            continue
        assert text.startswith("modecover "), f"nobody types this in a test: {text}"
        line, _, file = text.partition(" > ")
        said()
        code = command(shlex.split(line, comments=True)[1:])
        assert code in ((0, EXIT_ALARM) if "--alarm" in line else (0,)), f"{code}: {line}\n{said()}"
        if file:
            Path(file).write_text(said())
        done += 1
    return done
