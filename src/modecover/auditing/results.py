"""What an audit found, as plain frozen values: verdicts, metrics, curves, examples; and how people read its numbers.

Indices point into the arrays that were audited, in the order in which they were given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from modecover.arguments import held
from modecover.errors import UserError
from modecover.kinds import counted, spelled

FORMAT = 2
"""The version of the JSON. It grows when a field changes its meaning or goes."""

ROLES = {"real": "real", "fake": "generated", "versus": "other generated", "train": "training", "test": "test"}
"""The parts that samples play in an audit, and the words for them in sentences."""

MADE = ("fake", "versus")
"""The roles of samples that a generator made."""

ABOUT = "about "
"""How the stage begins that tells, once and beforehand, how long a long audit takes: "about 4 minutes left"."""

NORMAL = 1.96
"""Standard errors to each side of a 95 % interval."""

Better = Literal["higher", "lower"] | None
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; `low` and `high` equal it where it has none."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)
"""There was not enough to measure it."""


def share(flags: Flags, weight: float = 1.0) -> Estimate:
    """The share of true flags with its Wilson interval; `weight` is the number of different rows over that of rows."""
    return share_of(float(flags.mean()) if len(flags) else 0.0, max(1.0, len(flags) * weight))


def share_of(value: float, count: float, extra: float = 0.0) -> Estimate:
    """A share seen among `count` rows with its Wilson interval, widened by a further standard error `extra`."""
    z = NORMAL**2 / count
    middle = (value + z / 2) / (1 + z)
    half = math.sqrt(z * value * (1 - value) + z * z / 4) / (1 + z)
    low = value - math.hypot(max(0.0, value - (middle - half)), NORMAL * extra)
    high = value + math.hypot(max(0.0, middle + half - value), NORMAL * extra)
    return Estimate(value, max(0.0, low), min(1.0, high))


def excess(effect: Estimate, null: Estimate) -> Estimate:
    """How far `effect` lies above `null`, with the interval of a difference (Newcombe's, from those of the two)."""
    value = effect.value - null.value
    below = math.hypot(effect.value - effect.low, null.high - null.value)
    above = math.hypot(effect.high - effect.value, null.value - null.low)
    return Estimate(value, value - below, value + above)


@dataclass(frozen=True)
class Verdict:
    """One way in which a generator fails, and whether this one does."""

    name: str
    """One of `modecover.auditing.verdicts.NAMES`."""
    fires: bool
    effect: Estimate
    """How large the failure is, in `unit`."""
    unit: str
    """What the effect counts: "share of the real mass", "ratio of standard deviations", ..."""
    null: Estimate
    """Where the effect lies for real samples in the generator's place, at the same sample sizes: shares are what goes
    beyond these, so that theirs is 0, with a range."""
    sentence: str
    """What it means, in one plain sentence."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """Further numbers the verdict rests on, by name."""

    @property
    def measured(self) -> bool:
        """Whether there was enough to measure the effect; else the verdict says nothing either way."""
        return not math.isnan(self.effect.value)


@dataclass(frozen=True)
class Metric:
    """One number of the field, beside the value that real samples get."""

    name: str
    """With settings and the extractor's identity, as in "coverage (k=5) [pca-64:1a2b3c4d]"."""
    key: str
    """A short name for thresholds: "coverage", "density", "frechet", ..."""
    value: float
    null: float | None = None
    """The value for real against real at the same sample sizes; None where there is none."""
    low: float | None = None
    high: float | None = None
    """95 % interval of the value; None where there is none."""
    better: Better = None
    """The direction that is better; None where the best value lies in the middle."""


@dataclass(frozen=True)
class Bins:
    """Real and generated samples counted in bins that were fixed on real data."""

    real: tuple[int, ...]
    fake: tuple[int, ...]
    p_values: tuple[float, ...]
    """Of the two-proportion test of each bin, corrected for the number of bins (Holm)."""


@dataclass(frozen=True)
class NeighbourDistances:
    """Distances to the nearest training sample, of samples to be compared in law."""

    fake_to_train: tuple[float, ...]
    test_to_train: tuple[float, ...]
    """Of real samples that the generator cannot have seen (or, without a test set, of held-out real samples)."""


@dataclass(frozen=True)
class Curves:
    """What is plotted; None where it was not computed."""

    bins: Bins | None = None
    neighbours: NeighbourDistances | None = None


@dataclass(frozen=True)
class ClassShare:
    """How often a class occurs among real samples, and how often the generator makes it."""

    label: int
    real: float
    """Share of the real samples, 0 to 1."""
    fake: float
    """Share of the generated samples, as errors of the discriminant between classes allow to tell it."""
    low: float
    """Of the 95 % interval of `fake`."""
    high: float
    name: str = ""
    """What the class is called; its label where it has no other name."""


@dataclass(frozen=True)
class Missed:
    """A real example that the generator seems not to make."""

    index: int
    """Of the row of the real samples."""
    score: float
    """How many generated samples its region lacks."""


@dataclass(frozen=True, repr=False)
class Invented:
    """A mode that the data do not have: generated samples far from all real ones, and near to each other."""

    share: float
    """Of the generated samples."""
    examples: tuple[int, ...]
    """Rows of generated samples in it, the most typical first."""

    def __repr__(self) -> str:
        return f"Invented(share={self.share:.3g}, rows {counted(map(str, self.examples), 3)})"


@dataclass(frozen=True)
class Copy:
    """A generated sample beside the training sample nearest to it."""

    fake: int
    train: int
    distance: float


@dataclass(frozen=True)
class Gallery:
    """The few samples that a page shows, by their row: float32, images (C, H, W) in [-1, 1], of at most 152
    pixels a side, or points (d,)."""

    real: Mapping[int, npt.NDArray[np.float32]]
    fake: Mapping[int, npt.NDArray[np.float32]]
    train: Mapping[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    words: Mapping[int, str] = field(default_factory=dict)
    """Real rows of a table, cell by cell."""
    spread: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """For "real" and "fake" rows that are spread evenly over the samples, whatever is the matter with them."""


@dataclass(frozen=True, repr=False)
class Findings:
    """Everything an audit found."""

    verdicts: tuple[Verdict, ...]
    metrics: tuple[Metric, ...]
    curves: Curves = Curves()
    missed: tuple[Missed, ...] = ()
    """The real examples most surely missed, surest first."""
    starved: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """For each bin of the real data with significantly too few generated samples, most starved first: rows of real
    samples in it, the most typical first."""
    copies: tuple[Copy, ...] = ()
    """The generated samples nearest to training samples, nearest first."""
    classes: tuple[ClassShare, ...] = ()
    """Of every class, ascending, where labels are known and classes can be learnt."""
    invented: tuple[Invented, ...] = ()
    """Modes that the data do not have, the largest first."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """For "real", "fake" (and "train", "test" where given): name, count, shape, fingerprint."""
    version: int = FORMAT
    """Of the JSON's format."""
    gallery: Gallery | None = field(default=None, compare=False)
    """Samples for the page's pictures; not part of the JSON."""

    def __repr__(self) -> str:
        """The verdicts, each with its size and, behind it, that of real samples; those that fire in capitals."""
        rows = []
        for v in self.verdicts:
            size = f"{v.effect.value:.3g} ({v.null.value:.3g})" if v.measured else "not measured"
            rows.append(f"{v.name.upper() if v.fires else v.name} {size}")
        names = [str(self.inputs[role]["name"]) for role in ("fake", "real") if role in self.inputs]
        return f"{type(self).__name__}({' against '.join(names)}: {', '.join(rows)})"

    @property
    def untold(self) -> tuple[Verdict, ...]:
        """The verdicts that there was not enough to measure."""
        return tuple(verdict for verdict in self.verdicts if not verdict.measured)

    @property
    def firing(self) -> tuple[Verdict, ...]:
        """The verdicts that fire."""
        return tuple(verdict for verdict in self.verdicts if verdict.fires)

    @property
    def warning(self) -> str:
        """That the generated samples are those they were held against, where they are; else nothing."""
        for role in ("real", "test"):
            own, other = (self.inputs.get(each, {}).get("fingerprint") for each in ("fake", role))
            if own and own == other:
                return (
                    f"The generated samples are the {ROLES[role]} ones, number for number, so that nothing is missing: "
                    "check what was given as either."
                )
        return ""

    @held()
    def verdict(self, name: str) -> Verdict:
        """The verdict of this name, in the spellings of thresholds: "missing mass", "missing-mass", "missing". Raises
        `UserError`, which names those there are, where there is none."""
        for verdict in self.verdicts:
            if spelled(verdict.name) == spelled(name):
                return verdict
        raise UserError(f"The audit has no verdict {name!r}: choose {', '.join(each.name for each in self.verdicts)}.")


# Numbers as people read them, on the page and on the terminal alike.


def number(value: float) -> str:
    """Four digits that count; whole thousands where there are more."""
    if not math.isfinite(value):
        return "not measured" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    digits = 3 - math.floor(math.log10(abs(value)))
    if digits <= 0 and abs(value) < 1e10:
        rounded = value if value == int(value) and abs(value) < 1e6 else round(value, digits)
        return f"{int(rounded):,}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def quantity(value: float, unit: str) -> str:
    """A verdict's number: shares as percentages, and of ratios two decimals."""
    if not math.isfinite(value):
        return number(value)
    if unit.startswith("share"):
        return f"{100 * value:.1f}%"
    return f"{value:.2f}".replace("-", "−") if 0.1 <= abs(value) < 100 else number(float(f"{value:.3g}"))


def interval(estimate: Estimate, unit: str) -> str:
    """Both ends of an interval; the number alone where they agree."""
    low, high = quantity(estimate.low, unit), quantity(estimate.high, unit)
    return high if low == high else f"{low.removesuffix('%') if high.endswith('%') else low} to {high}"


def signed(value: float, unit: str) -> str:
    """A difference with its sign, of ratios to two decimals; what rounds to 0 has none."""
    size = quantity(abs(value), unit) if unit.startswith("share") or math.isnan(value) else f"{abs(value):.2f}"
    return size if not size.strip("0.%") or math.isnan(value) else f"{'−' if value < 0 else '+'}{size}"
