"""Run folders: made, resumed or refused; and logs that lose nothing but what will be computed again."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modecover.errors import UserError
from modecover.runs import records
from modecover.runs.log import JsonLines, read_log
from modecover.runs.records import Description, RunFolder, multiplies_bf16, read_run

SETTINGS = {"lr": 1e-4, "steps": 100, "hidden": (64, 64), "preset": "paper", "clip": None}
RUN = Description("gan", "ring", "abc", SETTINGS)


def changed(**settings: Any) -> Description:
    return dataclasses.replace(RUN, settings={**SETTINGS, **settings})


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(path: Path, description: Description = RUN, **options: Any) -> bool:
    """Open and close a run folder; whether it was resumed."""
    with RunFolder(path, description, **options) as folder:
        return folder.resumed


def test_a_new_folder_describes_itself(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "deep" / "run", RUN) as folder:
        run = read_run(folder.path)
        assert not folder.resumed
        assert folder.samples.is_dir() and folder.checkpoints.is_dir() and not folder.model.exists()
    assert run["method"] == "gan" and run["data"] == {"name": "ring", "fingerprint": "abc", "opened": None}
    assert run["settings"] == {**SETTINGS, "hidden": [64, 64]}
    (first,) = run["starts"]
    assert first["time"].endswith("+00:00")
    assert first["versions"]["torch"] == torch.__version__
    assert first["hardware"]["cores"] == os.cpu_count()


@pytest.mark.parametrize(
    ("said", "has_bf16"),
    [
        ("processor\t: 0\nmodel name\t: A\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor\t: 0\nmodel name\t: A\nflags\t\t: fpu amx_bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n", True),
        ("processor\t: 0\nmodel name\t: bf16 in a name alone\nflags\t\t: fpu avx2\n", False),
        (None, False),
    ],
)
def test_a_processor_multiplies_bf16_where_a_flag_names_it(
    monkeypatch: pytest.MonkeyPatch, said: str | None, has_bf16: bool
) -> None:
    def read_text(path: Path) -> str:
        if said is None:
            raise FileNotFoundError(path)
        return said

    monkeypatch.setattr(Path, "read_text", read_text)
    assert multiplies_bf16() is has_bf16


def test_equal_settings_resume(tmp_path: Path) -> None:
    assert not start(tmp_path)
    (tmp_path / "my-notes.txt").write_text("kept")
    renamed = dataclasses.replace(RUN, data="another name of the same data", settings={**SETTINGS, "hidden": [64, 64]})
    assert start(tmp_path, renamed)
    assert len(read_run(tmp_path)["starts"]) == 2
    assert (tmp_path / "my-notes.txt").read_text() == "kept"


def test_allowed_changes_resume_and_are_recorded(tmp_path: Path) -> None:
    start(tmp_path)
    assert start(tmp_path, changed(steps=200), may_differ={"steps"})
    run = read_run(tmp_path)
    assert run["settings"]["steps"] == 200
    assert run["starts"][1]["changed"] == {"steps": [100, 200]}


def test_every_differing_setting_is_named_with_both_values(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / ".lock").write_text("process 1 of yesterday\n")  # a refusal does not sign
    before = content(tmp_path)
    other = dataclasses.replace(changed(lr=2e-4, preset="official", new=True, steps=5), method="lsgan")
    with pytest.raises(UserError) as caught:
        start(tmp_path, other, may_differ={"steps"})
    sentence = str(caught.value)
    for part in (
        "method was gan and is now lsgan",
        "lr was 0.0001 and is now 0.0002",
        'preset was "paper" and is now "official"',
        "new was (not set) and is now true",
        "--out",
    ):
        assert part in sentence
    assert "steps" not in sentence
    assert content(tmp_path) == before
    assert start(tmp_path)  # the refused start holds no lock


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this system's folders")
def test_a_run_json_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "run.json").unlink()
    os.mkfifo(tmp_path / "run.json")
    for attempt in (start, read_run):
        with pytest.raises(UserError, match=r"run\.json is no plain file: put it back"):
            attempt(tmp_path)


def test_true_and_one_are_different_settings(tmp_path: Path) -> None:
    start(tmp_path, changed(clip=1))
    with pytest.raises(UserError, match="clip was 1 and is now true"):
        start(tmp_path, changed(clip=True))


@pytest.mark.parametrize(
    ("data", "sentence"), [("grid", "data was ring and is now grid"), ("ring", "content of data ring changed")]
)
def test_other_data_is_refused(tmp_path: Path, data: str, sentence: str) -> None:
    start(tmp_path)
    with pytest.raises(UserError, match=sentence):
        start(tmp_path, dataclasses.replace(RUN, data=data, fingerprint="def"))


def test_a_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"holds thesis\.tex"):
        start(tmp_path)
    assert content(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"program": "sport"}', "of another program than modecover"),
        ("[]", "of another program than modecover"),
        ("", "is damaged"),
        ('{"program": "modecover", "format": 7}', "version 7, and this modecover reads version 1"),
    ],
)
def test_a_foreign_or_damaged_or_newer_run_json_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=sentence):
        start(tmp_path)
    assert (tmp_path / "run.json").read_text() == text


def test_a_start_killed_before_run_json_leaves_a_usable_folder(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("process 1 on nowhere\n")  # nobody holds the lock: stale
    (tmp_path / ".run.json.1.partial").write_text("{")
    assert not start(tmp_path)
    assert list(tmp_path.glob(".*.partial")) == []


def test_what_killed_starts_left_half_written_goes_and_files_of_others_stay(tmp_path: Path) -> None:
    start(tmp_path)
    ours = [".log.jsonl.7.partial", "samples/.step-000000010.png.12.partial", "model/.config.json.3.partial"]
    ours += ["checkpoints/.checkpoint-000000010.safetensors.99.partial", "model/seed-1/.model.safetensors.5.partial"]
    ours.append("checkpoints/.checkpoint-000000020.safetensors.99.partial/.tmpAbC123")  # as libraries write, in turn
    others = [".mine.partial", "notes.7.partial", "samples/..7.partial", "model/seed-1/.a.7.partial.txt"]
    others.append("mine/.log.jsonl.7.partial")

    def leave() -> None:
        for name in (*ours, *others):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("half")

    def left() -> list[str]:
        return [name for name in (*ours, *others) if (tmp_path / name).exists()]

    leave()
    folder = RunFolder(tmp_path, RUN)
    assert left() == others and not any((tmp_path / "checkpoints").iterdir())
    leave()
    folder.close()
    assert left() == others


def test_a_hidden_file_of_somebody_else_makes_a_folder_foreign(tmp_path: Path) -> None:
    (tmp_path / ".mine.partial").write_text("")
    with pytest.raises(UserError, match=r"it holds \.mine\.partial"):
        start(tmp_path)


def test_unwritable_places_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        start(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be written.*--out"):
        start(tmp_path / "file" / "run")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        start(tmp_path / "run")
    monkeypatch.undo()
    assert not start(tmp_path / "run")  # no lock was left behind


def test_read_run_outside_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run\.json"):
        read_run(tmp_path)


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the run in `tmp_path`."""
    program = (
        "import sys\nfrom modecover.runs.records import Description, RunFolder\n"
        f"folder = RunFolder(sys.argv[1], Description('gan', 'ring', 'abc', {SETTINGS!r}))\n"
        "print('held', flush=True)\nsys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(records.__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_until_its_process_is_killed(
    tmp_path: Path, other_process: subprocess.Popen[str]
) -> None:
    with pytest.raises(UserError, match=rf"process {other_process.pid} on .*--out"):
        start(tmp_path)
    assert len(read_run(tmp_path)["starts"]) == 1
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert start(tmp_path)


