"""Time of a step of Intervention GAN on images: beside our own DCGAN, a plain program and the floors.

    python benchmarks/step_images.py                     64x64 and 32x32 on one core of the CPU
    python benchmarks/step_images.py --device cuda --method ivlsgan
    python benchmarks/step_images.py --sides 32 --rounds 1 --no-page     a quick look

Batch 64, one encoder step, DCGAN networks. On a GPU ours is the captured step and the plain program runs eagerly.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from engines import (
    PARTS,
    RATE,
    a_step,
    disagreement,
    engine_of,
    generated,
    operations,
    parts,
    pictures,
    stepper,
    with_named_data,
)
from floors import Ledger, clock_of, convolution_rate, copy_rate, count, double_precision
from plain_images import Draws, PlainIVGAN, Setting, gradients, minibatches
from report import PAGE, Held, circumstances, held_table, publish, table
from turns import Contender, Repeated, hold_to_one_core, ratio, rounds, serve

from modecover.cli.process import keep_freed_memory
from modecover.runs.records import multiplies_bf16

METHODS = {"ivdcgan": "bce", "ivlsgan": "ls"}
LABELS = {"iv": "ours, {}", "dcgan": "ours, DCGAN", "plain": "plain, {}, fp32"}
"""The contenders, in the words of the page."""
BATCH = 64
IMAGES = 512
LARGE = 2**26
"""Elements of the copy that measures memory: far more than any cache holds."""
PROMISED = {"cpu": (64, 32), "cuda": (64,)}
"""Sides that something was promised for."""
PLAIN_LIMIT, CAPTURED_LIMIT, BYTES_LIMIT = 2.5, 4.0, 2.0
ITERATIONS, MINUTES = 100_000, 5.0


# ---------------------------------------------------------------------------------------------------------- contenders


def contend(arguments: argparse.Namespace) -> None:
    """Be one of the contenders: "iv" and "dcgan" are ours, "plain" is not."""
    who, side, device = arguments.be, arguments.sides[0], arguments.device
    if who != "plain" and device == "cpu":
        keep_freed_memory()  # as `modecover train` does
    if who == "plain":
        step = eager = plain_step(arguments.method, side, device)
    else:
        step, eager = our_steps(arguments.method if who == "iv" else "gan", arguments)
    on_gpu = device == "cuda"
    timed = functools.cache(
        lambda: Repeated(step, clock=clock_of(device), seconds=arguments.seconds, warm_up=10 if on_gpu else 1)
    )

    def answer(words: str) -> Any:
        return operations(eager, 10 if on_gpu else 1, device) if words == "operations" else timed().turn()

    serve(answer, {})


def our_steps(name: str, arguments: argparse.Namespace) -> tuple[Callable[[], None], Callable[[], None]]:
    """What is timed, and a step that can be taken to parts."""
    timed, eager = our_engine(name, arguments), with_named_data(our_engine(name, arguments, capture=False))
    return stepper(timed), stepper(eager)


def our_engine(name: str, arguments: argparse.Namespace, **more: Any) -> Any:
    chosen = {"batch": BATCH, "precision": arguments.precision, **more}
    return engine_of(name, generated(arguments.sides[0], IMAGES), device=arguments.device, **chosen)


def plain_step(method: str, side: int, device: str) -> Callable[[], None]:
    images = torch.from_numpy(pictures(IMAGES, side)).permute(0, 3, 1, 2).float() / 127.5 - 1
    program = PlainIVGAN(3, side, Setting(METHODS[method])).to(device)
    batches = minibatches(images, BATCH, device)
    return lambda: program.step(next(batches))


def gradients_differ_by(method: str, side: int) -> float:
    """The largest relative difference between our gradients and the oracle's, of narrow networks and a small batch."""
    setting = Setting(METHODS[method], descent=RATE)
    (ours,) = a_step(method, generated(side, 32), 2, batch=16, networks="dcgan-wide-encoder", width=8)
    with double_precision():
        ours.put_generator()
        theirs = gradients(ours.networks, ours.x, Draws.make(ours.x, setting), setting)
    return disagreement(ours.gradients, theirs)


# ------------------------------------------------------------------------------------------------------------ measuring


def measure(arguments: argparse.Namespace, who: dict[str, Contender]) -> dict[str, list[float]]:
    """Seconds of a step by contender, and rates in their turn."""
    side, device = arguments.sides[0], arguments.device
    turns: dict[str, Callable[[], float]] = {name: lambda c=c: float(c.ask("step")) for name, c in who.items()}
    turns["convolution"] = functools.partial(convolution_rate, side, BATCH, arguments.precision, device)
    turns["copy"] = functools.partial(copy_rate, LARGE, device, 0.3)
    return rounds(turns, arguments.rounds)


def work(arguments: argparse.Namespace, name: str) -> Ledger:
    """What one eager step of ours does, counted."""
    engine = our_engine(name, arguments, capture=False)
    step = stepper(engine)
    step()  # the optimisers' state is made in the first
    return count(step, sum(p.numel() for network in engine.networks.values() for p in network.parameters()))


