"""What an audit found, as plain frozen values: five verdicts, the metrics and curves behind them, and examples to show.

An `Audit` goes to versioned JSON and back without loss; indices point into the arrays that were audited, in the order
in which they were given.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from modecover.arguments import held
from modecover.errors import UserError
from modecover.files import plain, reason, replacing

FORMAT = 1
"""The version of the JSON. It grows when a field changes its meaning or goes."""

VERDICTS = ("missing mass", "imbalance", "shrink", "low quality", "copying")
"""The names of the five verdicts, in the order in which they are told."""

ROLES = {"real": "real", "fake": "generated", "train": "training", "test": "test"}
"""The parts that samples play in an audit, and the words for them in sentences."""

Better = Literal["higher", "lower"] | None


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; `low` and `high` equal it where it has none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """One way in which a generator fails, and whether this one does."""

    name: str
    """One of `VERDICTS`."""
    fires: bool
    effect: Estimate
    """How large the failure is, in `unit`."""
    unit: str
    """What the effect counts: "share of the real mass", "ratio of standard deviations", ..."""
    null: Estimate
    """The same statistic with real samples in the generator's place, at the same sample sizes."""
    sentence: str
    """What it means, in one plain sentence."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """Further numbers the verdict rests on, by name."""

    @property
    def measured(self) -> bool:
        """Whether there was enough to measure the effect; else the verdict says nothing either way."""
        return not math.isnan(self.effect.value)

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return "found" if self.fires else "not found" if self.measured else "cannot tell"


@dataclass(frozen=True)
class Metric:
    """One number of the field, beside the value that real samples get."""

    name: str
    """With settings and the extractor's identity, as in "coverage (k=5) [pca-64:1a2b3c4d]"."""
    key: str
    """A short name for thresholds: "coverage", "missing", "frechet", ..."""
    value: float
    null: float | None = None
    """The value for real against real at the same sample sizes; None where there is none."""
    low: float | None = None
    high: float | None = None
    """95 % interval of the value; None where there is none."""
    better: Better = None
    """The direction that is better; None where the best value lies in the middle."""


@dataclass(frozen=True)
class NoiseSweep:
    """The missing-mode estimator at each level of input noise."""

    levels: tuple[float, ...]
    """Standard deviation of the noise, ascending, in units of the features."""
    missing: tuple[Estimate, ...]
    """Share of the real mass judged missing, at each level."""
    null: tuple[float, ...]
    """The same with held-out real samples in the generator's place."""
    plateau: tuple[float, float] | None = None
    """First and last level of the range whose reading is reported; None where there is none."""


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

    noise: NoiseSweep | None = None
    bins: Bins | None = None
    neighbours: NeighbourDistances | None = None


@dataclass(frozen=True)
class Missed:
    """A real example that the generator seems not to make."""

    index: int
    """Of the row of the real samples."""
    score: float
    """How surely it is missed; larger is surer."""


@dataclass(frozen=True)
class Copy:
    """A generated sample beside the training sample nearest to it."""

    fake: int
    train: int
    distance: float


