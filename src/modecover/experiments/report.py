"""Results as a page: the question, the settings, a table, and where the numbers come from."""

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

LEGEND = (
    'Every cell is the mean over seeds with the range behind it. "All modes" counts the seeds that have every mode by '
    'both counts; "collapsed" those that have at most a quarter of them by the stricter one. "Last" is the end of '
    'training, "best" the best evaluation on the way, chosen for each seed by looking. HQ is the share within 3 '
    "standard deviations of a centre, the std ratio that of the standard deviation within modes to the true one, KL "
    "that of the counts of the modes to the true weights, W1 the Wasserstein distance to fresh data; CPU s the seconds "
    "of one core for all seeds together, other work beside it included."
)


def page(experiment: Experiment, results: Sequence[Result]) -> str:
    """The results of one experiment in Markdown."""
    shared = ", ".join(f"{name} {value}" for name, value in experiment.settings.items())
    lines = [f"# {experiment.name}", "", experiment.question, ""]
    for group, members in by_group(results).items():
        lines += [*([f"## {group}", ""] if group else []), *table(members), "", *own_settings(members), ""]
    lines += [LEGEND, "", f"Data {experiment.data}; {shared}.", "", *provenance(results)]
    return "\n".join([*lines, ""])


def by_group(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each table, in order."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.arm.group, []).append(result)
    return groups


def table(results: Sequence[Result], published: Mapping[str, str] | None = None) -> list[str]:
    """The lines of the table: each arm's last and best, and fresh samples of the data.

    Args:
        published: what papers print for an arm, by label: one more column.
    """
    whole = [result for result in results if not result.broken]
    names = [name for name in COLUMNS if name in whole[0].summary["last"][0]]
    last_column = [] if published is None else ["published: modes / HQ %"]
    headings = ["", "", "CPU s", "all modes", "collapsed", *(COLUMNS[name][0] for name in names), *last_column]
    lines = [_line(headings), "|" + "---|" * len(headings)]
    for result in results:
        printed = [] if published is None else [published.get(result.arm.label, "")]
        if result.broken:
            blank = [""] * (len(headings) - 2 - len(printed))
            lines.append(_line([result.arm.label, f"broke off: {result.broken}", *blank, *printed]))
            continue
        total = int(result.summary["evaluation"]["modes"])
        for which in ("last", "best"):
            rows = result.summary[which]
            head = [result.arm.label, which, f"{result.summary['processor_seconds']:.0f}" if which == "last" else ""]
            head += [f"{full(rows, total)} of {len(rows)}", str(collapsed(rows, total))]
            cells = [cell(name, [row[name] for row in rows]) for name in names]
            lines.append(_line([*head, *cells, *(printed if which == "last" else [""] * len(printed))]))
    control = [cell(name, [whole[0].summary["control"][name]]) for name in names]
    return [*lines, _line(["ideal sampler", "", "", "", "", *control, *([""] * len(last_column))])]


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


def own_settings(results: Sequence[Result]) -> list[str]:
    """A line for each arm: its method, its own settings and its schedule of updates."""
    lines = []
    for result in results:
        own = ", ".join(f"{name} {value}" for name, value in result.arm.settings.items()) or "the method's defaults"
        schedule = f"; schedule `{result.summary['schedule']}`" if result.summary else ""
        lines.append(f"- {result.arm.label}: `{result.arm.method}`, {own}{schedule}")
    return lines


def provenance(results: Sequence[Result]) -> list[str]:
    """Seeds, steps, evaluation, commit, machine and versions."""
    summary = next(result.summary for result in results if result.summary)
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


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
