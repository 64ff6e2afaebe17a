"""Results as rows of a file, one JSON object a line: what is left of runs when their folders are gone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from modecover.experiments.declared import Arm
from modecover.experiments.runner import Result
from modecover.files import plain
from modecover.runs.log import with_numbers


def write_rows(path: Path, results: Sequence[Result]) -> None:
    """Write the results, in order: the arm's label, group, method and settings, and its summary or why it broke off.

    Numbers that are not finite are written as text, as in `summary.json`.
    """
    lines = []
    for result in results:
        arm = {"group": result.arm.group, "label": result.arm.label, "method": result.arm.method}
        row = {**arm, "settings": dict(result.arm.settings), "broken": result.broken, "summary": result.summary}
        lines.append(json.dumps(plain(row), allow_nan=False))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_rows(path: Path) -> list[Result]:
    """The results that `write_rows` wrote; their folders are not known any more."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        arm = Arm(row["label"], row["method"], row["settings"], row["group"])
        found.append(Result(arm, Path(), with_numbers(row["summary"]), row["broken"]))
    return found
