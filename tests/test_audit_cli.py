"""`modecover audit` from end to end: what it prints and writes, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import audits
import numpy as np
import pytest

from modecover.auditing import run, versus  # noqa: F401  # which takes the true audit before a test puts another there
from modecover.auditing.run import Audit
from modecover.cli.main import main as command
from modecover.cli.parser import memory

SIDES = ("audit", "--real", "a.npy", "--fake", "b.npy")


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = command([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """An audit that is there at once; the fixture's value is what it was asked for."""
    monkeypatch.chdir(tmp_path)
    calls: list[dict[str, Any]] = []

    def audit(real: Any, fake: Any, **options: Any) -> Audit:
        options.pop("progress")("distances", 0.5)
        calls.append({"real": real, "fake": fake, **options})
        return audits.audit()

    monkeypatch.setattr(run, "audit", audit)
    return calls


# ---------------------------------------------------------------- flags


def test_every_flag_reaches_the_audit(asked, capsys):
    words = "--train c --test d --samples 2e3 --seed 7 --memory 500MB --features random-convolutions --of-seed 2"
    words += " --size 32 --channels 1 --key x --labels y --fake-key z"
    assert say(capsys, *SIDES, *words.split())[0] == 0
    assert asked == [
        {
            "real": "a.npy",
            "fake": "b.npy",
            "train": "c",
            "test": "d",
            "samples": 2000,
            "seed": 7,
            "memory": 500_000_000,
            "features": "random-convolutions",
            "of_seed": 2,
            "real_options": {"size": 32, "channels": 1, "key": "x", "labels": "y"},
            "fake_options": {"size": 32, "channels": 1, "key": "z"},
        }
    ]


def test_nothing_is_asked_for_that_was_not_said(asked, capsys):
    say(capsys, *SIDES)
    assert set(asked[0]) == {"real", "fake", "train", "test", "of_seed", "real_options", "fake_options"}
    assert asked[0]["train"] is asked[0]["test"] is asked[0]["of_seed"] is None


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("1GB", 10**9),
        ("500m", 5 * 10**8),
        ("2GiB", 2**31),
        ("1.5 kB", 1500),
        ("1e6", 10**6),
        ("4096", 4096),
        ("2e12", 2 * 10**12),
    ],
)
def test_memory_is_said_as_people_say_it(word, count):
    assert memory(word) == count


@pytest.mark.parametrize("word", ["much", "GB", "1 GBs", "-1GB", "1..GB", ""])
def test_what_is_no_amount_of_memory_is_refused(word):
    with pytest.raises(argparse.ArgumentTypeError, match="is no"):
        memory(word)


# ---------------------------------------------------------------- what comes out


def test_the_summary_tells_verdicts_metrics_and_where_the_page_is(asked, capsys):
    code, said, error = say(capsys, *SIDES, "--json", "audit.json")
    assert (code, error) == (0, "")
    assert said.startswith("2 of 5 failures found: missing mass, low quality.\n400 generated samples (generated.npz)")
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert any(line.startswith("missing mass: FOUND 29.2% (27.2 to 31.2%) 0.0 to 1.2% About 29 %") for line in lines)
    assert any(line.startswith("shrink: no 0.98 (0.96 to 1.00)") for line in lines)
    assert "coverage (k=5) [pixels-pca-64:1a2b3c4d] ↑ 0.683 0.66 to 0.71 0.968" in lines
    assert lines[-2:] == ["JSON: audit.json", "Page: audit.html"]
    assert Audit.from_json(Path("audit.json").read_text("utf-8")) == audits.audit()
    assert "Two failures found" in Path("audit.html").read_text("utf-8")


def test_json_on_standard_output_is_json_and_nothing_else(asked, capsys):
    code, said, error = say(capsys, *SIDES, "--json", "-", "--fail-under", "coverage=0.8", "--fail-under", "frechet=1")
    assert code == 2, "a Frechet distance below a bound is good"
    code, said, error = say(capsys, *SIDES, "--json", "-", "--fail-under", "coverage=0.8", "--out", "p.html")
    assert code == 3
    assert json.loads(said)["kind"] == "audit"
    assert error == "BROKEN: coverage is 0.683, under 0.8\n"
    assert Path("p.html").exists()