@dataclass(frozen=True)
class Gallery:
    """The few samples that a page shows, by their row: float32, images (C, H, W) in [-1, 1] or points (d,)."""

    real: Mapping[int, npt.NDArray[np.float32]]
    fake: Mapping[int, npt.NDArray[np.float32]]
    train: Mapping[int, npt.NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Audit:
    """Everything an audit found. `to_json` and `from_json` keep all of it but the gallery."""

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
        rows = [
            f"{v.name.upper() if v.fires else v.name} {v.effect.value:.3g} ({v.null.value:.3g})"
            if v.measured
            else f"{v.name} not measured"
            for v in self.verdicts
        ]
        names = [str(self.inputs[role]["name"]) for role in ("fake", "real") if role in self.inputs]
        return f"Audit({' against '.join(names)}: {', '.join(rows)})"

    @property
    def untold(self) -> tuple[Verdict, ...]:
        """The verdicts that there was not enough to measure."""
        return tuple(verdict for verdict in self.verdicts if not verdict.measured)

    @property
    def firing(self) -> tuple[Verdict, ...]:
        """The verdicts that fire."""
        return tuple(verdict for verdict in self.verdicts if verdict.fires)

    def verdict(self, name: str) -> Verdict:
        """The verdict of this name.

        Raises:
            UserError: there is none; the message names those there are.
        """
        for verdict in self.verdicts:
            if verdict.name == name:
                return verdict
        raise UserError(f"The audit has no verdict {name!r}: choose {', '.join(v.name for v in self.verdicts)}.")

    def to_json(self) -> str:
        """The audit as strict, indented JSON; numbers that are not finite are the strings "NaN", "Infinity", ..."""
        content = {f.name: _content(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "gallery"}
        head = {"program": "modecover", "kind": "audit", "version": content.pop("version")}
        return json.dumps(plain({**head, **content}), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Audit:
        """The audit that `to_json` wrote.

        Raises:
            UserError: `text` is not JSON, not an audit, or an audit of another format version.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise UserError(f"This is no JSON ({error}): give the text of an audit's JSON file.") from None
        if not isinstance(content, dict) or content.get("kind") != "audit":
            raise UserError("This JSON is not an audit that modecover wrote: give the file that --json named.")
        if content["version"] != FORMAT:
            raise UserError(
                f"This audit has format version {content['version']}, and this modecover reads version {FORMAT}: read "
                "it with the modecover that wrote it, or run the audit again."
            )
        try:
            return _audit(content)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"This audit's JSON is damaged ({error!r}): run the audit again.") from None

    @held()
    def save(self, path: Path | str) -> Path:
        """Write the audit to `path`: the page where it ends in .html, the JSON where it ends in .json.

        Raises:
            UserError: it ends otherwise, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm", ".json"):
            raise UserError(f"{path}: an audit is saved as .html (the page) or .json (the numbers).")
        if path.suffix.lower() != ".json":
            from modecover.auditing.page import page

            text = page(self)
        else:
            text = self.to_json()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path} cannot be written ({reason(error)}): choose another place.") from error
        return path


def _content(value: Any) -> Any:
    """Dataclasses as dictionaries, all the way down."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _content(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _content(item) for key, item in value.items()}
    return [_content(item) for item in value] if isinstance(value, list | tuple) else value


def _audit(content: dict[str, Any]) -> Audit:
    return Audit(
        verdicts=tuple(map(_verdict, content["verdicts"])),
        metrics=tuple(map(_metric, content["metrics"])),
        curves=_curves(content["curves"]),
        missed=tuple(Missed(int(item["index"]), _number(item["score"])) for item in content["missed"]),
        starved={int(name): _whole(rows) for name, rows in content["starved"].items()},
        copies=tuple(Copy(int(c["fake"]), int(c["train"]), _number(c["distance"])) for c in content["copies"]),
        settings=content["settings"],
        versions=content["versions"],
        inputs=content["inputs"],
        version=content["version"],
    )


def _verdict(item: dict[str, Any]) -> Verdict:
    evidence = {name: _number(value) for name, value in item["evidence"].items()}
    return Verdict(
        item["name"],
        bool(item["fires"]),
        _estimate(item["effect"]),
        item["unit"],
        _estimate(item["null"]),
        item["sentence"],
        evidence,
    )


def _metric(item: dict[str, Any]) -> Metric:
    null, low, high = (None if item[name] is None else _number(item[name]) for name in ("null", "low", "high"))
    return Metric(item["name"], item["key"], _number(item["value"]), null, low, high, item["better"])


def _curves(item: dict[str, Any]) -> Curves:
    noise, bins, neighbours = item["noise"], item["bins"], item["neighbours"]
    return Curves(
        noise=None if noise is None else _sweep(noise),
        bins=None if bins is None else Bins(_whole(bins["real"]), _whole(bins["fake"]), _floats(bins["p_values"])),
        neighbours=None
        if neighbours is None
        else NeighbourDistances(_floats(neighbours["fake_to_train"]), _floats(neighbours["test_to_train"])),
    )


def _sweep(item: dict[str, Any]) -> NoiseSweep:
    plateau = item["plateau"]
    return NoiseSweep(
        levels=_floats(item["levels"]),
        missing=tuple(map(_estimate, item["missing"])),
        null=_floats(item["null"]),
        plateau=None if plateau is None else (_number(plateau[0]), _number(plateau[1])),
    )


def _estimate(item: dict[str, Any]) -> Estimate:
    return Estimate(_number(item["value"]), _number(item["low"]), _number(item["high"]))


def _floats(items: list[Any]) -> tuple[float, ...]:
    return tuple(map(_number, items))


def _whole(items: list[Any]) -> tuple[int, ...]:
    return tuple(map(int, items))


def _number(item: Any) -> float:
    """A number as JSON has it, or the word that stands for one that is not finite."""
    return item if isinstance(item, int | float) else float(item)
