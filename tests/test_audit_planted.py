"""Each verdict fires on the failure that it names and stays quiet on the others: planted failures on three data sets.

results/audit.md has those of larger samples and more seeds; benchmarks/audit_table.py makes it.
"""

from __future__ import annotations

from functools import cache

import pytest
from planted import EXPECTED, World, digit_world, mixture_world, stacked_world

from modecover.auditing.run import audit


@cache
def world(name: str) -> World:
    return {
        "mixture": lambda: mixture_world(2, 1200),
        "digits": digit_world,
        "stacked digits": lambda: stacked_world(3000),
    }[name]()


@pytest.mark.parametrize("failure", list(EXPECTED))
@pytest.mark.parametrize("name", ["mixture", "digits", "stacked digits"])
def test_the_verdicts_that_fire_are_those_of_the_planted_failure(name, failure):
    planted = world(name)
    found = audit(planted.real, planted.fakes[failure], features=planted.features)
    assert {verdict.name for verdict in found.firing} == EXPECTED[failure]
    missing = found.verdict("missing mass").effect.value
    if failure.startswith("drop"):
        assert missing == pytest.approx(planted.missing, abs=0.03)
    if failure in ("blurred", "shrunk", "perfect"):
        assert missing < 0.01
    if failure == "support of 200":
        assert found.verdict("copying").evidence["different samples"] == pytest.approx(200, rel=0.15)
