"""Start two processes under `torchrun` again and again: each start must end with exit code 0.

    python tests/scripts/torchrun_starts.py 100

What goes wrong at the exit of a process, in the threads of the group that trained together, does so now and then.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

WORDS = "train ivgan --data ring --steps 20 --batch 16 --evaluate-every 0 --sample-every 0".split()
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "modecover"]


def main(count: int) -> int:
    """Make `count` starts, one after the other; 0 where all of them end well."""
    codes: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as top:
        for number in range(1, count + 1):
            begin = time.monotonic()
            command = [*LAUNCH, *WORDS, "--out", str(Path(top) / str(number))]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            codes[done.returncode] += 1
            print(
                f"start {number} of {count}: exit code {done.returncode}, {time.monotonic() - begin:.0f} s", flush=True
            )
            if done.returncode:
                print(done.stderr, flush=True)
    print("exit codes: " + ", ".join(f"{code} in {times} of {count}" for code, times in sorted(codes.items())))
    return 0 if set(codes) == {0} else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