def held(arguments: argparse.Namespace, taken: dict[str, list[float]], counted: dict[str, Ledger]) -> list[Held]:
    """The ratios, against what was promised for this side."""
    mine, plain, done = taken["iv"], taken["plain"], counted["iv"]
    arithmetic = ratio(mine, [done.flops / rate for rate in taken["convolution"]])
    memory = ratio(mine, [done.bytes / rate for rate in taken["copy"]])
    found = [
        Held("IVGAN / DCGAN, both ours", ratio(mine, taken["dcgan"])),
        Held("counted FLOPs of IVGAN / of DCGAN", done.flops / counted["dcgan"].flops),
    ]
    if arguments.device == "cuda":
        minutes = statistics.median(mine) * ITERATIONS / 60
        found += [
            Held("plain fp32, eager / ours, captured", ratio(plain, mine), CAPTURED_LIMIT, at_least=True),
            Held(f"{ITERATIONS:,} iterations", minutes, MINUTES, unit=" min"),
            Held("ours / floor from bytes", memory, BYTES_LIMIT),
        ]
    else:
        remark = "" if multiplies_bf16() else "promised for bf16, which this processor cannot multiply"
        found += [
            Held("plain fp32 / ours", ratio(plain, mine), PLAIN_LIMIT, at_least=True, remark=remark),
            Held("ours / floor from bytes", memory),
        ]
    found.append(Held("ours / floor from FLOPs", arithmetic))
    if arguments.sides[0] in PROMISED[arguments.device]:
        return found
    return [replace(one, limit=None) for one in found]


def times(arguments: argparse.Namespace, taken: dict[str, list[float]], counted: dict[str, Ledger]) -> str:
    """The table of what everything takes."""
    unit, scale = ("ms", 1e3) if arguments.device == "cuda" else ("CPU s", 1.0)
    rates = {name: statistics.median(taken[name]) for name in ("convolution", "copy")}
    rows = []
    for name, label in LABELS.items():
        row = [label.format(arguments.method), f"{scale * statistics.median(taken[name]):.3g}"]
        if name in counted:
            flops, moved = counted[name].flops, counted[name].bytes
            row += [f"{scale * flops / rates['convolution']:.3g}", f"{scale * moved / rates['copy']:.3g}"]
            row += [f"{flops / 1e9:,.0f} G", f"{moved / 1e9:.2f} GB"]
        rows.append(row + [""] * (6 - len(row)))
    return table([f"{unit} a step", "measured", "floor: FLOPs", "floor: bytes", "FLOPs", "bytes"], rows)


def run(arguments: argparse.Namespace) -> None:
    """Measure one side, and write its section."""
    side, device, precision = arguments.sides[0], arguments.device, arguments.precision
    here = [sys.executable, __file__, "--sides", str(side), "--device", device, "--precision", precision]
    here += ["--method", arguments.method, "--seconds", str(arguments.seconds)]
    differ = gradients_differ_by(arguments.method, side)
    counted = {name: work(arguments, method) for name, method in (("iv", arguments.method), ("dcgan", "gan"))}
    who = {name: Contender([*here, "--be", name]) for name in ("iv", "dcgan", "plain")}
    taken = measure(arguments, who)
    where = [[LABELS[name].format(arguments.method), *parts(c.ask("operations"))] for name, c in who.items()]
    for contender in who.values():
        contender.close()
    emulated = " This processor has no bf16 instructions: the promise of 2.5, made for bf16, is not put to the test."
    emulated = "" if device == "cuda" or multiplies_bf16() else emulated
    kept = "" if device == "cuda" else " Ours keeps freed memory, as `modecover train` does; plain as it comes."
    plain = "fp32 (TF32 where torch takes it unasked)" if device == "cuda" else "fp32"
    seen = "kernels of eager steps, by the part that launched them" if device == "cuda" else "torch's profiler"
    publish(
        f"Images: step at {side}x{side}x3 ({'GPU' if device == 'cuda' else 'one core, CPU'}, {precision})",
        circumstances(arguments.rounds, device=device),
        f"Batch {BATCH}, DCGAN networks, one encoder step; ours in {precision}, plain in {plain}: Algorithm 1 with"
        " forward passes for each update, `.backward()` into all networks, torch's Adam and `DataLoader`. Largest"
        f" relative difference of a gradient between ours and plain, in float64: {differ:.0e}.{emulated}{kept}",
        held_table(held(arguments, taken, counted)),
        times(arguments, taken, counted),
        "Floors: FLOPs of convolutions and products in one eager step of ours, over the rate of a discriminator's"
        f" second convolution in {precision}; bytes that convolutions, products, batch norms and optimisers read and"
        f" write, over the rate of copying {LARGE * 4 // 2**20} MiB. Where the time goes, by {seen}:",
        table(["share of the step", *PARTS], where),
        f"Made by `python benchmarks/step_images.py --sides {side} --device {device} --precision {precision}"
        f" --method {arguments.method}`.",
        page=None if arguments.no_page else PAGE if device == "cpu" else PAGE.with_name("bench-gpu.md"),
    )


def settle(arguments: argparse.Namespace) -> None:
    """Make sure of the device, and choose the precision that pays on it."""
    if arguments.device == "cpu":
        hold_to_one_core()
        torch.set_num_threads(1)
    elif not torch.cuda.is_available():
        raise SystemExit("There is no GPU here: leave out --device cuda.")
    if arguments.precision == "auto":
        arguments.precision = "bf16" if arguments.device == "cuda" or multiplies_bf16() else "fp32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 32], choices=(16, 32, 64, 128))
    parser.add_argument("--method", choices=list(METHODS), default="ivdcgan")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of ours")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn, if a step takes less")
    parser.add_argument("--no-page", action="store_true", help="print only")
    parser.add_argument("--be", choices=("iv", "dcgan", "plain"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    settle(arguments)
    if arguments.be:
        contend(arguments)
        return
    for side in list(arguments.sides):
        arguments.sides = [side]
        run(arguments)


if __name__ == "__main__":
    main()
