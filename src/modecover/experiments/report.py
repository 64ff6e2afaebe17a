"""Results as a page: the question, tables, what each cell is made by, settings, where the numbers come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modecover.auditing.gates import KNOWN
from modecover.data.mixtures import PRESETS
from modecover.experiments.declared import Experiment, Result, Sheets, Table
from modecover.experiments.store import Store, jobs
from modecover.metrics.seeds import differs, p_in_words, signed_ranks
from modecover.pictures.charts import histogram_picture, scale_by_logarithm
from modecover.pictures.images import drawn, empty_figure, save_png_atomic, small
from modecover.runs.evaluation import in_words

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "modes_any": ("modes >= 1", lambda v: f"{v:.1f}"),
    "modes_many": ("modes > 20", lambda v: f"{v:.1f}"),
    "modes_enough": ("modes >= 5", lambda v: f"{v:.1f}"),
    "high_quality": ("HQ %", lambda v: f"{100 * v:.1f}"),
    "std_ratio": ("std ratio", lambda v: f"{v:.2f}"),
    "kl": ("KL", lambda v: f"{v:.3f}"),
    "kl_uniform": ("KL", lambda v: f"{v:.3f}"),
    "reverse_kl_uniform": ("reverse KL", lambda v: f"{v:.3f}"),
    "ema_modes_any": ("EMA modes >= 1", lambda v: f"{v:.1f}"),
    "ema_kl_uniform": ("EMA KL", lambda v: f"{v:.3f}"),
    "wasserstein": ("W1", lambda v: f"{v:.3f}"),
    "frechet": ("Frechet", lambda v: f"{v:,.0f}" if v >= 1000 else f"{v:.3g}"),
    "ema_frechet": ("EMA Frechet", lambda v: f"{v:,.0f}" if v >= 1000 else f"{v:.3g}"),
    "audit_frechet": ("Frechet of the audit", lambda v: f"{v:,.0f}" if v >= 1000 else f"{v:.3g}"),
    **{
        name: (f"{name} %", lambda v: f"{100 * v:.1f}")
        for name in ("missing mass", "imbalance", "low quality", "copying")
    },
}
"""Numbers of an evaluation: their headings and how they are written."""

BETTER = {
    "modes": "higher",
    "high_quality": "higher",
    "kl": "lower",
    "reverse_kl": "lower",
    "wasserstein": "lower",
    "frechet": "lower",
    "audit_frechet": "lower",
}
"""Which side is better, by how a number's name begins."""

LINES = ("-", "--", ":", "-.")
"""Of ten arms each in a picture of curves."""

OVER_TRAINING, MOMENTS = "over training", 6
"""What a picture of points at several moments is called, and how many of these it has at most."""

PICTURES = "pictures"
"""Folder of a run where a table's `measure` leaves what the page shall show of it, under the name that it has there."""

OWN_DATA = "the data"
"""What a picture of the data themselves is called: the table's, whichever run has left it."""

UNSEEN = ("reverse_kl", "kl_reference")
"""Numbers of an evaluation that have no column, nor have averaged weights' others than those above."""

OF_DATA = "_of_the_data"
"""How the name of a number ends that the data themselves have: it stands in their row, in the number's column."""

LEGEND = (
    "Every cell is the mean over seeds with the range behind it, and in square brackets of how many of them, where "
    'some have no such number. "All modes" counts the seeds that have every mode by both counts; "collapsed" '
    'those that have at most a quarter of what the data show by the stricter one. "Last" is the end of '
    'training, "best" the best evaluation on the way, chosen for each seed by looking. HQ is the share within 3 '
    "standard deviations of a centre, the std ratio that of the standard deviation within modes to the true one, KL "
    "that of the counts of the modes to the true weights, reverse KL the other way round with one sample more in every "
    "mode, W1 the Wasserstein distance to fresh data; CPU s the seconds of one core for all seeds together, other work "
    "beside it included."
)


