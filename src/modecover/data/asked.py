"""What is asked of `open_data`, held against what can be asked: one sentence that names the argument, at the door."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike

from modecover.data.base import Progress, silent
from modecover.data.files import NO_LABELS
from modecover.data.layouts import known_layout
from modecover.data.pixels import VALUE_RANGES
from modecover.data.places import require_name, user_path
from modecover.data.room import MEMORY_LIMIT, MOST_BYTES, byte_count
from modecover.errors import UserError

LARGEST = 8192
"""Side in pixels to which images can be resized."""


@dataclass(frozen=True)
class Asked:
    """The options of `open_data`, each of its type. See there for what they mean."""

    size: int | None
    channels: int | None
    data_dir: Path | None
    split: str
    key: tuple[str, ...] | None
    labels: ArrayLike | str | None
    layout: str | None
    value_range: str | None
    memory_limit: int
    progress: Progress

    @property
    def label_key(self) -> str | None:
        """The name of the column of labels, `NO_LABELS`, or None where no name was given."""
        return self.labels if isinstance(self.labels, str) else None

    @property
    def no_labels(self) -> bool:
        return self.label_key == NO_LABELS

    def recorded(self) -> dict[str, Any]:
        """The options that are not the default, in values that JSON can hold and `open_data` takes."""
        key = None if self.key is None else self.key[0] if len(self.key) == 1 else list(self.key)
        options = {
            "size": self.size,
            "channels": self.channels,
            "data_dir": None if self.data_dir is None else str(self.data_dir.absolute()),
            "split": None if self.split == "train" else self.split,
            "key": key,
            "labels": self.labels,
            "layout": self.layout,
            "value_range": self.value_range,
            "memory_limit": None if self.memory_limit == MEMORY_LIMIT else self.memory_limit,
        }
        return {name: value for name, value in options.items() if value is not None}


def asked(
    *,
    size: Any = None,
    channels: Any = None,
    data_dir: Any = None,
    split: Any = "train",
    key: Any = None,
    labels: Any = None,
    layout: Any = None,
    value_range: Any = None,
    memory_limit: Any = MEMORY_LIMIT,
    progress: Any = None,
) -> Asked:
    """The options of `open_data`, checked. Raises `UserError` with the name of the first that cannot be."""
    if channels is not None and (isinstance(channels, bool) or channels not in (1, 3)):
        raise UserError(f"channels must be 1 (grey) or 3 (colour); got {channels!r}.")
    if progress is not None and not callable(progress):
        raise UserError(
            f"progress must be a function of what is done, how much of it, and of how much; got {progress!r}."
        )
    if isinstance(labels, str) and labels.lower() == NO_LABELS:
        labels = NO_LABELS
    return Asked(
        size=_size(size),
        channels=None if channels is None else int(channels),
        data_dir=_folder(data_dir),
        split=_word("split", split),
        key=_key(key),
        labels=labels,
        layout=None if layout is None else known_layout(_word("layout", layout)),
        value_range=_value_range(value_range),
        memory_limit=byte_limit(memory_limit),
        progress=progress or silent,
    )


def usable_device(device: Any) -> torch.device:
    """`device`, tried. Raises `UserError` where nothing can be computed there."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except Exception as error:  # each back end refuses in a way of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"device {str(device)[:100]!r} is not usable here ({reason}); say device='cpu'.") from error
    return found


def _size(size: Any) -> int | None:
    if size is None:
        return None
    count = whole("size", size, "the side of an image in pixels, such as 32")
    if not 1 <= count <= LARGEST:
        raise UserError(
            f"size is the side of an image in pixels and must be at least 1 and at most {LARGEST:,}; got {count:,}."
        )
    return count


def whole(name: str, value: Any, meaning: str) -> int:
    """`value` as an integer. Raises `UserError` with the argument's name and its meaning where it is none."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError as error:
        raise UserError(f"{name} must be a whole number, {meaning}; got {value!r}.") from error


def _folder(place: Any) -> Path | None:
    if place is None:
        return None
    text = os.fspath(place) if isinstance(place, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UserError(f"data_dir must be the path of a folder, as text or a Path; got {place!r}.")
    require_name(text)
    return user_path(text)


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{name} must be a word; got {value!r}.")
    return value


def _value_range(value: Any) -> str | None:
    if value is not None and value not in VALUE_RANGES:
        raise UserError(f"value_range must be '0..1' or '-1..1'; got {value!r}.")
    return None if value is None else str(value)


def _key(key: Any) -> tuple[str, ...] | None:
    if key is None or (isinstance(key, str) and key):
        return None if key is None else (key,)
    if isinstance(key, Sequence) and not isinstance(key, bytes) and key and all(isinstance(name, str) for name in key):
        return tuple(key)
    raise UserError(f"key must be the name of an array or column, or a list of names; got {key!r}.")


def byte_limit(limit: Any) -> int:
    """The option `memory_limit` in bytes. Raises `UserError` where it is no amount of memory."""
    if isinstance(limit, str):
        try:
            limit = byte_count(limit)
        except UserError as error:
            raise UserError(f"memory_limit: {error}") from error
    count = whole("memory_limit", limit, "in bytes, or words such as '2GB'")
    if not 0 <= count <= MOST_BYTES:
        raise UserError(f"memory_limit must be at least 0 and at most {MOST_BYTES:,} bytes; got {count:.3g}.")
    return count
