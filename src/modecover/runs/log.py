"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from modecover.errors import UserError
from modecover.files import plain, replacing, writing


class JsonLines:
    """An append-only log: one JSON object a line, in the file as soon as it is written.

    JSON has no NaN: non-finite numbers are written as the strings "NaN", "Infinity" and "-Infinity", which `read_log`
    turns back into numbers.

    Args:
        path: the log file, made if absent.
        step: lines whose `step` is larger are dropped first, in one replacement of the file; so is a torn line.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path | str, *, step: float = math.inf):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():  # opening a pipe would wait for ever
            raise UserError(f"The log {self.path} is no plain file: move it away, or choose another folder.")
        cure = "free disk space or make it writable, then run the same command again to resume"
        self._writing = partial(writing, f"The log {self.path}", cure)
        with self._writing():
            if self.path.exists():
                kept = [
                    line
                    for row, line in _lines(self.path)
                    if not (isinstance(at := row.get("step"), int | float) and at > step)
                ]
                text = "".join(f"{line}\n" for line in kept).encode()
                if text != self.path.read_bytes():
                    with replacing(self.path) as temporary:
                        temporary.write_bytes(text)
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line. Values are JSON, or tensors and NumPy values of one element.

        Raises:
            UserError: the disk is full.
        """
        line = json.dumps(plain(row), allow_nan=False, ensure_ascii=False)
        with self._writing():
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_log(path: Path | str) -> list[dict[str, Any]]:
    """The rows of a log file, or of a run folder's `log.jsonl`; no file gives no rows.

    A torn last line, which a killed run may leave, is passed over; other unreadable lines too, with a warning.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "log.jsonl"
    return [with_numbers(row) for row, _ in _lines(path)]


def _lines(path: Path) -> Iterable[tuple[dict[str, Any], str]]:
    """Each readable row of a log, beside its text."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if line and number < len(lines):
                warnings.warn(f"Line {number} of {path} is damaged and was passed over.", stacklevel=3)
            continue
        if isinstance(row, dict):
            yield row, line


def with_numbers(value: Any) -> Any:
    """The inverse of `plain` on what `json.loads` gives."""
    if isinstance(value, dict):
        return {key: with_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value
