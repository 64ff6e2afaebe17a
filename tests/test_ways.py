"""docs/ways.md from its first line to its last: what it says to type is typed, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modecover
from modecover.cli import main as command

PAGE = (Path(__file__).parents[1] / "docs" / "ways.md").read_text("utf-8")
STEPS = "steps=6, batch=16, evaluate_samples=50"
SHORT = {"--steps 300": "--steps 6 --batch 16 --evaluate-samples 50", "steps=300": STEPS}


def test_the_page_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("onnxscript", "onnxruntime", "tensorboard"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    page = PAGE
    for long, short in SHORT.items():
        assert long in page
        page = page.replace(long, short)
    steps = re.findall(r"^```python\n(.*?)^```|^    (modecover [^\n]*)$", page, re.DOTALL | re.MULTILINE)
    assert len(steps) == 11
    for block, line in steps:
        if block:
            exec(block, names)
            continue
        line, _, file = line.partition(" > ")
        capsys.readouterr()
        assert command(shlex.split(line)[1:]) == 0, line
        if file:
            Path(file).write_text(capsys.readouterr().out)
    assert names["run"].folder == Path("runs/ring") and modecover.load("runs/ring-1").training_facts["seed"] == 1
    assert len(names["watch"].modes) == 1
    assert np.allclose(names["samples"], names["model"].sample(64, seed=0), atol=1e-5)
    assert Path("coder.onnx").is_file() and list(Path("runs/tracked/tensorboard").iterdir())
