"""`modecover evaluate RUN`: how each of a run's models fares against its data.

Where the modes of the data are known they are counted, beside the same numbers of real data. Then every model is
audited as `modecover audit` would, which needs no known modes.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modecover.cli.flags import whole_number
from modecover.cli.parser import Parser
from modecover.cli.sample import MODEL
from modecover.cli.sources import add_data_flags, take_data_options
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.auditing.results import Audit
    from modecover.data import Dataset
    from modecover.runs.evaluation import Evaluator
    from modecover.runs.model import GenerativeModel


AUDITED = 2000
"""Samples of each side that an audit takes at most."""


def run(words: list[str]) -> int:
    """`modecover evaluate RUN`"""
    given = vars(_parser().parse(words))

    _require_count(given["samples"], audited=given["audit"])
    if given["data"] is None and not (Path(given["model"]) / "run.json").is_file():
        raise UserError(
            f"{given['model']} is no run, whose data could be opened again: say with --data what to compare with."
        )
    models = load_all(given["model"])
    if given["samples"] is not None:
        _require_room(given["samples"], models[0].shape)
    dataset = open_again(models[0], given["data"], take_data_options(given))
    labels = [f"seed {model.training_facts.get('seed', number)}" for number, model in enumerate(models)]
    evaluator = _evaluator(dataset, given["samples"])
    if evaluator is None and not given["audit"]:
        raise UserError(
            f"The modes of {dataset.name} are not known, so they cannot be counted: leave out --no-audit to judge the "
            "models without them."
        )
    pages = _pages(labels, given["model"]) if given["audit"] and not given["json"] else {}
    report: dict[str, Any] = {}
    if evaluator is not None:
        rows, control = _judged(evaluator, models, labels, given["seed"])
        report = {"models": dict(zip(labels, rows, strict=True)), "real data": control, "facts": evaluator.facts}
        if not given["json"]:
            _print_modes(rows, control, labels, evaluator.facts)
    if given["audit"]:
        audits = _audits(models, labels, dataset, given)
        report["audits"] = {label: json.loads(audit.to_json()) for label, audit in audits.items()}
        if not given["json"]:
            _print_audits(audits, pages, blank=evaluator is not None)
    if given["json"]:
        print(json.dumps(_without_nan(report), indent=2))
    return 0


def _parser() -> Parser:
    parser = Parser(
        "modecover evaluate", description="Count the modes that trained models cover, and audit the models."
    )
    parser.add_argument("model", metavar="RUN", help=MODEL)
    parser.add_argument("--samples", type=whole_number, metavar="N", help="of each model [2048 points, 26000 stacks]")
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of the draw [0]")
    parser.add_argument("--no-audit", dest="audit", action="store_false", help="only count modes")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    group = parser.add_argument_group("opening the data")
    group.add_argument("--data", metavar="SOURCE", help="the data to compare with [what the run was trained on]")
    add_data_flags(group)
    return parser


def _require_count(samples: int | None, *, audited: bool) -> None:
    from modecover.auditing.arguments import FEWEST

    if samples is not None and samples < 1:
        raise UserError(f"--samples is {samples}: ask for at least 1.")
    if samples is not None and audited and samples < FEWEST:
        raise UserError(f"--samples is {samples}: an audit needs at least {FEWEST}, or leave it out with --no-audit.")


def _require_room(samples: int, shape: tuple[int, ...]) -> None:
    from modecover.limits import require_memory

    require_memory(f"{samples:,} samples", 4 * samples * math.prod(shape), "choose fewer with --samples")


def _pages(labels: list[str], place: str) -> dict[str, Path]:
    """Where the page of each model goes, by its label: into the folder of the run. All can be written."""
    from modecover.files import require_writable

    folder = Path(place) if Path(place).is_dir() else Path()
    names = ["audit.html"] if len(labels) == 1 else [f"audit-{label.replace(' ', '-')}.html" for label in labels]
    pages = {label: folder / name for label, name in zip(labels, names, strict=True)}
    for page in pages.values():
        require_writable(page)
    return pages


def _judged(
    evaluator: Evaluator, models: list[GenerativeModel], labels: list[str], seed: int
) -> tuple[list[dict[str, float]], dict[str, float]]:
    """The numbers of each model, and those of real data."""
    from modecover.cli.progress import Display

    rows = []
    with Display() as display:
        for number, (label, model) in enumerate(zip(labels, models, strict=True)):
            display.preparing(f"count of modes ({label})", number, len(models) + 1)
            rows.append(evaluator.judge(model.sample(evaluator.samples, seed=seed)))
        display.preparing("count of modes (real data)", len(models), len(models) + 1)
        return rows, evaluator.control()


def _print_modes(
    rows: list[dict[str, float]], control: dict[str, float], labels: list[str], facts: dict[str, object]
) -> None:
    from modecover.cli.tables import print_evaluation

    print_evaluation(rows, control, labels)
    print(_facts(facts))


def _audits(
    models: list[GenerativeModel], labels: list[str], dataset: Dataset, given: dict[str, Any]
) -> dict[str, Audit]:
    """Each model's audit, by its label."""
    from modecover.auditing.run import audit
    from modecover.cli.progress import Display

    count = min(given["samples"] or AUDITED, AUDITED)
    with Display() as display:

        def one(label: str, model: GenerativeModel) -> Audit:
            def tell(stage: str, share: float) -> None:
                display.preparing(f"audit of {label} ({stage})", round(100 * share), 100)

            return audit(dataset, model, samples=count, seed=given["seed"], progress=tell)

        return {label: one(label, model) for label, model in zip(labels, models, strict=True)}


