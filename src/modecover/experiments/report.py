"""An experiment's results as a page: the question, the settings, a table, and where the numbers come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modecover.experiments.declared import Experiment
from modecover.experiments.runner import Result

Numbers = Sequence[Mapping[str, float]]

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "modes_any": ("modes >= 1", lambda v: f"{v:.1f}"),
    "modes_many": ("modes > 20", lambda v: f"{v:.1f}"),
    "modes_enough": ("modes >= 5", lambda v: f"{v:.1f}"),
    "high_quality": ("HQ %", lambda v: f"{100 * v:.1f}"),
    "std_ratio": ("std ratio", lambda v: f"{v:.2f}"),
    "kl": ("KL", lambda v: f"{v:.3f}"),
    "kl_uniform": ("KL", lambda v: f"{v:.3f}"),
    "wasserstein": ("W1", lambda v: f"{v:.3f}"),
}
"""Numbers of an evaluation: their headings and how they are written."""


def page(experiment: Experiment, results: Sequence[Result]) -> str:
    """The results in Markdown.

    Every cell is the mean over seeds with the range behind it. "All modes" counts the seeds that have every mode by
    both counts; "collapsed" those that have at most a quarter of them by the stricter one.
    """
    first = results[0].summary
    names = [name for name in COLUMNS if name in first["last"][0]]
    lines = [f"# {experiment.name}", "", experiment.question, ""]
    lines += ["| | | seconds | all modes | collapsed | " + " | ".join(COLUMNS[name][0] for name in names) + " |"]
    lines += ["|" + "---|" * (5 + len(names))]
    for result in results:
        for which in ("last", "best"):
            rows = result.summary[which]
            total = int(result.summary["evaluation"]["modes"])
            cells = [cell(name, [row[name] for row in rows]) for name in names]
            head = [result.arm.label, which, f"{result.seconds:.0f}" if which == "last" else ""]
            head += [f"{full(rows, total)} of {len(rows)}", str(collapsed(rows, total))]
            lines.append("| " + " | ".join([*head, *cells]) + " |")
    control = first["control"]
    lines.append("| real data | | | | | " + " | ".join(cell(name, [control[name]]) for name in names) + " |")
    return "\n".join([*lines, "", *_settings(experiment, results), "", *_provenance(first), ""])


def cell(name: str, values: Sequence[Any]) -> str:
    """Mean and range of the values that are numbers; "-" where none is."""
    numbers = [float(value) for value in values if math.isfinite(float(value))]
    if not numbers:
        return "-"
    write = COLUMNS[name][1]
    mean, low, high = write(sum(numbers) / len(numbers)), write(min(numbers)), write(max(numbers))
    return mean if low == high else f"{mean} ({low}-{high})"


def counts(row: Mapping[str, float]) -> tuple[float, float]:
    """The looser and the stricter count of modes."""
    return row["modes_any"], row["modes_many"] if "modes_many" in row else row["modes_enough"]


def full(rows: Numbers, total: int) -> int:
    """How many seeds have every mode by both counts."""
    return sum(min(counts(row)) == total for row in rows)


def collapsed(rows: Numbers, total: int) -> int:
    """How many seeds have at most a quarter of the modes by the stricter count."""
    return sum(counts(row)[1] <= total / 4 for row in rows)


def _settings(experiment: Experiment, results: Sequence[Result]) -> list[str]:
    shared = ", ".join(f"{name} {value}" for name, value in experiment.settings.items())
    lines = [f"Data {experiment.data}; {shared}. What differs:", ""]
    for result in results:
        own = ", ".join(f"{name} {value}" for name, value in result.arm.settings.items()) or "the method's defaults"
        lines.append(f"- {result.arm.label}: `{result.arm.method}`, {own}; schedule `{result.summary['schedule']}`")
    return lines


def _provenance(summary: Mapping[str, Any]) -> list[str]:
    commit, machine, versions = summary["commit"], summary["hardware"], summary["versions"]
    place = (
        "outside a checkout" if commit is None else commit["commit"][:12] + (", modified" if commit["modified"] else "")
    )
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in summary["evaluation"].items())
    cards = ", ".join(machine["accelerators"]) or f"{machine['processor']}, one thread for each arm"
    return [
        f"Seeds {summary['seeds'][0]} to {summary['seeds'][-1]}; {summary['steps']} steps; {facts}.",
        f"Commit {place}; {cards}; torch {versions['torch']}, Python {versions['python']}.",
    ]
