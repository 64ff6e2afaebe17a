"""Methods outside the package: named as module:Class, trained, resumed, and loaded where their module is not."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import modecover
from modecover.cli import main as command
from modecover.errors import UserError
from modecover.methods import registry

ROOT = Path(__file__).parents[1]
PAGES = "\n".join((ROOT / name).read_text("utf-8") for name in ("docs/methods.md", "CONTRIBUTING.md"))
SMALL = {"steps": 6, "batch": 16, "width": 8, "evaluate_samples": 100}
FLAGS = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]

OTHERS = """
import sys
from dataclasses import dataclass, field
from modecover import Method
from modecover.methods.gan import GAN
from modecover.methods.roles import Discriminator, Feed, Generator, Updates

ONE = 1

class Nothing:
    pass

class Untold(GAN):
    weight: float = 1.0

@dataclass(frozen=True)
class Needy(GAN):
    weight: float = field(kw_only=True)

@dataclass(frozen=True)
class Odd(GAN):
    values: dict = field(default_factory=dict)

@dataclass(frozen=True)
class Taken(GAN):
    batch: int = 3
    \"\"\"Of another kind.\"\"\"

@dataclass(frozen=True)
class Unfed(Method):
    def step(self, G, D, data, prior):
        yield D, 0

@dataclass(frozen=True)
class Listed(GAN):
    sizes: tuple[int, ...] = field(default_factory=lambda: (1, 2))
