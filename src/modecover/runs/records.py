"""What a run leaves behind: a folder that describes itself, held by one process at a time.

run.json       method, data, settings, and for each start: time, versions, git commit, hardware
log.jsonl      one JSON object a line
summary.json   what the run came to
curves.png     the log as a picture
samples/       pictures
checkpoints/   see `modecover.runs.checkpoint`
model/         see `modecover.runs.model`
"""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import subprocess
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modecover import __version__
from modecover.errors import UserError
from modecover.files import is_partial, lock, read_json, reason, remove_partial, write_json, writing
from modecover.kinds import shown
from modecover.pictures.curves import curves_picture
from modecover.pictures.images import save_png_atomic
from modecover.runs.log import JsonLines, read_log, with_numbers

if TYPE_CHECKING:
    from huggingface_hub import ModelHubMixin

FORMAT = 1  # of `run.json`, and of a model's `config.json`
ADDED = {
    "standardize": "off",
    "optimizer_D": None,
    "evaluate_features": None,
    "loss_schedule": "",
}  # settings that runs of earlier versions did not have, and what these did
LOCK = ".lock"
_ABSENT = "(not set)"


@dataclass(frozen=True)
class Description:
    """What makes a run the run it is. Two starts with equal descriptions are the same run, and the second resumes."""

    method: str
    data: str
    """The data's name, for people; what is compared is the fingerprint."""
    fingerprint: str
    settings: Mapping[str, Any]
    """Values that JSON can hold; tuples count as lists."""
    opened: Mapping[str, Any] | None = None
    """What opens the data again (see `Dataset.opened`). Not compared: one data set may be found in two ways."""

    def as_json(self) -> dict[str, Any]:
        """As `run.json` holds it, so that it compares equal to one read back."""
        data = {"name": self.data, "fingerprint": self.fingerprint, "opened": self.opened and dict(self.opened)}
        facts = {"program": "modecover", "format": FORMAT, "method": self.method, "data": data}
        described: dict[str, Any] = json.loads(json.dumps({**facts, "settings": dict(self.settings)}))
        return described


