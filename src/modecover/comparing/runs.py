"""Finished and unfinished runs beside each other: what differs in them, how they fared, and whether that is chance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from modecover.arguments import held
from modecover.auditing.expected import Progress
from modecover.auditing.records import Record
from modecover.auditing.results import FORMAT, Estimate
from modecover.comparing.audited import SAMPLES, audits_of, data_of, numbers_of
from modecover.data.base import needs
from modecover.data.opening import Source
from modecover.errors import UserError
from modecover.experiments.report import better_side
from modecover.files import read_json
from modecover.kinds import LARGEST_WHOLE, checked, shown
from modecover.metrics.seeds import LEVEL, holm, interval, signed_ranks
from modecover.pictures.animation import step_of
from modecover.runs.evaluation import in_words, score
from modecover.runs.log import read_log
from modecover.runs.records import read_run
from modecover.runs.run import Run

MOST_RUNS, MOST_SEEDS = 100, 10_000
ABSENT, OWN = "not set", "of its own"
AVERAGED, RAW = "ema_", "raw_"
"""How names of numbers begin: under averaged weights, in a log; under those that are not, where runs are compared."""
LONGEST = 200
"""Characters of a setting that are shown."""


@dataclass(frozen=True)
class Evaluation:
    """The numbers of every seed at one step."""

    step: int
    numbers: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Number:
    """One number of a run over its seeds."""

    last: Estimate
    """Mean at the last evaluation, with the 95 % t interval over seeds; NaN for the ends where there is one seed."""
    best: Estimate
    """The same of each seed's best evaluation, which is chosen by looking and so flatters."""
    seeds: int
    """How many seeds have the number at the last evaluation; one whose samples are in no mode has no KL."""
    p: float | None = None
    """Of the difference of the last evaluation from that of the first run, by chance; corrected for the number of runs
    (Holm). None where it cannot be tested."""
    test: str = ""
    """By which test."""
    verdict: str = ""
    """ "better" or "worse" than the first run where p is below 0.05, or "differs" where neither side is better."""


@dataclass(frozen=True)
class ComparedRun:
    """A run as it is compared."""

    name: str
    folder: str
    method: str
    seeds: tuple[int, ...]
    step: int
    """Of the last line of its log."""
    steps: int
    seconds: float
    """NaN where the run never ended."""
    evaluations: tuple[Evaluation, ...]
    numbers: Mapping[str, Number]


