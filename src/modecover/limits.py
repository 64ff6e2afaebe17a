"""What the machine cannot hold: refused from its size before it is tried, else told in one sentence."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.errors import UserError, about

if TYPE_CHECKING:
    import torch

_GROUPS_OF_THIS_PROCESS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

_TOO_LARGE = re.compile(
    r"allocate memory|not enough memory|out of memory|ALLOC_FAILED|could not create a memory"
    r"|Storage size calculation overflowed|multiplication overflow|invalid size, tensor|size is too (big|large)"
    r"|Maximum allowed (dimension|size) exceeded|array is too big|maximum supported dimension|negative dimension",
    re.IGNORECASE,
)
"""How torch and NumPy say that they have not so much memory, or cannot even count it; neither has one class for it."""

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

MOST_BYTES = 2**60
"""No machine has more, so that a larger number is a slip of the pen."""

_TOO_LONG = re.compile(r"without overflow|Overflow when unpacking|int too (large|big)|too large to convert", re.I)
"""How they say that a number does not fit its type."""


def free_memory(device: torch.device | None = None) -> float:
    """Bytes that can still be had, infinity where the system does not say: on the CPU the physical memory available,
    swap included, within the limit of the control group (of a container); on a GPU its free memory."""
    if device is not None and device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024.0 * sum(int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        try:  # no Linux: all there is, which is not less than what is free
            free = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            free = math.inf
    return min(free, _of_the_group())


def require_memory(what: str, size: float, cure: str, device: torch.device | None = None) -> None:
    """Raise `UserError` unless `size` bytes, the least that is taken, are free on the device (the CPU if not given).

    The sentence begins with `what` takes them, "3,000 samples of shape (2,)", has both numbers, and ends with the
    `cure`: "ask for fewer samples".
    """
    if size > (free := free_memory(device)):
        where = "" if device is None or device.type == "cpu" else f" on {device}"
        needed, left = readable(size), readable(free)
        raise UserError(f"{what} do not fit into memory{where}: {needed} at least, and {left} are free; {cure}.")


def byte_count(text: str) -> int:
    """The bytes in words such as "500MB", "1.5GiB" or "2g". Raises `UserError` for words without number or unit."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]i?)b?\s*", text.lower())
    if match is None:
        raise UserError(f"{text[:40]!r} is no amount of memory; write 500MB or 1GB.")
    return int(float(match[1]) * _UNITS[match[2]])


def bytes_of(name: str, given: int | str) -> int:
    """The argument `name` in bytes: a number of them, or words. Raises `UserError` where it is no amount of memory."""
    with about(name):
        count = byte_count(given) if isinstance(given, str) else given
    if not 0 <= count <= MOST_BYTES:
        raise UserError(f"{name} is {count:.3g}: give at least 0 and at most {MOST_BYTES:,} bytes, or as in 1GB.")
    return count


def readable(size: float) -> str:
    """Bytes in words: 1.5 GB."""
    exponent = min(max(0, math.floor(math.log10(max(1.0, size)) / 3)), 6)
    return f"{size / 10 ** (3 * exponent):.3g} {('bytes', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB')[exponent]}"


def explained(error: BaseException) -> str | None:
    """The sentence for an error that says the machine cannot do what was asked (a want of memory, whoever says so, a
    number too large for its type, a file name that cannot be); None for any other error."""
    words = " ".join(str(error).split())
    vague = isinstance(error, RuntimeError | TypeError | ValueError)
    if isinstance(error, MemoryError) or (vague and _TOO_LARGE.search(words)):
        asked = re.search(r"tried to allocate (\d+) bytes|allocate ([\d.]+ [KMGTPE]?i?B)", words)
        more = f" ({asked[2] or readable(int(asked[1]))} more were asked for)" if asked else ""
        return f"This does not fit into memory{more}: make it smaller, or use a machine with more."
    if isinstance(error, OverflowError) or (vague and _TOO_LONG.search(words)):
        return "A number is too large to be computed with: give a smaller one."
    if isinstance(error, UnicodeEncodeError) and "surrogates" in words:
        return f"The name {error.object[:80]!a} is not in UTF-8: rename it, or give another."
    if isinstance(error, ValueError) and re.search("embedded null (byte|character)", words):
        return "A file name holds a NUL character, which no file system takes: give another name."
    return None


@contextmanager
def within_limits() -> Iterator[None]:
    """In the block, and in a function it decorates, errors that `explained` knows become a `UserError`."""
    try:
        yield
    except Exception as error:
        sentence = None if isinstance(error, UserError) else explained(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error


def _of_the_group() -> float:
    """What the tightest control group above this process still allows, version 2, else version 1: files that it keeps
    in memory do not count, as the system takes that back when it needs it."""
    free = math.inf
    try:
        places = [line.split(":", 2) for line in _GROUPS_OF_THIS_PROCESS.read_text().splitlines()]
    except OSError:
        return free
    for _, controllers, path in places:
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _GROUPS / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        for folder in (root / path.lstrip("/"), *(root / path.lstrip("/")).parents):
            if folder == root.parent:
                break
            with suppress(OSError, ValueError):  # a group of another process's view, or "max": no limit
                limit, used = (int((folder / name).read_text()) for name in names)
                facts = (folder / "memory.stat").read_text()
                kept = re.search(r"^(?:total_)?inactive_file (\d+)$", facts, re.MULTILINE)
                free = min(free, limit - max(0, used - int(kept[1] if kept else 0)))
    return free
