"""The README's Python is run as it stands, but for the number of steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_readme_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    array = random.integers(0, 256, (80, 16, 16), dtype=np.uint8)
    short = block.replace("steps=10_000", "steps=3, batch=8")
    assert short != block
    names: dict[str, Any] = {"array": array}
    exec(short, names)
    assert names["samples"].shape[0] == 64
    assert Path("audit.html").is_file()
