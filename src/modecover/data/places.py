"""Places on disk: what a path leads to is found out before it is opened: a pipe would be waited for without end."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from modecover.errors import UserError, printable

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def counted(names: Iterable[str], shown: int = 20) -> str:
    """The first `shown` of `names` with commas, and how many more there are."""
    listed = list(map(printable, names))
    rest = len(listed) - shown
    return ", ".join(listed[:shown]) + (f" and {rest:,} more" if rest > 0 else "")


def special(path: Path) -> str | None:
    """What `path` is, "a pipe", "a socket" or "a device", where it is neither file nor folder; None where it is one.

    Raises:
        OSError: where nothing is there, or it cannot be looked at.
    """
    mode = path.stat().st_mode
    return next((noun for is_kind, noun in _KINDS if is_kind(mode)), None)


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


def user_path(text: str | Path) -> Path:
    """The path that a user means; `~` is the home folder."""
    return Path(os.path.expanduser(text))


def exists(path: Path) -> bool:
    """Whether something is at `path`. Raises `UserError` where that cannot be found out."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UserError(_unopened(path, error)) from error
    return True


def names_in(folder: Path) -> list[str]:
    """The names of what is in `folder`; none where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _unopened(path: Path, error: OSError) -> str:
    return f"{printable(path)[:300]} cannot be opened: {error.strerror}. Mend that, or check the path."


def require_openable(path: Path) -> None:
    """Raise `UserError` where `path` is missing, or is a pipe, a socket or a device."""
    try:
        noun = special(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"there is no file or folder {printable(path)}; check the path.") from error
    except OSError as error:
        raise UserError(_unopened(path, error)) from error
    if noun is not None:
        raise UserError(f"{printable(path)} is {noun}, neither file nor folder; save the samples in a file first.")