"""


def block(heading: str) -> str:
    """The Python of a section of docs/methods.md or CONTRIBUTING.md."""
    section = PAGES.split(f"## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with modules of a user in it, none of them imported yet."""
    (tmp_path / "hinge.py").write_text(block("In a file of yours"))
    (tmp_path / "others.py").write_text(OTHERS)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from package.inner import Inner\n")
    (tmp_path / "package" / "inner.py").write_text("import hinge\nclass Inner(hinge.FeatureMatching):\n    pass\n")
    for name, code in (
        ("broken", "1 / 0"),
        ("leaving", "import sys; sys.exit(0)"),
        ("missing", "import nosuchlibrary"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "moving.py").write_text("import os\nfrom hinge import *\nos.chdir('/')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.setattr(registry, "_given", {})
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = command([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


# ---------------------------------------------------------------- the page's own method


def test_the_page_s_method_trains_by_python_and_by_the_command_to_the_same_weights(here, capsys):
    words = ["train", "hinge:FeatureMatching", "--data", "ring", "--weight", "0.5", *FLAGS, "--out", "command"]
    code, _, told = say(capsys, *words)
    assert code == 0 and told.startswith("Hinge GAN with feature matching on ring, 6 steps of 16")
    method = importlib.import_module("hinge").FeatureMatching
    run = modecover.train(method(weight=0.5), "ring", **SMALL)
    by_words = modecover.train("hinge:FeatureMatching", "ring", weight=0.5, **SMALL)
    samples = modecover.load("command").sample(20)
    assert torch.equal(run.sample(20), samples) and torch.equal(by_words.sample(20), samples)
    assert not torch.equal(modecover.train(method(weight=5.0), "ring", **SMALL).sample(20), samples)


def test_the_page_s_loss_is_the_one_it_writes(here):
    import numpy as np
    from tiny import engine_of

    registry.name_of("hinge:FeatureMatching")
    engine = engine_of("hinge.FeatureMatching", settings={"weight": 3.0})
    engine.step()
    assert engine.schedule() == "D -> G"
    x, y, w = (torch.randn(5, 2, dtype=torch.float64) for _ in range(3))
    D = lambda rows, head="scores": rows * w[0] if head == "features" else (rows * w[0]).sum(1)
    draws = {"data": lambda: x, "prior": lambda: y}
    (_, of_d), (_, of_g) = importlib.import_module("hinge").FeatureMatching(3.0).step(lambda z: z, D, **draws)
    a, b, c = x.numpy(), y.numpy(), w[0].numpy()
    assert of_d["real"].item() == pytest.approx(np.maximum(0, 1 - a @ c).mean())
    assert of_d["fake"].item() == pytest.approx(np.maximum(0, 1 + b @ c).mean())
    assert of_g["adversarial"].item() == pytest.approx(-(b @ c).mean())
    assert of_g["matching"].item() == pytest.approx(3 * np.square((a.mean(0) - b.mean(0)) * c).sum())


def test_the_page_s_method_has_stacked_seeds_equal_to_separate_runs(here):
    from test_composition import assert_stacked_is_separate

    registry.name_of("hinge:FeatureMatching")
    assert_stacked_is_separate("hinge.FeatureMatching")


def test_the_same_command_resumes_python_goes_on_with_it_and_the_model_needs_no_module(here, capsys):
    words = ["train", "hinge:FeatureMatching", "--data", "ring", *FLAGS, "--out", "run"]
    assert say(capsys, *words)[0] == 0
    assert "Resumed at step 6." in say(capsys, *words)[2]
    assert "Resumed at step 6." in say(capsys, "train", "hinge.FeatureMatching", *words[2:])[2]
    code, _, error = say(capsys, *words, "--weight", "7")
    assert code == 2 and "weight was 1.0 and is now 7.0" in error
    method = importlib.import_module("hinge").FeatureMatching
    run = modecover.train(method, "ring", "run", **{**SMALL, "steps": 9})
    assert run.step == 9 and json.loads((here / "run" / "run.json").read_text())["method"] == "hinge.FeatureMatching"
    code = "import modecover, sys; print(modecover.load('run').sample(3).tolist(), 'hinge' in sys.modules)"
    (here / "hinge.py").unlink()
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=here, check=True).stdout
    assert said == f"{run.sample(3).tolist()} False\n"


def test_a_method_of_the_user_is_listed_described_and_tried(here, capsys):
    code, said, _ = say(capsys, "list", "hinge")
    assert code == 0
    assert "Methods: of hinge\n  hinge:FeatureMatching  Hinge GAN with feature matching\n" in said
    others = say(capsys, "list", "others")[1].split("Methods: of others\n")[1].split("\n\n")[0]
    names = {line.split()[0] for line in others.splitlines() if line.startswith("  others")}
    assert names == {f"others:{name}" for name in ("Untold", "Needy", "Odd", "Taken", "Unfed", "Listed")}
    code, said, _ = say(capsys, "describe", "hinge:FeatureMatching")
    assert code == 0
    for part in ("Schedule of updates\n  D -> G", "--weight [1]", "weight |E f(x) - E f(G(z))|^2", "train hinge:Fea"):
        assert part in said
    with pytest.raises(SystemExit) as caught:
        command(["train", "hinge:FeatureMatching", "--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert "usage: modecover train hinge:FeatureMatching" in page and "mean features of data and of samples" in page
    code, said, _ = say(capsys, "train", "hinge:FeatureMatching", "--data", "ring", *FLAGS, "--weight", 2, "--dry-run")
    assert code == 0 and "schedule   D -> G" in said and "settings   weight=2, " in said
    assert "--sizes [1,2]" in say(capsys, "describe", "others:Listed")[1]


def test_a_package_may_show_a_class_that_is_defined_deeper(here, capsys):
    assert registry.name_of("package:Inner") == "package.inner.Inner" == registry.name_of("package.inner:Inner")
    assert registry.get("package:Inner").title == "Hinge GAN with feature matching"
    assert "package:Inner" in say(capsys, "list", "package")[1]


def test_a_registered_method_named_by_its_module_is_the_registered_one():
    assert registry.name_of("modecover.methods.gan:GAN") == "gan"
    assert registry.get("modecover.methods.gan:GAN") is registry.get("gan")


def test_the_installed_command_imports_from_the_current_folder(here):
    code = "import sys; sys.path[0] = '/nowhere'; from modecover.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "hinge:FeatureMatching", "--data", "ring", *FLAGS, "--dry-run"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=here)
    assert done.returncode == 0 and "schedule   D -> G" in done.stdout


# ---------------------------------------------------------------- what cannot be had


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("nosuch:Mine", "There is no module nosuch, here or installed: name a method of yours as module:Class"),
        ("nosuch.deeper:Mine", "There is no module nosuch.deeper, here"),
        ("hinge.deeper:Mine", "There is no module hinge.deeper, here"),
        ("hinge:FeatureMatchin", "hinge has no FeatureMatchin: name one of its classes that derive from"),
        ("others:Nothing", "others:Nothing is <class 'others.Nothing'>: give a class that derives from modecover.Meth"),
        ("others:ONE", "others:ONE is 1: give a class that derives from modecover.Method"),
        ("others:Method", "others:Method is <class 'modecover.methods.base.Method'>: give a class that derives from"),
        ("broken:Mine", "Importing broken raised ZeroDivisionError: division by zero: `python -c 'import broken'`"),
        ("leaving:Mine", "Importing leaving raised SystemExit: 0"),
        ("missing:Mine", "Importing missing raised ModuleNotFoundError: No module named 'nosuchlibrary': install it."),
        ("others:Untold", "weight is no setting of Untold: put @dataclass(frozen=True) above the class."),
        ("others:Needy", "The setting weight of Needy has no default: give it one."),
        ("others:Unfed", "Unfed is no method that can be trained: Unfed.step names 'G': annotate it"),
        ("others:Odd", "A setting of type dict cannot be a flag"),
        ("others:Taken", "Two settings, or options of `train`, are called batch: rename one."),
        (":Mine", "There is no method called ':Mine'"),
        ("hinge:", "There is no method called 'hinge:'"),
        ("./hinge.py:Mine", "There is no method called './hinge.py:Mine'"),
        ("a b:c", "There is no method called 'a b:c'"),
    ],
)
def test_what_is_no_method_is_refused_in_a_sentence(word, sentence, here, capsys):
    before = sorted(path for path in here.rglob("*") if "__pycache__" not in path.parts)
    code, said, error = say(capsys, "train", word, "--data", "ring", *FLAGS)
    assert (code, said) == (2, "")
    assert error.startswith(f"modecover: {sentence}") and error.count("\n") == 1
    assert sorted(path for path in here.rglob("*") if "__pycache__" not in path.parts) == before


def test_the_same_sentences_come_from_python(here):
    with pytest.raises(UserError, match="There is no module nosuch"):
        modecover.train("nosuch:Mine", "ring", **SMALL)
    with pytest.raises(UserError, match="Importing broken raised"):
        registry.get("broken:Mine")


def test_a_module_that_goes_elsewhere_leaves_names_of_files_as_they_were(here, capsys):
    assert say(capsys, "train", "moving:FeatureMatching", "--data", "ring", *FLAGS, "--out", "run")[0] == 0
    assert Path(os.getcwd()) == here and (here / "run" / "model").is_dir()


def test_a_file_named_like_a_library_does_not_stand_before_it_later(here):
    (here / "rich.py").write_text("raise RuntimeError('not this one')")
    registry.get("hinge:FeatureMatching")
    assert sys.path[0] != str(here) and sys.path[-1] == str(here)


# ---------------------------------------------------------------- the page's experiment


def test_the_page_s_experiment_can_be_declared():
    names: dict[str, object] = {}
    exec(block("Adding an experiment"), names)
    from modecover.runs.settings import resolve

    for table in names["EXPERIMENT"].tables:
        for arm in table.arms:
            settings = {**table.settings, **arm.settings}
            resolve(arm.method, (2,), protocol=settings.pop("protocol"), chosen=settings)
