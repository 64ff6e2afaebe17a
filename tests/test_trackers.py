"""Runs told to trackers: TensorBoard itself; trackio and wandb by stand-ins with the functions that these have."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import modecover
from modecover.cli import main as command
from modecover.errors import UserError
from modecover.runs.listener import Listener, Listeners
from modecover.runs.log import read_log

SHORT: dict[str, Any] = {
    "steps": 6,
    "batch": 8,
    "log_every": 2,
    "evaluate_every": 3,
    "evaluate_samples": 50,
    "sample_every": 0,
}


class Notes(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, sentence: str) -> None:
        self.said.append(sentence)


def events(folder: Path) -> dict[str, dict[int, float]]:
    """Every scalar that TensorBoard itself reads in a folder, by name and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"images": 0})
    found.Reload()
    scalars = {name: {event.step: event.value for event in found.Scalars(name)} for name in found.Tags()["scalars"]}
    return scalars | {"pictures": {event.step: event.width for event in found.Images("samples")}}


def test_tensorboard_reads_what_the_log_holds(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = modecover.train("lsgan", "ring", tmp_path, seed=5, seeds=2, report_to="tensorboard", **SHORT)
    found = events(tmp_path / "tensorboard")
    log = read_log(tmp_path)
    losses = {row["step"]: row["losses"] for row in log if "losses" in row}
    assert set(losses) == {1, 2, 4, 6}
    for name in ("D/real", "D/fake", "G/adversarial"):  # the mean of the seeds, in the log too
        assert found[f"losses/{name}"] == pytest.approx({step: row[name] for step, row in losses.items()})
    ratios = {step: rows[1]["std_ratio"] for step, rows in run.evaluations}
    assert found["evaluation/std_ratio/seed-6"] == pytest.approx(ratios, nan_ok=True)
    assert list(found["pictures"]) == [6] and found["pictures"][6] > 100


def test_a_resumed_run_hides_what_is_computed_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    modecover.train("lsgan", "ring", tmp_path, report_to="tensorboard", **{**SHORT, "steps": 4})
    before = events(tmp_path / "tensorboard")["losses/D/real"]
    modecover.train("lsgan", "ring", tmp_path, report_to="tensorboard", **SHORT)
    after = events(tmp_path / "tensorboard")["losses/D/real"]
    assert list(after) == [1, 2, 4, 6] and {step: after[step] for step in before} == before


class StandIn(ModuleType):
    """The functions of wandb 0.31 and trackio 0.43 that a run is told by."""

    def __init__(self, name: str, *, broken: str = ""):
        super().__init__(name)
        self.started: list[dict[str, Any]] = []
        self.told: list[tuple[int, dict[str, Any]]] = []
        self.finished, self.broken = 0, broken

    class Image:
        def __init__(self, value: str):
            assert Path(value).is_file()
            self.value = value

    def init(self, project: str, name: str, config: dict[str, Any], resume: str = "never", **more: Any) -> StandIn:
        assert not more or (self.__name__ == "wandb" and set(more) == {"id", "dir"})
        if self.broken == "init":
            raise ConnectionError("no route to host\nmore")
        self.started.append({"project": project, "name": name, "config": config, "resume": resume, **more})
        return self

    def log(self, data: dict[str, Any], step: int) -> None:
        if self.broken == "log" and step > 2:
            raise RuntimeError("quota")
        self.told.append((step, data))

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_service_gets_the_run_and_goes_on_with_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = StandIn(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv(f"{name.upper()}_PROJECT", "mine")
    out = tmp_path / "ring"
    run = modecover.train("lsgan", "ring", out, report_to=name, **SHORT)
    (started,) = module.started
    assert started["project"] == "mine" and started["config"]["batch"] == 8 and started["name"].startswith("ring-")
    log = {row["step"]: row for row in read_log(out) if "losses" in row}
    told = [(step, data) for step, data in module.told if "steps_per_second" in data]
    assert [step for step, _ in told] == [1, 2, 4, 6]
    assert all(data["losses/D/real"] == log[step]["losses"]["D/real"] for step, data in told)
    evaluated = {step: data["evaluation/kl"] for step, data in module.told if "evaluation/kl" in data}
    assert evaluated == {step: pytest.approx(rows[0]["kl"], nan_ok=True) for step, rows in run.evaluations}
    pictures = [(step, data["samples"].value) for step, data in module.told if "samples" in data]
    assert pictures == [(6, str(out / "samples" / "step-000000006.png"))]
    assert module.finished == 1 and [step for step, _ in module.told] == sorted(step for step, _ in module.told)
    modecover.train("lsgan", "ring", out, report_to=name, **{**SHORT, "steps": 8})
    again = module.started[1]
    assert again["resume"] == "allow" and again["name"] == started["name"] and again.get("id") == started.get("id")
    modecover.train("lsgan", "ring", tmp_path / "other" / "ring", report_to=name, seed=1, **SHORT)
    assert module.started[2]["name"] != started["name"]


@pytest.mark.parametrize("broken", ["init", "log"])
def test_a_tracker_that_breaks_down_does_not_end_the_run(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", StandIn("wandb", broken=broken))
    notes = Notes()
    run = modecover.train("lsgan", "ring", tmp_path, report_to="wandb", listener=notes, **SHORT)
    assert run.finished and [row["step"] for row in read_log(tmp_path) if "losses" in row] == [1, 2, 4, 6]
    (said,) = notes.said
    reason = {"init": "ConnectionError: no route to host", "log": "RuntimeError: quota"}[broken]
    assert f"wandb takes no more of this run ({reason}): log.jsonl" in said


def test_a_tracker_that_leaves_the_program_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = StandIn("wandb")
    monkeypatch.setattr(stand_in, "init", lambda **_: sys.exit(1), raising=False)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    assert modecover.train("lsgan", "ring", tmp_path, report_to="wandb", **SHORT).finished


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_missing_package_is_told_before_anything_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]  # how Python marks what is not to be had
    out = tmp_path / "run"
    code = command(["train", "lsgan", "--data", str(tmp_path / "absent"), "--out", str(out), "--report-to", name])
    said = capsys.readouterr().err
    assert code == 2 and f"report_to needs the package {name}: install it with `pip install" in said
    assert not out.exists()


def test_wrong_trackers_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="report_to is 'comet': choose tensorboard, trackio or wandb"):
        modecover.train("lsgan", "ring", report_to="comet")
    with pytest.raises(UserError, match="writes into the run folder: give out"):
        modecover.train("lsgan", "ring", report_to="tensorboard")
    with pytest.raises(UserError, match=r"listener is 5: give an instance of modecover\.Listener"):
        modecover.train("lsgan", "ring", listener=[Listener(), 5])  # type: ignore[list-item]


def test_several_listeners_hear_the_same_in_order() -> None:
    heard: list[tuple[str, str]] = []

    class One(Listener):
        def __init__(self, name: str):
            self.name = name

        def note(self, sentence: str) -> None:
            heard.append((self.name, sentence))

        def stepped(self, step: int, steps: int) -> None:
            heard.append((self.name, f"{step} of {steps}"))

    both = Listeners([One("a"), One("b")])
    both.note("x")
    both.stepped(step=1, steps=2)
    both.saved(3)
    assert heard == [("a", "x"), ("b", "x"), ("a", "1 of 2"), ("b", "1 of 2")]
