"""Time of a step of image networks for each of several seeds, side by side in one process.

    python benchmarks/seeds.py --device cuda             64x64 and 32x32, 1, 2, 4 and 8 seeds
    python benchmarks/seeds.py --sides 32 --width 16     one core of the CPU, where nothing is to be gained

IVLSGAN, DCGAN networks, batch 64. On a GPU each seed's step is captured and replayed on a stream of its own.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from engines import engine_of, generated, stepper
from floors import clock_of
from report import PAGE, Held, circumstances, held_table, publish
from step_images import settle
from turns import Contender, Repeated, ratio, rounds, serve, spread

METHOD, BATCH = "ivlsgan", 64
COUNTS = (1, 2, 4, 8)
PROMISED = {64: (4, 3.4), 32: (4, 1.3)}
"""For a side of images on a GPU: with so many seeds, the most milliseconds of a step and seed."""
GPU_PAGE = PAGE.with_name("bench-gpu.md")


def contend(side: int, seeds: int, arguments: argparse.Namespace) -> None:
    """Answer with the seconds of a step of all seeds."""
    chosen = {"seeds": seeds, "batch": BATCH, "precision": arguments.precision}
    chosen |= {"width": arguments.width} if arguments.width else {}
    step = stepper(engine_of(METHOD, generated(side), device=arguments.device, **chosen))
    timed = functools.cache(lambda: Repeated(step, clock=clock_of(arguments.device), seconds=1.0, warm_up=10))
    serve(lambda words: timed().turn(), {})


def measure(side: int, arguments: argparse.Namespace) -> None:
    """Measure one side, and write its section."""
    here = [sys.executable, __file__, "--device", arguments.device, "--precision", arguments.precision]
    here += ["--width", str(arguments.width)] if arguments.width else []
    who = {count: Contender([*here, "--be", str(side), str(count)]) for count in COUNTS}
    turns = {str(count): functools.partial(lambda c: float(c.ask("step")), each) for count, each in who.items()}
    taken = {int(count): [1e3 * t for t in found] for count, found in rounds(turns, arguments.rounds).items()}
    for contender in who.values():
        contender.close()
    each = {count: [t / count for t in found] for count, found in taken.items()}
    on_gpu = arguments.device == "cuda"
    asked, most = PROMISED.get(side, (0, 0.0)) if on_gpu and not arguments.width else (0, 0.0)
    held = [
        Held(
            f"{count} seed{'s' * (count > 1)}, a step and seed",
            spread(each[count]),
            most if count == asked else None,
            unit=" ms",
        )
        for count in COUNTS
    ]
    held.append(Held(f"{COUNTS[-1]} seeds, for each / one alone", ratio(each[COUNTS[-1]], each[1])))
    publish(
        f"Images: seeds at once at {side}x{side}x3 ({'GPU' if on_gpu else 'one core, CPU'}, {arguments.precision})",
        circumstances(arguments.rounds, device=arguments.device),
        f"{METHOD}, DCGAN networks{f' of width {arguments.width}' if arguments.width else ''}, batch {BATCH}, one "
        f"encoder step. All seeds in one process, {'each captured, on a stream of its own' if on_gpu else 'in turn'}.",
        held_table(held),
        f"Made by `python benchmarks/seeds.py --sides {side} --device {arguments.device}`.",
        page=None if arguments.no_page else page_of(arguments.device),
    )


def page_of(device: str) -> Path:
    """Where the sections of a device are."""
    return GPU_PAGE if device == "cuda" else PAGE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 32], choices=(16, 32, 64, 128))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--width", type=int, help="of the networks; else theirs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-page", action="store_true", help="print only")
    parser.add_argument("--be", nargs=2, type=int, metavar=("SIDE", "SEEDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settle(arguments)
    if arguments.be:
        contend(*arguments.be, arguments)
        return
    for side in arguments.sides:
        measure(side, arguments)


if __name__ == "__main__":
    main()