@pytest.mark.parametrize(
    ("words", "code", "last"),
    [
        ("--fail-under coverage=0.6 --fail-over missing=0.5", 0, "kept: missing is 0.292, under 0.5"),
        ("--fail-under coverage=0.8 --fail-over missing=0.5", 3, "kept: missing is 0.292, under 0.5"),
        ("--fail_under coverage=0.6 --fail-over missing=0.05", 3, "BROKEN: missing is 0.292, over 0.05"),
        ("--fail-over copying=0.01 --fail-over low-quality=0.09", 3, "BROKEN: low-quality is 0.113, over 0.09"),
    ],
)
def test_thresholds_decide_the_exit_code(asked, capsys, words, code, last):
    given, said, _ = say(capsys, *SIDES, *words.split())
    assert (given, said.splitlines()[-1]) == (code, last)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--fail-under coverage", "--fail-under coverage is no threshold"),
        ("--fail-under covrage=1", "did you mean 'coverage'?"),
        ("--out audit.json", "--out is audit.json: give a name that ends in .html"),
        ("--memory much", "'much' is no amount of memory"),
        ("--json", "a value is missing"),
        ("--metrics all", "There is no flag '--metrics'"),
    ],
)
def test_bad_words_are_one_sentence_and_exit_code_2(asked, capsys, words, sentence):
    code, _, error = say(capsys, *SIDES, *words.split())
    assert code == 2
    assert sentence in error
    assert error.count("\n") == 1


IMPOSSIBLE = ["--out file/audit.html", "--out folder.html", "--json file/audit.json", "--json a.txt"]
IMPOSSIBLE += [
    "--out a\0b.html",
    "--json a\0b.json",
    "--out \ud800.html",
    f"--json {'n' * 248}.json",
    "--out pipe.html",
]


@pytest.mark.parametrize("words", IMPOSSIBLE)
def test_places_are_tried_before_the_work_is_done(asked, capsys, words):
    Path("file").write_text("")
    Path("folder.html").mkdir()
    os.mkfifo("pipe.html")
    code, _, error = say(capsys, *SIDES, *words.split(" "))
    assert (code, asked, error.count("\n")) == (2, [], 1)
    told = ("cannot be written", "a name that ends in .json", "holds a NUL or bytes that are not UTF-8")
    assert any(words in error for words in told)


@pytest.mark.parametrize(
    "words",
    [
        "--fail-over missing",
        "--fail-under foo=0.1",
        "--fail-under coverage=nan",
        "--fail-over missing=inf",
        "--fail-under frechet=1",
        "--fail-under missing-mass=0.1",
        "--fail-under coverage=0.1 --fail-under Coverage=0.2",
    ],
)
def test_thresholds_are_read_before_the_work_is_done(asked, capsys, words):
    code, _, error = say(capsys, *SIDES, *words.split())
    assert (code, asked, error.count("\n")) == (2, [], 1)


def test_a_name_that_looks_like_mathematics_is_written_and_told(asked, capsys):
    code, said, error = say(capsys, *SIDES, "--json", "$\\frac{$.json")
    assert (code, error) == (0, "")
    assert said.splitlines()[-2] == "JSON: $\\frac{$.json"


@pytest.mark.parametrize("words", [("audit", "--real", "a.npy"), ("audit", "--fake", "b.npy")])
def test_both_sides_must_be_said(words, capsys):
    code, _, error = say(capsys, *words)
    assert code == 2 and "Missing: --" in error


def test_help_names_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as left:
        command(["audit", "--help"])
    assert left.value.code == 0
    assert "3 a threshold broken" in capsys.readouterr().out


# ---------------------------------------------------------------- evaluate

