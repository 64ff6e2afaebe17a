"""How long until something happens: `modecover --help`, and `modecover train` up to its first step.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --rounds 2 --no-page      a quick look

By the wall, in fresh processes, as a user waits; files that were read before are in the system's cache.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from engines import pictures
from report import PAGE, Held, circumstances, held_table, publish
from turns import rounds, spread

HELP_LIMIT, STEP_LIMIT = 0.3, 5.0
SIDE = 32
PATIENCE = 120.0
COMMAND = [sys.executable, "-m", "modecover"]


def seconds_of_help() -> float:
    """Until `modecover --help` is done."""
    start = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def seconds_to_first_step(*words: str) -> float:
    """Until `modecover train ...` has the first step in its log."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        start = time.perf_counter()
        child = subprocess.Popen(
            [*COMMAND, "train", *words, "--out", str(run), "--log-every", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while not _has_stepped(run / "log.jsonl"):
                if child.poll() is not None or time.perf_counter() - start > PATIENCE:
                    child.kill()
                    raise SystemExit(f"modecover train {' '.join(words)} made no step:\n{child.communicate()[1]}")
                time.sleep(0.005)
            return time.perf_counter() - start
        finally:
            child.kill()  # what it would still write is in nobody's interest
            child.communicate()


def _has_stepped(log: Path) -> bool:
    try:
        line, newline, _ = log.read_text("utf-8").partition("\n")
    except OSError:
        return False
    return bool(newline) and json.loads(line)["step"] >= 1


def seconds_to_import_torch() -> float:
    """The part of these times that is torch's."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-page", action="store_true", help="print only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images.npy")
        np.save(images, pictures(2000, SIDE))
        first = functools.partial(seconds_to_first_step, "ivdcgan", "--data")
        limits: dict[str, tuple[Callable[[], float], float | None]] = {
            "`modecover --help`": (seconds_of_help, HELP_LIMIT),
            "`modecover train ivdcgan --data ring`, to the end of the first step": (lambda: first("ring"), STEP_LIMIT),
            f"the same on 2,000 images of {SIDE}x{SIDE}x3": (lambda: first(str(images)), STEP_LIMIT),
            "`import torch` alone": (seconds_to_import_torch, None),
        }
        seconds_of_help()  # compiles the modules
        taken = rounds({name: run for name, (run, _) in limits.items()}, arguments.rounds)
    held = [Held(name, spread(taken[name]), limit, unit=" s") for name, (_, limit) in limits.items()]
    threads = os.environ.get("OMP_NUM_THREADS", "as many as torch takes")
    publish(
        "Start-up: from the command to its answer (CPU)",
        circumstances(arguments.rounds),
        f"Seconds by the wall, medians; threads: {threads}.",
        held_table(held),
        "Made by `python benchmarks/start_up.py`.",
        page=None if arguments.no_page else PAGE,
    )


if __name__ == "__main__":
    main()
