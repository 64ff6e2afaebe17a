"""Experiments read back what their runs wrote, also where a seed has no mode at all."""

from __future__ import annotations

import json
import math
from pathlib import Path

from modecover.experiments.runner import read_summary
from modecover.training.files import write_json


def test_numbers_that_are_not_finite_come_back_as_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"last": [{"kl": math.nan, "modes_any": 0.0}], "seeds": [0]})
    assert json.loads((tmp_path / "summary.json").read_text())["last"][0]["kl"] == "NaN"
    summary = read_summary(tmp_path)
    assert math.isnan(summary["last"][0]["kl"])
    assert summary["last"][0]["modes_any"] == 0.0 and summary["seeds"] == [0]
