"""Room in memory: what data would take is worked out before anything is allocated, and refused where it is too much."""

from __future__ import annotations

import os
import re
from pathlib import Path

from modecover.errors import UserError

MEMORY_LIMIT = 2 * 2**30
"""Bytes that decoded pictures may take before they are streamed, and that a compressed file may unfold to, unless the
user says otherwise."""

MOST_BYTES = 2**60
"""No machine has more, so that a larger number is a slip of the pen."""

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

# Limits of containers, of both versions of Linux's control groups; absent elsewhere.
_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def byte_count(text: str) -> int:
    """The bytes in words such as "500MB", "1.5GiB" or "2g". Raises `UserError` for words without number or unit."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]i?)b?\s*", text.lower())
    if match is None:
        raise UserError(f"{text[:40]!r} is no amount of memory; write 500MB or 1GB.")
    return int(float(match[1]) * _UNITS[match[2]])


def in_words(count: int) -> str:
    """A number of bytes with the unit that suits it."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count // unit:,} {name}" if count >= 1000 * unit else f"{count / unit:.3g} {name}"
    return f"{count} bytes"


def machine_memory() -> int | None:
    """Bytes of memory that this process could have at most; None where the system does not tell."""
    found = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for place in _GROUP_LIMITS:
        try:
            text = Path(place).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return min((count for count in found if count > 0), default=None)


def require_memory(count: int, what: str, cure: str) -> None:
    """Raise `UserError` where `count` bytes are more than the machine has; `what` takes them, `cure` mends it."""
    memory = machine_memory()
    if memory is not None and count > memory:
        raise UserError(f"{what} takes {in_words(count)} of memory, and this machine has {in_words(memory)}; {cure}.")


def require_unfolded(count: int, stored: int, what: object, limit: int) -> None:
    """Raise `UserError` where a compressed file of `stored` bytes unfolds to more than `limit`.

    What takes no more room than its file (here: half as much again) was not folded, and is no matter of this limit.
    """
    if count > limit and count > 1.5 * stored:
        raise UserError(
            f"{what} unfolds from {in_words(stored)} to {in_words(count)}, more than the {in_words(limit)} that "
            f"memory_limit allows; if it is to be trusted, say memory_limit='{count // 10**9 + 1}GB'."
        )
