"""Kills short runs at random moments and resumes them: `python tests/scripts/kill_at_random.py 12`.

Half of the kills hit runs of stacked seeds on points, half runs on images that a worker process streams. Each run is
resumed until it is finished, which may take several kills; then its weights must be those of a run that was left alone,
bitwise, its files the same by name, and its processes gone. The last line counts the kills; exit code 1 if anything
was wrong. Needs `ps`.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])  # for the server that the runs are forked from

import killable  # noqa: E402

from modecover.runs.checkpoint import load_newest  # noqa: E402

OFTEN = "--checkpoint-every 5 --log-every 5 --sample-every 50 --evaluate-every 50 --evaluate-samples 50 --device cpu"
POINTS = f"train ivgan --data ring --seeds 4 --steps 100 --batch 8 --width 8 {OFTEN}"
IMAGES = f"train gan --size 16 --steps 40 --batch 8 --width 4 --memory-limit 1000 --workers 1 {OFTEN}"
GONE_WITHIN = 20.0
"""Seconds: a worker looks every five whether the run that it reads for is still there."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=12, help="how many (12)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = draw_pictures(folder / "pictures")
        kinds = {"points": (POINTS, given.kills - given.kills // 2), "images": (IMAGES, given.kills // 2)}
        good = 0
        for kind, (words, kills) in kinds.items():
            data = ["--data", str(pictures)] if kind == "images" else []
            good += Kind(kind, [*words.split(), *data], folder / kind, draw).kill(kills)
    print(f"{good} of {given.kills} kills left weights, files and processes as they are without")
    return int(good != given.kills)


def draw_pictures(folder: Path) -> Path:
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(32):
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


class Kind:
    """Runs of one command, each in a folder of its own below `folder`; the first of them is left alone."""

    def __init__(self, name: str, words: list[str], folder: Path, draw: random.Random):
        self.name, self.words, self.folder, self.draw = name, words, folder, draw
        folder.mkdir()
        self.output = folder / "output.txt"
        self.finish(folder / "alone")
        begun = time.monotonic()  # the first start also waited for the server
        self.finish(folder / "timed")
        self.seconds = time.monotonic() - begun
        print(f"{name}: a run takes {self.seconds:.1f} s when left alone", flush=True)

    def kill(self, wanted: int) -> int:
        """Kill so many times; the number of kills in runs that ended as they should."""
        done = good = runs = 0
        while done < wanted:
            runs += 1
            begun, out = time.monotonic(), self.folder / f"run-{runs}"
            groups, kills = [], 0
            while done + kills < wanted:
                process = self.start(out)
                groups.append(process.pid)
                process.join(timeout=self.draw.uniform(0, self.seconds))
                if process.exitcode is not None:
                    break
                process.kill()
                process.join()
                kills += 1
                if self.draw.random() < 0.5:
                    break
            groups.append(self.finish(out))
            done += kills
            faults = self.faults(out, groups)
            good += kills * (not faults)
            verdict = "; ".join(faults) or "as it should be"
            seconds = time.monotonic() - begun
            print(f"{self.name}: {done} of {wanted}, {kills} in this run, {seconds:.1f} s: {verdict}", flush=True)
        return good

    def start(self, out: Path) -> BaseProcess:
        return killable.start([*self.words, "--out", str(out)], self.output)

    def finish(self, out: Path) -> int | None:
        """Run to the end; the number of its process."""
        process = self.start(out)
        process.join(timeout=300)
        if process.exitcode != 0:
            sys.exit(f"{self.name}: a run ended with {process.exitcode}:\n{self.output.read_text()}")
        return process.pid

    def faults(self, out: Path, groups: list[int | None]) -> list[str]:
        """What a run of killed starts left otherwise than the run that was left alone."""
        alone = self.folder / "alone"
        expected, found = (load_newest(run / "checkpoints") for run in (alone, out))
        assert expected is not None and found is not None
        faults = []
        pairs = ((value, found.tensors.get(name)) for name, value in expected.tensors.items())
        if any(other is None or not torch.equal(value, other) for value, other in pairs):
            faults.append("other weights")
        if more := names(out) - names(alone):
            faults.append(f"leftover {', '.join(sorted(more))}")
        if less := names(alone) - names(out):
            faults.append(f"no {', '.join(sorted(less))}")
        deadline = time.monotonic() + GONE_WITHIN
        while left := living(groups):
            if time.monotonic() > deadline:
                faults.append(f"processes left: {left}")
                break
            time.sleep(0.2)
        return faults


def names(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*")}


def living(groups: list[int | None]) -> list[str]:
    """The processes of these groups that are not dead."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,pid=,args="], capture_output=True, text=True, check=True).stdout
    rows = (line.split(None, 3) for line in listed.splitlines())
    return [" ".join(row[2:]) for row in rows if int(row[0]) in groups and not row[1].startswith("Z")]


if __name__ == "__main__":
    sys.exit(main())