COLLAPSED = 2.0
"""Times the least distance on the way, beyond which a run's last one counts as a collapse."""

LEGEND_OF_DISTANCES = (
    "Every cell is the mean over seeds with the range behind it, and in square brackets of how many of them, where "
    'some have no such number. "Last" is the end of training, "best" the least distance on the way, chosen for each '
    f'seed by looking; "collapsed" counts the seeds that end at more than {COLLAPSED:g} times it. EMA: of the moving '
    "average of the weights, of which, where a run keeps it, all numbers are that are no distances of samples. "
    "Coverage is the share of photographs that have a sample nearer than the fifth nearest other photograph, precision "
    "that of samples so near to one: beside CIFAR-10 a grey square, again and again, has 1 of this and .04 of that. "
    "CPU s: the seconds of one core for all seeds together, other work beside it included."
)


def page(
    experiment: Experiment,
    found: Mapping[str, Sequence[Sequence[Result]]],
    images: str = "",
    sheets: Mapping[str, Sheets] | None = None,
) -> str:
    """The results of each of an experiment's tables in Markdown.

    Args:
        found: by scale, for each table.
        images: where pictures of curves lie, beside the page: `images/SCALE.png`; empty: there are none.
        sheets: pictures of runs at each scale.
    """
    if experiment.write is not None:
        several = [scale for scale, results in found.items() if any(row.summary for rows in results for row in rows)]
        return "\n".join(
            experiment.write(scale, found[scale], f"{images}/{scale}.png" * bool(images), (sheets or {}).get(scale, {}))
            for scale in several or list(found)[:1]
        )
    lines = [f"# {experiment.name}", "", experiment.question, ""]
    for scale, results in found.items():
        for declared, rows in zip(experiment.tables, results, strict=True):
            title = declared.name[:1].upper() + declared.name[1:]
            shown = table(rows) if not experiment.spread else spread(rows, experiment.spread)
            lines += [f"## {title}, `{scale}`" if title else f"## `{scale}`", "", *shown, ""]
            lines += pictures_table(declared.name, rows, (sheets or {}).get(scale, {}))
            if scale == "cpu" and declared.reduced:
                lines += [declared.reduced, ""]
            lines += [made_anew(experiment.name, scale, declared), ""]
            lines += [*own, ""] if not experiment.spread and (own := own_settings(rows)) else []
            settings = {**declared.settings, **declared.scales.get(scale, {})}
            lines += [f"Data {declared.data}; {told(settings)}." if declared.data else f"{told(settings)}."]
            lines += ["", *provenance(rows), ""]
        if experiment.spread and len(results) > 1:
            lines += [PAIRED, "", *_judges_apart(results, experiment.spread), *paired(results, experiment.spread), ""]
        curves = experiment.curve and any(any(result.curves) for rows in results for result in rows)
        if images and (curves or experiment.spread):
            said = f"{heading(experiment.curve)} over training" if curves else heading(experiment.spread[0])
            lines += [f"![{said}]({images}/{scale}.png)", ""]
    summaries = [result.summary for results in found.values() for rows in results for result in rows]
    if any("modes" in summary.get("evaluation", {}) for summary in summaries):
        lines += [LEGEND, ""]
    elif any("evaluation" in summary for summary in summaries):
        lines += [LEGEND_OF_DISTANCES, ""]
    return "\n".join(lines)


def made_anew(experiment: str, scale: str, declared: Table) -> str:
    """How a row of a table is run once more, in a sentence."""
    again = command_of(experiment, scale, declared.arms[0].label, declared.data)
    return f"A row is made anew, with an empty `--results` folder, by its label: `{again}`."


def command_of(experiment: str, scale: str, label: str, data: str) -> str:
    """The command that runs a row; data that are no mixture are looked for in a folder."""
    brought = data and data.partition(":")[0] not in PRESETS
    return f'modecover reproduce {experiment} --scale {scale} --only "{label}"' + " --data-dir DIR" * bool(brought)


