"""The verdicts: one function of the evidence, in a file of its own, for each way to fail.

Each holds a statistic of its own against what real data would score.
"""

from __future__ import annotations

from collections.abc import Callable

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import Better, Verdict
from modecover.auditing.verdicts.copying import copying
from modecover.auditing.verdicts.imbalance import imbalance
from modecover.auditing.verdicts.low_quality import low_quality
from modecover.auditing.verdicts.missing_mass import missing_mass
from modecover.auditing.verdicts.shrink import shrink

VERDICTS: dict[Callable[[Evidence], Verdict], Better] = {
    missing_mass: "lower",
    imbalance: "lower",
    shrink: None,  # a ratio of spreads can be too small and too large
    low_quality: "lower",
    copying: "lower",
}
"""In the order in which they are told, each with the direction in which its effect is better."""

NAMES = tuple(judge.__name__.replace("_", " ") for judge in VERDICTS)
"""Their names: those of the functions, in words."""
