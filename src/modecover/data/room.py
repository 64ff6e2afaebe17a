"""Room in memory: what data would take is worked out before anything is allocated, and refused where it is too much."""

from __future__ import annotations

import re

from modecover.errors import UserError
from modecover.limits import free_memory, readable

MEMORY_LIMIT = 2 * 2**30
"""Bytes that decoded pictures may take before they are streamed, and that a compressed file may unfold to, unless the
user says otherwise."""

MOST_BYTES = 2**60
"""No machine has more, so that a larger number is a slip of the pen."""

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def byte_count(text: str) -> int:
    """The bytes in words such as "500MB", "1.5GiB" or "2g". Raises `UserError` for words without number or unit."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]i?)b?\s*", text.lower())
    if match is None:
        raise UserError(f"{text[:40]!r} is no amount of memory; write 500MB or 1GB.")
    return int(float(match[1]) * _UNITS[match[2]])


def require_memory(count: int, what: str, cure: str) -> None:
    """Raise `UserError` where `count` bytes are more than are free; `what` takes them, `cure` mends it."""
    free = free_memory()
    if count > free:
        raise UserError(f"{what} takes {readable(count)} of memory, and {readable(free)} are free; {cure}.")


def require_unfolded(count: int, stored: int, what: object, limit: int) -> None:
    """Raise `UserError` where a compressed file of `stored` bytes unfolds to more than `limit`.

    What takes no more room than its file (here: half as much again) was not folded, and is no matter of this limit.
    """
    if count > limit and count > 1.5 * stored:
        raise UserError(
            f"{what} unfolds from {readable(stored)} to {readable(count)}, more than the {readable(limit)} that "
            f"memory_limit allows; if it is to be trusted, say memory_limit='{count // 10**9 + 1}GB'."
        )