SMALL = "--steps 2 --batch 8 --width 4 --evaluate-every 0 --sample-every 0".split()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the ring with two seeds, and one on images whose modes nobody knows."""
    folder = tmp_path_factory.mktemp("runs")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8))
    assert command(["train", "gan", "--data", "ring", *SMALL, "--seeds", "2", "--out", str(folder / "ring")]) == 0
    images = ["--data", str(folder / "images.npy"), *SMALL, "--latent", "3", "--out", str(folder / "images")]
    assert command(["train", "gan", *images]) == 0
    return folder


def test_evaluate_counts_known_modes_and_audits_every_seed(runs, asked, capsys):
    code, said, _ = say(capsys, "evaluate", runs / "ring", "--samples", 300, "--seed", 5)
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert any(line.startswith("real data 8 ") for line in lines), "the control row of the modes"
    assert "seed 0 29.2% FOUND 3.0% 0.98 11.3% FOUND 0.1%" in lines
    assert "real data 0.0 to 1.2% 0.0 to 1.2% 0.99 to 1.01 0.0 to 1.2% 0.0 to 1.2%" in lines
    assert lines[-2:] == [f"Page: {runs / 'ring' / f'audit-seed-{seed}.html'}" for seed in (0, 1)]
    assert [(call["samples"], call["seed"], call["real"].name) for call in asked] == [(300, 5, "ring")] * 2
    assert [call["fake"].training_facts["seed"] for call in asked] == [0, 1]


def test_evaluate_audits_models_of_data_without_known_modes(runs, asked, capsys):
    code, said, _ = say(capsys, "evaluate", runs / "images")
    assert code == 0
    assert said.startswith("2 of 5 failures found: missing mass, low quality.")
    assert said.splitlines()[-1] == f"Page: {runs / 'images' / 'audit.html'}"
    assert (runs / "images" / "audit.html").exists()


def test_evaluate_as_json_holds_the_audits_beside_the_modes(runs, asked, capsys):
    report = json.loads(say(capsys, "evaluate", runs / "ring", "--samples", 100, "--json")[1])
    assert list(report) == ["models", "real data", "facts", "audits"]
    assert Audit.from_json(json.dumps(report["audits"]["seed 1"])) == audits.audit()
    assert list(json.loads(say(capsys, "evaluate", runs / "images", "--json")[1])) == ["audits"]


def test_evaluate_can_leave_the_audit_out(runs, asked, capsys):
    code, said, _ = say(capsys, "evaluate", runs / "ring", "--samples", 100, "--no-audit")
    assert (code, asked) == (0, [])
    assert "FOUND" not in said
    code, _, error = say(capsys, "evaluate", runs / "images", "--no-audit")
    assert code == 2 and "leave out --no-audit" in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--samples", "5"], "--samples is 5: an audit needs at least 10"),
        (["--samples", "0", "--no-audit"], "--samples is 0: ask for at least 1"),
        (
            ["--samples", "1e15", "--no-audit"],
            "1,000,000,000,000,000 samples do not fit into memory",
        ),
        (["--data", "nowhere"], "unknown data 'nowhere'"),
        (["--data", "pipe"], "pipe is a pipe"),
    ],
)
def test_what_evaluate_cannot_do_is_told_before_the_work(runs, asked, capsys, words, sentence):
    os.mkfifo("pipe")
    code, said, error = say(capsys, "evaluate", runs / "ring", *words)
    assert (code, said, asked, error.count("\n")) == (2, "", [], 1)
    assert sentence in error


def test_evaluate_tries_the_places_of_its_pages_first(runs, asked, capsys):
    (runs / "ring" / "audit-seed-1.html").unlink(missing_ok=True)
    (runs / "ring" / "audit-seed-1.html").mkdir()
    try:
        code, said, error = say(capsys, "evaluate", runs / "ring", "--samples", 300)
        assert (code, said, asked) == (2, "", [])
        assert "audit-seed-1.html cannot be written (it is a folder)" in error
    finally:
        (runs / "ring" / "audit-seed-1.html").rmdir()


@pytest.mark.parametrize("place", ["empty", "file", "pipe", "gone", "a\0b", "cut", "garbled", "untrained"])
def test_what_is_no_run_cannot_be_evaluated(runs, asked, capsys, place):
    Path("empty").mkdir()
    Path("file").write_text("model")
    os.mkfifo("pipe")
    for name in ("cut", "garbled", "untrained"):
        shutil.copytree(runs / "images", name)
    weights = next(Path("cut").rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    next(Path("garbled").rglob("config.json")).write_text("{")
    shutil.rmtree("untrained/model")
    code, said, error = say(capsys, "evaluate", place)
    assert (code, said, asked, error.count("\n")) == (2, "", [], 1)
