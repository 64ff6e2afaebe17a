"""README and docs from their first lines to their last: what they say to type is typed, in one folder for each page."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import census
import numpy as np
import pages
import pytest
import torch
from PIL import Image

import modecover
from modecover import experiments
from modecover.auditing.verdicts import NAMES, VERDICTS
from modecover.cli.experiments import run_reproduce
from modecover.methods import registry

SETTING_UP = ("make ", "pip install ", "git clone ", "cd ", ".venv/bin/", "modecover demo")
OTHER = MappingProxyType(dict.fromkeys(SETTING_UP, ""))
"""Lines that set up a machine, and the demo, which has tests of its own."""
OF_A_PAGE: dict[str, dict[str, str]] = {
    "train": {"At step 12,000": "", "of step 9,000": ""},  # what a command says
    "architecture": {"": ""},  # the list of rooms
}
NEEDED = {"ways": ("onnxscript", "onnxruntime", "tensorboard"), "many": ("optuna", "submitit")}
"""Packages that the blocks of a page import."""
STEPS = {
    "README": 6,
    "CONTRIBUTING": 2,
    "comparing": 10,
    "judge": 7,
    "many": 3,
    "methods": 3,
    "start": 4,
    "train": 15,
    "ways": 6,
}
"""How many are typed, at least: a page whose steps are no longer seen fails."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.setattr(registry, "_given", {})
    random = np.random.default_rng(0)
    for number, image in enumerate(pictures(random)):
        path = tmp_path / "path" / "to" / "images" / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    for name in ("samples", "others"):
        np.savez(tmp_path / f"{name}.npz", pictures(random))
    census.people(600, random).to_csv(tmp_path / "adult.csv", index=False)
    (tmp_path / "mygan.py").write_text(
        "import torch\n\nimport modecover\n\n\ndef sample(count):\n"
        "    order = torch.randperm(5_000, generator=torch.Generator().manual_seed(1))\n"
        "    return modecover.open_data('digits').fetch(order[:count])\n"
    )
    (tmp_path / "hinge.py").write_text(
        next(step.text for step in pages.steps((pages.ROOT / "docs" / "methods.md").read_text("utf-8")) if step.python)
    )
    return tmp_path


def pictures(random: np.random.Generator, count: int = 80) -> np.ndarray:
    """Noise, uint8 (count, 16, 16)."""
    return random.integers(0, 256, (count, 16, 16), dtype=np.uint8)


def names_of_a_reader() -> dict[str, Any]:
    """What the pages' Python speaks of as the reader's own."""
    random, ring = np.random.default_rng(1), modecover.open_data("ring")
    real, a, b = (ring.sample(400, torch.Generator().manual_seed(seed)) for seed in range(3))
    return {
        **{"array": pictures(random), "real": real, "a": a, "b": b},
        **{
            "steps": 1,
            "train_step": lambda: None,
            "sample": lambda count: ring.sample(count, torch.Generator().manual_seed(3)),
            "generator": torch.nn.Linear(2, 2),
        },
    }


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.stem)
def test_a_page_can_be_followed(path: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in NEEDED.get(path.stem, ()):
        pytest.importorskip(module)
    names, said = names_of_a_reader(), lambda: "".join(capsys.readouterr())
    other = {**OTHER, **OF_A_PAGE.get(path.stem, {})}
    typed = pages.follow(path.read_text("utf-8"), names, said, other)
    sys.modules.pop("hinge", None)
    assert typed >= STEPS.get(path.stem, 0)
    if (check := globals().get(f"check_{path.stem.lower()}")) is not None:
        check(names)


def check_readme(names: dict[str, Any]) -> None:
    assert names["samples"].shape[0] == 64 and Path("audit.html").is_file()


def check_contributing(names: dict[str, Any]) -> None:
    assert names["EXPERIMENT"].name == "grid"
    grey = np.repeat(np.random.default_rng(0).uniform(size=(200, 1)), 4, axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modecover.auditing.run.NAMES", (*NAMES, "flatness"))
        patch.setitem(VERDICTS, names["flatness"], "lower")
        audit = modecover.audit(np.random.default_rng(1).uniform(size=(200, 4)), grey)
    assert audit.verdict("flatness").fires and audit.verdict("flatness").effect.value == 1


def check_comparing(names: dict[str, Any]) -> None:
    made = ("codes", "again", "between", "varied")
    assert [tuple(names[name].shape[:2]) for name in made] == [(6, 100), (6, 1), (3, 8), (6, 9)]
    for name in ("reconstruct.png", "interpolate.png", "traverse.png", "samples.gif"):
        with Image.open(Path("runs", "reg", name)) as picture:
            picture.load()
    assert len(names["found"].to_frame()) > 12 and Path("compare.html").is_file()


def check_judge(names: dict[str, Any]) -> None:
    assert len(names["rows"]) == 1_000 and Path("versus.html").is_file() and Path("audit.json").is_file()


def check_many(names: dict[str, Any]) -> None:
    assert len(names["study"].trials) == 4 and names["run"].settings.lr_D == names["study"].best_params["lr_D"]
    assert [run.settings.seed for run in names["runs"]] == [0, 1] and Path(
        "runs", "cluster-1", "summary.json"
    ).is_file()


def check_train(names: dict[str, Any]) -> None:
    assert names["run"].folder == Path("runs/ring") and modecover.load("runs/ring-1").training_facts["seed"] == 1
    assert names["samples"].shape[0] == 64 and names["found"].numbers


def check_ways(names: dict[str, Any]) -> None:
    assert len(names["watch"].modes) == 1
    assert np.allclose(names["samples"], names["model"].sample(64, seed=0), atol=1e-5)
    assert Path("coder.onnx").is_file() and list(Path("runs/tracked/tensorboard").iterdir())


def test_what_is_made_and_installed_is_there() -> None:
    import tomllib

    text = "".join(path.read_text("utf-8") for path in pages.pages())
    targets = set(re.findall(r"^([\w-]+):", (pages.ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"demo", "test", "docs"} <= set(re.findall(r"^ {4}make ([\w-]+)", text, re.MULTILINE)) <= targets
    extras = tomllib.loads((pages.ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"pip install '[\w.]+\[(\w+)\]'", text)) <= extras.keys()


@pytest.mark.parametrize(
    "name", [p.stem for p in sorted((pages.ROOT / "results").glob("*.jsonl")) if p.stem != "audit"]
)
def test_the_page_of_every_store_says_how_a_row_is_made_anew_and_shows_every_picture(name: str, tmp_path: Path) -> None:
    """And is what its declaration and its rows would write now: a sentence that was changed is not forgotten there."""
    committed = pages.ROOT / "results"
    text = (committed / f"{name}.md").read_text("utf-8")
    kept = sorted((committed / "images" / name).glob("*"))
    for path in (committed / f"{name}.jsonl", *kept):
        place = tmp_path / path.relative_to(committed)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    run_reproduce([name, "--scale", "cpu", "--page", "--results", str(tmp_path), "--out", str(tmp_path / "runs")])
    assert text == (tmp_path / f"{name}.md").read_text("utf-8")
    said = re.findall(rf"`modecover reproduce {name} --scale (\w+) --only \"(.*?)\"(?: --data-dir DIR)?`", text)
    labels = {arm.label for table in experiments.get(name).tables for arm in table.arms}
    assert said and all(scale in ("cpu", "full") and label in labels for scale, label in said)
    shown = set(re.findall(rf"\]\(images/{name}/([^)]+)\)", text))
    assert shown == {path.name for path in kept}