class RunFolder(AbstractContextManager["RunFolder"]):
    """A new run folder, or one whose run is taken up; held by this process until `close` or the end of a `with` block.

    Args:
        path: the folder; it may be absent or empty.
        description: the run about to start.
        may_differ: settings that may change between starts of one run (steps, intervals, device, ...).

    Attributes:
        resumed: whether the folder held this run already.

    Raises:
        UserError: the folder belongs to something else, to a run with other settings or to a live process, or it cannot
            be written. Nothing in it has then been changed.
    """

    def __init__(self, path: Path | str, description: Description, *, may_differ: Collection[str] = ()):
        self.path = path = Path(path)
        self.samples, self.checkpoints = path / "samples", path / "checkpoints"
        self.model = path / "model"  # not made before there is a model
        self._log: JsonLines | None = None
        now = description.as_json()
        with writing(f"The run folder {path}", "make it writable, or choose another with --out"):
            _run_in(path)  # before the lock leaves a file there
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(path)
            try:
                before = _run_in(path)
                start = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **circumstances("git")}
                if before is not None:
                    _refuse_differences(path, before, now, may_differ)
                    changed = _changes(before["settings"], now["settings"])
                    start["changed"] = {name: [old, new] for name, old, new in changed}
                self.resumed = before is not None
                self._lock.sign()
                self._remove_partial()
                starts = [] if before is None else before["starts"]
                write_json(path / "run.json", {**now, "starts": [*starts, start]})
                self.samples.mkdir(exist_ok=True)
                self.checkpoints.mkdir(exist_ok=True)
            except BaseException:
                self._lock.release()
                raise

    def open_log(self, step: int) -> None:
        """Open the log at its end, dropping lines of later steps than `step`, which will be computed again."""
        self._log = JsonLines(self.path / "log.jsonl", step=step)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row to the open log."""
        assert self._log is not None, "`open_log` comes first"
        self._log.write(row)

    def conclude(
        self, title: str, seeds: Sequence[int], models: Sequence[ModelHubMixin], summary: Mapping[str, Any]
    ) -> None:
        """Write what comes at the end: curves of the log, a model for each seed, and what says that all is there."""
        save_png_atomic(curves_picture(read_log(self.path), title, seeds), self.path / "curves.png")
        for seed, model in zip(seeds, models, strict=True):
            model.save_pretrained(self.model / f"seed-{seed}" if len(seeds) > 1 else self.model)
        write_json(self.path / "summary.json", summary)

    def ended(self, step: int, *, judged: bool) -> dict[str, Any] | None:
        """The summary of a run that has ended at this step, or was ended there by its alarm, and was judged; None where
        not all of it was written."""
        try:
            summary: dict[str, Any] = with_numbers(read_json(self.path / "summary.json", "let it be written again"))
            is_over = summary["finished"] is True or summary.get("alarm", {}).get("tripped") is True
            is_whole = is_over and summary["steps"] == step and (not judged or "control" in summary)
            return summary if is_whole else None
        except (OSError, UserError, LookupError, TypeError, AttributeError):
            return None

    def close(self) -> None:
        """Close the log, and let other processes have the folder."""
        try:
            if self._log is not None:
                self._log.close()
            self._remove_partial()  # an interrupt may have come while a file was put away
        finally:
            self._lock.release()

    def _remove_partial(self) -> None:
        remove_partial(self.path, self.samples, self.checkpoints, self.model, *self.model.glob("seed-*"))

    def __exit__(self, *error: object) -> None:
        self.close()


def read_run(path: Path | str) -> dict[str, Any]:
    """The content of a run folder's `run.json`; the folder may be in use.

    Keys: `program`, `format`, `method`, `data` (`name`, `fingerprint`, `opened`), `settings`, `starts`.

    Raises:
        UserError: `path` is no run folder, or one of another format version.
    """
    file, mend = Path(path) / "run.json", "put it back from a backup, or use another folder"
    parts = {"method": str, "data": dict, "settings": dict, "starts": list}
    absent = f"{path} is no run folder: it has no run.json. Give the folder that --out named when training."
    run = read_own(file, "program", parts, mend, absent)
    if lacking := [name for name in ("name", "fingerprint") if name not in run["data"]]:
        raise UserError(f"{file} is damaged (it lacks data.{', data.'.join(lacking)}): {mend}.")
    return run


def read_own(path: Path, mark: str, parts: Mapping[str, type], cure: str, absent: str) -> dict[str, Any]:
    """What a JSON file of modecover's holds: by name its `mark`, "modecover"; its `format`; and `parts` of these types.

    Raises:
        UserError: it is not there (`absent` says so), damaged, not modecover's, or of another format version.
    """
    try:
        found = read_json(path, cure)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(absent) from None
    if not isinstance(found, dict) or found.get(mark) != "modecover":
        raise UserError(f"{path} is of another program than modecover: {cure}.")
    version = found.get("format")
    if type(version) is not int or version != FORMAT:
        raise UserError(
            f"{path} is of format version {shown(version)}, and this modecover reads version {FORMAT}: use the "
            "modecover that wrote it."
        )
    if lacking := [name for name, kind in parts.items() if not isinstance(found.get(name), kind)]:
        raise UserError(f"{path} is damaged (it lacks {', '.join(lacking)}): {cure}.")
    return found


def _run_in(path: Path) -> dict[str, Any] | None:
    """What `read_run` reads there, None where no run is yet; raise where `path` is something that is not ours."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file, not a folder. Choose another folder with --out.")
    if (path / "run.json").exists():
        return read_run(path)
    inside = path.iterdir() if path.exists() else ()
    if strangers := [p.name for p in inside if p.name != LOCK and not is_partial(p.name)]:
        raise UserError(
            f"{path} is not empty and is no run folder (it holds {min(strangers)}): nothing in it was changed. Choose "
            "a new or empty folder with --out."
        )
    return None


