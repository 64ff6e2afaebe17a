"""Bad input: one sentence with cause and cure, exit code 2, no traceback, and nothing on disk is changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modecover.cli import main as command
from modecover.runs import checkpoint

SMALL = "--steps 2 --batch 8 --width 4"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder full of things that are not as they should be, and of a few that are."""
    place = tmp_path_factory.mktemp("bad-input")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        _make_arrays()
        _make_pictures()
        _make_runs()
        Path("foreign").mkdir()
        Path("foreign/thesis.tex").write_text("work of years")
        Path("other-program").mkdir()
        Path("other-program/run.json").write_text('{"program": "sport", "distance": 10}')
        Path("locked").mkdir(mode=0o500)
    return place


def _make_arrays() -> None:
    draw = np.random.default_rng(0)
    points, images = draw.normal(size=(100, 2)), draw.random((20, 16, 16))
    np.save("points.npy", points)
    np.save("images.npy", images)
    np.save("empty.npy", points[:0])
    points[3, 1], images[2, 5, 5] = np.nan, np.inf
    np.save("nan.npy", points)
    np.save("infinite.npy", images)
    Path("cut.npy").write_bytes(Path("points.npy").read_bytes()[:200])
    Path("cut.npz").write_bytes(b"PK\x03\x04")
    Path("zero.npy").touch()
    np.savez("two.npz", a=points, b=points)
    Path("words.npy").write_text("not numbers")
    np.save("objects.npy", np.array([{}, None], dtype=object))
    Path("notes.txt").write_text("to do")
    os.mkfifo("pipe.npy")
    Path("few.py").write_text("import numpy\ndef few(count): return numpy.zeros((count - 1, 2))\n")


def _make_pictures() -> None:
    draw = np.random.default_rng(0)
    for folder in ("mixed", "truncated", "no-image", "nothing"):
        Path(folder).mkdir()
    for number in range(9):
        pixels = draw.integers(0, 256, (17, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"truncated/{number}.png")
        Image.fromarray(pixels).save(f"no-image/{number}.png")
        Image.fromarray(pixels if number == 7 else pixels[:16]).save(f"mixed/{number}.png")
    content = Path("truncated/7.png").read_bytes()
    Path("truncated/7.png").write_bytes(content[: len(content) // 2])
    Path("no-image/5.png").write_text("not a picture")


def _make_runs() -> None:
    assert command(f"train gan --data points.npy {SMALL} --out run".split()) == 0
    for name in ("newer-checkpoint", "damaged-checkpoints", "newer-run", "damaged-run", "newer-model", "cut-model"):
        shutil.copytree("run", name)
    _write_as_version_99(Path("newer-checkpoint/checkpoints"))
    Path("damaged-checkpoints/checkpoints/checkpoint-000000002.safetensors").write_bytes(b"\0" * 50)
    shutil.copytree("run", "lacking-run")
    record = json.loads(Path("run/run.json").read_text())
    Path("lacking-run/run.json").write_text(json.dumps({**record, "settings": 3, "starts": None}))
    for path in (Path("newer-run/run.json"), Path("newer-model/model/config.json")):
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    Path("damaged-run/run.json").write_text('{"program": "mode')
    weights = Path("cut-model/model/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-9])


def _write_as_version_99(folder: Path) -> None:
    """Write the newest checkpoint in `folder` anew, as a later modecover might."""
    found = checkpoint.load_newest(folder)
    assert found is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 99)
        checkpoint.save(folder, found.step, found.tensors, found.record)


def content(place: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(place)): path.read_bytes() if path.is_file() else None for path in place.rglob("*")}


@pytest.fixture
def refusal(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], str]]:
    """Runs a command in `place` that must be refused, and returns the sentence."""

    def run(words: str) -> str:
        capsys.readouterr()
        code = command(words.split())
        out, error = capsys.readouterr()
        assert code == 2
        assert "Traceback" not in out + error
        assert error.startswith("modecover: ") and error.endswith((".\n", "?\n")) and error.count("\n") == 1, error
        return error.removeprefix("modecover: ")

    monkeypatch.chdir(place)
    before = content(place)
    yield run
    after = content(place)
    assert after.keys() == before.keys()
    changed = {name for name in before if after[name] != before[name]}
    # A start that finds no checkpoint it can use is a start, and stands in the run's list of them.
    assert changed <= {"newer-checkpoint/run.json", "damaged-checkpoints/run.json"}


