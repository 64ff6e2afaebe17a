"""Calibration and power of the audit: results/audit.md, from the rows in results/audit.jsonl.

    python benchmarks/audit_table.py                        all cells that have no rows yet, and the page
    python benchmarks/audit_table.py mixture-2d --seeds 3   one world, a quicker look
    python benchmarks/audit_table.py --page                 the page alone

A cell is a world (mixtures of 20 modes in 2 and 16 dimensions, digits), a failure of a known size and a number of
samples, with several seeds: of data, samples and audit. Each row says which verdicts fired, and effects with their
intervals. What has its rows is not run again.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[1]
ROWS, PAGE = (REPOSITORY / "results" / f"audit.{kind}" for kind in ("jsonl", "md"))

Sides = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Real and fake samples, and the real ones' classes where they are known."""

MODES, SPREAD_2D, SPREAD_16D = 20, 0.1, 0.15
COPIED, DUPLICATES = 0.1, 0.2
DIGITS = 10


@dataclass(frozen=True)
class Failure:
    """What is wrong with a generator, how much of it, and what the audit has to say."""

    name: str
    verdict: str = ""
    truth: float = 0.0
    """The effect that the verdict should read."""
    power: float = 0.0
    """The least share of runs in which the verdict must fire."""
    count: int = 2000


DROPS = [Failure(f"drop {p:.0%}", "missing mass", p, power) for p, power in ((0.01, 0), (0.02, 0), (0.05, 0.9))]
DROPS += [Failure("drop 2%", "missing mass", 0.02, 0.5, 5000)]
DROPS += [Failure(f"drop {p:.0%}", "missing mass", p, 1.0) for p in (0.1, 0.2)]
COMMON = [
    Failure("perfect"),
    *DROPS,
    Failure("garbage 5%", "low quality", 0.05, 0.8),
    Failure("shrink 0.8", "shrink", 0.8, 0.8),
    Failure("imbalance 20%", "imbalance", 0.2, 0.9),
    Failure("copies 10%", "copying", 0.1, 0.9),
]
WORLDS: dict[str, list[Failure]] = {
    "mixture-2d": COMMON,
    "mixture-16d": [*COMMON, Failure("blur 1.2", "low quality", 0.0, 0.9)],
    "digits": [failure for failure in COMMON if failure.count == 2000],
}


# ------------------------------------------------------------------------------------------------------------- samples


