"""`modecover animate RUN`: the pictures that a run has saved, as one that moves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from modecover.cli.parser import Parser, number
from modecover.errors import UserError


def run(words: list[str]) -> int:
    """`modecover animate RUN`"""
    parser = Parser(
        "modecover animate",
        description="Make a GIF of the pictures in RUN/samples: samples of the same noise while a run trains. "
        "train --sample-every N saves more of them.",
    )
    parser.add_argument("run", metavar="RUN", help="the folder of a run, finished or not")
    parser.add_argument("--out", metavar="FILE", help="the GIF [RUN/samples.gif]")
    parser.add_argument("--seconds", type=number, default=8.0, metavar="X", help="of one round [8]")
    given = parser.parse(words)

    from modecover.cli.terminal import Display
    from modecover.files import require_writable
    from modecover.pictures.animation import animate, step_of
    from modecover.runs.records import read_run

    folder, out = Path(given.run), Path(given.out or Path(given.run) / "samples.gif")
    read_run(folder)
    if not 0 < given.seconds <= 600:
        raise UserError(f"--seconds is {given.seconds:g}: give more than 0 and at most 600.")
    if out.suffix.lower() != ".gif":
        raise UserError(f"--out is {out}: give a name that ends in .gif.")
    found = {step: path for path in (folder / "samples").glob("step-*.png") if (step := step_of(path)) is not None}
    if len(found) < 2:
        has = "one picture" if found else "no pictures"
        raise UserError(f"{folder / 'samples'} has {has}, and a GIF needs two: train on, or with --sample-every N.")
    require_writable(out)
    with Display() as display:
        told = partial(display.preparing, "animation")
        frames = animate(sorted(found.items()), out, seconds=given.seconds, progress=told)
    print(f"{out} ({frames} pictures, {out.stat().st_size / 1e6:.1f} MB)")
    return 0
