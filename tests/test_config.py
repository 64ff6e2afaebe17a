"""Runs as TOML files: what is printed repeats the run, options go before files, and what is wrong is one sentence."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import modecover
from modecover.cli import main as command
from modecover.cli.config import toml
from modecover.methods import registry
from modecover.runs.records import read_run
from modecover.runs.settings import resolve


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = command([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


SAID: list[list[object]] = [
    ["lsgan", "--data", "ring"],
    ["ivlsgan", "--data", "ring", "--k", 2, "--lr-E", "none", "--lr", 1e-5, "--alarm", "missing=0.25", "--seeds", 2],
    [
        "wgan-gp",
        "--data",
        "ring:modes=5",
        "--protocol",
        "pacgan",
        "--ema",
        0.3,
        "--no-input-affine",
        "--prior",
        "uniform",
    ],
    ["ivgan", "--data", "grid", "--preset", "paper", "--width", 8, "--minutes", 3],
]
QUICK: list[object] = ["--steps", 3, "--batch", 8, "--evaluate-samples", 50]


@pytest.mark.parametrize("said", SAID, ids=lambda said: str(said[0]))
def test_a_printed_file_repeats_the_run(
    said: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", *said, *QUICK, "--out", "run", "--report-to", "none"]
    code, printed, _ = say(capsys, *words, "--print-config")
    assert code == 0 and not any(tmp_path.iterdir())
    Path("run.toml").write_text(printed)
    assert say(capsys, *words)[0] in (0, 4)  # the alarm finds, rightly, that three steps are few
    assert say(capsys, "train", "--config", "run.toml", "--out", "again")[0] in (0, 4)
    first, again = read_run("run"), read_run("again")
    assert all(again[key] == first[key] for key in ("method", "data", "settings"))
    assert torch.equal(modecover.load("run").sample(20), modecover.load("again").sample(20))
    # The same file is what `train` takes, and goes on with the run: its folder is named in it.
    resumed = modecover.train(**tomllib.loads(printed))
    assert resumed.folder == Path("run") and read_run("run")["settings"] == first["settings"]
    # Printed again it is the same, but for what is said anew.
    assert say(capsys, "train", "--config", "run.toml", "--print-config")[1] == printed


def test_options_of_the_command_line_go_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    np.savez("data.npz", mine=rows, other=rows)
    text = 'method = "lsgan"\ndata = "data.npz"\nkey = "mine"\nsteps = 7\nlr-G = 2e-3\nbatch = 8\n'
    Path("f.toml").write_text(text + "ema = 0.5\ncapture = false\nalarm = { missing = 0.5 }\n")
    code, said, _ = say(capsys, "train", "gan", "--steps", 3, "--config=f.toml", "--alarm", "none", "--out", "x")
    assert code == 0 and "x" in said
    run = read_run("x")
    settings = run["settings"]
    assert (run["method"], settings["steps"], settings["lr_G"], settings["ema"]) == ("gan", 3, 2e-3, 0.5)
    assert "alarm" not in settings and run["data"]["opened"]["key"] == "mine"


def test_what_is_none_against_a_default_is_told_to_be_so() -> None:
    methods = {name: registry.get(name).defaults for name in registry.names()}
    name = next(name for name, defaults in methods.items() if defaults.get("lr_E") is not None)
    _, usual = resolve(name, (2,), protocol="none")
    _, other = resolve(name, (2,), protocol="none", chosen={"lr_E": "none"})
    assert usual.lr_E is not None and other.lr_E is None


WRONG: list[tuple[str, str]] = [
    ("stpes = 5", "f.toml: lsgan has no setting 'stpes' (did you mean 'steps'?)."),
    ("lambda_G = 1.0", "f.toml: lsgan has no setting 'lambda_G'"),
    ("sise = 3", "did you mean 'size'?"),
    ("[training]\nsteps = 5", "lsgan has no setting 'training'"),
    ('steps = "5"', "f.toml: steps is '5': give a whole number."),
    ("steps = true", "f.toml: steps is True: give a whole number."),
    ("lr = inf", "f.toml: lr is inf: give a finite number"),
    ("batch = 0", "batch is 0: it must be at least 1."),
    ('optimizer = "adamw"', "f.toml: optimizer is 'adamw': choose adam, rmsprop or sgd."),
    ('size = "big"', "f.toml: size is 'big': give a whole number."),
    ("out = 5", "f.toml: out is 5: give a text."),
    ("alarm = 0.2", "f.toml: alarm is 0.2: give a dictionary."),
    ("alarm = { missng = 0.2 }", "there is no number 'missng'"),
    ("lr_G = 1.0\nlr-G = 1.0", "f.toml has lr-G and lr_G, which are one: leave one out."),
    ("steps = ", "f.toml is no TOML (Invalid value"),
    ("steps = 1\nsteps = 2", "f.toml is no TOML (Cannot overwrite a value"),
    ("a = " + "[" * 5000, "f.toml is no TOML"),
    ("\xff", "f.toml is no TOML"),
    ("steps = " + "9" * 5000, "f.toml is no TOML"),
    ("# " + "x" * 2**20, "f.toml has more than 1,048,576 bytes"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=lambda text: text[:20])
def test_a_wrong_file_is_one_sentence_and_leaves_nothing(
    text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.toml").write_bytes(('method = "lsgan"\ndata = "ring"\n' + text).encode("latin-1"))
    code, said, error = say(capsys, "train", "--config", "f.toml")
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert sentence in error
    assert [path.name for path in tmp_path.iterdir()] == ["f.toml"]


def test_wrong_uses_of_a_file_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.toml").write_text('data = "ring"')
    for words, sentence in [
        (["--config", "f.toml"], "Name the method first, or in f.toml, as in method = 'lsgan'"),
        (["lsgan", "--config", "absent.toml"], "absent.toml does not exist"),
        (["lsgan", "--config", "."], "is no plain file"),
        (["lsgan", "--config"], "--config takes one file"),
        (["lsgan", "--config", "f.toml", "--config", "f.toml"], "give it once"),
        (["lsgna", "--config", "f.toml"], "did you mean 'lsgan'?"),
    ]:
        code, _, error = say(capsys, "train", *words)
        assert code == 2 and sentence in error, error
    Path("f.toml").write_text('method = "lsgan"')
    assert "Missing: --data" in say(capsys, "train", "--config", "f.toml")[2]


@pytest.mark.parametrize(
    "value", ["", 'a"b\\c', "tab\tnew\nline", "\x7f\x00\x1b", "näh 😀", 1e-300, 1e22, -0.5, 10**15, True, [1, 2], ["a"]]
)
def test_what_is_written_as_toml_is_read_back(value: Any) -> None:
    found = tomllib.loads(f"a = {toml(value)}")["a"]
    assert found == value and type(found) is type(value)
    nested = {"missing-mass": 0.5, "a b": 1}
    assert tomllib.loads(f"a = {toml(nested)}")["a"] == nested
    assert json.loads(json.dumps(found)) == value
