"""results/bench.md: one page, a section for each benchmark, each with what it was made with and what was promised."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from turns import Spread

from modecover.runs import records

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "results" / "bench.md"

HEAD = """# Speed

Every section is written by its own benchmark (`make bench`, `make bench-gpu`), and says what it was made with.
Contenders take turns in rounds; times are medians over the rounds, ratios are ratios of medians with the range over the
rounds beside them. What was promised is held against the ratio of medians. A floor is counted work over a rate measured
in the same run: whatever does all of that work at no better rate is no faster.
"""

CHANGED = ("status", "--porcelain", "--", "src", "benchmarks")

ORDER = ("points", "images", "processes", "start-up")
"""What the sections' titles begin with, in the order of the page."""


@dataclass(frozen=True)
class Held:
    """A number held against what was promised.

    Attributes:
        what: in words.
        value: the number; a plain number has no range.
        limit: what was promised; None where nothing was.
        at_least: whether the limit is a lower one.
        unit: behind the number, for example " s".
        remark: why it may not count.
    """

    what: str
    value: Spread | float
    limit: float | None = None
    at_least: bool = False
    unit: str = ""
    remark: str = ""

    @property
    def number(self) -> float:
        """Without its range."""
        return self.value.value if isinstance(self.value, Spread) else self.value

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None where there is none."""
        if self.limit is None:
            return None
        return self.number >= self.limit if self.at_least else self.number <= self.limit

    def row(self) -> str:
        """Its line of the table."""
        span = f"{self.value.low:.3g} to {self.value.high:.3g}" if isinstance(self.value, Spread) else ""
        bound = "" if self.limit is None else f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"
        verdict = {None: "", True: "pass", False: "**fail**"}[self.kept]
        remark = f" ({self.remark})" if self.remark and self.kept is False else ""
        return f"| {self.what} | **{self.number:.3g}{self.unit}** | {span} | {bound} | {verdict}{remark} |"


def held_table(held: Sequence[Held]) -> str:
    """The table of what was promised."""
    return "\n".join(
        ["| | measured | over the rounds | promised | |", "|---|---|---|---|---|", *[h.row() for h in held]]
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Any other table; the first column has the names."""
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---|" * (len(columns) - 1)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def circumstances(rounds: int, others: Mapping[str, str] | None = None, device: str = "cpu") -> str:
    """Date, commit, machine and versions, in one paragraph."""
    known = records.circumstances("commit")
    machine, found = known["hardware"], {**known["versions"], **(others or {})}
    named = ", ".join(f"{name} {version}" for name, version in found.items() if version and name != "modecover")
    where = f"{machine['processor']}, {machine['cores']} cores"
    if device == "cuda":
        where = f"{', '.join(machine['accelerators'])}; {where}"
    taken = f"{rounds} round{'s' if rounds > 1 else ''}"
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}; {where}; {named}; {taken}."


def _commit() -> str:
    # The page itself changes with every section, and says nothing about the program.
    return f"{_git('rev-parse', '--short', 'HEAD') or 'unknown'}{' with changes' if _git(*CHANGED) else ''}"


def _git(*words: str) -> str:
    """What git says; nothing where there is no git, or no repository."""
    try:
        return subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def publish(title: str, *paragraphs: str, page: Path | None = PAGE) -> None:
    """Print a section and put it in its place on the page, instead of the one of this title; other sections stay."""
    section = f"## {title}\n\n" + "\n\n".join(paragraph.strip() for paragraph in paragraphs if paragraph)
    print("\n" + section + "\n", flush=True)
    if page is None:
        return
    sections = _sections(page.read_text("utf-8")) if page.exists() else {}
    sections[title] = section
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join([HEAD.strip(), *[sections[t] for t in sorted(sections, key=_place)]]) + "\n", "utf-8")


def _sections(text: str) -> dict[str, str]:
    """The sections of a page by title."""
    found = {}
    for part in text.split("\n## ")[1:]:
        title, _, _ = part.partition("\n")
        found[title] = "## " + part.strip()
    return found


def _place(title: str) -> tuple[int, bool, str]:
    kind = next((n for n, start in enumerate(ORDER) if title.lower().startswith(start)), len(ORDER))
    return kind, "cpu" not in title.lower(), title
