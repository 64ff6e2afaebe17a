"""How fast the audit's numbers are beside the packages that also compute them: CPU time on one core, as ratios.

    python benchmarks/audit_speed.py                    the sizes of the table, about ten minutes
    python benchmarks/audit_speed.py --rows 2000        a quicker look
    python benchmarks/audit_speed.py --write results/audit-speed.md

Every measurement is a fresh process held to one core and one thread, ours and the other in turn. The peers are
optional: pip install prdc torch-fidelity
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
FEW_ROWS = 1000
K = 5


@dataclass(frozen=True)
class Task:
    """Something that we and a peer compute; `needs` are the peer's packages, `limit` the ratio promised."""

    name: str
    what: str
    needs: tuple[str, ...]
    limit: float


TASKS = [
    Task("frechet", "Frechet distance from statistics", ("torch-fidelity",), 0.45),
    Task("frechet-few", f"Frechet distance of {FEW_ROWS} rows, end to end", ("torch-fidelity",), 0.15),
    Task("neighbours", "precision, recall, density, coverage", ("prdc",), 0.5),
    Task("all", "the whole set: these, Frechet and kernel distance", ("prdc", "torch-fidelity"), 0.5),
]


@dataclass(frozen=True)
class Measured:
    """CPU seconds, bytes at the peak beyond those before, and the numbers that were found."""

    seconds: float
    extra: int
    found: dict[str, float]


def features(rows: int, dimensions: int, seed: int) -> Any:
    """Non-negative float32 features of falling variance and correlated, like those of a classifier's last layer."""
    import numpy as np

    weights = np.random.default_rng(7).standard_normal((256, dimensions), dtype=np.float32) / 16
    random = np.random.default_rng(seed)
    made = np.empty((rows, dimensions), np.float32)
    for start in range(0, rows, FEW_ROWS):
        part = made[start : start + FEW_ROWS]
        part[:] = random.standard_normal((len(part), 256), dtype=np.float32) @ weights
        part += 0.3 * random.standard_normal(part.shape, dtype=np.float32)
    return np.maximum(made, 0, out=made)


def ours(task: str, real: Any, fake: Any) -> Callable[[], dict[str, float]]:
    """What is to be timed; what comes before it is prepared here."""
    from modecover.metrics import (
        frechet_distance,
        frechet_from_statistics,
        gaussian_statistics,
        neighbour_statistics,
    )

    def neighbours() -> dict[str, float]:
        found = neighbour_statistics(real, fake, k=K)
        names = ("precision", "recall", "density", "coverage")
        return {name: getattr(found, name) for name in names} | {"kernel": found.kernel.subset_mean}

    if task == "frechet":
        statistics_of_both = (*gaussian_statistics(real), *gaussian_statistics(fake))
        return lambda: {"frechet": frechet_from_statistics(*statistics_of_both)}
    if task == "frechet-few":
        return lambda: {"frechet": frechet_distance(real[:FEW_ROWS], fake[:FEW_ROWS])}
    if task == "neighbours":
        return neighbours
    return lambda: neighbours() | {"frechet": frechet_distance(real, fake)}