@dataclass(frozen=True, repr=False, eq=False)
class RunComparison(Record):
    """Runs on the same data. `to_dict`, `to_json`, `to_frame`; `save` writes a page or JSON, and notebooks show the
    page."""

    KIND: ClassVar[str] = "comparison of runs"

    data: str
    fingerprint: str
    runs: tuple[ComparedRun, ...]
    differing: Mapping[str, tuple[str, ...]]
    """Settings that are not the same in all runs, with the value of each run."""
    control: Mapping[str, float]
    """The numbers of fresh samples of the data, where a run has them."""
    notes: tuple[str, ...]
    """What to know before the numbers are believed, a sentence each."""
    version: int = FORMAT
    gallery: tuple[str | None, ...] = ()
    """The newest picture of samples of each run, a path; not part of the JSON."""

    def __repr__(self) -> str:
        return f"RunComparison({len(self.runs)} runs on {self.data}: {', '.join(run.name for run in self.runs)})"

    @property
    def names(self) -> list[str]:
        """Of all numbers that a run has."""
        return list(dict.fromkeys(name for run in self.runs for name in run.numbers))

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each run, seed and evaluation: run, method, seed, step and the numbers.
        `UserError` without pandas."""
        pandas = needs("pandas", "a data frame")
        rows = [
            {"run": run.name, "method": run.method, "seed": seed, "step": each.step}
            | {name: values[place] for name, values in each.numbers.items()}
            for run in self.runs
            for each in run.evaluations
            for place, seed in enumerate(run.seeds)
        ]
        return pandas.DataFrame(rows, columns=["run", "method", "seed", "step", *self.names])

    def _page(self) -> str:
        from modecover.comparing.page import page

        return page(self)


@held()
def compare(
    runs: Sequence[Path | str | Run],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    audit: bool = False,
    data: Source | None = None,
    auditing: Progress = lambda what, done: None,
) -> RunComparison:
    """Hold runs on the same data beside each other.

    Every run is tested against the first one, number by number, on the last evaluation: by Wilcoxon's signed ranks
    where both have the same seeds, else by Welch's t. Where a seed of either has no such number there is no test: those
    that have it are not a fair sample.

    Where a run averages its weights, its numbers are of the averages, as its models are; those of the weights
    themselves have names that begin with "raw_".

    Args:
        runs: folders of runs, or what `train` returned of runs with a folder.
        progress: is told how many are read, and of how many.
        audit: whether the last model of every seed is audited, and runs are compared by what that finds, too: for data
            whose modes are not known, and takes as long as so many audits.
        data: what to audit against; None: what the runs were trained on, opened again.
        auditing: is told what audits do, and the share of all of them that is done.

    Raises:
        UserError: one is no run, there are fewer than two or one is named twice, or they are of different data; or
            audits are wanted, and there is no model or the data cannot be opened.
    """
    if isinstance(runs, str | Path) or not isinstance(runs, Sequence) or not 2 <= len(runs) <= MOST_RUNS:
        given = (
            f"{len(runs)} run{'s' * (len(runs) != 1)} to compare"
            if isinstance(runs, list | tuple)
            else f"runs is {shown(runs)}"
        )
        raise UserError(f"{given}: give the folders of 2 to {MOST_RUNS} runs to compare.")
    folders = [_folder(run) for run in runs]
    resolved = [folder.resolve() for folder in folders]
    if twice := [folder for place, folder in enumerate(folders) if resolved[place] in resolved[:place]]:
        raise UserError(f"{twice[0]} is named twice: name every run once.")
    short = [folder.resolve().name for folder in folders]
    names = short if len({*short}) == len(short) else [str(folder) for folder in folders]
    facts, found, notes = [], [], []
    for place, (folder, name) in enumerate(zip(folders, names, strict=True)):
        progress(place, len(folders))
        facts.append(read_run(folder))
        first, own = facts[0]["data"], facts[-1]["data"]
        if own["fingerprint"] != first["fingerprint"]:
            other = f"{own['name']}" if own["name"] != first["name"] else f"other contents of {own['name']}"
            raise UserError(
                f"{folders[0]} was trained on {first['name']} and {folder} on {other}: compare runs on the same data."
            )
        run, told = _read(folder, name, facts[-1])
        found.append(run)
        notes += told
    progress(len(folders), len(folders))
    of_real: dict[str, float] = {}
    if audit:
        opened = data_of(facts[0]["data"], data)
        for place, run in enumerate(found):

            def tell(what: str, done: float, place: int = place) -> None:
                auditing(f"{what} ({names[place]})", (place + done) / len(found))

            numbers, of_real = numbers_of(audits_of(folders[place], run.seeds, opened, tell))
            *before, last = run.evaluations or (Evaluation(run.step, {}),)
            evaluations = (*before, Evaluation(last.step, {**last.numbers, **numbers}))
            found[place] = replace(run, evaluations=evaluations, numbers=_numbers(evaluations))
        notes.append(
            f"Audits have at most {SAMPLES:,} samples of each side; shares are those beyond what real samples get."
        )
    steps = {run.evaluations[-1].step for run in found if run.evaluations}
    if len(steps) > 1:
        notes.append("The last evaluations are of different steps.")
    if not steps:
        notes.append(
            "No run has an evaluation, as the modes of these data are not known: --audit (audit=True) compares what "
            "audits find of every seed's model; runs trained with --evaluate-features auto have a distance to the data."
        )
    differing = _differing(facts, found)
    judged = [each["settings"] for each, run in zip(facts, found, strict=True) if run.evaluations]
    if len({str(each.get("evaluate_samples")) for each in judged}) > 1:
        notes.append(
            "Evaluations are of different numbers of samples (evaluate_samples), on which they depend: "
            "more samples find more modes and smaller distances."
        )
    if len({str(each.get("evaluate_features")) for each in judged}) > 1:
        notes.append("Distances are in different features (evaluate_features), and cannot be compared.")
    if any(name.startswith(RAW) for run in found for name in run.numbers):
        notes.append(
            "Where a run averages its weights, numbers are of the averages, as its models are; those of the weights "
            "themselves are called raw."
        )
    by = {run.name: each for run, folder in zip(found, folders, strict=True) if (each := _judge(folder))}
    if len({*by.values()}) > 1:
        each_by = "; ".join(f"{name} by {judge}" for name, judge in by.items())
        notes.append(f"Evaluations were made by different judges, and their numbers cannot be compared: {each_by}.")
    elif by:
        notes.append(f"Judged by: {next(iter(by.values()))}.")
    tested, doubts = _tested(found)
    controls = [_summary(folder).get("control") for folder in folders]
    control = next((each for each in controls if isinstance(each, Mapping)), {})
    return RunComparison(
        str(facts[0]["data"]["name"]),
        str(facts[0]["data"]["fingerprint"]),
        tested,
        differing,
        {str(name): float(value) for name, value in control.items() if isinstance(value, int | float)} | of_real,
        (*notes, *doubts),
        gallery=tuple(_newest_picture(folder) for folder in folders),
    )


def _folder(run: Any) -> Path:
    if isinstance(run, Run):
        if run.folder is None:
            raise UserError("A run that was trained without `out` has no folder to compare: give out=... to train.")
        return run.folder
    if not isinstance(run, str | Path):
        raise UserError(f"A run to compare is {shown(run)}: give the path of its folder.")
    return Path(run)


def _summary(folder: Path) -> dict[str, Any]:
    """What a run that has ended says of itself; empty where it has not, or is damaged."""
    try:
        found = read_json(folder / "summary.json", "")
    except (OSError, UserError):
        return {}
    return found if isinstance(found, dict) else {}


def _judge(folder: Path) -> str:
    """What a run's evaluations were made with, in words; empty where it does not say."""
    facts = _summary(folder).get("evaluation")
    return in_words(facts) if isinstance(facts, Mapping) else ""


