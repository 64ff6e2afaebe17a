"""Whether the program takes its fast ways, each of which computes what a plain way computes, to rounding.

`MODECOVER_FAST_PATHS=0` in the environment takes the plain ways everywhere: for finding out whether a surprise comes
from a method or from the speed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_taken: ContextVar[bool] = ContextVar("fast_paths", default=os.environ.get("MODECOVER_FAST_PATHS", "1") != "0")


def taken() -> bool:
    """Whether fast ways are taken."""
    return _taken.get()


@contextmanager
def fast_paths(taken: bool) -> Iterator[None]:
    """Within the block fast ways are taken, or not."""
    token = _taken.set(taken)
    try:
        yield
    finally:
        _taken.reset(token)
