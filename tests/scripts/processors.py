"""Runs the tests as other processors would: `make test-processors`, or with the names of some settings behind it.

torch and its libraries choose their kernels by what the processor can do. Each setting here makes them choose as on
another one; a test that holds on this machine's own kernels alone compares more closely than rounding allows. The
settings run one after the other; the table at the end counts each one's tests. Exit code 1 if any setting failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

SETTINGS: dict[str, dict[str, str]] = {
    "own": ONE_THREAD,
    "threads": {},
    "aten-default": {**ONE_THREAD, "ATEN_CPU_CAPABILITY": "default"},
    "aten-avx2": {**ONE_THREAD, "ATEN_CPU_CAPABILITY": "avx2"},
    "onednn-avx2": {**ONE_THREAD, "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "onednn-sse41": {**ONE_THREAD, "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "mkl-compatible": {**ONE_THREAD, "MKL_CBWR": "COMPATIBLE"},
}
"""What is set in the environment; "threads" leaves the number of threads to torch."""

COUNTS = re.compile(r"(\d+) (passed|failed|errors?|skipped)")


def run(name: str, workers: int, more: list[str]) -> tuple[int, str, float]:
    """Run the tests under a setting: pytest's exit code, its closing line, and the seconds it took."""
    cleared = {key: value for key, value in os.environ.items() if key not in {k for s in SETTINGS.values() for k in s}}
    words = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--dist", "loadfile", *more]
    start, last = time.monotonic(), ""
    with subprocess.Popen(words, env={**cleared, **SETTINGS[name]}, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith(("FAILED", "ERROR")):
                print(f"  {line.rstrip()}", flush=True)
            if COUNTS.search(line):
                last = line.strip()
    return child.returncode, last, time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETTINGS)} [all]")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="test processes [one for each core]")
    given, more = parser.parse_known_args()
    if strangers := [name for name in given.names if name not in SETTINGS]:
        parser.error(f"there is no setting {strangers[0]!r}: choose of {', '.join(SETTINGS)}")
    os.chdir(Path(__file__).parents[2])
    rows, failed = [], False
    for name in given.names or SETTINGS:
        words = " ".join(f"{key}={value}" for key, value in SETTINGS[name].items()) or "nothing set"
        print(f"{name}: {words}", flush=True)
        code, last, seconds = run(name, given.workers, more)
        counts = ", ".join(f"{count} {what}" for count, what in COUNTS.findall(last)) or "no tests ran"
        rows.append(f"{name:15} exit {code}  {seconds / 60:5.1f} min  {counts}")
        print(f"  {rows[-1]}", flush=True)
        failed |= code != 0
    print("\n".join(["", *rows]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