@pytest.mark.parametrize(
    ("words", "cause", "cure"),
    [
        ("ivlsgam --data ring", "There is no method called 'ivlsgam'", "did you mean 'ivlsgan'?"),
        ("xyz --data ring", "There is no method called 'xyz'", "choose one of aae, bigan"),
        ("gan --data ring --device cuda:99", "device cuda:99", "Use cpu|Choose another"),
        ("gan --data ring --device gpu", "no kind of device called 'gpu'", "use auto, cpu, cuda"),
        ("ivlsgan --data points.npy --latent 10 --k 4", "k = 4 equal blocks do not divide 10", "use k = 2, 5, 10"),
        ("gan --data points.npy --seed -1", "seed is -1", "at least 0"),
        ("gan --data points.npy --evaluate-every -5", "evaluate_every is -5", "at least 0"),
        ("gan --data points.npy --batch 101", "100 samples, too few for a batch of 101", "choose --batch 100 or fewer"),
        ("gan --data images.npy --batch 21", "20 samples, too few for a batch of 21", "choose --batch 20 or fewer"),
    ],
)
def test_settings_that_cannot_be(words: str, cause: str, cure: str, refusal: Callable[[str], str]) -> None:
    said = refusal(f"train {words} --steps 2 --out new")
    assert cause in said and any(part in said for part in cure.split("|"))


@pytest.mark.parametrize(
    ("source", "cause", "cure"),
    [
        ("nowhere.npy", "there is no file or folder nowhere.npy", "check the path"),
        ("rimg", "unknown data 'rimg'", "did you mean 'ring'?"),
        ("empty.npy", "empty.npy is empty", "give at least one sample"),
        ("nothing", "nothing holds no images", "expected files that end in .png"),
        ("nan.npy", "nan.npy: row 3 is the first of 1 with NaN", "remove or repair"),
        ("infinite.npy", "infinite.npy: row 2 is the first of 1 with NaN or infinity", "remove or repair"),
        ("mixed", "mixed/0.png is 16x16, mixed/7.png is 16x17", "give a size"),
        ("truncated", "truncated/7.png cannot be read (image file is truncated", "repair or remove it"),
        ("no-image", "no-image/5.png cannot be read (no image", "repair or remove it"),
        ("cut.npy", "cut.npy is damaged", "write it again"),
        ("cut.npz", "cut.npz is damaged", "write it again"),
        ("zero.npy", "zero.npy is damaged", "write it again"),
        ("words.npy", "words.npy is no .npy file, whatever its name says", "save the array with numpy.save"),
        ("objects.npy", "objects.npy holds pickled Python objects", "save it as a plain array"),
        ("notes.txt", "notes.txt is of no known kind", "known: .npy"),
        ("two.npz", "two.npz holds several arrays (a, b)", "say which one with --key a."),
        ("mixed", "mixed/0.png is 16x16", "give a size (for example --size 32)"),
        ("mnist", "mnist is not part of the package", "say with --data-dir in which folder its"),
        ("x" * 5000, "File name too long", "Mend that"),
    ],
)
@pytest.mark.parametrize("before", ["train gan --steps 2 --batch 4 --out new --data", "data check"])
def test_data_that_cannot_be_learned(
    before: str, source: str, cause: str, cure: str, refusal: Callable[[str], str]
) -> None:
    said = refusal(f"{before} {source}")
    assert cause in said and cure in said


