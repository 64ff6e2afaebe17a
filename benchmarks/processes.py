"""Images per second of one process on one core against two processes on two cores, the same minibatches in both.

    python benchmarks/processes.py
    python benchmarks/processes.py --side 32 --steps 8 --rounds 1 --no-page      a quick look

Both are started as a user starts them, `modecover train ...` and `torchrun -m modecover train ...`, and tell their pace
in their logs. A minibatch is shared by the processes, so that both compute one and the same run. Two runs that know
nothing of each other, one on each core, show how much of two cores this machine has to give.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from engines import pictures
from report import PAGE, Held, circumstances, held_table, publish, table
from turns import ONE_THREAD, ratio, rounds

BATCH = 64
WARM_UP = 2
"""Steps whose pace does not count."""


def images_per_second(processes: int, cores: Sequence[int], data: Path, arguments: argparse.Namespace) -> float:
    """The pace of one run of so many processes, each with one thread, on as many cores."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["modecover", "train", arguments.method, "--data", str(data), "--out", f"{folder}/run"]
        words += ["--steps", str(arguments.steps + WARM_UP), "--batch", str(BATCH), "--log-every", "1"]
        words += ["--sample-every", "0", "--evaluate-every", "0", "--device", "cpu"]
        launch = ["-m"] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        launch += [] if processes == 1 else [str(processes), "-m"]
        done = subprocess.run(
            [sys.executable, *launch, *words],
            env={**os.environ, **ONE_THREAD},
            preexec_fn=lambda: os.sched_setaffinity(0, set(cores[:processes])),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{processes} process(es) failed:\n{done.stderr}")
        lines = [json.loads(line) for line in Path(folder, "run", "log.jsonl").read_text("utf-8").splitlines()]
    pace = [line["steps_per_second"] for line in lines if "steps_per_second" in line]
    return BATCH / statistics.median(1 / steps for steps in pace[WARM_UP:])


def of_two_runs_apart(cores: Sequence[int], data: Path, arguments: argparse.Namespace) -> float:
    """The sum of the paces of two runs of one process each, at the same time on a core each."""
    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(lambda core: images_per_second(1, [core], data, arguments), cores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("ivdcgan", "ivlsgan", "gan"), default="ivdcgan")
    parser.add_argument("--side", type=int, default=64, choices=(16, 32, 64, 128))
    parser.add_argument("--steps", type=int, default=6, help="of each run, whose pace counts")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-page", action="store_true", help="print only")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        raise SystemExit("This needs two cores, and a system that holds processes to them (Linux).")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "images.npy")
        np.save(data, pictures(512, arguments.side))
        two = cores[-2:][::-1]
        turns = {
            "one process": lambda: images_per_second(1, two, data, arguments),
            "two processes": lambda: images_per_second(2, two, data, arguments),
            "two runs apart": lambda: of_two_runs_apart(two, data, arguments),
        }
        taken = rounds(turns, arguments.rounds)
    one, two_together, two_apart = taken.values()
    found = [
        Held("two processes on two cores / one process", ratio(two_together, one)),
        Held("two runs apart, one on each core / one run", ratio(two_apart, one)),
    ]
    publish(
        "Processes: images a second, two against one (CPU)",
        circumstances(arguments.rounds),
        "`modecover train` and `torchrun -m modecover train` (gloo), one thread for each process,"
        f" {arguments.method} at {arguments.side}x{arguments.side}x3, DCGAN networks, a minibatch of {BATCH} in all;"
        f" the median pace of {arguments.steps} steps by the wall, start-up and first steps left out.",
        held_table(found),
        table(
            ["images a second", "measured"],
            [[name, f"{statistics.median(paces):.1f}"] for name, paces in taken.items()],
        ),
        f"Made by `python benchmarks/processes.py --method {arguments.method} --side {arguments.side}`.",
        page=None if arguments.no_page else PAGE,
    )


if __name__ == "__main__":
    main()
