"""The log of a run: one JSON object a line."""

from __future__ import annotations

import codecs
import json
import math
import warnings
from collections.abc import Iterator, Mapping
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
        step: lines whose `step` is larger, or damaged, are dropped first, in one replacement of the file. A torn last
            line is dropped in any case; without `step` all others stay, whatever they hold.

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
                every, text = step == math.inf, self.path.read_bytes()
                lines = _lines(text, self.path, warned=not every)
                kept = b"".join(line + b"\n" for row, line in lines if every or _until(row, step))
                if kept != text:
                    with replacing(self.path) as temporary:
                        temporary.write_bytes(kept)
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
    return [row for row in rows_in(path.read_bytes() if path.is_file() else b"", path) if row is not None]


def rows_in(text: bytes, path: Path, *, warned: bool = True) -> list[dict[str, Any] | None]:
    """The row in each line of what the file `path` holds, None where it is damaged, which is a warning, or no row; a
    torn last line is none.

    Raises:
        UserError: it is in UTF-16.
    """
    return [None if row is None else with_numbers(row) for row, line in _lines(text, path, warned=warned) if line]


def _lines(text: bytes, path: Path, *, warned: bool = True) -> Iterator[tuple[dict[str, Any] | None, bytes]]:
    """The row in each line of a log, None where it is damaged or no object, and its bytes; a torn last line is none."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is in UTF-16: save it in UTF-8.")
    lines = text.removeprefix(codecs.BOM_UTF8).split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            if number == len(lines):
                continue
            if line and warned:
                warnings.warn(f"Line {number} of {path} is damaged and was passed over.", stacklevel=3)
            row = None
        yield row if isinstance(row, dict) else None, line


def _until(row: dict[str, Any] | None, step: float) -> bool:
    """Whether a row is of no later step."""
    return row is not None and not (isinstance(at := row.get("step"), int | float) and at > step)


def with_numbers(value: Any) -> Any:
    """The inverse of `plain` on what `json.loads` gives."""
    if isinstance(value, dict):
        return {key: with_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value
