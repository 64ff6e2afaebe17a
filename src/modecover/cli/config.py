"""Runs as TOML files: `modecover train --config FILE` reads one, `--print-config` writes one.

Their entries have the names of the options, and are the arguments of `modecover.train`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modecover.errors import UserError, about
from modecover.kinds import checked, fields_of, first_line, nearest, or_none, shown

if TYPE_CHECKING:
    from modecover.methods.base import Method

LARGEST = 2**20
"""Bytes of a file, at most."""

RUN: dict[str, Any] = {"method": str, "data": str, "out": str, "preset": str, "protocol": str, "alarm": Mapping}
DATA: dict[str, Any] = dict.fromkeys(("data_dir", "split", "key", "labels", "layout", "value_range"), str)
DATA |= {"size": int, "crop": int, "channels": int, "memory_limit": int | str, "key": str | Sequence[str]}
"""Kinds of the entries that are no settings."""


def take_config(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The file that `--config FILE` names in `words`, and the words without it. Needed before the words can be read:
    the file may name the method, whose settings they are."""
    rest, found = [], []
    given = iter(words)
    for word in given:
        flag, equals, value = word.partition("=")
        if flag.lower() != "--config":
            rest.append(word)
            continue
        found.append(value if equals else next(given, ""))
    if len(found) > 1 or "" in found:
        raise UserError("--config takes one file, as in --config run.toml: give it once.")
    return (Path(found[0]) if found else None), rest


def read_config(path: Path) -> dict[str, Any]:
    """The entries of a TOML file, with the names that Python has for them.

    Raises:
        UserError: it cannot be read, is no TOML, or has one entry twice.
    """
    with about(path):
        try:
            if path.exists() and not path.is_file():
                raise UserError("it is no plain file: give --config a TOML file.")
            with open(path, "rb") as file:
                text = file.read(LARGEST + 1)
            if len(text) > LARGEST:
                raise UserError(f"it has more than {LARGEST:,} bytes, and cannot be a run's settings.")
        except FileNotFoundError:
            raise UserError("it does not exist: give --config a TOML file, as --print-config writes it.") from None
        try:
            entries = tomllib.loads(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # also a number of more digits than Python reads
            raise UserError(f"it is no TOML ({first_line(error)}): --print-config writes such a file.") from None
        named = {name.replace("-", "_"): value for name, value in entries.items()}
        if len(named) < len(entries):
            twice = next(name for name in entries if "-" in name and name.replace("-", "_") in entries)
            raise UserError(f"it has {twice} and {twice.replace('-', '_')}, which are one: leave one out.")
        return named


def check_config(path: Path, entries: Mapping[str, Any], name: str, method: type[Method]) -> dict[str, Any]:
    """The entries as `train` takes them; `UserError` where one is unknown to the method called `name`, or of another
    kind."""
    from modecover.runs.settings import Settings

    kinds = {**RUN, **DATA, **fields_of(method), **fields_of(Settings)}
    with about(path):
        if strangers := [entry for entry in entries if entry not in kinds]:
            hint = nearest(strangers[0], kinds) or f": `modecover train {name} --help` shows them all"
            raise UserError(f"{name} has no setting {shown(strangers[0])}{hint}.")
        return {entry: checked(entry, or_none(value, kinds[entry]), kinds[entry]) for entry, value in entries.items()}


def config_of(
    name: str, source: str, out: str, given: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]
) -> str:
    """A TOML file of a run, which repeats it: nothing is left to defaults, which another version may have others of.

    Args:
        name, source, out: of the method; of the data, as it was given; of the run's folder.
        given: what was said beside settings, of `DATA` and `RUN`.
        settings: resolved ones by name, under the words that stand above them.
    """
    # With all settings told, a protocol has none to give, and a preset neither.
    said = {key: value for key, value in given.items() if (key in DATA or key == "alarm") and value is not None}
    first = {"method": name, "data": source, "out": out, **said, "protocol": "none"}
    lines = [f"{key} = {toml(value)}" for key, value in first.items()]
    for title, values in settings.items():
        lines += ["", f"# {title}", *(f"{key} = {toml(value)}" for key, value in values.items())]
    return "\n".join(lines)


def toml(value: Any) -> str:
    """A value as TOML writes it; None, which TOML has not, as the text that options take for it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps("none" if value is None else str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else toml(name)
