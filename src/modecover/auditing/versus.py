"""Generator against generator: which is better, verdict by verdict, and what only one of them covers.

Both are judged by the same halves of the real rows: the same features, cells and spacings. Where a verdict can be
paired, the difference is taken row by row or draw by draw, so that the sampling of the real rows, which both share,
cancels. Else the errors of both are added.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from modecover.arguments import held
from modecover.auditing.evidence import Evidence
from modecover.auditing.findings import BIN_EXAMPLES, BINS_SHOWN, POINTS, SHOWN, Picked
from modecover.auditing.records import Record
from modecover.auditing.results import (
    FORMAT,
    NORMAL,
    UNKNOWN,
    Estimate,
    Flags,
    Gallery,
    Verdict,
    excess,
    share,
    signed,
)
from modecover.auditing.run import Audit, audit, gather, judged
from modecover.auditing.verdicts import VERDICTS
from modecover.auditing.verdicts.imbalance import displacements, imbalance
from modecover.auditing.verdicts.low_quality import low_quality, more_odd
from modecover.auditing.verdicts.missing_mass import missing_mass, where_missed
from modecover.errors import UserError
from modecover.kinds import counted, nearest
from modecover.metrics.regions import LEAST_FOUND, ROWS_IN_A_CELL, SELDOM, MissedMass

Name = Literal["A", "B"]

ADJACENT = 3.0
"""Times the usual distance of a cell's centre to the nearest other one that cells of one region may be apart."""


@dataclass(frozen=True)
class Difference:
    """One verdict on both generators."""

    name: str
    """The verdict's."""
    unit: str
    a: Estimate
    b: Estimate
    """The effects, each with its own interval, as in the audits."""
    difference: Estimate
    """The failure of A less that of B: below 0 where A is better. Of a ratio, the failure is its distance from real
    data's. The 95 % interval holds for all verdicts at once."""
    better: Name | None
    """None where the interval holds 0."""
    sentence: str

    @property
    def measured(self) -> bool:
        """Whether there was enough to compare."""
        return not math.isnan(self.difference.value)

    @property
    def verdict(self) -> str:
        """Who is better, in words."""
        if self.better:
            return f"{self.better} is better"
        return "no difference seen" if self.measured else "cannot tell"


@dataclass(frozen=True, repr=False)
class Region:
    """A part of the data that one generator covers and the other misses."""

    share: float
    """Of the real samples."""
    a: float
    """Of the samples of A."""
    b: float
    examples: tuple[int, ...]
    """Rows of real samples in it, the most typical first."""

    def __repr__(self) -> str:
        rows = counted(map(str, self.examples), 3)
        return f"Region(share={self.share:.3g}, a={self.a:.3g}, b={self.b:.3g}, rows {rows})"


@dataclass(frozen=True, repr=False, eq=False)
class Comparison(Record):
    """Two generators judged by the same real samples; comparisons are equal where their JSON is."""

    KIND: ClassVar[str] = "comparison"

    a: Audit
    b: Audit
    differences: tuple[Difference, ...]
    """One for each verdict, in their order."""
    only_a: tuple[Region, ...] = ()
    """What A covers and B misses, the largest first."""
    only_b: tuple[Region, ...] = ()
    version: int = FORMAT
    """Of the JSON's format."""
    gallery: Gallery | None = None
    """Real samples for the page's pictures; not part of the JSON."""

    def __repr__(self) -> str:
        told = (
            f"{each.name} {each.better or 'same' if each.measured else 'not measured'}" for each in self.differences
        )
        names = (side.inputs.get("fake", {}).get("name", "fake") for side in (self.a, self.b))
        return f"Comparison({' against '.join(names)}: {', '.join(told)})"

    @property
    def headline(self) -> str:
        """Who is better by which verdicts, in one sentence."""
        sides: tuple[Name, Name] = "A", "B"
        better = {name: ", ".join(each.name for each in self.better(name)) for name in sides}
        words = "; ".join(f"{name} is better in {verdicts}" for name, verdicts in better.items() if verdicts)
        lacking = ", ".join(each.name for each in self.differences if not each.measured)
        count = f"{sum(each.measured for each in self.differences)} of {len(self.differences)} verdicts compared"
        told = f"{len(self.differences)} verdicts" if not lacking else f"{count}; not enough to tell: {lacking}"
        return f"{words or 'No difference seen'} ({told})."

    def better(self, name: Name) -> tuple[Difference, ...]:
        """The verdicts by which this generator, "A" or "B", is better."""
        return tuple(each for each in self.differences if each.better == name)

    @held()
    def difference(self, name: str) -> Difference:
        """That of a verdict by its name, as `Audit.verdict` takes it. Raises `UserError` where there is none."""
        verdict = self.a.verdict(name).name
        return next(each for each in self.differences if each.name == verdict)

    def _page(self) -> str:
        from modecover.auditing.page import page

        return page(self.a, "versus.html.jinja", comparison=self)