def _refuse_differences(
    path: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_differ: Collection[str]
) -> None:
    """Raise a sentence that names everything in which the run in `path` and the one asked for are not the same."""
    differing = []
    other_method = before["method"] != now["method"]
    if other_method:
        differing.append(f"method was {before['method']} and is now {now['method']}")
    if before["data"]["fingerprint"] != now["data"]["fingerprint"]:
        old, new = before["data"]["name"], now["data"]["name"]
        differing.append(f"data was {old} and is now {new}" if old != new else f"the content of data {old} changed")
    added = {name: value for name, value in ADDED.items() if name in now["settings"]}
    for name, *values in _changes({**added, **before["settings"]}, now["settings"]):
        if name not in may_differ and not (other_method and name.startswith("method.")):
            old, new = (_ABSENT if value == _ABSENT else json.dumps(value, ensure_ascii=False) for value in values)
            differing.append(f"{name} was {old} and is now {new}")
    if differing:
        raise UserError(
            f"{path} holds a run that differs: {'; '.join(differing)}. Put that back to resume it, or choose another "
            "folder with --out."
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, old, new) of every setting that differs."""
    both = [(name, before.get(name, _ABSENT), now.get(name, _ABSENT)) for name in sorted({*before, *now})]
    return [(name, old, new) for name, old, new in both if json.dumps(old) != json.dumps(new)]


class FolderLock:
    """A file lock on a folder, let go by the system when the process ends, however it ends.

    The locked file says who holds it, for the message alone.

    Raises:
        UserError: another process holds the folder, or another lock of this one.
        OSError: the folder cannot be written.
    """

    _held: ClassVar[dict[Path, int]] = {}
    """Descriptors by the folders held by this process, whom its own record locks do not stop."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        if self.folder in self._held:
            raise self._refusal("this very process")
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lock(descriptor, wait=False)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                holder = os.read(descriptor, 1000).decode(errors="replace").strip()
                os.close(descriptor)
                raise self._refusal(holder or "another process") from None
            where = f"{self.folder} lies on a file system without locks ({reason(error)})"
            warnings.warn(f"{where}: start no second run in it.", stacklevel=5)
        self._held[self.folder] = self._descriptor = descriptor

    def _refusal(self, holder: str) -> UserError:
        cure = "wait until it ends or stop it, or choose another folder with --out"
        return UserError(f"A run is going on in {self.folder} ({holder}): {cure}.")

    def sign(self) -> None:
        """Say in the locked file who holds it."""
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Let others have the folder; more than once does no harm."""
        if self._held.get(self.folder) == self._descriptor:
            os.close(self._held.pop(self.folder))
            self._descriptor = -1


class Spent:
    """Seconds of all starts of a run together; `before` are those of earlier starts, as `seconds` gave them."""

    CLOCKS: ClassVar = {"seconds": time.monotonic, "processor_seconds": time.process_time}

    def __init__(self, before: Mapping[str, float]):
        self._offset = {name: before.get(name, 0.0) - clock() for name, clock in self.CLOCKS.items()}

    def seconds(self) -> dict[str, float]:
        return {name: round(clock() + self._offset[name], 1) for name, clock in self.CLOCKS.items()}


def circumstances(commit: str) -> dict[str, Any]:
    """What numbers depend on beside the settings: the `commit`, by this name, versions, and the machine, in words."""
    import numpy
    import safetensors
    import torch

    versions: dict[str, str | None] = {"python": platform.python_version(), "modecover": __version__}
    versions |= {module.__name__: str(module.__version__) for module in (torch, numpy, safetensors)}
    named = _told_of_the_processor("model name")
    hardware = {
        "system": platform.platform(),
        "processor": named or platform.processor() or platform.machine(),
        "bf16": multiplies_bf16(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }
    return {commit: git_commit(), "versions": versions | {"cuda": torch.version.cuda}, "hardware": hardware}


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for bfloat16, by what Linux says of it; where it has none, or nobody says,
    torch may take ten times as long in it as in float32."""
    flags = f"{_told_of_the_processor('flags')} {_told_of_the_processor('Features')}"  # of x86, and of Arm
    return "bf16" in flags


def _told_of_the_processor(name: str) -> str:
    """What Linux says of the first core under this name; empty where there is no such line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((said.strip() for key, _, said in (line.partition(":") for line in lines) if key.strip() == name), "")


def git_commit() -> dict[str, Any] | None:
    """The commit of the checkout this program runs from and whether files differ from it; None outside a checkout."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # an installed copy may lie inside somebody else's checkout
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
