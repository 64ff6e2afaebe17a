"""Starts a short run on two processes again and again: `python tests/scripts/torchrun_starts.py 20`.

What goes wrong when processes part does so in one start of many. The last line counts the exit codes; exit code 1 if
any is not 0.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "modecover"]
WORDS = "train gan --data ring --steps 20 --batch 16 --width 8 --evaluate-every 0 --sample-every 0".split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("starts", type=int, nargs="?", default=20, help="how many (20)")
    starts = parser.parse_args().starts
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    codes: Counter[int] = Counter()
    for number in range(1, starts + 1):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            words = [*LAUNCH, *WORDS, "--out", f"{folder}/run"]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
        codes[done.returncode] += 1
        print(f"{number} of {starts}: exit code {done.returncode}, {time.monotonic() - begun:.1f} s", flush=True)
        if done.returncode:
            print(done.stderr, flush=True)
    print(", ".join(f"exit code {code}: {count} of {starts}" for code, count in sorted(codes.items())))
    return int(set(codes) != {0})


if __name__ == "__main__":
    sys.exit(main())
