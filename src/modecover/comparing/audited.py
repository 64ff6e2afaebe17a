"""What audits find of a run's models, as numbers of its seeds: where modes are not known, runs are compared by them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modecover.auditing.expected import Progress
from modecover.auditing.results import Findings
from modecover.auditing.run import audit
from modecover.data import Dataset, open_data, reopen
from modecover.data.opening import Source
from modecover.errors import UserError
from modecover.runs.model import load

SAMPLES = 2_000
"""Of each side at most where a model is audited beside its other numbers."""

VERDICTS = ("missing mass", "imbalance", "low quality", "copying")
METRICS = ("frechet", "precision", "recall", "coverage")


def data_of(recorded: Mapping[str, Any], given: Source | None) -> Dataset:
    """The data of runs: those given, or what the first run was trained on, opened again.

    Raises:
        UserError: they cannot be opened, or are others than those that the runs were trained on.
    """
    if given is not None:
        return given if isinstance(given, Dataset) else open_data(given)
    data = reopen(recorded)
    if data.fingerprint != recorded["fingerprint"]:
        raise UserError(f"{recorded['name']} is no longer what the runs were trained on: its content changed.")
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
        # Evaluations may have a Frechet distance, too, in other features and of other samples.
        name = "audit_frechet" if key == "frechet" else key
        numbers[name] = tuple(math.nan if metric is None else metric.value for metric in values)
        first = values[0]
        control[name] = math.nan if first is None or first.null is None else first.null
    return numbers, {name: value for name, value in control.items() if math.isfinite(value)}
