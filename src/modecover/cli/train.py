"""`modecover train METHOD --data SOURCE --out DIR [settings]`"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from modecover.cli.flags import add_flags
from modecover.cli.parser import Failure, Parser
from modecover.cli.process import keep_freed_memory, own_command
from modecover.cli.sources import SOURCES, add_data_flags, take_data_options
from modecover.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from modecover.methods.base import Method
    from modecover.runs.run import Run

EXIT_STOPPED = 130


def run(words: list[str]) -> int:
    """`modecover train ...`"""
    if not words or words[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if words[0].startswith("-"):
        raise UserError("Name the method first: modecover train METHOD --data SOURCE. `modecover list` names them all.")
    name = words[0]
    from modecover.methods import registry

    given = vars(train_parser(name, registry.get(name)).parse(words[1:]))
    source, out, dry = given.pop("data"), given.pop("out"), given.pop("dry_run")
    opening = take_data_options(given)
    out = out or f"runs/{name}-{re.sub(r'[^a-zA-Z0-9.]+', '-', os.path.basename(source.rstrip('/'))).strip('-.')}"
    if dry:
        from modecover.cli.dry_run import dry_run

        dry_run(name, source, opening, **given)
        return 0
    return _train(name, source, out, {**given, **opening})


_USAGE = """usage: modecover train METHOD --data SOURCE [--out DIR] [settings]

Train a method on data. Running the same command again resumes; it ends at the weights of an uninterrupted run.

`modecover list` names the methods, `modecover train METHOD --help` the settings of one. For example:

  modecover train ivlsgan --data digits --out runs/digits
  modecover train wgan-gp --data ring --seeds 8 --out runs/ring"""


def train_parser(name: str, method: type[Method]) -> Parser:
    """The flags of `modecover train NAME`: where data comes from and goes to, and every setting."""
    from modecover.runs.resolve import PROTOCOLS, settings_of
    from modecover.runs.settings import Settings

    parser = Parser(
        f"modecover train {name}",
        usage=f"modecover train {name} --data SOURCE [--out DIR] [settings]",
        description=f"{method.title}. `modecover describe {name}` tells more.",
        epilog="Running the same command again resumes. Defaults in [brackets]; a preset or protocol may change them.",
    )
    group = parser.add_argument_group("the run")
    group.add_argument("--data", required=True, metavar="SOURCE", help=SOURCES)
    group.add_argument("--out", metavar="DIR", help=f"the run's folder [runs/{name}-SOURCE]")
    presets = f"of the method: {', '.join(method.presets) or 'it has none'}"
    group.add_argument("--preset", default=argparse.SUPPRESS, metavar="NAME", help=presets)
    protocols = f"of the literature: {', '.join(PROTOCOLS)}, none [points for points, none for images]"
    group.add_argument("--protocol", default=argparse.SUPPRESS, metavar="NAME", help=protocols)
    group.add_argument("--dry-run", action="store_true", help="do one step, print its schedule and cost, keep nothing")
    add_data_flags(parser.add_argument_group("opening the data"))
    points = settings_of("points")
    add_flags(parser.add_argument_group(f"settings of {name}"), method, points=points)
    add_flags(parser.add_argument_group("settings of training"), Settings, method.defaults, points=points)
    return parser


def _train(name: str, data: str, out: str, options: dict[str, Any]) -> int:
    from modecover.cli.progress import Display, Quiet
    from modecover.engine.finite import NonFiniteError
    from modecover.runs.run import train

    keep_freed_memory()
    listener = Display() if os.environ.get("RANK", "0") == "0" else Quiet()
    try:
        with listener:
            result = train(name, data, out, listener=listener, **options)
    except NonFiniteError as error:
        raise Failure(str(error)) from error
    if isinstance(listener, Display):
        _report(result, out, listener.picture)
    return EXIT_STOPPED if result.interrupted else 0


def _report(result: Run, out: str, picture: Path | None) -> None:
    from modecover.cli.tables import print_evaluation

    if not result.finished:
        done = f"{result.step:,} of {result.settings.steps:,} steps"
        print(f"Stopped after {done}, and saved in {out}: the same command goes on from here.")
    if result.last:
        seeds = [model.training_facts.get("seed", number) for number, model in enumerate(result.models)]
        print_evaluation(result.last, result.control, [f"seed {seed}" for seed in seeds])
    print(f"The run is in {out}: model/, samples/, curves.png, log.jsonl.")
    if picture is not None:
        print(f"Newest picture of samples: {picture}")
    print(f"Next: {own_command()} sample {shlex.quote(out)}")