def _read(folder: Path, name: str, facts: Mapping[str, Any]) -> tuple[ComparedRun, list[str]]:
    """A run without tests, and what to know of it."""
    settings, notes = facts["settings"], []
    try:
        seed, count, steps = (checked(key, settings.get(key), int) for key in ("seed", "seeds", "steps"))
        if not 1 <= count <= MOST_SEEDS:
            raise UserError(f"seeds is {count}.")
    except UserError as error:
        what = str(error).partition(":")[0].rstrip(".")
        raise UserError(f"{folder / 'run.json'} is damaged ({what}): put it back from a backup.") from None
    log, summary = read_log(folder), _summary(folder)
    step = max((at for row in log if (at := _step(row)) is not None), default=0)
    if isinstance(alarm := summary.get("alarm"), Mapping) and alarm.get("tripped") is True:
        # The lines behind its last good model stay in the log, and are of a model that is gone.
        good = summary.get("steps")
        step = min(step, good) if type(good) is int else step
        notes.append(f"{name} was stopped by its alarm: its last good model, of step {step:,}, is compared.")
    elif step < steps:
        notes.append(f"{name} is at step {step:,} of {steps:,}.")
    evaluations: dict[int, Evaluation] = {}
    unreadable = 0
    for row in log:
        if "evaluation" not in row:
            continue
        read = _evaluation(row, count)
        if read is None:
            unreadable += 1
        elif read.step <= step:
            evaluations[read.step] = read  # of two of one step, as after a resumption, the later one counts
    if unreadable:
        notes.append(f"Evaluations in the log of {name} that are damaged and left out: {unreadable}.")
    seconds = summary.get("seconds")
    run = ComparedRun(
        name,
        str(folder),
        str(facts["method"]),
        tuple(range(seed, seed + count)),
        step,
        steps,
        float(seconds) if isinstance(seconds, int | float) else math.nan,
        (ordered := tuple(evaluations[at] for at in sorted(evaluations))),
        _numbers(ordered),
    )
    if ordered and (lacking := [key for key, number in run.numbers.items() if number.seeds < count]):
        worst = min(run.numbers[key].seeds for key in lacking)
        some = f"only {worst} of {count} seeds have; their means are over those seeds" if worst else "no seed has"
        notes.append(f"{name} has numbers that {some}.")
    return run, notes


def _step(row: Mapping[str, Any]) -> int | None:
    """The step of a line of a log; None where it has none."""
    step = row.get("step")
    return step if type(step) is int and 0 <= step <= LARGEST_WHOLE else None


def _evaluation(row: Mapping[str, Any], seeds: int) -> Evaluation | None:
    """An evaluation in a line of a log; None where it is none of so many seeds."""
    step, found = _step(row), row["evaluation"]
    if step is None or not isinstance(found, Mapping) or not found:
        return None
    numbers = {}
    for name, values in found.items():
        if not isinstance(values, list) or len(values) != seeds:
            return None
        if not all(type(value) is float or (type(value) is int and abs(value) <= LARGEST_WHOLE) for value in values):
            return None
        numbers[str(name)] = tuple(float(value) for value in values)
    # A run that averages its weights saves, and samples from, the averages.
    averaged = {name.removeprefix(AVERAGED) for name in numbers if name.startswith(AVERAGED)}
    own = {name: values for name, values in numbers.items() if name not in averaged and not name.startswith(AVERAGED)}
    own |= {name: numbers[AVERAGED + name] for name in numbers if name in averaged}
    return Evaluation(step, own | {RAW + name: numbers[name] for name in numbers if name in averaged})


