"""Behaviour is held still while the rooms are moved: see frozen.py."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from frozen import CASES, PLACE, audit_of, kernels, steps_of
from tiny import METHODS

FROZEN: dict[str, Any] = json.loads(PLACE.read_text())
SAME_KERNELS = kernels() == FROZEN["kernels"]


def assert_same(found: Any, kept: Any, where: str = "", bound: float = 1e-5) -> None:
    """Equal structures; numbers to `bound`, of their size or of 1: first weights are drawn in float32, whose last
    digits are the processor's."""
    if isinstance(kept, dict):
        assert isinstance(found, dict) and found.keys() == kept.keys(), where
        for key in kept:
            assert_same(found[key], kept[key], f"{where}/{key}", bound)
    elif isinstance(kept, list):
        assert isinstance(found, list) and len(found) == len(kept), where
        for number, (one, other) in enumerate(zip(found, kept, strict=True)):
            assert_same(one, other, f"{where}/{number}", bound)
    elif isinstance(kept, float) and not isinstance(found, str):
        assert math.isclose(found, kept, rel_tol=bound, abs_tol=bound), f"{where}: {found} was {kept}"
    else:
        assert found == kept, where


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", METHODS)
def test_steps_are_what_they_were(name: str, case: str) -> None:
    # Where first weights differ in their last digit, a unit may lie on the other side of its kink after 8 steps.
    assert_same(steps_of(name, case), FROZEN["steps"][f"{case} {name}"], bound=1e-5 if SAME_KERNELS else 1e-3)


@pytest.mark.skipif(not SAME_KERNELS, reason="the audits were frozen with another processor's kernels")
@pytest.mark.parametrize("data", ["points", "digits"])
def test_audits_are_what_they_were(data: str) -> None:
    assert_same(audit_of(data), FROZEN["audits"][data], bound=1e-4)