def test_one_process_cannot_open_a_folder_twice(tmp_path: Path) -> None:
    with RunFolder(tmp_path, RUN) as folder:
        with pytest.raises(UserError, match="this very process"):
            start(tmp_path / "." / "x" / "..")
        folder.close()
        with RunFolder(tmp_path, RUN):
            folder.close()  # closing twice does no harm, not even to the folder's next holder
            with pytest.raises(UserError, match="this very process"):
                start(tmp_path)
    assert start(tmp_path)


def test_git_commit_is_the_checkouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    inside = tmp_path / "installed.py"
    inside.write_text("")
    monkeypatch.setattr(records, "__file__", str(inside))
    assert records.git_commit() is None  # inside a checkout, but no part of it
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "-C", str(tmp_path), "add", "installed.py"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *identity, "commit", "-qm", "m"], check=True)
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert records.git_commit() == {"commit": head.stdout.strip(), "modified": False}
    inside.write_text("changed")
    assert records.git_commit() == {"commit": head.stdout.strip(), "modified": True}
    monkeypatch.setenv("PATH", "")
    assert records.git_commit() is None


def test_log_round_trip_without_json_extensions(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl")
    log.write({"step": 1, "loss": {"D": torch.tensor(0.5), "G": math.nan}, "n": np.int64(3), "b": True, "none": None})
    log.write({"step": 2, "loss": [math.inf, -math.inf], "x": np.float32(0.25), "name": "ü\n"})
    text = (tmp_path / "log.jsonl").read_text(encoding="utf-8")  # in the file though the log is still open
    log.close()
    assert text.count("\n") == 2
    strict = [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in text.splitlines()]
    assert strict[0]["loss"] == {"D": 0.5, "G": "NaN"} and strict[1]["loss"] == ["Infinity", "-Infinity"]
    first, second = read_log(tmp_path)
    assert math.isnan(first["loss"]["G"]) and (first["n"], first["b"], first["none"]) == (3, True, None)
    assert second == {"step": 2, "loss": [math.inf, -math.inf], "x": 0.25, "name": "ü\n"}


def test_a_log_line_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl")
    with pytest.raises(TypeError, match="cannot hold"):
        log.write({"x": object()})
    log.close()
    assert read_log(tmp_path) == []


def write_log(folder: Path, *, torn: str = "") -> Path:
    path = folder / "log.jsonl"
    rows = [{"event": "start"}, *({"step": step, "x": step / 3} for step in (1, 5, 10, 15))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)
    return path


@pytest.mark.parametrize("torn", ["", '{"step": 16, "x"', "\0\0\0\0"])
def test_resuming_drops_later_and_torn_lines(tmp_path: Path, torn: str) -> None:
    path = write_log(tmp_path, torn=torn)
    with RunFolder(tmp_path / "run", RUN) as folder:
        path = path.rename(folder.path / "log.jsonl")
        folder.open_log(5)
        folder.write({"step": 6})
    assert path.read_text() == '{"event": "start"}\n{"step": 1, "x": 0.3333333333333333}\n' + (
        '{"step": 5, "x": 1.6666666666666667}\n{"step": 6}\n'
    )


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = write_log(tmp_path, torn='{"step": 16}')
    log = JsonLines(path)
    log.write({"step": 17})
    log.close()
    assert [row.get("step") for row in read_log(path)] == [None, 1, 5, 10, 15, 16, 17]


def test_trimming_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_log(tmp_path)
    before = path.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        JsonLines(path, step=5)
    assert path.read_bytes() == before


def test_reading_a_torn_log_warns_only_of_damage_in_its_middle(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = write_log(tmp_path, torn='{"step": 16, "x"')
    assert [row.get("step") for row in read_log(path)] == [None, 1, 5, 10, 15]
    assert not recwarn.list
    path.write_text(path.read_text().replace('{"step": 5', '{"st\0p" 5'))
    with pytest.warns(UserWarning, match="Line 3"):
        assert [row.get("step") for row in read_log(path)] == [None, 1, 10, 15]
    assert read_log(tmp_path / "absent.jsonl") == []


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        JsonLines(tmp_path / "absent" / "log.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_the_log_with_a_sentence(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl")
    log._file = open("/dev/full", "w")  # noqa: SIM115 - closing it would raise, too
    with pytest.raises(UserError, match="No space left"):
        log.write({"step": 1})


def test_a_line_of_the_log_that_is_nested_without_end_is_passed_over(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n' + "[" * 10_000 + '\n{"step": 2}\n')
    with pytest.warns(UserWarning, match="Line 2 .* is damaged"):
        assert [row["step"] for row in read_log(tmp_path)] == [1, 2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in this system's folders")
def test_a_log_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(UserError, match="no plain file"):
        JsonLines(tmp_path / "log.jsonl")
    assert read_log(tmp_path) == []
