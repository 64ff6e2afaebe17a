"""CPU time of a step of stacked seeds on points of the plane, for each seed, on one core.

    python benchmarks/step_points.py                     refreshes its section of results/bench.md
    python benchmarks/step_points.py --rounds 2 --no-page    a quick look
    python benchmarks/step_points.py --jax PYTHON        JAX from another interpreter

Plain GAN and LDMGAN with the networks of the preset "ldmgan", batch 128: ours at several numbers of stacked seeds; a
plain PyTorch program of one seed; JAX with jit, vmap over the seeds and scan over the steps; and the floors.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from engines import (
    PARTS,
    RATE,
    a_step,
    disagreement,
    engine_of,
    largest,
    operations,
    parts,
    stepper,
    with_named_data,
)
from floors import POINTS, copy_rate, double_precision, product_rate
from plain_points import BATCH, PLAIN, minibatches
from report import PAGE, Held, circumstances, held_table, publish, table
from turns import Absent, Contender, Repeated, hold_to_one_core, ratio, rounds, serve

from modecover.data import open_data

DATA = "ring-ldmgan"
BLOCK = 32
"""Steps in a turn are a multiple of it: minibatches of ours are drawn so many at once."""
STEP = 8
"""Whose gradients are compared: by then ours has done its first steps, which may go another way."""
POINTS_IN_LOADER = 50_000
PLAIN_LIMIT = {"gan": 7.0, "ldmgan": 6.0}
EAGER_LIMIT, EAGER_SEEDS = 1.7, 8
"""Promised for so many seeds: with more of them, products take most of either's time."""


# ---------------------------------------------------------------------------------------------------------- contenders


def ours() -> None:
    """Be the contender "ours"."""
    data = open_data(DATA)

    @functools.cache
    def prepared(name: str, seeds: int) -> tuple[dict[str, Repeated], Callable[[], None], Callable[[], None]]:
        engine = functools.partial(engine_of, name, data, protocol="ldmgan", seeds=seeds)
        steps = {"step": stepper(engine()), "eager-step": engine().step}
        timed = {what: Repeated(step, warm_up=BLOCK, multiple=BLOCK) for what, step in steps.items()}
        return timed, stepper(with_named_data(engine())), with_named_data(engine()).step

    def answer(words: str) -> Any:
        what, name, seeds = words.split()
        timed, fast, eager = prepared(name, int(seeds))
        if what in timed:
            return timed[what].turn() / int(seeds)
        step = eager if what == "eager" else fast
        for _ in range(BLOCK):
            step()
        return operations(step, BLOCK)

    serve(answer, {})


def plain() -> None:
    """Be the contender "plain"; "without-loader" takes a minibatch that is at hand."""
    data = open_data(DATA)
    points = data.fetch(data.draw(POINTS_IN_LOADER, torch.Generator().manual_seed(0)))

    @functools.cache
    def prepared(what: str, name: str) -> tuple[Repeated, Callable[[], None]]:
        program, batches = PLAIN[name](), minibatches(points)
        held = next(batches)

        def step() -> None:
            program.step(held if what == "without-loader" else next(batches))

        return Repeated(step, warm_up=BLOCK, multiple=BLOCK), step

    def answer(words: str) -> Any:
        what, name, _ = words.split()
        timed, step = prepared(what.replace("operations", "step"), name)
        return operations(step, BLOCK) if what == "operations" else timed.turn()

    serve(answer, {})


def gradients_differ_by(name: str, seeds: int = 2) -> float:
    """The largest relative difference of a gradient between our stacked seeds and the plain program, in float64."""
    worst = 0.0
    for ours in a_step(name, open_data(DATA), STEP, protocol="ldmgan", seeds=seeds):
        with double_precision():
            program = PLAIN[name](lambda parameters: torch.optim.SGD(parameters, RATE))
            program.load(ours.networks)
            ours.put_generator()
            program.step(ours.x)
        worst = max(worst, disagreement(ours.gradients, program.gradients))
    return worst


# ------------------------------------------------------------------------------------------------------------ measuring


def contenders(arguments: argparse.Namespace) -> tuple[dict[str, Contender], str]:
    """Those that can run here, and a word about the peer."""
    here = [sys.executable, __file__, "--be"]
    found = {name: Contender([*here, name]) for name in ("ours", "plain")}
    peer = [arguments.jax or sys.executable, str(Path(__file__).with_name("peer_jax.py"))]
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    try:
        found["jax"] = Contender(peer, {"XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"})
    except Absent as reason:
        return found, f"{reason}."
    return found, ""


def measure(arguments: argparse.Namespace, who: dict[str, Contender], name: str) -> dict[str, list[float]]:
    """Seconds for each seed and step, by contender and number of seeds; and rates, in their turn."""

    def of(contender: str, what: str, seeds: int) -> Callable[[], float]:
        return lambda: float(who[contender].ask(f"{what} {name} {seeds}"))

    turns: dict[str, Callable[[], float]] = {"plain": of("plain", "step", 1)}
    turns["without loader"] = of("plain", "without-loader", 1)
    for seeds in arguments.seeds:
        turns[f"ours {seeds}"] = of("ours", "step", seeds)
        turns[f"eager {seeds}"] = of("ours", "eager-step", seeds)
        if "jax" in who:
            turns[f"jax {seeds}"] = lambda seeds=seeds: float(who["jax"].ask(f"{name} {seeds}"))
        turns[f"product {seeds}"] = functools.partial(product_rate, seeds)
        turns[f"copy {seeds}"] = functools.partial(copy_rate, seeds * BATCH * 64)
    return rounds(turns, arguments.rounds)


