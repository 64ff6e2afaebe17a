"""Tensors in files that are whole or known to be damaged; and checkpoints, which are such files, the last two kept.

A file of tensors holds a SHA-256 digest of all that is in it, so that one that was cut short, or in which one bit has
flipped, is known as damaged. Nothing in it is pickled: reading it runs no code of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modecover.errors import UserError
from modecover.files import Json, reason, remove_partial, replacing, writing

FORMAT = 1  # of a checkpoint's layout: raise it whenever one of the old layout could no longer be continued
KEPT = 2

_NAME = re.compile(r"checkpoint-(\d{9,})\.safetensors")


class DamagedError(Exception):
    """This file is not what was written; the text says how that shows."""


def digest(tensors: Mapping[str, Tensor], *facts: Json) -> str:
    """SHA-256 of the facts and of every tensor's name, dtype, shape and bytes, whatever their order.

    The tensors are contiguous and on the CPU.
    """
    total = hashlib.sha256(json.dumps(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str], *facts: Json) -> None:
    """Replace `path` by these tensors, of any device, strides and real dtype, sharing memory or not.

    Args:
        header: texts to keep beside them.
        facts: what the digest is of, beside the tensors.

    Raises:
        OSError: the file cannot be written; the one before it is untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # The values alone, in memory of their own: safetensors refuses views and shared memory.
    plain = {name: tensor.detach().resolve_conj().resolve_neg() for name, tensor in tensors.items()}
    plain = {name: t.to("cpu", copy=True, memory_format=torch.contiguous_format) for name, t in plain.items()}
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata={**header, "sha256": digest(plain, *facts)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a file, contiguous, on the CPU, sharing no memory; and its header. No digest is compared.

    Raises:
        DamagedError: it is missing, or no such file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():  # to open a pipe is to wait for its writer, for ever
        raise DamagedError("it is no plain file" if path.exists() else "it is missing")
    try:
        with safe_open(path, framework="pt") as file:
            # A copy: tensors of an open file are views of it, and would change or vanish with it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, file.metadata() or {}
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(reason(error)) from error


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint held, verified. `tensors` are on the CPU, contiguous, and share no memory."""

    step: int
    tensors: dict[str, Tensor]
    record: dict[str, Any]


def save(
    folder: Path | str, step: int, tensors: Mapping[str, Tensor], record: Mapping[str, Json], *, keep: int | None = None
) -> Path:
    """Write `checkpoint-<step>.safetensors` in `folder` (made if absent) and return its path.

    The new file and the newest one below its step are kept; every other checkpoint goes, but only once the new file is
    safely in place. Checkpoints *above* its step go too: they were damaged, or training would not be back at this step.

    Args:
        step: how many steps are done, at least 0.
        record: whatever else training needs, as JSON. NaN and infinities are kept.
        keep: the step of a further checkpoint that is kept.

    Raises:
        UserError: the file could not be written (disk full, no permission); the earlier checkpoints are untouched.
    """
    if step < 0:
        raise ValueError(f"a checkpoint's step cannot be {step}")
    folder = Path(folder)
    newest = folder / f"checkpoint-{step:09d}.safetensors"
    text = json.dumps(record, sort_keys=True)
    header = {"modecover_checkpoint": str(FORMAT), "step": str(step), "record": text}
    cure = (
        "earlier checkpoints are intact: free disk space or make the folder writable, then run the same command again"
    )
    with writing(f"The checkpoint of step {step} in {folder}", cure):
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(newest, tensors, header, FORMAT, step, text)
    # What else there is goes: all but the newest and the one before it, and what killed programs left half written.
    there = _checkpoints(folder)
    kept = [other for other in there if other <= step][-KEPT:]
    for other, path in there.items():
        if other not in (*kept, keep):
            path.unlink(missing_ok=True)
    remove_partial(folder)
    return newest


def load_newest(folder: Path | str, until: float = math.inf) -> Checkpoint | None:
    """The newest intact checkpoint in `folder` of a step up to `until`, or None where there is none at all.

    A damaged checkpoint is passed over with a warning (`UserWarning`).

    Raises:
        UserError: every checkpoint is damaged, or the newest is of another format version.
    """
    damaged: list[str] = []
    there = {step: path for step, path in _checkpoints(Path(folder)).items() if step <= until}
    for step, path in reversed(there.items()):
        try:
            tensors, header = read_tensors(path)
            version = header.get("modecover_checkpoint", "")
            # The digest covers the version, so a file whose digest is right under *this* version is of this version.
            is_intact = header.get("sha256") == digest(tensors, FORMAT, step, header.get("record", ""))
            if not is_intact and version.isdecimal() and version != str(FORMAT):
                raise UserError(
                    f"{path} is a checkpoint of format version {version}, and this modecover reads version {FORMAT}: "
                    "continue the run with the modecover that began it, or start anew in another folder."
                )
            if not is_intact or version != str(FORMAT) or header.get("step") != str(step):
                raise DamagedError("its content does not match its digest")
        except DamagedError as error:
            damaged.append(f"{path.name} ({error})")
            continue
        if damaged:
            passed = f"Damaged: {', '.join(damaged)} in {folder}."
            warnings.warn(f"{passed} Going on from {path.name}, step {step}.", stacklevel=2)
        return Checkpoint(step, tensors, json.loads(header["record"]))
    if damaged:
        raise UserError(
            f"Every checkpoint in {folder} is damaged: {', '.join(damaged)}. Put back a copy of one from a backup, or "
            "delete them to train again from the first step."
        )
    return None


def _checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoints in `folder` by their steps, oldest first."""
    found = [(_NAME.fullmatch(path.name), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    return dict(sorted((int(match[1]), path) for match, path in found if match))