def heading(name: str) -> str:
    """A number's name at the top of its column."""
    if name.startswith("raw_"):
        return f"raw {heading(name.removeprefix('raw_'))}"
    return COLUMNS[name][0] if name in COLUMNS else name.replace("_", " ").replace("kl", "KL")


def better_side(name: str) -> str:
    """Whether a number is better "higher" or "lower"; empty where neither is, as of a ratio."""
    if (of_audits := KNOWN.get(name.replace(" ", "-"))) is not None:
        return of_audits
    plain = name.removeprefix("ema_").removeprefix("raw_")
    return next((side for start, side in BETTER.items() if plain.startswith(start)), "")


def written(name: str, value: float) -> str:
    """A number as its column has it; "-" where there is none."""
    if not math.isfinite(value):
        return "-"
    name = name.removeprefix("raw_")
    return COLUMNS[name][1](value) if name in COLUMNS else f"{value:.3g}"


def table(results: Sequence[Result]) -> list[str]:
    """The lines of a table: each arm's last and best, what is published of it, and fresh samples of the data."""
    whole = [result for result in results if not result.broken]
    there = dict.fromkeys(name for result in whole for row in result.summary["last"] for name in row)
    of_data = {name: name.removesuffix(OF_DATA) for name in there if name.endswith(OF_DATA)}
    there = {name: None for name in there if name not in of_data}
    names = [name for name in COLUMNS if name in there] + [
        name for name in there if name not in (*COLUMNS, *UNSEEN, *(f"ema_{each}" for each in (*COLUMNS, *UNSEEN)))
    ]
    judged = any("evaluation" in result.summary for result in whole)
    counted = any("modes" in result.summary.get("evaluation", {}) for result in whole)
    by_distance = judged and not counted and "frechet" in there
    compared = any(result.arm.published is not None for result in results)
    headings = ["", *[""] * judged, "CPU s", *["all modes"] * counted, *["collapsed"] * (counted or by_distance)]
    headings += map(heading, names)

    control = dict(whole[0].summary.get("control") or {}) if whole else {}

    def line(*cells: str, printed: str = "") -> str:
        blank = [""] * (len(headings) - len(cells))
        return f"| {' | '.join([*cells, *blank, *([printed] if compared else [])])} |"

    lines = [line(*headings, printed="published"), "|" + "---|" * (len(headings) + compared)]
    for result in results:
        printed = result.arm.published or ""
        if result.broken:
            said = " ".join(result.broken.replace("|", "\\|").split())  # as a cell of a table can hold it
            said = said if said.startswith("not run") else f"broke off: {said}"
            lines.append(line(result.arm.label, said, printed=printed))
            continue
        seconds = f"{result.summary['processor_seconds']:.0f}"
        if not judged:
            cells = [cell(name, [row.get(name, math.nan) for row in result.summary["last"]]) for name in names]
            lines.append(line(result.arm.label, seconds, *cells, printed=printed))
            continue
        same = all(row.get("step") == result.summary.get("steps", -1) for row in result.summary["best"])
        for which in ("last",) if same else ("last", "best"):
            rows = result.summary[which]
            head = [result.arm.label, "last, best" if same else which, seconds if which == "last" else ""]
            if counted and "modes" not in result.summary.get("evaluation", {}):
                head += ["", ""]
            elif counted:
                total = int(result.summary["evaluation"]["modes"])
                most = counts(control)[1] if control else total  # of many modes no sampler shows all often enough
                head += [f"{full(rows, total)} of {len(rows)}", str(sum(counts(row)[1] <= most / 4 for row in rows))]
            if by_distance:
                ends = zip(result.summary["last"], result.summary["best"], strict=True)
                head.append(str(sum(_has_collapsed(*each) for each in ends)) if which == "last" else "")
            cells = [cell(name, [row.get(name, math.nan) for row in rows]) for name in names]
            lines.append(line(*head, *cells, printed=printed if which == "last" else ""))
        if short := result.summary.get("short"):
            lines.append(line("", short))
    rows = [row for result in whole for row in result.summary["last"]]
    control |= {own: row[name] for row in rows for name, own in of_data.items() if name in row}
    if control and names:
        cells = [cell(name, [control.get(name, math.nan)]) for name in names]
        blank = [""] * (headings.index(heading(names[0])) - 1)
        lines.append(line("ideal sampler" if "high_quality" in names else "the data", *blank, *cells))
    return lines