def _numbers(evaluations: Sequence[Evaluation]) -> dict[str, Number]:
    if not evaluations:
        return {}
    last = evaluations[-1].numbers
    by_seed = [
        [{name: values[place] for name, values in each.numbers.items()} for each in evaluations]
        for place in range(len(next(iter(last.values()))))
    ]
    best = [max(curve, key=score) for curve in by_seed]
    return {
        name: Number(
            over_seeds(values),
            over_seeds([numbers.get(name, math.nan) for numbers in best]),
            sum(math.isfinite(value) for value in values),
        )
        for name, values in last.items()
    }


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean and 95 % t interval, see `interval`."""
    return Estimate(*interval(values))


def _tested(runs: Sequence[ComparedRun]) -> tuple[tuple[ComparedRun, ...], list[str]]:
    """The runs with their tests against the first one, and why there is none of some."""
    numbers, notes = [dict(run.numbers) for run in runs], []
    first, others = runs[0], range(1, len(runs))
    for name in first.numbers:
        found = {place: told for place in others if (told := _test(first, runs[place], name)) is not None}
        corrected = holm([p for p, _ in found.values()])
        for (place, (_, test)), p in zip(found.items(), corrected, strict=True):
            now, before = numbers[place][name], first.numbers[name]
            verdict = _verdict(name, now.last.value - before.last.value) if p < LEVEL else ""
            numbers[place][name] = Number(now.last, now.best, now.seeds, p, test, verdict)
    whole = tuple(ComparedRun(**{**vars(run), "numbers": own}) for run, own in zip(runs, numbers, strict=True))
    # So few signs may never come to a small p, whatever the numbers are.
    paired = [run for run in runs[1:] if run.seeds == first.seeds]
    needed = math.ceil(math.log2(2 * len(others) / LEVEL))
    if paired and first.evaluations and 1 < len(first.seeds) < needed:
        notes.append(
            f"Signed ranks of {len(first.seeds)} shared seeds cannot come below p = {LEVEL} against {len(others)} "
            f"other run{'s' * (len(others) > 1)}: train {needed} seeds or more."
        )
    if first.evaluations and any(len(run.seeds) < 2 for run in runs):
        notes.append("One seed has no interval, and is not tested: seeds differ, and by how much is not known.")
    return whole, notes


def _test(first: ComparedRun, other: ComparedRun, name: str) -> tuple[float, str] | None:
    """The p value of a number's difference, and the name of the test; None where it cannot be tested."""
    if not first.evaluations or not other.evaluations or name not in other.numbers:
        return None
    a, b = (run.evaluations[-1].numbers[name] for run in (first, other))
    if min(len(a), len(b)) < 2 or not all(map(math.isfinite, (*a, *b))):
        return None
    if first.seeds == other.seeds:
        return signed_ranks([y - x for x, y in zip(a, b, strict=True)]), "signed ranks"
    if len({*a}) == len({*b}) == 1:  # t knows no spread
        return (1.0, "Welch's t") if a[0] == b[0] else None

    from scipy.stats import ttest_ind_from_stats

    sides = [of for values in (a, b) for of in (statistics.fmean(values), statistics.stdev(values), len(values))]
    return float(ttest_ind_from_stats(*sides, equal_var=False).pvalue), "Welch's t"


def _verdict(name: str, change: float) -> str:
    side = better_side(name)
    return "differs" if not side else "better" if (change > 0) == (side == "higher") else "worse"


def _differing(facts: Sequence[Mapping[str, Any]], runs: Sequence[ComparedRun]) -> dict[str, tuple[str, ...]]:
    """Method, settings and commit where they are not the same in all runs, as text."""
    told: list[dict[str, Any]] = []
    for each in facts:
        start = each["starts"][-1] if each["starts"] else {}
        git = start.get("git") if isinstance(start, Mapping) else None
        commit = str(git.get("commit"))[:12] if isinstance(git, Mapping) else ABSENT
        told.append({"method": str(each["method"]), **each["settings"], "commit of modecover": commit})
    # What only some of the methods know stands together, of each run on one line.
    names = dict.fromkeys(name for one in told for name in one)
    owned = {name for name in names if name.startswith("method.") and any(name not in one for one in told)}
    if owned:
        for one in told:
            own = [f"{name.removeprefix('method.')} {_text(one.pop(name))}" for name in owned & one.keys()]
            one[OWN] = ", ".join(sorted(own)) or "nothing"
    differing = {}
    for name in dict.fromkeys(str(name) for one in told for name in one):
        values = [one.get(name, ABSENT) for one in told]
        if any(value != values[0] for value in values):
            differing[name.removeprefix("method.")] = tuple(values if name == OWN else map(_text, values))
    return differing


def _text(value: Any) -> str:
    text = "none" if value is None else "on" if value is True else "off" if value is False else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def _newest_picture(folder: Path) -> str | None:
    found = [(step, path) for path in (folder / "samples").glob("step-*.png") if (step := step_of(path)) is not None]
    return str(max(found)[1]) if found else None