def _print_audits(audits: dict[str, Audit], pages: dict[str, Path], *, blank: bool) -> None:
    """The verdicts, and each model's page into its place."""
    from modecover.cli.findings import print_audit, print_audits
    from modecover.errors import printable

    if blank:
        print()
    if len(audits) == 1:
        print_audit(next(iter(audits.values())), metrics=False)
    else:
        print_audits(audits)
    for label, audit in audits.items():
        print(f"Page: {printable(audit.save(pages[label]))}")


def _without_nan(value: Any) -> Any:
    """JSON has no NaN, which stands for a number that no sample could give: null."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    return None if value != value else value


def load_all(place: str) -> list[GenerativeModel]:
    """The model in `place`, or the models of all its seeds."""
    from modecover.data.names import require_name
    from modecover.runs.model import load

    require_name(place)
    found = [re.fullmatch(r"seed-(\d+)", path.name) for path in Path(place).glob("model/seed-*")]
    seeds = sorted(int(match[1]) for match in found if match)
    return [load(place, seed=seed) for seed in seeds] or [load(place)]


def open_again(model: GenerativeModel, source: str | None, options: dict[str, Any]) -> Dataset:
    """The data that `model` was trained on, opened as it was then but for `options`; or `source`, where one is given.

    Raises:
        UserError: the data cannot be opened again, or its samples are of another shape than the model's.
    """
    from modecover.cli.progress import Display
    from modecover.data import open_data

    with Display() as display:
        shown = {**options, "progress": display.preparing}
        if source is None:
            dataset = _reopened(model, shown)
        else:
            size = {"size": model.shape[-1]} if len(model.shape) == 3 else {}
            dataset = open_data(source, **{**size, **shown})
    if dataset.shape != model.shape:
        raise UserError(
            f"The model makes samples of shape {model.shape}, and {dataset.name} has {dataset.shape}: say with --data "
            "what it was trained on."
        )
    return dataset


def _reopened(model: GenerativeModel, options: dict[str, Any]) -> Dataset:
    from modecover.data import open_data

    opened, name = model.data.get("opened"), model.data.get("name", "data")
    failed = f"The run's data {name!r} could not be opened again; say with --data what it is."
    if opened is None:
        raise UserError(f"{failed} It came from memory, not from a name or a path.")
    try:
        dataset = open_data(**{**opened, **options})
    except UserError as error:
        raise UserError(f"{failed} {error}") from None
    except TypeError as error:  # options that no version of ours has written
        raise UserError(failed) from error
    if dataset.fingerprint != model.data.get("fingerprint"):
        print(f"Note: {name} is no longer what the model was trained on; its content changed.", file=sys.stderr)
    return dataset


def _evaluator(dataset: Dataset, samples: int | None) -> Evaluator | None:
    from modecover.cli.progress import Display
    from modecover.runs.evaluation import evaluator_for

    with Display() as display:
        return evaluator_for(
            dataset, samples, lambda done, total: display.preparing("digit classifier for the evaluation", done, total)
        )


def _facts(facts: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
