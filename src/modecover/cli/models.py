"""`modecover sample RUN` and `modecover evaluate RUN`: what trained models make, and how they fare."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modecover.cli.parser import DATA_FLAGS, MODEL, Parser, add_optional, take_data_options, whole_number
from modecover.errors import UserError, printable

if TYPE_CHECKING:
    from modecover.data import Dataset, Mixture
    from modecover.networks.export import Format
    from modecover.runs.model import GenerativeModel

INSTALL = "pip install 'modecover[export]'"
MOST_MODES = 10_000
"""Of a mixture at most, to be drawn beneath its samples."""


def run_sample(words: list[str]) -> int:
    """`modecover sample RUN`: fresh samples as a picture, an array, rows of a table or a folder of images."""
    parser = Parser("modecover sample", description="Draw samples from a trained model.")
    parser.add_argument("model", metavar="RUN", help=MODEL)
    parser.add_argument("--count", type=whole_number, metavar="N", help="[64 images, 2048 points]")
    parser.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of the draw [0]")
    parser.add_argument("--of-seed", type=whole_number, metavar="N", help="which of a run's models [its first]")
    classes = "the class of all samples, by number or name, of a --conditional model [all, as frequent as in the data]"
    parser.add_argument("--label", metavar="CLASS", help=classes)
    where = ".png, .npy, .csv for rows of a table, or a folder for single images [RUN/samples.png, .csv or .npy]"
    parser.add_argument("--out", metavar="FILE", help=where)
    given = parser.parse(words)

    from modecover.files import require_writable
    from modecover.pictures import saving
    from modecover.runs.model import load

    model = load(given.model, seed=given.of_seed)
    count = given.count if given.count is not None else 64 if len(model.shape) == 3 else 2048
    place = Path(given.model) if Path(given.model).is_dir() else Path()
    usual = "png" if saving.can_be_drawn(model.shape) else "npy" if model.columns is None else "csv"
    out = Path(given.out) if given.out else place / f"samples.{usual}"
    if out.suffix not in (".png", ".npy", ".csv", ""):
        raise UserError(
            f"--out is {out}: give a name that ends in .png (a picture), .npy (an array) or .csv (a table), or a "
            "folder."
        )
    if out.suffix:
        require_writable(out)
    if given.of_seed is None and len(seeds := _seeds_in(given.model)) > 1:
        there = ", ".join(map(str, seeds))
        warnings.warn(
            f"the run holds models of seeds {there}: this is the first; --of-seed N draws another", stacklevel=1
        )
    if out.suffix == ".csv":
        print(saving.save_table(model.sample_table(count, seed=given.seed, labels=given.label), out))
        return 0
    samples = model.sample(count, seed=given.seed, labels=given.label)
    if out.suffix == ".png":
        title = f"{model.method.get('name', 'model')} on {model.data.get('name', 'data')}"
        print(saving.save_picture(samples, out, title=title, mixture=mixture_of(model)))
    else:
        print(saving.save_array(samples, out) if out.suffix else saving.save_folder(samples, out))
    return 0


def run_export(words: list[str]) -> int:
    """`modecover export RUN`: the generator, or the encoder, as files that run without modecover."""
    parser = Parser("modecover export", description="Write a trained generator, or encoder, as ONNX or TorchScript.")
    parser.add_argument("model", metavar="RUN", help=MODEL)
    parser.add_argument(
        "--onnx", metavar="FILE", help="write ONNX; pip install 'modecover[export]' brings what it needs"
    )
    parser.add_argument("--torchscript", metavar="FILE", help="write TorchScript, which torch.jit.load reads")
    parser.add_argument("--part", choices=("generator", "encoder"), default="generator", help="[generator]")
    which = "which of a run's models [its first]"
    parser.add_argument("--of-seed", type=whole_number, metavar="N", help=which)
    given = parser.parse(words)
    files: dict[Format, str | None] = {"onnx": given.onnx, "torchscript": given.torchscript}
    if not any(files.values()):
        raise UserError("Say what to write: --onnx FILE, --torchscript FILE, or both.")
    if all(files.values()) and Path(given.onnx).resolve() == Path(given.torchscript).resolve():
        raise UserError(f"--onnx and --torchscript are both {given.onnx}: give each a file of its own.")

    from modecover.cli.terminal import Display
    from modecover.networks.export import OPSET
    from modecover.runs.model import load

    model = load(given.model, seed=given.of_seed)
    for number, (format, path) in enumerate(files.items()):
        if path is None:
            continue
        with Display() as display:
            display.preparing(f"{format} file", number, len(files))
            made = model.export(path, format, part=given.part)
        name = {"onnx": f"ONNX, opset {OPSET}", "torchscript": "TorchScript"}[format]
        shapes = (", ".join(["batch", *map(str, shape)]) for shape in (made.input_shape, made.output_shape))
        taken, given_back = (f"{side} ({shape})" for side, shape in zip((made.takes, made.gives), shapes, strict=True))
        print(f"{made.path}: the {made.part} as {name}; takes {taken}, gives {given_back}.")
        if made.difference is None:
            print(f"It was not run, for onnxruntime is not installed: {INSTALL} brings it.")
        else:
            runtime = "onnxruntime" if format == "onnx" else "torch.jit"
            print(f"Run by {runtime} it differs from the model by at most {made.difference:.2g} of {made.largest:.3g}.")
    return 0


def mixture_of(model: GenerativeModel) -> Mixture | None:
    """The built-in mixture that the data of the model are by name; nothing that a model names is ever opened."""
    from modecover.data.mixtures import PRESETS, parse_options, preset

    name, _, options = str(model.data.get("name")).partition(":")
    if model.shape == (2,) and name in PRESETS:
        with contextlib.suppress(UserError):
            chosen = parse_options(name, options, PRESETS[name])
            if float(chosen.get("modes", 0)) <= MOST_MODES and float(chosen.get("side", 0)) ** 2 <= MOST_MODES:
                return preset(name, options)
    return None


def _seeds_in(folder: str) -> list[int]:
    """Those whose models a run of several seeds has saved."""
    found = [re.fullmatch(r"seed-(\d+)", path.name) for path in Path(folder).glob("model/seed-*")]
    return sorted(int(match[1]) for match in found if match)


def run_evaluate(words: list[str]) -> int:
    """`modecover evaluate RUN`: modes are counted where those of the data are known; then every model is audited."""
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
    add_optional(group, DATA_FLAGS)
    given = parser.parse(words)

    from modecover.auditing.inputs import FEWEST
    from modecover.auditing.run import audit
    from modecover.cli.terminal import Display, print_audit, print_audits, print_evaluation
    from modecover.comparing.audited import SAMPLES
    from modecover.data.files import require_name
    from modecover.files import require_writable, write_json
    from modecover.runs.evaluation import evaluator_for, in_words
    from modecover.runs.model import load

    # Everything that can be refused is refused before the work.
    samples: int | None = given.samples
    if samples is not None and samples < (FEWEST if given.audit else 1):
        least = f"an audit needs at least {FEWEST}, or leave it out with --no-audit"
        raise UserError(f"--samples is {samples}: {least if given.audit else 'ask for at least 1'}.")
    if given.data is None and not (Path(given.model) / "run.json").is_file():
        raise UserError(
            f"{given.model} is no run, whose data could be opened again: say with --data what to compare with."
        )
    # The model in that place, or those of all seeds of a run, each by the seed it was trained with.
    require_name(given.model)
    seeds = _seeds_in(given.model)
    loaded = [load(given.model, seed=seed) for seed in seeds] or [load(given.model)]
    models = {f"seed {model.training_facts.get('seed', number)}": model for number, model in enumerate(loaded)}
    dataset = open_again(next(iter(models.values())), given.data, take_data_options(vars(given)))
    with Display() as display:
        evaluator = evaluator_for(dataset, samples, display.preparing)
    if evaluator is None and not given.audit:
        raise UserError(
            f"The modes of {dataset.name} are not known, so they cannot be counted: leave out --no-audit to judge the "
            "models without them."
        )
    folder = Path(given.model) if Path(given.model).is_dir() else Path()
    single = len(models) == 1
    pages = {label: folder / f"audit{'' if single else '-' + label.replace(' ', '-')}.html" for label in models}
    for page in pages.values() if given.audit and not given.json else ():
        require_writable(page)

    # The modes of every model, and of real data, where they are known.
    report: dict[str, Any] = {}
    if evaluator is not None:
        rows = {}
        with Display() as display:
            for number, (label, model) in enumerate(models.items()):
                display.preparing(f"count of modes ({label})", number, len(models) + 1)
                rows[label] = evaluator.judge(model.sample(evaluator.samples, seed=given.seed))
            display.preparing("count of modes (real data)", len(models), len(models) + 1)
            control = evaluator.control()
        report = {"models": rows, "real data": control, "facts": evaluator.facts}
        if not given.json:
            print_evaluation(list(rows.values()), control, list(rows))
            print(in_words(evaluator.facts))
    # The audit of every model: verdicts, and a page into the folder of the run.
    if given.audit:
        audits = {}
        with Display() as display:
            for label, model in models.items():
                count, tell = min(samples or SAMPLES, SAMPLES), partial(display.auditing, f"audit of {label}")
                audits[label] = audit(dataset, model, samples=count, seed=given.seed, progress=tell)
        report["audits"] = {label: json.loads(each.to_json()) for label, each in audits.items()}
        if not given.json:
            if evaluator is not None:
                print()
            if single:
                print_audit(*audits.values(), metrics=False)
            else:
                print_audits(audits)
            for label, each in audits.items():
                print(f"Page: {printable(each.save(pages[label]))}")
                write_json(pages[label].with_suffix(".json"), each.to_dict())
    if given.json:
        print(json.dumps(without_nan(report), indent=2))
    return 0


def without_nan(value: Any) -> Any:
    """JSON has no NaN, which stands for a number that no sample could give: null."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    return None if value != value else value


def open_again(model: GenerativeModel, source: str | None, options: dict[str, Any]) -> Dataset:
    """The data that `model` was trained on, opened as it was then but for `options`; or `source`, where one is given.
    Raises `UserError` where they cannot be opened again, or samples are of another shape than the model's."""
    from modecover.cli.terminal import Display
    from modecover.data import open_data, reopen

    with Display() as display:
        options = {**options, "progress": display.preparing}
        if source is None:
            dataset = reopen(model.data, **options)
        else:
            size = {"size": model.shape[-1]} if len(model.shape) == 3 else {}
            dataset = open_data(source, **{**size, **options})
    if source is None and dataset.fingerprint != model.data.get("fingerprint"):
        print(
            f"Note: {model.data['name']} is no longer what the model was trained on; its content changed.",
            file=sys.stderr,
        )
    if dataset.shape != model.shape:
        raise UserError(
            f"The model makes samples of shape {model.shape}, and {dataset.name} has {dataset.shape}: say with --data "
            "what it was trained on."
        )
    return dataset