def theirs(task: str, real: Any, fake: Any) -> Callable[[], dict[str, float]]:
    """The same by the peers."""
    import torch

    def prdc() -> dict[str, float]:
        from prdc import compute_prdc

        with contextlib.redirect_stdout(io.StringIO()):
            return {name: float(value) for name, value in compute_prdc(real, fake, K).items()}

    if task == "neighbours":
        return prdc
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    def statistics_of(rows: Any) -> Any:
        return fid_features_to_statistics(torch.from_numpy(rows))

    def frechet(rows: int) -> dict[str, float]:
        both = statistics_of(real[:rows]), statistics_of(fake[:rows])
        return {"frechet": next(iter(fid_statistics_to_metric(*both, verbose=False).values()))}

    if task == "frechet":
        first, second = statistics_of(real), statistics_of(fake)
        return lambda: {"frechet": next(iter(fid_statistics_to_metric(first, second, verbose=False).values()))}
    if task == "frechet-few":
        return lambda: frechet(FEW_ROWS)

    def kernel() -> dict[str, float]:
        size = min(1000, len(real) // 2)
        found = kid_features_to_metric(
            torch.from_numpy(real), torch.from_numpy(fake), kid_subset_size=size, verbose=False
        )
        return {"kernel": found[KEY_METRIC_KID_MEAN]}

    return lambda: prdc() | kernel() | frechet(len(real))


def measure(task: str, who: str, rows: int, dimensions: int) -> Measured:
    """Run one computation in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    torch.set_num_threads(1)
    real, fake = features(rows, dimensions, 1), features(rows, dimensions, 2)
    compute = {"ours": ours, "theirs": theirs}[who](task, real, fake)
    before = forget_peak()
    start = time.process_time()
    found = compute()
    return Measured(time.process_time() - start, peak_memory() - before, found)


def forget_peak() -> int:
    """Bytes held now; on Linux the peak is counted anew from here."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The most bytes this process has held."""
    import resource

    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_a_process(task: Task, who: str, arguments: argparse.Namespace) -> Measured:
    """Run one computation in a fresh process."""
    command = [sys.executable, __file__, "--one", task.name, who]
    command += ["--rows", str(arguments.rows), "--dimensions", str(arguments.dimensions)]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{task.name} ({who}) failed:\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compare(task: Task, arguments: argparse.Namespace) -> str | None:
    """One line of the table: medians over the repeats, ours and theirs in turn; None without the peers."""
    missing = [package for package in task.needs if importlib.util.find_spec(package.replace("-", "_")) is None]
    if missing:
        print(
            f"{task.what}: left out, since {' and '.join(missing)} is not installed (pip install {' '.join(missing)})."
        )
        return None
    runs = [[in_a_process(task, who, arguments) for who in ("ours", "theirs")] for _ in range(arguments.repeats)]
    seconds = [statistics.median(run[who].seconds for run in runs) for who in (0, 1)]
    extra = [max(run[who].extra for run in runs) / 1e6 for who in (0, 1)]
    agreement = disagreement(runs[0][0].found, runs[0][1].found)
    return (
        f"| {task.what} | {' + '.join(task.needs)} | {seconds[0]:.2f} s | {seconds[1]:.2f} s |"
        f" **{seconds[0] / seconds[1]:.2f}** | {task.limit:g} | {extra[0]:.0f} MB | {extra[1]:.0f} MB | {agreement} |"
    )


def disagreement(mine: dict[str, float], other: dict[str, float]) -> str:
    """The largest relative difference of the numbers both have; random subsets differ and are left out."""
    shared = [name for name in mine if name in other and name != "kernel"]
    worst = max(abs(mine[name] - other[name]) / max(abs(other[name]), 1e-300) for name in shared)
    return "none" if worst == 0 else f"{worst:.0e}"


def processor() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def heading(arguments: argparse.Namespace) -> str:
    """What the table was made with."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "--", "../src"], capture_output=True, text=True).stdout
    packages = ["torch", "numpy", "scipy", "prdc", "torch-fidelity", "scikit-learn"]
    versions = []
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    return (
        f"{arguments.rows} real and {arguments.rows} fake rows of {arguments.dimensions} float32 features; one core of"
        f" {processor()};\n{', '.join(versions)};\nPython {platform.python_version()}; commit {commit or 'unknown'}"
        f"{' with changes' if changed else ''}. CPU seconds, median of {arguments.repeats}, each in a fresh process,\n"
        "ours and theirs in turn. Memory is the peak beyond the features themselves."
    )


def table(arguments: argparse.Namespace) -> str:
    lines = [
        "| | peer | ours | theirs | ratio | at most | our memory | their memory | largest relative difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        if arguments.only and task.name not in arguments.only:
            continue
        if line := compare(task, arguments):
            print(line, flush=True)
            lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=[task.name for task in TASKS])
    parser.add_argument("--write", type=Path, help="also write the table into this file")
    parser.add_argument("--one", nargs=2, metavar=("TASK", "WHO"), help="measure one computation in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(asdict(measure(*arguments.one, arguments.rows, arguments.dimensions))))
        return
    made = table(arguments)
    text = f"# The audit's speed beside other packages\n\n{heading(arguments)}\n\n{made}\n"
    print("\n" + text)
    if arguments.write:
        arguments.write.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
