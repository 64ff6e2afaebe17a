"""Kill runs at random moments, resume them until they finish, and compare with runs that nobody disturbed.

    python tests/scripts/kill_at_random.py 100

Half of the runs are stacked seeds on points; half learn images that two workers read from files. After every kill (by
a signal that no program can catch) the same command goes on; in the end the weights must be the same to the last bit,
and the folder must hold the files that the undisturbed run's holds and no other.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from modecover.training import checkpoint

COMMON = "--checkpoint-every 3 --log-every 3 --evaluate-samples 100".split()
POINTS = "train ivlsgan --data ring --steps 300 --seeds 4 --width 16 --batch 32".split()
POINTS += "--sample-every 20 --evaluate-every 40".split()
IMAGES = "train lsgan --steps 40 --width 8 --batch 16 --sample-every 7 --workers 2 --memory-limit 1".split()
PATIENCE = 600  # seconds for a run


def main(kills: int, seed: int = 0) -> int:
    """Kill `kills` runs; 0 where all of them end as if nothing had happened."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as top:
        place = Path(top)
        _draw_pictures(place / "pictures")
        commands = {
            "points": [*POINTS, *COMMON],
            "images": [*IMAGES, *COMMON, "--data", str(place / "pictures")],
        }
        seconds = {}
        for kind, words in commands.items():
            begin = time.monotonic()
            _finish(words, place / kind)
            seconds[kind] = time.monotonic() - begin
        good = 0
        for number in range(1, kills + 1):
            kind = "points" if number % 2 else "images"
            folder, begin = place / f"{kind}-{number}", time.monotonic()
            after = _kill(commands[kind], folder, chance.uniform(0, seconds[kind]))
            _finish(commands[kind], folder)
            wrong = _differences(folder, place / kind)
            good += not wrong
            took = time.monotonic() - begin
            print(
                f"kill {number} of {kills}: {kind}, {after}, {took:.0f} s in all: {wrong or 'as undisturbed'}",
                flush=True,
            )
    print(f"{good} of {kills} killed runs ended as undisturbed ones")
    return 0 if good == kills else 1


def _draw_pictures(folder: Path) -> None:
    folder.mkdir()
    values = np.random.default_rng(0)
    for number in range(64):
        Image.fromarray(values.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / f"{number}.png")


def _start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "modecover", *words, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _kill(words: list[str], folder: Path, seconds: float) -> str:
    """Start a run and kill it, workers included, after so many seconds; what became of it, in words."""
    run = _start(words, folder)
    try:
        run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        return f"killed after {seconds:.2f} s"
    return f"over before {seconds:.2f} s"


def _finish(words: list[str], folder: Path) -> None:
    run = _start(words, folder)
    text, _ = run.communicate(timeout=PATIENCE)
    if run.returncode:
        raise SystemExit(f"{' '.join(words)} ended with exit code {run.returncode}:\n{text}")


def _differences(folder: Path, undisturbed: Path) -> str:
    """In what a finished run differs from one that nobody disturbed; empty where in nothing."""
    found, wanted = (checkpoint.load_newest(path / "checkpoints") for path in (folder, undisturbed))
    assert found is not None and wanted is not None
    words = []
    if found.tensors.keys() != wanted.tensors.keys():
        words.append("other tensors")
    else:
        other = [k for k, v in wanted.tensors.items() if v.numpy().tobytes() != found.tensors[k].numpy().tobytes()]
        words += [f"{len(other)} tensors differ, {other[0]} among them"] if other else []
    more = _files(folder) ^ _files(undisturbed)
    words += [f"files differ: {', '.join(sorted(more))}"] if more else []
    return "; ".join(words)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