def _has_collapsed(last: Mapping[str, float], best: Mapping[str, float]) -> bool:
    """Whether a run ends much farther from the data than it had been, or nowhere."""
    end = last.get("frechet", math.nan)
    return not end <= COLLAPSED * best.get("frechet", math.inf)


def pictures_table(name: str, results: Sequence[Result], sheets: Sheets) -> list[str]:
    """The lines of a table of pictures of each arm of the table of this name, and of its data; none where there are no
    pictures."""
    kept = [(row.arm.label, dict(sheets.get((name, row.arm.label), {}))) for row in results]
    of_data = [pictures.pop(OWN_DATA) for _, pictures in kept if OWN_DATA in pictures]
    captions = list(dict.fromkeys(caption for _, pictures in kept for caption in pictures))
    if not captions:
        return []
    lines = ["The first seed that was run of each, at its last step:", ""]
    lines += [f"| | {' | '.join(captions)} |", "|" + "---|" * (len(captions) + 1)]
    kept += [(OWN_DATA, {captions[0]: path}) for path in of_data[:1]]
    for label, pictures in kept:
        cells = [f"![{label}: {each}]({pictures[each]})" if each in pictures else "" for each in captions]
        lines += [f"| {label} | {' | '.join(cells)} |"] * any(cells)
    return [*lines, ""]


def spread(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    """The lines of a table of how numbers are spread over many arms, of the arms that have none, and of those that have
    at least half of what the data have."""
    import numpy as np

    lines = [
        "| | arms | with a number | least | quarter | half | three quarters | most | at least half of the data's |"
    ]
    lines += ["|" + "---|" * 9]
    for name in names:
        values, of_data = _numbers(results, name), _numbers(results, name + OF_DATA)[:1]
        cells = [f"{value:.4g}" for value in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))] if values else ["-"] * 5
        enough = [f"{sum(value >= ideal / 2 for value in values)}: {ideal:.4g}" for ideal in of_data] or ["-"]
        lines.append(f"| {' | '.join([heading(name), str(len(results)), str(len(values)), *cells, *enough])} |")
    return lines


NOT_ALIKE = "**Not all were judged alike: numbers compare among those alone that were.**"

PAIRED = (
    "The same setting in each further table and in the first: in how many a run has the higher number, and by how much "
    "more; p by Wilcoxon's signed ranks over settings. A setting is left out where either run broke off or is missing."
)


def paired(tables: Sequence[Sequence[Result]], names: Sequence[str]) -> list[str]:
    """The lines of a table of how numbers of the arms of each table but the first differ from those of the arm of the
    same label in the first."""
    import numpy as np

    lines = ["| | | settings | higher | lower | change: quarter | half | three quarters | p |", "|" + "---|" * 9]
    for name in names:
        first, *others = ({result.arm.label: _numbers([result], name) for result in results} for results in tables)
        for results, found in zip(tables[1:], others, strict=True):
            both = [label for label in found if found[label] and first.get(label)]
            changes = [found[label][0] - first[label][0] for label in both]
            cells = [f"{value:+.3g}" for value in np.quantile(changes, (0.25, 0.5, 0.75))] if changes else ["-"] * 3
            more, fewer = (sum(sign * change > 0 for change in changes) for sign in (1, -1))
            cells = [heading(name), str(len(both)), str(more), str(fewer), *cells, p_in_words(signed_ranks(changes))]
            lines.append(f"| {results[0].table} against {tables[0][0].table} | {' | '.join(cells)} |")
    return lines