def mixture(dimensions: int, failure: Failure, seed: int) -> Sides:
    """20 Gaussian modes, on a grid 10 standard deviations apart or at random places; of "drop" the first has the weight
    that is missed."""
    random = np.random.default_rng(seed)
    if dimensions == 2:
        centres, std = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).reshape(-1, 2), SPREAD_2D
    else:
        centres, std = random.standard_normal((MODES, dimensions)), SPREAD_16D
    law = np.full(MODES, 1 / MODES)
    law_of_fakes = law
    if failure.name.startswith("drop"):
        law = np.array([failure.truth] + [(1 - failure.truth) / (MODES - 1)] * (MODES - 1))
        law_of_fakes = np.where(np.arange(MODES) == 0, 0, law) / (1 - failure.truth)
    elif failure.name.startswith("imbalance"):
        law_of_fakes = law * random.permutation(np.repeat([1 + 2 * failure.truth, 1 - 2 * failure.truth], MODES // 2))

    def draw(law: np.ndarray, width: float = 1.0) -> np.ndarray:
        modes = random.choice(MODES, size=failure.count, p=law)
        return centres[modes] + width * std * random.standard_normal((failure.count, dimensions))

    real = draw(law)
    fake = draw(law_of_fakes, {"shrink 0.8": 0.8, "blur 1.2": 1.2}.get(failure.name, 1.0))
    if failure.name.startswith("garbage"):
        reach = np.ptp(real, axis=0)
        some = int(failure.truth * len(fake))
        fake[:some] = random.uniform(real.min(0) - 0.2 * reach, real.max(0) + 0.2 * reach, (some, dimensions))
    elif failure.name.startswith("copies"):
        real, fake = copied(real, fake, random)
    return real, fake, None


@cache
def all_digits() -> tuple[np.ndarray, np.ndarray]:
    from modecover.data import Images, open_data

    data = open_data("digits")
    assert isinstance(data, Images) and data.labels is not None
    return data.pixels.numpy().astype(np.float32) / 127.5 - 1, data.labels.numpy()


def digits(failure: Failure, seed: int) -> Sides:
    """At most 2,000 of one half of the digits, and as many of the other, with labels: of "drop" one class, or three
    together, are thinned to the share that is missed; shrunk digits come nearer to their class's mean; garbage has its
    pixels shuffled."""
    images, labels = all_digits()
    random = np.random.default_rng(seed)
    order = random.permutation(len(images))
    halves = [order[: len(order) // 2], order[len(order) // 2 :]]
    if failure.name.startswith("drop"):
        # No class holds a fifth of the digits: three are taken together.
        lost = random.permutation(DIGITS)[: 1 if failure.truth <= 0.05 else 3]
        gone = [np.isin(labels[half], lost) for half in halves]
        others = halves[0][~gone[0]]
        thinned = halves[0][gone[0]][: round(failure.truth * len(others) / (1 - failure.truth))]
        halves = [np.concatenate([others, thinned]), halves[1][~gone[1]]]
    elif failure.name.startswith("imbalance"):
        rare = np.isin(labels[halves[1]], random.permutation(DIGITS)[: DIGITS // 2])
        kept = (1 - 2 * failure.truth) / (1 + 2 * failure.truth)
        halves[1] = halves[1][~rare | (random.random(len(rare)) < kept)]
    real_rows, fake_rows = (random.permutation(half)[: failure.count] for half in halves)
    real, fake = images[real_rows], images[fake_rows].copy()
    if failure.name.startswith("garbage"):
        some = int(failure.truth * len(fake))
        fake[:some] = random.permuted(fake[:some].reshape(some, -1), axis=1).reshape(fake[:some].shape)
    elif failure.name.startswith("shrink"):
        means = np.stack([images[real_rows][labels[real_rows] == digit].mean(axis=0) for digit in range(DIGITS)])
        centres = means[labels[fake_rows]]
        fake = centres + np.float32(failure.truth) * (fake - centres)
    elif failure.name.startswith("copies"):
        real, fake = copied(real, fake, random)
    return real, fake, labels[real_rows]


def copied(real: np.ndarray, fake: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A tenth of the fakes copy real samples, a fifth of which stand there twice."""
    real, fake = real.copy(), fake.copy()
    rows = random.permutation(len(real))
    twice = int(DUPLICATES * len(real))
    real[rows[:twice]] = real[rows[twice : 2 * twice]]
    some = int(COPIED * len(fake))
    fake[:some] = real[random.integers(len(real), size=some)]
    return real, fake


# ----------------------------------------------------------------------------------------------------------- measuring


def measure(task: tuple[str, Failure, int]) -> dict[str, Any]:
    """One row: the audit of a world with a failure, for a seed."""
    import torch

    from modecover import audit

    world, failure, seed = task
    torch.set_num_threads(1)
    make: dict[str, Callable[[], Sides]] = {
        "mixture-2d": lambda: mixture(2, failure, seed),
        "mixture-16d": lambda: mixture(16, failure, seed),
        "digits": lambda: digits(failure, seed),
    }
    real, fake, labels = make[world]()
    start = time.process_time()
    found = audit(real, fake, labels=labels, seed=seed)
    return {
        "world": world,
        "failure": failure.name,
        "n": failure.count,
        "seed": seed,
        "cpu_s": round(time.process_time() - start, 1),
        "verdicts": {
            verdict.name: [verdict.fires, *(float(f"{end:.4g}") for end in vars(verdict.effect).values())]
            for verdict in found.verdicts
        },
    }


def rows() -> list[dict[str, Any]]:
    """What is there."""
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()] if ROWS.exists() else []


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["world"], row["failure"], row["n"], row["seed"]


# ---------------------------------------------------------------------------------------------------------------- page


def page(found: Sequence[dict[str, Any]]) -> str:
    """The tables."""
    from modecover.auditing.verdicts import NAMES

    cells: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in found:
        cells.setdefault((row["world"], row["failure"], row["n"]), []).append(row)
    known = {(world, f.name, f.count): f for world, failures in WORLDS.items() for f in failures}
    lines = [HEAD, f"| world | failure | n = m | seeds | {' | '.join(NAMES)} | read, median | truth in 95 % | |"]
    lines.append("|---|---|---|---|" + "---|" * (len(NAMES) + 3))
    covered: list[bool] = []
    alarms = {name: [0, 0] for name in NAMES}
    for (world, name, count), runs in cells.items():
        failure = known[world, name, count]
        fired = {verdict: sum(run["verdicts"][verdict][0] for run in runs) for verdict in NAMES}
        for verdict in NAMES:
            if verdict != failure.verdict:
                alarms[verdict][0] += fired[verdict]
                alarms[verdict][1] += len(runs)
        read, inside, word = "", "", ""
        if failure.verdict:
            ends = [run["verdicts"][failure.verdict][1:] for run in runs]
            read = f"{np.median([value for value, _, _ in ends]):.3g}"
            held = [low <= failure.truth <= high for _, low, high in ends]
            if failure.truth:
                inside = f"{sum(held)} of {len(held)}"
            if failure.verdict == "missing mass":
                covered += held
            if failure.power:
                word = (
                    "holds" if fired[failure.verdict] >= failure.power * len(runs) else f"**below {failure.power:g}**"
                )
        counts = [f"**{fired[v]}**" if v == failure.verdict else str(fired[v] or "") for v in NAMES]
        lines.append(
            f"| {world} | {name} | {count:,} | {len(runs)} | {' | '.join(counts)} | {read} | {inside} | {word} |"
        )
    lines += [
        "",
        "Alarms of verdicts that were not planted: "
        + "; ".join(f"{name} {wrong} of {runs}" for name, (wrong, runs) in alarms.items())
        + ".",
    ]
    lines += ["", f"The 95 % interval of the missing mass holds the truth in {sum(covered)} of {len(covered)} runs."]
    lines += ["", f"Made by `python benchmarks/audit_table.py` ({platform.machine()}, commit {commit()}).", ""]
    return "\n".join(lines)


HEAD = """# The audit: what it finds, and how often it errs

Numbers below verdicts are runs in which they fired, in bold the planted failure's. Drops, garbage, imbalance and copies
are shares of the mass or of the samples; "shrink" and "blur" are factors on the spread inside modes. Copies: a tenth of
the samples are copies of real ones, of which a fifth are there twice. Digits are audited with labels.
"""


def commit() -> str:
    words = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def tasks(worlds: Sequence[str], seeds: int) -> Iterator[tuple[str, Failure, int]]:
    """Seed after seed, so that a run that is broken off has looked at every cell."""
    for seed in range(seeds):
        for world in worlds:
            for failure in WORLDS[world]:
                yield world, failure, seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", metavar="WORLD", help=f"of {', '.join(WORLDS)} [all]")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--page", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if strangers := [world for world in arguments.worlds if world not in WORLDS]:
        parser.error(f"there is no world {strangers[0]!r}: choose of {', '.join(WORLDS)}")
    there = set(map(key, rows()))
    wanted = [] if arguments.page else list(tasks(arguments.worlds or list(WORLDS), arguments.seeds))
    missing = [(w, f, s) for w, f, s in wanted if (w, f.name, f.count, s) not in there]
    with ProcessPoolExecutor(arguments.jobs) as pool, ROWS.open("a", encoding="utf-8") as file:
        for number, row in enumerate(pool.map(measure, missing), 1):
            print(json.dumps(row), file=file, flush=True)
            print(f"  {number} of {len(missing)}: {key(row)}, {row['cpu_s']} CPU s", file=sys.stderr, flush=True)
    PAGE.write_text(page(rows()), encoding="utf-8")
    print(PAGE.read_text("utf-8"))


if __name__ == "__main__":
    main()
