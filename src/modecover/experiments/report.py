"""Results as a page (the question, tables, settings, where the numbers come from), and as rows of a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modecover.experiments.declared import Experiment, Result
from modecover.files import plain

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


def page(experiment: Experiment, results: Sequence[Sequence[Result]]) -> str:
    """The results of each of an experiment's tables in Markdown."""
    if experiment.write is not None:
        return experiment.write(results)
    lines = [f"# {experiment.name}", "", experiment.question, ""]
    for declared, rows in zip(experiment.tables, results, strict=True):
        lines += [*([f"## {declared.name}", ""] if declared.name else []), *table(rows), "", *own_settings(rows), ""]
    shared = [f"Data {each.data}; {told(each.settings)}." for each in experiment.tables]
    lines += [LEGEND, "", *dict.fromkeys(shared), "", *provenance([row for rows in results for row in rows])]
    return "\n".join([*lines, ""])


def table(results: Sequence[Result]) -> list[str]:
    """The lines of a table: each arm's last and best, what is published of it, and fresh samples of the data."""
    whole = [result for result in results if not result.broken]
    names = [name for name in COLUMNS if whole and name in whole[0].summary["last"][0]]
    compared = any(result.arm.published is not None for result in results)
    headings = ["", "", "CPU s", "all modes", "collapsed", *(COLUMNS[name][0] for name in names)]

    def line(*cells: str, printed: str = "") -> str:
        blank = [""] * (len(headings) - len(cells))
        return f"| {' | '.join([*cells, *blank, *([printed] if compared else [])])} |"

    lines = [line(*headings, printed="published: modes / HQ %"), "|" + "---|" * (len(headings) + compared)]
    for result in results:
        printed = result.arm.published or ""
        if result.broken:
            lines.append(line(result.arm.label, f"broke off: {result.broken}", printed=printed))
            continue
        total = int(result.summary["evaluation"]["modes"])
        for which in ("last", "best"):
            rows = result.summary[which]
            head = [result.arm.label, which, f"{result.summary['processor_seconds']:.0f}" if which == "last" else ""]
            head += [f"{full(rows, total)} of {len(rows)}", str(sum(counts(row)[1] <= total / 4 for row in rows))]
            cells = [cell(name, [row[name] for row in rows]) for name in names]
            lines.append(line(*head, *cells, printed=printed if which == "last" else ""))
    if whole:
        control = [cell(name, [whole[0].summary["control"][name]]) for name in names]
        lines.append(line("ideal sampler", "", "", "", "", *control))
    return lines


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


def full(rows: Sequence[Mapping[str, float]], total: int) -> int:
    """How many seeds have every mode by both counts."""
    return sum(min(counts(row)) == total for row in rows)


def told(settings: Mapping[str, Any]) -> str:
    """Settings, or other facts, as a page has them."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def own_settings(results: Sequence[Result]) -> list[str]:
    """A line for each arm: its method, its own settings and its schedule of updates."""
    lines = []
    for result in results:
        own = told(result.arm.settings) or "the method's defaults"
        schedule = f"; schedule `{result.summary['schedule']}`" if result.summary else ""
        lines.append(f"- {result.arm.label}: `{result.arm.method}`, {own}{schedule}")
    return lines


def provenance(results: Sequence[Result]) -> list[str]:
    """Seeds, steps, evaluation, commit, machine and versions; nothing where every run broke off."""
    summary = next((result.summary for result in results if result.summary), None)
    if summary is None:
        return []
    commit, machine, versions = summary["commit"], summary["hardware"], summary["versions"]
    place = "outside a checkout" if commit is None else commit["commit"][:12] + ", modified" * commit["modified"]
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in summary["evaluation"].items())
    cards = ", ".join(machine["accelerators"]) or f"{machine['processor']}, one thread for each arm"
    return [
        f"Seeds {summary['seeds'][0]} to {summary['seeds'][-1]}; {summary['steps']} steps; {facts}.",
        f"Commit {place}; {cards}; torch {versions['torch']}, Python {versions['python']}.",
    ]


LEVEL = 0.05  # of the test of a difference: so often it sees one where there is none


def pairs_table(pairs: Sequence[tuple[Result, Result]]) -> list[str]:
    """The lines of a table of pairs: an arm without and with something, on the same seeds, and whether it helps."""
    lines = ["| set | | modes > 20 (seeds) | HQ, points | W1 | |", "|---|---|---|---|---|---|"]
    for without, having in pairs:
        start = f"| {having.table} | {having.arm.label} against {without.arm.label}"
        if having.broken or without.broken:
            lines.append(f"{start} | one of them broke off | | | |")
            continue
        # What changes, seed by seed at the end of training.
        rows = list(zip(having.summary["last"], without.summary["last"], strict=True))
        modes = [counts(b)[1] - counts(a)[1] for b, a in rows]
        quality, distances = ([b[name] - a[name] for b, a in rows] for name in ("high_quality", "wasserstein"))
        more, fewer = (sum(sign * change > 0 for change in modes) for sign in (1, -1))
        means = [sum(values) / len(rows) for values in (modes, quality, distances)]
        cells = f"{means[0]:+.1f} ({more} more, {fewer} fewer) | {100 * means[1]:+.1f} | {means[2]:+.3f}"
        lines.append(f"{start} | {cells} | {verdict(modes, distances)} |")
    return lines


def verdict(modes: Sequence[float], distances: Sequence[float]) -> str:
    """What the changes of all seeds come to: first in modes; where they do not tell, in the distance to the data."""
    if differs(modes):
        return "helps" if sum(modes) > 0 else "hurts"
    where = "nearer to the data" if sum(distances) < 0 else "farther"
    return f"no sure change of modes, {where}" if differs(distances) else "no difference seen"


def differs(changes: Sequence[float]) -> bool:
    """Whether changes this far to one side are rarer than `LEVEL` by chance (Wilcoxon's signed ranks, two-sided, ties
    and zeros by permutation of the signs)."""
    from scipy.stats import PermutationMethod, wilcoxon

    if not any(changes):
        return False
    exact = PermutationMethod(n_resamples=10_000)  # all signs of up to 13 seeds
    return bool(wilcoxon(changes, method=exact).pvalue < LEVEL)


def write_rows(path: Path, results: Sequence[Result]) -> None:
    """Write the results, one JSON object a line: what is left of runs when their folders are gone.

    Of each: table, the arm's label, method and settings, and its summary or why it broke off. Numbers that are not
    finite are written as text, as in `summary.json`.
    """
    lines = []
    for result in results:
        arm = {"group": result.table, "label": result.arm.label, "method": result.arm.method}
        row = {**arm, "settings": dict(result.arm.settings), "broken": result.broken, "summary": result.summary}
        lines.append(f"{json.dumps(plain(row), allow_nan=False)}\n")
    path.write_text("".join(lines), encoding="utf-8")