def _judges_apart(tables: Sequence[Sequence[Result]], names: Sequence[str]) -> list[str]:
    """A paragraph, where tables were not judged by one and the same, of what the data themselves have in each."""
    lines = []
    for name in names:
        told_of = {rows[0].table: {f"{value:.4g}" for value in _numbers(rows, name + OF_DATA)} for rows in tables}
        of_data = {table: ", ".join(sorted(values)) for table, values in told_of.items() if values}
        if len(set(of_data.values())) > 1:  # as written, so that rounding on another processor is not another judge
            each = ", ".join(f"{values} ({table})" for table, values in of_data.items())
            lines += [f"{NOT_ALIKE} By what judged them the data have a {heading(name)} of {each}.", ""]
    return lines


def _numbers(results: Sequence[Result], name: str) -> list[float]:
    """A number of all seeds of all arms, where it is finite."""
    found = [row.get(name, math.nan) for result in results if not result.broken for row in result.summary["last"]]
    return [value for value in found if math.isfinite(value)]


def cell(name: str, values: Sequence[Any]) -> str:
    """Mean and range of the values that are numbers, and of how many of all it is; "-" where none is."""
    numbers = [float(value) for value in values if math.isfinite(float(value))]
    if not numbers:
        return "-"
    write = COLUMNS[name][1] if name in COLUMNS else lambda v: f"{v:.4g}"
    mean, low, high = write(sum(numbers) / len(numbers)), write(min(numbers)), write(max(numbers))
    some = f" [{len(numbers)} of {len(values)}]" if len(numbers) < len(values) else ""
    return f"{mean}{'' if low == high else f' ({low}-{high})'}{some}"


def counts(row: Mapping[str, float]) -> tuple[float, float]:
    """The looser and the stricter count of modes."""
    return row["modes_any"], row["modes_many"] if "modes_many" in row else row["modes_enough"]


def full(rows: Sequence[Mapping[str, float]], total: int) -> int:
    """How many seeds have every mode by both counts."""
    return sum(min(counts(row)) == total for row in rows)


def told(settings: Mapping[str, Any]) -> str:
    """Settings, or other facts, as a page has them; 153.6, not the 153.60000000000002 that a product of decimals is."""
    short = {name: float(f"{value:.10g}") if isinstance(value, float) else value for name, value in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in short.items())


def own_settings(results: Sequence[Result]) -> list[str]:
    """A line for each arm: its method, its own settings and its schedule of updates."""
    lines = []
    for result in results:
        if not result.arm.method:
            continue
        own = told(result.arm.settings) or "the method's defaults"
        schedule = f"; schedule `{result.summary['schedule']}`" if result.summary.get("schedule") else ""
        lines.append(f"- {result.arm.label}: `{result.arm.method}`, {own}{schedule}")
    return lines


