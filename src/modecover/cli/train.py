"""`modecover train METHOD --data SOURCE --out DIR [settings]`"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from modecover.cli.parser import (
    DATA_FLAGS,
    SOURCES,
    Failure,
    Parser,
    add_flags,
    add_optional,
    shown_value,
    take_data_options,
)
from modecover.cli.process import keep_freed_memory, own_command
from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.methods.base import Method

EXIT_ALARM, EXIT_STOPPED = 4, 130
TIMED_STEPS = 3
"""Of a dry run, behind its first."""


def run(words: list[str]) -> int:
    """`modecover train ...`"""
    if not words or words[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if words[0].startswith("-"):
        raise UserError("Name the method first: modecover train METHOD --data SOURCE. `modecover list` names them all.")
    from modecover.methods import registry

    name = registry.name_of(words[0])
    given = vars(train_parser(words[0], registry.get(name)).parse(words[1:]))
    source, out, dry = given.pop("data"), given.pop("out"), given.pop("dry_run")
    words_of_alarm = given.pop("alarm")
    if dry:
        dry_run(name, source, given)
        return 0
    out = out or f"runs/{name}-{re.sub(r'[^a-zA-Z0-9.]+', '-', os.path.basename(source.rstrip('/'))).strip('-.')}"

    from modecover.cli.terminal import Display, print_evaluation
    from modecover.engine.finite import NonFiniteError
    from modecover.runs.alarm import parse_alarm
    from modecover.runs.listener import Listener
    from modecover.runs.run import train

    alarm = parse_alarm(words_of_alarm)

    keep_freed_memory()
    first = os.environ.get("RANK", "0") == "0"  # of several processes one talks
    try:
        with Display() if first else nullcontext(Listener()) as listener:
            result = train(name, source, out, alarm=alarm, listener=listener, **given)
    except NonFiniteError as error:
        raise Failure(str(error)) from error
    if isinstance(listener, Display):
        if result.alarm is not None and result.alarmed:
            print(result.alarm.sentence)
        if result.alarm is not None and result.alarm.tripped:
            print("The same command says this again; with --alarm none, or another threshold, it trains on from there.")
        elif not result.finished:
            done = f"{result.step:,} of {result.settings.steps:,} steps"
            print(f"Stopped after {done}, and saved in {out}: the same command goes on from here.")
        if result.last:
            seeds = [model.training_facts.get("seed", number) for number, model in enumerate(result.models)]
            print_evaluation(result.last, result.control, [f"seed {seed}" for seed in seeds])
        print(f"The run is in {out}: model/, samples/, curves.png, log.jsonl.")
        if listener.picture is not None:
            print(f"Newest picture of samples: {listener.picture}")
        print(f"Next: {own_command()} sample {shlex.quote(out)}")
    return EXIT_ALARM if result.alarmed else EXIT_STOPPED if result.interrupted else 0


_USAGE = """usage: modecover train METHOD --data SOURCE [--out DIR] [settings]

Train a method on data. Running the same command again resumes; it ends at the weights of an uninterrupted run.

`modecover list` names the methods, `modecover train METHOD --help` the settings of one; a method of yours is
module:Class, as Python imports it from here. For example:

  modecover train ivlsgan --data digits --out runs/digits
  modecover train wgan-gp --data ring --seeds 8 --out runs/ring
  modecover train mymodule:MyMethod --data ring --out runs/mine"""


def train_parser(name: str, method: type[Method]) -> Parser:
    """The flags of `modecover train NAME`: where data comes from and goes to, and every setting."""
    from modecover.runs.settings import PROTOCOLS, Settings, settings_of

    parser = Parser(
        f"modecover train {name}",
        usage=f"modecover train {name} --data SOURCE [--out DIR] [settings]",
        description=f"{method.title}. `modecover describe {name}` tells more.",
        epilog="Running the same command again resumes. Defaults in [brackets]; a preset or protocol may change them. "
        "Exit codes: 0 done, 1 training failed, 2 bad input, 4 the alarm went off, 130 stopped.",
    )
    group = parser.add_argument_group("the run")
    group.add_argument("--data", required=True, metavar="SOURCE", help=SOURCES)
    group.add_argument("--out", metavar="DIR", help="the run's folder [runs/METHOD-SOURCE]")
    presets = f"of the method: {', '.join(method.presets) or 'it has none'}"
    protocols = f"of the literature: {', '.join(PROTOCOLS)}, none [points for points, none for images]"
    add_optional(group, {"preset": (str, "NAME", presets), "protocol": (str, "NAME", protocols)})
    alarm = "stop the run where it exceeds a share that it kept before, as in missing=0.2 (of the data); none [none]"
    group.add_argument("--alarm", metavar="NAME=X", action="append", default=[], help=alarm)
    group.add_argument("--dry-run", action="store_true", help="do one step, print its schedule and cost, keep nothing")
    add_optional(parser.add_argument_group("opening the data"), DATA_FLAGS)
    points = settings_of("points")
    add_flags(parser.add_argument_group(f"settings of {name}"), method, points=points)
    add_flags(parser.add_argument_group("settings of training"), Settings, method.defaults, points=points)
    return parser


def dry_run(name: str, data: str, given: dict[str, Any]) -> None:
    """Print what `train` would do at each step, after doing a few; nothing is kept."""
    import torch

    from modecover.cli.terminal import Display, duration
    from modecover.engine.processes import choose_device
    from modecover.runs.build import build_engine
    from modecover.runs.run import open_for_networks
    from modecover.runs.settings import resolve

    with Display() as display:
        opening = take_data_options(given)
        dataset = open_for_networks(name, data, given.get("networks", "auto"), None, display, **opening)
        named = {layer: given.pop(layer, None) for layer in ("preset", "protocol")}
        method, settings = resolve(name, dataset.shape, **named, chosen=given)
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
