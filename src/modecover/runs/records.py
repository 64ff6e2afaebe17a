"""What a run leaves behind: a folder that describes itself, and its log.

run.json       method, data, settings, and for each start: time, versions, git commit, hardware
log.jsonl      one JSON object a line
curves.png     the log as a picture
samples/       pictures
checkpoints/   see `modecover.runs.checkpoint`
model/         see `modecover.runs.model`
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from modecover.errors import UserError
from modecover.files import is_partial, reason, remove_partial, require_file, write_json
from modecover.kinds import shown
from modecover.runs.lock import FolderLock
from modecover.runs.log import JsonLines
from modecover.runs.provenance import git_commit, hardware, versions

FORMAT = 1
"""The version of `run.json`."""

ADDED = {"standardize": "off"}
"""Settings that runs of earlier versions did not have, with the value that says what they did."""

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


class RunFolder:
    """A run's folder, held by this process until `close` (or the end of a `with` block).

    Attributes:
        path: the folder.
        resumed: whether the folder held this run already when it was opened.
    """

    def __init__(self, path: Path, resumed: bool, lock: FolderLock):
        self.path, self.resumed, self._lock = path, resumed, lock

    @classmethod
    def open(cls, path: Path | str, description: Description, *, may_differ: Collection[str] = ()) -> RunFolder:
        """Make a new run folder, or take up the run that lies in it.

        Args:
            path: the folder; it may be absent or empty.
            description: the run about to start.
            may_differ: settings that may change between starts of one run (steps, intervals, device, ...).

        Raises:
            UserError: the folder belongs to something else, to a run with other settings or to a live process, or it
                cannot be written. Nothing in it has then been changed.
        """
        path = Path(path)
        described = _as_json(description)
        try:
            _refuse_foreign(path)
            path.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(path)
            try:
                before = read_run(path) if (path / "run.json").exists() else None
                if before is not None:
                    _refuse_differences(path, before, described, may_differ)
                run = cls(path, before is not None, lock)
                run._remove_partial()
                write_json(path / "run.json", _with_this_start(before, described))
                for name in ("samples", "checkpoints"):
                    (path / name).mkdir(exist_ok=True)
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise UserError(
                f"The run folder {path} cannot be written: {reason(error)}. Make it writable, or choose another "
                "with --out."
            ) from error
        return run

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Where the model files go; not made before there is a model."""
        return self.path / "model"

    def log(self, *, step: int) -> JsonLines:
        """The log, open at its end. Lines of later steps than `step`, which will be computed again, are dropped."""
        return JsonLines(self.path / "log.jsonl", step=step)

    def close(self) -> None:
        """Let other processes have the folder."""
        try:
            self._remove_partial()  # an interrupt may have come while a file was put away
        finally:
            self._lock.release()

    def _remove_partial(self) -> None:
        remove_partial(self.path, self.samples, self.checkpoints, self.model, *self.model.glob("seed-*"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_run(path: Path | str) -> dict[str, Any]:
    """The content of a run folder's `run.json`; the folder may be in use.

    Keys: `program`, `format`, `method`, `data` (`name`, `fingerprint`, `opened`), `settings`, `starts`.

    Raises:
        UserError: `path` is no run folder, or one of another format version.
    """
    path = Path(path)
    mend = "put it back from a backup, or use another folder"
    try:
        require_file(path / "run.json", mend)
        run = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is no run folder: it has no run.json. Give the folder that --out named when training."
        ) from None
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path / 'run.json'} cannot be read: {reason(error)}. {mend.capitalize()}.") from error
    if not isinstance(run, dict) or run.get("program") != "modecover":
        raise UserError(f"{path} holds a run.json that modecover did not write. Choose another folder with --out.")
    if run.get("format") != FORMAT:
        raise UserError(
            f"{path} is a run folder of format version {shown(run.get('format'))}, and this modecover reads version "
            f"{FORMAT}: use the modecover that made it, or choose another folder with --out."
        )
    parts = {"method": str, "data": dict, "settings": dict, "starts": list}
    lacking = [name for name, kind in parts.items() if not isinstance(run.get(name), kind)]
    lacking += [f"data.{name}" for name in ("name", "fingerprint") if not lacking and name not in run["data"]]
    if lacking:
        raise UserError(f"{path / 'run.json'} is damaged (it lacks {', '.join(lacking)}): {mend}.")
    return run


def _as_json(description: Description) -> dict[str, Any]:
    """The description as `run.json` holds it, so that it compares equal to one read back."""
    described: dict[str, Any] = json.loads(
        json.dumps(
            {
                "program": "modecover",
                "format": FORMAT,
                "method": description.method,
                "data": {
                    "name": description.data,
                    "fingerprint": description.fingerprint,
                    "opened": None if description.opened is None else dict(description.opened),
                },
                "settings": dict(description.settings),
            }
        )
    )
    return described


def _refuse_foreign(path: Path) -> None:
    """Raise where `path` is something that this module did not make."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file, not a folder. Choose another folder with --out.")
    if (path / "run.json").exists():
        read_run(path)
        return
    if not path.exists():
        return
    strangers = [p.name for p in path.iterdir() if p.name != FolderLock.NAME and not is_partial(p.name)]
    if strangers:
        raise UserError(
            f"{path} is not empty and is no run folder (it holds {min(strangers)}): nothing in it was changed. Choose "
            "a new or empty folder with --out."
        )


def _refuse_differences(
    path: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_differ: Collection[str]
) -> None:
    """Raise a sentence that names everything in which the run in `path` and the one asked for are not the same."""
    differing = []
    if before["method"] != now["method"]:
        differing.append(f"method was {before['method']} and is now {now['method']}")
    if before["data"]["fingerprint"] != now["data"]["fingerprint"]:
        old, new = before["data"]["name"], now["data"]["name"]
        differing.append(f"data was {old} and is now {new}" if old != new else f"the content of data {old} changed")
    added = {name: value for name, value in ADDED.items() if name in now["settings"]}
    other_method = before["method"] != now["method"]
    for name, old, new in _changes({**added, **before["settings"]}, now["settings"]):
        if name not in may_differ and not (other_method and name.startswith("method.")):
            differing.append(f"{name} was {_shown(old)} and is now {_shown(new)}")
    if differing:
        raise UserError(
            f"{path} holds a run that differs: {'; '.join(differing)}. Put that back to resume it, or choose another "
            "folder with --out."
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, old, new) of every setting that differs."""
    both = [(name, before.get(name, _ABSENT), now.get(name, _ABSENT)) for name in sorted({*before, *now})]
    return [(name, old, new) for name, old, new in both if json.dumps(old) != json.dumps(new)]


def _shown(value: Any) -> str:
    return _ABSENT if value == _ABSENT else json.dumps(value, ensure_ascii=False)


def _with_this_start(before: Mapping[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """`run.json` for a start made now: the settings in force, and one more entry under `starts`."""
    start: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_commit(),
        "versions": versions(),
        "hardware": hardware(),
    }
    if before is None:
        return {**now, "starts": [start]}
    start["changed"] = {name: [old, new] for name, old, new in _changes(before["settings"], now["settings"])}
    return {**now, "starts": [*before["starts"], start]}