def provenance(results: Sequence[Result]) -> list[str]:
    """Seeds, steps, evaluation, commits, machines and versions of all runs; nothing where none is whole. What is not
    alike in all of them stands with those that have it."""
    runs = [
        (result.arm.label, run)
        for result in results
        if result.summary
        for run in result.summary.get("runs", [result.summary])
    ]
    if not runs:
        return []
    seeds = sorted({seed for _, run in runs for seed in run["seeds"]})
    steps = sorted({run["steps"] for _, run in runs if "steps" in run})
    if len(seeds) == 1:
        said = [f"Seed {seeds[0]}"]
    elif seeds[-1] - seeds[0] < len(seeds):
        said = [f"Seeds {seeds[0]} to {seeds[-1]}"]
    else:
        said = [f"Seeds {', '.join(map(str, seeds))}"]
    said += [f"{' or '.join(map(str, steps))} steps"] * bool(steps)
    judges, places = dict[tuple[str, str], list[str]](), dict[str, list[str]]()
    numbers = dict[str, set[str]]()
    for facts, of_data in (_judge(run) for _, run in runs):
        numbers.setdefault(facts, set()).update({of_data} - {""})
    for label, run in runs:
        one = f"{label}, seed {run['seeds'][0]}" if len(run["seeds"]) == 1 else label
        facts, of_data = _judge(run)
        if len(numbers[facts]) == 1:  # also of older rows, which lack it
            (of_data,) = numbers[facts]
        judges.setdefault((facts, of_data), []).append(one)
        places.setdefault(_place(run), []).append(one)
    if len(judges) == 1:
        said += filter(None, (facts for facts, _ in judges))
    lines = [f"{'; '.join(said)}."]
    if len(judges) > 1:
        lines.append(NOT_ALIKE)
        for (facts, of_data), own in judges.items():
            beside = f", by which the data have {of_data}" if of_data else ""
            lines.append(f"Judged by {facts or 'what has no name here'}{beside}: {'; '.join(own)}.")
    lines += _trained_apart(results)
    otherwise = {_place(run) for _, run in runs if "precision" in run}
    for place, own in places.items():
        lines.append(f"Commit {place}{': ' + '; '.join(own) if place in otherwise else ''}.")
    return lines


def _trained_apart(results: Sequence[Result]) -> list[str]:
    """A line for each table whose runs were not all trained on the same data, as far as their rows say on which."""
    trained = dict[str, dict[str, list[str]]]()
    for result in results:
        for run in result.summary.get("runs", [result.summary]):
            if fingerprint := run.get("fingerprint"):
                one = f"{result.arm.label}, seed {run['seeds'][0]}"
                trained.setdefault(result.table, {}).setdefault(fingerprint[:8], []).append(one)
    return [
        "**Not all were trained on the same data.** By its fingerprint "
        + "; by ".join(f"{fingerprint}: {'; '.join(runs)}" for fingerprint, runs in found.items())
        + "."
        for found in trained.values()
        if len(found) > 1
    ]


def _judge(summary: Mapping[str, Any]) -> tuple[str, str]:
    """What judged a run, in words; and what the data themselves have by it, to three digits, as another judge may
    differ in nothing else that a row says of it."""
    last: Mapping[str, float] = next(iter(summary.get("last", [])), {})
    there = {heading(name.removesuffix(OF_DATA)): value for name, value in last.items() if name.endswith(OF_DATA)}
    of_data = ", ".join(f"{name} {value:.3g}" for name, value in there.items())
    return in_words(summary.get("evaluation", {})), of_data


def _place(summary: Mapping[str, Any]) -> str:
    commit, machine, versions = summary["commit"], summary["hardware"], summary["versions"]
    place = "outside a checkout" if commit is None else commit["commit"][:12] + ", modified" * commit["modified"]
    cards = ", ".join(machine["accelerators"]) or f"{machine['processor']}, one thread for each run"
    if "precision" in summary:  # other than declared
        cards += f", in {summary['precision']} for want of instructions for bf16"
    return f"{place}; {cards}; torch {versions['torch']}, Python {versions['python']}"


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
        quality, distances = (
            [b.get(name, math.nan) - a.get(name, math.nan) for b, a in rows] for name in ("high_quality", "wasserstein")
        )
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


