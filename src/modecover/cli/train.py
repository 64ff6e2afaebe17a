"""`modecover train METHOD --data SOURCE --out DIR [settings]`"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from modecover.cli.config import check_config, config_of, read_config, take_config
from modecover.cli.parser import (
    DATA_FLAGS,
    SOURCES,
    Failure,
    Parser,
    add_flags,
    add_optional,
    default_of,
    shown_value,
    take_data_options,
)
from modecover.cli.process import keep_freed_memory, own_command
from modecover.errors import UserError
from modecover.kinds import checked, counted, fields_of

if TYPE_CHECKING:
    from modecover.data import Dataset
    from modecover.methods.base import Method
    from modecover.runs.listener import Listener
    from modecover.runs.settings import Settings

EXIT_ALARM, EXIT_STOPPED = 4, 130
TIMED_STEPS = 3
"""Of a dry run, behind its first."""


def run(words: list[str]) -> int:
    """`modecover train ...`"""
    if not words or words[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    file, words = take_config(words)
    config = {} if file is None else read_config(file)
    spelled = words.pop(0) if words and not words[0].startswith("-") else config.get("method")
    if spelled is None:
        where = "" if file is None else f", or in {file}, as in method = 'lsgan'"
        raise UserError(
            f"Name the method first{where}: modecover train METHOD --data SOURCE. `modecover list` names them all."
        )
    from modecover.methods import registry
    from modecover.runs.alarm import parse_alarm

    name = registry.name_of(checked("method", spelled, str))
    method = registry.get(name)
    if file is not None:
        config = check_config(file, config, spelled, method)
    said = vars(train_parser(spelled, method, needs_data="data" not in config).parse(words))
    words_of_alarm, dry, printing = said.pop("alarm"), said.pop("dry_run"), said.pop("print_config")
    given = {**config, **said}
    given.pop("method", None)
    given["alarm"] = parse_alarm(words_of_alarm) if words_of_alarm else config.get("alarm")
    source, out = given.pop("data"), given.pop("out", None)
    if dry:
        dry_run(name, source, given)
        return 0
    out = out or f"runs/{name}-{re.sub(r'[^a-zA-Z0-9.]+', '-', os.path.basename(source.rstrip('/'))).strip('-.')}"
    if printing:
        print_config(spelled, source, out, given)
        return 0

    from modecover.cli.terminal import Display, print_evaluation
    from modecover.engine.finite import NonFiniteError
    from modecover.runs.evaluation import in_words
    from modecover.runs.listener import Listener
    from modecover.runs.run import train

    keep_freed_memory()
    first = os.environ.get("RANK", "0") == "0"  # of several processes one talks
    try:
        with Display() if first else nullcontext(Listener()) as listener:
            result = train(name, source, out, listener=listener, **given)
    except NonFiniteError as error:
        raise Failure(str(error)) from error
    if isinstance(listener, Display):
        if result.alarm is not None and result.alarmed:
            print(result.alarm.sentence)
        if result.alarm is not None and result.alarm.tripped:
            print("The same command says this again; with --alarm none, or another threshold, it trains on from there.")
        elif result.alarmed:
            print(
                f"Hence the exit code {EXIT_ALARM}; the run is whole: train longer or otherwise, or say --alarm none."
            )
        elif not result.finished:
            done = f"{result.step:,} of {result.settings.steps:,} steps"
            print(f"Stopped after {done}, and saved in {out}: the same command goes on from here.")
        if result.last:
            seeds = [model.training_facts.get("seed", number) for number, model in enumerate(result.models)]
            print_evaluation(result.last, result.control, [f"seed {seed}" for seed in seeds])
            told = result.models[0].training_facts.get("evaluation") or {}
            print(in_words(told.get("by", {})))
        print(f"The run is in {out}: model/, samples/, curves.png, log.jsonl.")
        if listener.picture is not None:
            print(f"Newest picture of samples: {listener.picture}")
        print(f"Next: {own_command()} sample {shlex.quote(out)}")
    return EXIT_ALARM if result.alarmed else EXIT_STOPPED if result.interrupted else 0


_USAGE = """usage: modecover train METHOD --data SOURCE [--out DIR] [settings]

       modecover train --config FILE [settings]

Train a method on data. Running the same command again resumes; it ends at the weights of an uninterrupted run.

