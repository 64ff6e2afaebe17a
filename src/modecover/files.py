"""Files that are whole or absent: whatever kills the program, a reader finds the old content or the new."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from modecover.errors import UserError
from modecover.limits import within_limits

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

is_partial = re.compile(r"\..+\.\d+\.partial").fullmatch
"""Whether a name is that of a folder for a file still being written: the name of the whole one, and the process. One
that is found was left by a killed program."""


def _beside(path: Path) -> Path:
    """Where `path` is written before it takes its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write the file at the yielded temporary path; when the block ends it takes the place of `path` at once.

    If the block raises, `path` is as it was and the temporary file is gone. The content reaches the disk before the
    name does, so that a power cut cannot leave the new name with half a file. The temporary path is in a folder of its
    own: libraries write to temporary files in turn, under names that nobody could tell afterwards (safetensors), and
    for the eyes of their owner alone.
    """
    own = _beside(path)
    own.mkdir(exist_ok=True)
    temporary = own / path.name
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & own.stat().st_mode)  # as any new file here: the folder was made under the umask
        os.replace(temporary, path)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    if os.name == "posix":  # the rename, too, survives a power cut, where the file system can do that
        folder = os.open(path.parent, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(folder)
        os.close(folder)


@within_limits()
def require_writable(path: Path) -> None:
    """Find out before long work whether a file can be written at `path`; folders above it are made.

    Raises:
        UserError: it cannot, or something other than a file is there.
    """
    with writing(path, "choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise OSError(errno.EEXIST, "it is a folder" if path.is_dir() else "it is a pipe or a device")
        # A name of the length that `replacing` needs; nobody else's file is touched.
        _beside(path).mkdir()
        _beside(path).rmdir()


@contextmanager
def writing(what: object, cure: str) -> Iterator[None]:
    """In the block an `OSError` becomes a `UserError` that says it of `what`, a path or words, and how to mend it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{what} cannot be written ({reason(error)}): {cure}.") from error


def lock(descriptor: int, *, wait: bool) -> None:
    """Hold an open file for this process, until it closes it, by whatever descriptor, or ends; wait for one that does.

    A record lock is used where there is one (POSIX): unlike `flock` it is not inherited by data-loading workers, which
    may outlive a killed run by seconds.

    Raises:
        OSError: another process holds it (EACCES, EAGAIN or EDEADLK), or the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # a byte past the text, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def read_json(path: Path, cure: str, largest: int = 2**26) -> Any:
    """What the JSON file `path` holds.

    Raises:
        UserError: it is no plain file of at most so many bytes, or no JSON; `cure` says what to do.
        FileNotFoundError: it is not there.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe is to wait for its writer, for ever
        raise UserError(f"{path} is no plain file: {cure}.")
    if found.st_size > largest:
        raise UserError(f"{path} has {found.st_size:,} bytes, and cannot be what its name says: {cure}.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({reason(error)}): {cure}.") from error


def remove_partial(*folders: Path) -> None:
    """Delete what killed programs left half written in these folders, which may be absent, and nobody else's files.

    Call it only where none is being written.
    """
    for folder in folders:
        for leftover in folder.glob(".*.partial"):
            if is_partial(leftover.name) and leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            elif is_partial(leftover.name):
                leftover.unlink(missing_ok=True)


def write_json(path: Path, value: Json) -> None:
    """Replace `path` by `value` as indented JSON; see `plain` for non-finite numbers."""
    with replacing(path) as temporary:
        text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        # A file's name may hold bytes that are no UTF-8; backslashes and four digits are how JSON writes them.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def plain(value: Any) -> Json:
    """`value` as strict JSON: non-finite numbers become the strings "NaN", "Infinity" and "-Infinity"."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    raise TypeError(f"a log line cannot hold {value!r}")


def reason(error: BaseException) -> str:
    """Why a file could not be written or read, in the system's own words: "No space left on device"."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