@held()
def compare_generators(real: Any, a: Any, b: Any, **options: Any) -> Comparison:
    """Judge the samples of two generators by the same real data, and say which is better, verdict by verdict.

    Args:
        real, a, b: as `real` and `fake` of `modecover.audit`.
        options: those of `modecover.audit` (`labels`, `features`, `samples`, ...), which hold for both generators.

    Raises:
        UserError: as `modecover.audit`.
    """
    parameters = inspect.signature(audit).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    if strangers := [name for name in options if name not in defaults]:
        unknown = f"{strangers[0]!r}{nearest(strangers[0], defaults)}"
        raise UserError(f"compare_generators has no option {unknown}; it has {', '.join(defaults)}.")
    chosen = {**defaults, **options}
    sides = gather(real, (a, b), **chosen)
    audits = [judged(evidence, chosen["samples"]) for evidence in sides]
    return compared((sides[0], sides[1]), (audits[0], audits[1]))


def compared(sides: tuple[Evidence, Evidence], audits: tuple[Audit, Audit]) -> Comparison:
    """The comparison of two generators that were judged by the same halves of the real rows."""
    sides[0].stages.begin("differences")
    missed = where_missed(sides[0]), where_missed(sides[1])
    pairings: dict[str, Callable[[], Estimate]] = {
        missing_mass.__name__: lambda: _of_missed(*missed),
        imbalance.__name__: lambda: _of_draws(audits, *(displacements(evidence, splits=4) for evidence in sides)),
        low_quality.__name__: lambda: more_odd(*sides),
    }
    differences = []
    for judge in VERDICTS:
        one, other = (side.verdict(judge.__name__) for side in audits)
        if not (one.measured and other.measured):
            found = UNKNOWN
        elif judge.__name__ in pairings:
            found = pairings[judge.__name__]()
        else:
            found = excess(*(_failure(verdict, VERDICTS[judge]) for verdict in (one, other)))
        differences.append(_told(one, other, _at_once(found, 1.0 if one.unit.startswith("share") else math.inf)))
    # Where it cannot be told what is missed, nor can what only one of them covers.
    told = all(side.verdict(missing_mass.__name__).measured for side in audits)
    only_a, only_b = (_only(sides, missed, covers=number) if told else () for number in (0, 1))
    comparison = Comparison(*audits, tuple(differences), only_a, only_b)
    return dataclasses.replace(comparison, gallery=_gallery(comparison, sides[0]))


def _at_once(estimate: Estimate, most: float) -> Estimate:
    """An estimate whose interval holds with those of all verdicts at once (Bonferroni); two shares differ by at
    `most` 1, either way."""
    from scipy.stats import norm

    wider = float(norm.isf(0.025 / len(VERDICTS))) / NORMAL
    low, high = (estimate.value + wider * (end - estimate.value) for end in (estimate.low, estimate.high))
    return estimate if math.isnan(low) else Estimate(estimate.value, max(low, -most), min(high, most))


def _told(one: Verdict, other: Verdict, difference: Estimate) -> Difference:
    better: Name | None = "B" if difference.low > 0 else "A" if difference.high < 0 else None
    size = signed(abs(difference.value), one.unit).removeprefix("+")
    sentence = "There is not enough to tell."
    if better:
        sentence = f"{better} is better, by {size}."
    elif not math.isnan(difference.value):
        unseen = signed(max(abs(difference.low), abs(difference.high)), one.unit).removeprefix("+")
        sentence = f"No difference is seen; one of less than {unseen} may be there."
    return Difference(one.name, one.unit, one.effect, other.effect, difference, better, sentence)