`modecover list` names the methods, `modecover train METHOD --help` the settings of one; a method of yours is
module:Class, as Python imports it from here. For example:

  modecover train ivgan --preset r3gan --data digits --size 32 --out runs/digits
  modecover train wgan-gp --data ring --seeds 8 --out runs/ring
  modecover train mymodule:MyMethod --data ring --out runs/mine"""


class _TrainParser(Parser):
    def elsewhere(self, flag: str) -> str:
        from modecover.methods import registry

        setting = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
        others = [name for name in registry.names() if setting in fields_of(registry.get(name))]
        return f"it is a setting of {counted(others)}." if others else ""


def train_parser(name: str, method: type[Method], *, needs_data: bool = True) -> Parser:
    """The flags of `modecover train NAME`: where data comes from and goes to, and every setting."""
    from modecover.runs.settings import PROTOCOLS, Settings, settings_of

    parser = _TrainParser(
        f"modecover train {name}",
        usage=f"modecover train {name} --data SOURCE [--out DIR] [settings]",
        description=f"{method.title}. `modecover describe {name}` tells more.",
        epilog="Running the same command again resumes. Defaults in [brackets]; a preset or protocol may change them. "
        "Exit codes: 0 done, 1 training failed, 2 bad input, 4 the alarm went off, 130 stopped.",
    )
    group = parser.add_argument_group("the run")
    unsaid = argparse.SUPPRESS
    group.add_argument("--data", required=needs_data, default=unsaid, metavar="SOURCE", help=SOURCES)
    group.add_argument("--out", default=unsaid, metavar="DIR", help="the run's folder [runs/METHOD-SOURCE]")
    config = "a TOML file of options by name, which those said here go before"
    group.add_argument("--config", default=unsaid, metavar="FILE", help=config)
    presets = f"of the method: {', '.join(method.presets) or 'it has none'}"
    protocols = f"of the literature: {', '.join(PROTOCOLS)}, none [points for points, none for images]"
    add_optional(group, {"preset": (str, "NAME", presets), "protocol": (str, "NAME", protocols)})
    alarm = "stop the run where it exceeds a share that it kept before, as in missing=0.2 (of the data); none [none]"
    group.add_argument("--alarm", metavar="NAME=X", action="append", default=[], help=alarm)
    group.add_argument("--print-config", action="store_true", help="print a file for --config that repeats the run")
    group.add_argument("--dry-run", action="store_true", help="do one step, print its schedule and cost, keep nothing")
    add_optional(parser.add_argument_group("opening the data"), DATA_FLAGS)
    points = settings_of("points")
    add_flags(parser.add_argument_group(f"settings of {name}"), method, points=points)
    add_flags(parser.add_argument_group("settings of training"), Settings, method.defaults, points=points)
    return parser


def resolved(name: str, data: str, given: Mapping[str, Any], listener: Listener) -> tuple[Dataset, Method, Settings]:
    """The data opened, method and settings, as `train` would have them."""
    from modecover.runs.run import open_for_networks
    from modecover.runs.settings import resolve

    chosen = {key: value for key, value in given.items() if key != "alarm"}
    opening = take_data_options(chosen)
    dataset = open_for_networks(name, data, chosen.get("networks", "auto"), None, listener, **opening)
    named = {layer: chosen.pop(layer, None) for layer in ("preset", "protocol")}
    return dataset, *resolve(name, dataset.shape, **named, chosen=chosen)


def print_config(name: str, data: str, out: str, given: Mapping[str, Any]) -> None:
    """Print a file that repeats the run, whatever defaults are later."""
    from modecover import __version__
    from modecover.cli.terminal import Display
    from modecover.methods import registry

    with Display() as display:
        _, method, settings = resolved(registry.name_of(name), data, given, display)
    values = {}
    for title, each in ((f"settings of {name}", method), ("settings of training", settings)):
        # What is None is not told, unless the method, or the field, has another default.
        usual = {field.name: default_of(field) for field in dataclasses.fields(each)} | dict(method.defaults)
        told = dataclasses.asdict(each).items()
        values[title] = {key: value for key, value in told if value is not None or usual[key] is not None}
    print(f"# Repeats a run of modecover {__version__}: modecover train --config FILE")
    print(config_of(name, data, out, given, values))


def dry_run(name: str, data: str, given: Mapping[str, Any]) -> None:
    """Print what `train` would do at each step, after doing a few; nothing is kept."""
    import torch

    from modecover.cli.terminal import Display, duration
    from modecover.engine.processes import choose_device
    from modecover.runs.build import build_engine

    with Display() as display:
        dataset, method, settings = resolved(name, data, given, display)
        device = choose_device(settings.device)
        progress = partial(display.preparing, "networks of each seed")
        engine = build_engine(method, settings, dataset, device=device, progress=progress)
    sizes = {key: sum(p.numel() for p in net.parameters()) // settings.seeds for key, net in engine.networks.items()}
    usual = {field.name: field.default for field in dataclasses.fields(settings)}
    told = {**method.settings(), **{key: value for key, value in settings.as_dict().items() if value != usual[key]}}
    print(f"data       {dataset.name}, samples of shape {dataset.shape}")
    print(f"networks   {', '.join(f'{key} {count:,} weights' for key, count in sizes.items())}")
    print(f"settings   {', '.join(f'{key}={shown_value(value)}' for key, value in told.items())}", flush=True)
    engine.step()  # may take minutes
    print(f"schedule   {engine.schedule()}", flush=True)
    start = time.perf_counter()
    for _ in range(TIMED_STEPS):
        engine.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = (time.perf_counter() - start) / TIMED_STEPS
    whole = duration(seconds * settings.steps)
    print(f"cost       {seconds:.3g} s a step on {device}: {settings.steps:,} steps take about {whole}")
