"""Names of data: what a path leads to, found out before it is opened, and options behind a name (`ring:modes=8`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from modecover.errors import UserError, printable
from modecover.kinds import nearest

OptionValue = int | float | str | bool

_TRUTH = {"true": True, "1": True, "false": False, "0": False}

_SPECIAL = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def counted(names: Iterable[str], most: int = 20) -> str:
    """The first `most` of `names` with commas, each cut to 100 letters, and how many more there are."""
    listed = [printable(name)[:100] for name in names]
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def special(mode: int) -> str | None:
    """What has a `st_mode`, "pipe", "socket" or "device", if it is neither file nor folder: it is never opened, as a
    pipe would be waited for without end."""
    return _SPECIAL.get(stat.S_IFMT(mode))


def require_name(text: str) -> None:
    """Raise `UserError` where no path can be called `text`."""
    if not text.strip():
        raise UserError("the name of the data is empty; give a name or a path.")
    if "\0" in text:
        raise UserError(f"{text!r} holds a zero byte, which no path has; check how the name was made.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise UserError(f"{text!r} cannot be the name of a file here ({error.reason}); check the path.") from error


def user_path(place: str | os.PathLike[str]) -> Path:
    """The path that a user means; `~` is the home folder. Raises `UserError` where no path can have that name."""
    text = os.fspath(place)
    if not isinstance(text, str):
        raise UserError(f"a path of bytes cannot be opened; give text: {os.fsdecode(text)!r}.")
    require_name(text)
    return Path(os.path.expanduser(text))


def exists(path: Path) -> bool:
    """Whether something is at `path`. Raises `UserError` where that cannot be found out."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = f"cannot be opened: {error.strerror}. Mend that, or check the path."
        raise UserError(f"{str(path)[:300]} {reason}") from error
    return True


def names_in(folder: Path) -> list[str]:
    """The names of what is in `folder`; none where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def require_openable(path: Path) -> None:
    """Raise `UserError` where `path` is missing, or is a pipe, a socket or a device."""
    if not exists(path):
        raise UserError(f"there is no file or folder {path}; check the path.")
    if (noun := special(path.stat().st_mode)) is not None:
        raise UserError(f"{path} is a {noun}, neither file nor folder; save the samples in a file first.")


def parse_options(name: str, text: str, defaults: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """`defaults` changed by `text`, "key=value,..."; a truth value may stand as its key alone.

    Each value takes the type of its default. Raises `UserError` for an unknown key and for a value of another type.
    """
    chosen = dict(defaults)
    for item in filter(None, (item.strip() for item in text.split(","))):
        key, equals, value = (word.strip() for word in item.partition("="))
        if key not in defaults:
            known = f"its options are: {', '.join(defaults)}" if defaults else "it takes none"
            raise UserError(f"{name} has no option {key!r}{nearest(key, defaults)}; {known}.")
        kind, default = type(defaults[key]), defaults[key]
        try:
            chosen[key] = _TRUTH[value.lower() if equals else "true"] if kind is bool else kind(value)
        except (ValueError, KeyError) as error:
            noun = {bool: "a switch", int: "a whole number", float: "a number"}[kind]
            wrong = f"{key} must be {noun}, for example {key}={default}; got {value[:60]!r}"
            raise UserError(f"{name}: {wrong}.") from error
    return chosen
