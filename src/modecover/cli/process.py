"""How the command's own process takes the machine: settings that a library has to leave to whoever calls it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
MAPPED_FROM, KEPT = 2**28, 2**30
"""Bytes: of a block that is given back to the system at once, and of freed memory that is kept in all."""


def prepare() -> None:
    """Set what torch and matplotlib read when they are loaded; call it before they are."""
    # Threads of torch shall sleep while they wait for each other, not spin: two runs on two cores that spin for each
    # other's cores take twelve times as long (docs/decisions/0012).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["MPLBACKEND"] = "agg"  # files alone: no window system that the user's settings name is looked for


def keep_freed_memory() -> None:
    """Keep freed memory for the next step, which asks for the same again: where the C library is glibc, and the user
    has no settings of his own for it."""
    if _has_own_settings():
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
    mallopt(M_TRIM_THRESHOLD, KEPT)


@contextmanager
def freed_memory_kept_by_others() -> Iterator[None]:
    """The same for processes that are started in the block. A run of narrow networks of images takes a fifth less."""
    own = {} if _has_own_settings() else {"MALLOC_MMAP_THRESHOLD_": MAPPED_FROM, "MALLOC_TRIM_THRESHOLD_": KEPT}
    os.environ.update({name: str(value) for name, value in own.items()})
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def _has_own_settings() -> bool:
    return any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)


def own_command() -> str:
    """How the user calls `modecover` from the current folder, for commands that are printed to be copied.

    Plain `modecover` where PATH finds the command of this installation; else the path to it, relative where it lies
    below the current folder; else this Python with `-m modecover`.
    """
    found = shutil.which("modecover")
    beside = shutil.which("modecover", path=str(Path(sys.executable).parent))
    if found is not None and beside is not None and os.path.samefile(found, beside):
        return "modecover"
    path = Path(beside or sys.executable).absolute()
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    here = shlex.quote(os.path.join(".", path) if len(path.parts) == 1 else str(path))
    return here if beside else f"{here} -m modecover"