def _failure(verdict: Verdict, better: str | None) -> Estimate:
    """A verdict's effect as something of which less is better: of a ratio its distance from real data's."""
    effect, ideal = verdict.effect, verdict.null.value
    if better == "lower":
        return effect
    if better == "higher":
        return Estimate(-effect.value, -effect.high, -effect.low)
    ends = abs(effect.low - ideal), abs(effect.high - ideal)
    nearest_end = 0.0 if effect.low <= ideal <= effect.high else min(ends)
    return Estimate(abs(effect.value - ideal), nearest_end, max(ends))


def _of_missed(one: MissedMass, other: MissedMass) -> Estimate:
    """The difference of missed mass, row by row: a real row that both miss, or neither, makes none.

    To the sampling of the real rows comes what chance does to the cells by way of the fake rows. What is smaller than a
    cell cannot be seen; and where the readings are corrected unlike, one cannot tell which correction is right.
    """
    count, both = len(one.flags), (one, other)
    weights = [each.value / each.counted if each.counted > 0 else 1 / max(each.found, LEAST_FOUND) for each in both]
    rows = weights[0] * one.flags - weights[1] * other.flags
    variance = (rows.var() + 0.5 * max(weights) ** 2 / count) / count
    variance += sum((weight * each.unsure) ** 2 for weight, each in zip(weights, both, strict=True))
    half = max(NORMAL * math.sqrt(variance), one.finest)
    half += abs(weights[0] - weights[1]) * (one.counted + other.counted) / 2
    value = one.value - other.value
    return Estimate(value, value - half, value + half)


def _of_draws(audits: tuple[Audit, Audit], one: np.ndarray, other: np.ndarray) -> Estimate:
    """The difference of imbalance, with the spread of the difference in bootstrap draws of the same real rows."""
    values = [side.verdict(imbalance.__name__).effect.value for side in audits]
    value, half = values[0] - values[1], NORMAL * float(np.std(one - other))
    return Estimate(value, value - half, value + half)


def _only(
    sides: tuple[Evidence, Evidence], missed: tuple[MissedMass, MissedMass], *, covers: int
) -> tuple[Region, ...]:
    """The cells of the first half where most judged rows are missed by one generator and not by the other, where it has
    surely more samples; cells that lie side by side make a region."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import cdist

    half, index = sides[0].halves[0], sides[0].real.index
    cells = half.real_cells[half.judged]
    rows = np.bincount(cells, minlength=len(half.regions.cells))

    def mostly(flags: Flags) -> Flags:
        return np.asarray(np.bincount(cells, flags[half.judged], minlength=len(rows)) > rows / 2)

    covered, lacking = mostly(missed[covers].flags), mostly(missed[1 - covers].flags)
    chosen = np.flatnonzero(lacking & ~covered)
    if not len(chosen):
        return ()
    centres = half.regions.cells.centres.cpu().numpy()
    apart = cdist(centres, centres)
    np.fill_diagonal(apart, np.inf)
    side_by_side = ADJACENT * float(np.median(apart.min(axis=1)))
    groups = np.zeros(len(rows), np.int64)
    groups[chosen] = 1 if len(chosen) == 1 else fcluster(linkage(centres[chosen], "single"), side_by_side, "distance")
    found = []
    for group in range(1, groups.max() + 1):
        here = groups == group
        inside = np.flatnonzero(here[half.real_cells])
        made = [share(here[side.halves[0].fake_cells], side.different) for side in sides]
        seldom = made[1 - covers].value < SELDOM * len(inside) / len(index)
        if len(inside) < ROWS_IN_A_CELL or not seldom or excess(made[covers], made[1 - covers]).low <= 0:
            continue
        own = half.real[inside]
        typical = np.argsort(np.square(own - own.mean(axis=0)).sum(axis=1), kind="stable")[:SHOWN]
        examples = tuple(index[inside[typical]].tolist())
        found.append(Region(len(inside) / len(index), made[0].value, made[1].value, examples))
    return tuple(sorted(found, key=lambda region: -region.share))


def _gallery(comparison: Comparison, side: Evidence) -> Gallery:
    """The real samples that the page shows: examples of the regions, and of points as many as an audit's page shows."""
    regions = (*comparison.only_a[:BINS_SHOWN], *comparison.only_b[:BINS_SHOWN])
    rows = {row for region in regions for row in region.examples[:BIN_EXAMPLES]}
    if side.real.kept.ndim == 2:
        rows.update(side.real.index[:POINTS].tolist())
    return Gallery(Picked(side.real, rows), {})