@pytest.mark.parametrize(
    ("out", "cause", "cure"),
    [
        ("notes.txt", "notes.txt is a file, not a folder", "Choose another folder with --out"),
        ("notes.txt/run", "notes.txt/run cannot be written (Not a directory)", "choose another with --out"),
        ("foreign", "no run folder (it holds thesis.tex)", "Choose a new or empty folder with --out"),
        ("other-program", "run.json is of another program than modecover", "or use another folder"),
        ("newer-run", "run.json is of format version 99", "use the modecover that wrote it"),
        ("damaged-run", "run.json is damaged (", "put it back from a backup, or use another folder"),
        ("lacking-run", "run.json is damaged (it lacks settings, starts)", "put it back from a backup"),
        ("newer-checkpoint", "is a checkpoint of format version 99", "start anew in another folder"),
        ("damaged-checkpoints", "Every checkpoint in damaged-checkpoints/checkpoints is damaged", "delete them"),
    ],
)
def test_run_folders_that_cannot_be_used(out: str, cause: str, cure: str, refusal: Callable[[str], str]) -> None:
    said = refusal(f"train gan --data points.npy {SMALL} --out {out}")
    assert cause in said and cure in said


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is locked for this user")
def test_a_folder_without_permission(refusal: Callable[[str], str]) -> None:
    assert "cannot be written (Permission denied): make it writable" in refusal(
        f"train gan --data points.npy {SMALL} --out locked/run"
    )


def test_a_run_of_another_method_is_told_in_one_breath(refusal: Callable[[str], str]) -> None:
    said = refusal(f"train lsgan --data points.npy {SMALL} --out run")
    assert said == (
        "run holds a run that differs: method was gan and is now lsgan. Put that back to resume it, or choose another "
        "folder with --out.\n"
    )


@pytest.mark.parametrize(
    ("words", "cause", "cure"),
    [
        ("sample nowhere", "nowhere does not exist", "give the folder of a model or of a run"),
        ("sample foreign/nowhere", "foreign/nowhere does not exist", "give the folder of a model or of a run"),
        ("sample ./nowhere", "./nowhere does not exist", "give the folder of a model or of a run"),
        ("audit --real points.npy --fake points.npy --seed -1", "seed is -1", "at least 0"),
        ("sample run --seed -1", "seed is -1", "at least 0"),
        ("evaluate run --data ring --seed -1", "seed is -1", "at least 0"),
        ("data check points.npy --out points.txt", "--out is points.txt", "ends in .png"),
        ("audit --real points.npy --fake points.npy --samples 5", "samples is 5", "at least 10"),
        ("sample foreign", "foreign holds no model", "give the folder of a model or of a run"),
        ("sample newer-model", "config.json is of format version 99", "use the modecover that wrote it"),
        ("sample cut-model", "model.safetensors is damaged", "save or download the model again"),
        ("sample run --out pipe.npy", "pipe.npy cannot be written", "choose another place"),
        ("reproduce ring-ldmgan --results notes.txt", "--results is notes.txt, which is a file", "give a folder"),
        ("reproduce ring-ldmgan --out notes.txt", "--out is notes.txt, which is a file", "give a folder"),
        ("sample run --out notes.txt/x.png", "notes.txt/x.png cannot be written", "choose another place"),
        ("evaluate run --data digits", "samples of shape (2,), and digits has (1, 28, 28)", "say with --data"),
        ("sample run --count 99999999999", "99,999,999,999 samples do not fit into memory", "ask for fewer"),
        ("audit --real points.npy --fake points.npy --memory -1GB", "'-1GB' is no amount", "write 500MB or 1GB"),
        ("audit --real points.npy --fake few.py:few", "few(10000) returned 9999 rows", "return as many as asked"),
        ("evaluate run/model", "run/model is no run", "say with --data what to compare with"),
        (
            "evaluate run --samples 1e14",
            "100,000,000,000,000 samples do not fit into memory",
            "choose fewer",
        ),
        ("sample run --count 1e300", "'1e300' is more than can be counted", "at most 18 digits"),
        ("sample run --count nan", "'nan' is not a whole number", "--help"),
        ("evaluate run --data ring --samples 0", "--samples is 0", "an audit needs at least 10"),
    ],
)
def test_models_that_cannot_be_used(words: str, cause: str, cure: str, refusal: Callable[[str], str]) -> None:
    said = refusal(words)
    assert cause in said and cure in said
