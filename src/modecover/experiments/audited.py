"""What audits find of a run's models, as numbers of its seeds: where modes are not known, runs are compared by them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modecover.auditing.expected import Progress
from modecover.auditing.results import Findings
from modecover.auditing.run import audit
from modecover.data import Dataset, open_data
from modecover.data.opening import Source
from modecover.errors import UserError
from modecover.runs.model import load

SAMPLES = 2_000
"""Of each side at most, as `modecover evaluate` has it."""

VERDICTS = ("missing mass", "imbalance", "low quality", "copying")
METRICS = ("frechet", "precision", "recall", "coverage")


def data_of(facts: Mapping[str, Any], given: Source | None) -> Dataset:
    """The data of runs: those given, or what the first run was trained on, opened again.

    Raises:
        UserError: they cannot be opened, or are others than those that the runs were trained on.
    """
    opened, name = facts.get("opened"), facts["name"]
    if given is None and not isinstance(opened, Mapping):
        raise UserError(f"{name} came from memory and cannot be opened again for audits: give the data (data=...).")
    options = dict(opened) if isinstance(opened, Mapping) else {}
    source = options.pop("source", None) if given is None else given
    try:
        data = source if isinstance(source, Dataset) else open_data(source, **({} if given is not None else options))
    except TypeError as error:  # options that no version of ours has written
        raise UserError(f"{name} cannot be opened again for audits: give the data (data=...).") from error
    if given is None and data.fingerprint != facts["fingerprint"]:
        raise UserError(f"{name} is no longer what the runs were trained on: its content changed.")
    return data


def audits_of(folder: Path, seeds: Sequence[int], data: Dataset, progress: Progress) -> list[Findings]:
    """An audit of the last model of each seed of a run."""
    found: list[Findings] = []
    for place, seed in enumerate(seeds):

        def tell(what: str, done: float, place: int = place) -> None:
            progress(what, (place + done) / len(seeds))

        model = load(folder, seed=seed)
        found.append(audit(data, model, samples=SAMPLES, progress=tell))
    return found


def numbers_of(audits: Sequence[Findings]) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """Of each number that audits have its values, and that of real samples in the generator's place; shares beyond what
    real samples get have 0 there."""
    numbers: dict[str, tuple[float, ...]] = {}
    control: dict[str, float] = {}
    for name in VERDICTS:
        numbers[name] = tuple(each.verdict(name).effect.value for each in audits)
        control[name] = audits[0].verdict(name).null.value
    for key in METRICS:
        values = [{metric.key: metric for metric in each.metrics}.get(key) for each in audits]
        numbers[key] = tuple(math.nan if metric is None else metric.value for metric in values)
        first = values[0]
        control[key] = math.nan if first is None or first.null is None else first.null
    return numbers, {name: value for name, value in control.items() if math.isfinite(value)}