def floors(taken: dict[str, list[float]], name: str, seeds: int) -> tuple[list[float], list[float]]:
    """Seconds for each seed and step, of arithmetic and of memory, in each round."""
    work = POINTS[name]
    arithmetic = [work.flops(BATCH) / rate for rate in taken[f"product {seeds}"]]
    return arithmetic, [work.bytes(BATCH) / rate for rate in taken[f"copy {seeds}"]]


def in_numbers(taken: dict[str, list[float]], name: str, seeds: int) -> list[str]:
    """A row of the table of times."""
    jax = taken.get(f"jax {seeds}")
    columns = [taken[f"ours {seeds}"], taken["plain"], taken["without loader"], *floors(taken, name, seeds)]
    cells = [f"{1e6 * statistics.median(column):,.0f}" for column in columns]
    cells.insert(3, f"{1e6 * statistics.median(jax):,.0f}" if jax else "not installed")
    return [f"{name}, {seeds} seeds", *cells]


def held(taken: dict[str, list[float]], name: str, seeds: int) -> list[Held]:
    """The ratios."""
    mine, label = taken[f"ours {seeds}"], f"{name}, {seeds} seeds"
    found = [Held(f"{label}: plain / ours", ratio(taken["plain"], mine), PLAIN_LIMIT[name], at_least=True)]
    found.append(Held(f"{label}: plain without its loader / ours", ratio(taken["without loader"], mine)))
    if f"jax {seeds}" in taken:
        found.append(Held(f"{label}: ours / JAX", ratio(mine, taken[f"jax {seeds}"])))
    eager = ratio(taken[f"eager {seeds}"], mine)
    limit = EAGER_LIMIT if seeds == EAGER_SEEDS else None
    found.append(Held(f"{label}: ours without replay / ours", eager, limit, at_least=True))
    found.append(Held(f"{label}: ours / arithmetic floor", ratio(mine, floors(taken, name, seeds)[0])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list(PLAIN), default=list(PLAIN))
    parser.add_argument("--seeds", nargs="+", type=int, default=[8, 16])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--jax", metavar="PYTHON", help="the interpreter that has JAX [this one]")
    parser.add_argument("--no-page", action="store_true", help="print only")
    parser.add_argument("--be", choices=("ours", "plain"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    hold_to_one_core()
    torch.set_num_threads(1)
    if arguments.be:
        {"ours": ours, "plain": plain}[arguments.be]()
        return
    run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Measure all, and write the section."""
    who, missing = contenders(arguments)
    times, ratios, where, most, same = [], [], [], [], []
    for name in arguments.methods:
        same.append(f"{name} {gradients_differ_by(name):.0e}")
        taken = measure(arguments, who, name)
        for seeds in arguments.seeds:
            times.append(in_numbers(taken, name, seeds))
            ratios += held(taken, name, seeds)
            most.append(f"- {name}, {seeds} seeds: {largest(who['ours'].ask(f'operations {name} {seeds}'))}")
        where.append([f"{name}, ours, eager, {seeds} seeds", *parts(who["ours"].ask(f"eager {name} {seeds}"))])
        where.append([f"{name}, plain", *parts(who["plain"].ask(f"operations {name} 1"))])
    versions = who["jax"].facts["versions"] if "jax" in who else {}
    for contender in who.values():
        contender.close()
    columns = ["µs for each seed and step", "ours", "plain", "plain without loader", "JAX"]
    publish(
        "Points: stacked seeds, one core (CPU)",
        circumstances(arguments.rounds, versions),
        f"CPU time on one core; {DATA}, networks of the preset `ldmgan` (G and E 2x64, D 1x64), batch {BATCH}. Plain is"
        " one seed: `nn.Sequential`, `.backward()`, a forward pass for every loss, Adam, a `DataLoader` over a shuffled"
        f" `TensorDataset` of {POINTS_IN_LOADER:,} points. JAX is `jit`, `vmap` over seeds and `scan` over steps."
        f" Largest relative difference of a gradient between two stacked seeds of ours and plain, in float64:"
        f" {', '.join(same)}. {missing}",
        held_table(ratios),
        table([*columns, "floor: arithmetic", "floor: memory"], times),
        "Floors: the matrix products of the passes that the updates need, over the rate of that many 64x64 by 64x128"
        " products at once; activations, their gradients and Adam's words, over the rate of copying one layer's"
        " activations. Where the time goes, by torch's profiler, whose own cost is in it:",
        table(["share of the step", *PARTS], where),
        "The operations that ours, as it is timed above, spends most of its time in:",
        "\n".join(most),
        "Made by `python benchmarks/step_points.py`.",
        page=None if arguments.no_page else PAGE,
    )


if __name__ == "__main__":
    main()
