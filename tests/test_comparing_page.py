"""docs/comparing.md from its first line to its last: what it says to type is typed, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modecover.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "comparing.md").read_text("utf-8")


def test_the_page_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert PAGE.count("--steps 2000") == 3
    page = PAGE.replace("--size 16 --width 16", "--size 16 --width 4")
    page = page.replace("--steps 2000", "--steps 40 --batch 8 --evaluate-samples 60")
    steps = re.findall(r"^```python\n(.*?)^```|^    (modecover [^\n]*)$", page, re.DOTALL | re.MULTILINE)
    assert len(steps) == 10
    for block, line in steps:
        if block:
            exec(block, names)
        else:
            assert main(shlex.split(line, comments=True)[1:]) == 0, line
    made = ("codes", "again", "between", "varied")
    assert [tuple(names[name].shape[:2]) for name in made] == [(6, 100), (6, 1), (3, 8), (6, 9)]
    for name in ("reconstruct.png", "interpolate.png", "traverse.png", "samples.gif"):
        with Image.open(tmp_path / "runs" / "reg" / name) as picture:
            picture.load()
    assert len(names["found"].to_frame()) > 12 and (tmp_path / "compare.html").is_file()
