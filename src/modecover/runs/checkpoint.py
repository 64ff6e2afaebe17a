"""Checkpoints: one safetensors file each, whole or absent, verified when read, the last two kept.

The file's header carries the step, a JSON record, the version of this format, and a SHA-256 digest of all of it. So a
file that was cut short, or in which one bit has flipped, is known as damaged; the one before it is then taken. Nothing
in a checkpoint is pickled: reading one runs no code of it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from modecover.errors import UserError
from modecover.files import Json, reason, remove_partial, replacing
from modecover.runs.tensors import digest, stored

FORMAT = 1
"""The version of the layout below. Raise it whenever a checkpoint of the old layout could no longer be continued."""

KEPT = 2

_NAME = re.compile(r"checkpoint-(\d{9,})\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint held, verified. `tensors` are on the CPU, contiguous, and share no memory."""

    step: int
    tensors: dict[str, Tensor]
    record: dict[str, Any]
    path: Path


def save(folder: Path | str, step: int, tensors: Mapping[str, Tensor], record: Mapping[str, Json]) -> Path:
    """Write `checkpoint-<step>.safetensors` in `folder` (made if absent) and return its path.

    The new file and the newest one below its step are kept; every other checkpoint goes, but only once the new file is
    safely in place. Checkpoints *above* its step go too: they were damaged, or training would not be back at this step.

    Args:
        folder: where one run keeps its checkpoints.
        step: how many steps are done, at least 0.
        tensors: any dtype that safetensors knows (all real ones, bfloat16 and complex64 included), any device, any
            strides, sharing memory or not: each is stored as its values, contiguous.
        record: whatever else training needs, as JSON. NaN and infinities are kept.

    Raises:
        UserError: the file could not be written (disk full, no permission); the earlier checkpoints are untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if step < 0:
        raise ValueError(f"a checkpoint's step cannot be {step}")
    plain = stored(tensors)
    text = json.dumps(record, sort_keys=True)
    header = {
        "modecover_checkpoint": str(FORMAT),
        "step": str(step),
        "record": text,
        "sha256": digest(plain, FORMAT, step, text),
    }
    folder = Path(folder)
    path = folder / f"checkpoint-{step:09d}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(plain, temporary, metadata=header)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"The checkpoint of step {step} could not be written to {folder}: {reason(error)}. Earlier checkpoints are "
            "intact: free disk space or make the folder writable, then run the same command again to resume."
        ) from error
    _remove_others(folder, path)
    return path


def load_newest(folder: Path | str) -> Checkpoint | None:
    """The newest intact checkpoint in `folder`, or None where there is none at all.

    A damaged checkpoint is passed over with a warning (`UserWarning`).

    Raises:
        UserError: every checkpoint is damaged, or the newest is of another format version.
    """
    folder = Path(folder)
    damaged: list[str] = []
    for path in reversed(_checkpoints(folder)):
        try:
            checkpoint = _load(path)
        except _DamagedError as error:
            damaged.append(f"{path.name} ({error})")
            continue
        if damaged:
            warnings.warn(
                f"Damaged: {', '.join(damaged)} in {folder}. Going on from {path.name}, step {checkpoint.step}.",
                stacklevel=2,
            )
        return checkpoint
    if damaged:
        raise UserError(
            f"Every checkpoint in {folder} is damaged: {', '.join(damaged)}. Put back a copy of one from a backup, or "
            "delete them to train again from the first step."
        )
    return None


class _DamagedError(Exception):
    """This checkpoint is not what was written; the text says how that shows."""


def _load(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise _DamagedError("it is no plain file")
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            # A copy: tensors of an open file are views of it, and would change or vanish with it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise _DamagedError(reason(error)) from error
    named = _step_of(path)
    # The digest covers the version, so a file whose digest is right under *this* version is of this version.
    if header.get("sha256") == digest(tensors, FORMAT, named, header.get("record", "")):
        if header.get("modecover_checkpoint") == str(FORMAT) and header.get("step") == str(named):
            return Checkpoint(named, tensors, json.loads(header["record"]), path)
    elif header.get("modecover_checkpoint", "").isdecimal() and header["modecover_checkpoint"] != str(FORMAT):
        raise UserError(
            f"{path} is a checkpoint of format version {header['modecover_checkpoint']}, and this modecover reads "
            f"version {FORMAT}: continue the run with the modecover that began it, or start anew in another folder."
        )
    raise _DamagedError("its content does not match its digest")


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if _NAME.fullmatch(path.name)), key=_step_of)


def _step_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name} is not a checkpoint's name")
    return int(match[1])


def _remove_others(folder: Path, newest: Path) -> None:
    """Delete all but `newest` and the one before it, and what killed programs left half written."""
    paths = _checkpoints(folder)
    place = paths.index(newest)
    for path in paths[: max(0, place + 1 - KEPT)] + paths[place + 1 :]:
        path.unlink(missing_ok=True)
    remove_partial(folder)