def save_curves(experiment: Experiment, results: Sequence[Sequence[Result]], path: Path) -> bool:
    """Draw a number of every seed over training, a panel for each table, or its histogram for all tables together, or
    what the experiment says; and say whether there was any."""
    if experiment.draw is not None:
        return experiment.draw(results, path)
    for name in experiment.spread[:1]:
        spreads = {each.name: _numbers(rows, name) for each, rows in zip(experiment.tables, results, strict=True)}
        spreads = {table: numbers for table, numbers in spreads.items() if numbers}
        if spreads:
            save_png_atomic(histogram_picture(spreads, heading(name), "arms"), path)
        return bool(spreads)
    panels = [[result for result in rows if any(result.curves)] for rows in results]
    panels = [rows for rows in panels if rows]
    if not experiment.curve or not panels:
        return False
    heights = [max(4.5, 0.2 * len(rows) + 0.8) for rows in panels]  # a legend of all arms has its room
    figure = empty_figure(8, sum(heights))
    places = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, rows in zip(places, panels, strict=True):
        for number, result in enumerate(rows):
            for place, curve in enumerate(filter(None, result.curves)):
                steps, values = zip(*((step, row.get(experiment.curve, math.nan)) for step, row in curve), strict=True)
                label = result.arm.label if place == 0 else None
                colour, dashes = f"C{number % 10}", LINES[number // 10 % len(LINES)]
                alone = "o" if len(steps) == 1 else None  # a line of one point has no length
                axes.plot(steps, values, color=colour, ls=dashes, lw=1, marker=alone, ms=4, label=label)
        drawn_values = [value for line in axes.get_lines() for value in line.get_ydata()]
        if max(drawn_values) > 3 * min(drawn_values) > 0:
            scale_by_logarithm(axes)
        axes.set(xlabel="step", ylabel=heading(experiment.curve), title=rows[0].table)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save_png_atomic(drawn(figure), path)
    return True


def save_sheets(
    experiment: Experiment, scale: str, runs: Path, folder: Path, store: Store
) -> dict[tuple[str, str], dict[str, Path]]:
    """Keep pictures of the first seed of each arm that the store has, small, in `folder`, where its run is at hand: of
    images the upper quarter of its last sheet of samples, of points the whole picture and some of those before it, and
    what `measure` has left in the run's folder `pictures`. Where the spread over many arms is shown, those of the best
    of each table. Those of a later seed, kept before this one had a row, are removed. Returned are those that are
    there now, by what they show, by table and label."""
    found: dict[tuple[str, str], dict[str, Path]] = {}
    results = store.results(experiment, scale) if experiment.spread else ()
    best = {(rows[0].table, _best(rows, experiment.spread[0])) for rows in results}
    for job in jobs(experiment, scale):
        if job not in store:  # one that was stopped has its sheets, too
            continue
        name, place = (job.table.name, job.arm.label), runs / job.folder
        run = next(iter(place.parent.glob(f"{place.name} and * more")), place)  # with other seeds, or alone
        if name in found:  # by a seed before this one, which may have come later
            for path in folder.glob(f"{job.key}*.png"):
                path.unlink()
        if name in found or not experiment.sheets or (experiment.spread and name not in best):
            continue
        samples = sorted((run / "samples").glob("step-*.png"))
        pictures = {"": samples[-1:], **{path.stem: [path] for path in sorted((run / PICTURES).glob("*.png"))}}
        if any(OWN_DATA in kept for (table, _), kept in found.items() if table == job.table.name):
            pictures.pop(OWN_DATA, None)
        if not job.table.apart:
            pictures[OVER_TRAINING] = samples[:: math.ceil(len(samples) / MOMENTS)] if len(samples) > 1 else []
        for caption, paths in pictures.items() if (run / "summary.json").is_file() else ():
            kept = folder / f"{job.key}{f' {caption}' if caption else ''}.png".replace(" ", "-")
            if paths:  # a run that was made anew has others than before
                save_png_atomic(small(paths, of_images=job.table.apart and not caption), kept)
        there = sorted(folder.glob(f"{job.key}*.png"), key=lambda path: (path.stem != job.key, path.name))
        if there:
            found[name] = {path.stem[len(job.key) :].replace("-", " ").strip() or "samples": path for path in there}
    return found


def _best(results: Sequence[Result], name: str) -> str:
    """The label of the arm that has the highest number; empty where none has one."""
    numbers = {result.arm.label: values[0] for result in results if (values := _numbers([result], name))}
    return max(numbers, key=numbers.__getitem__, default="")
