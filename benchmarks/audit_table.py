"""What the audit finds and how often it errs: results/audit.md, from the rows in results/audit.jsonl.

    python benchmarks/audit_table.py                        all cells that have no rows yet, and the page
    python benchmarks/audit_table.py mixture-2d --seeds 3   one world, a quicker look
    python benchmarks/audit_table.py photographs --photographs cifar10-train.parquet
    python benchmarks/audit_table.py --page                 the page alone

A cell is a world (mixtures, digits, stacked digits, photographs, tables, generators that are not ours), a failure and a
number of samples, with several seeds: of data, samples and audit. Each row says which verdicts fired, effects with
their intervals, and the field's own numbers of the same samples. What has its rows is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[1]
ROWS, PAGE = (REPOSITORY / "results" / f"audit.{kind}" for kind in ("jsonl", "md"))
sys.path.insert(0, str(REPOSITORY / "tests"))

Sides = tuple[Any, Any, Any]
"""Real and fake samples, arrays or tables, and more options of the audit: labels or features."""

MODES, SPREAD_2D, SPREAD_16D = 20, 0.1, 0.15
COPIED, DUPLICATES = 0.1, 0.2
DIGITS = 10
PEERS = ("precision", "recall", "density", "coverage", "frechet", "kernel", "vendi")
"""The field's numbers: precision to coverage are those of the package prdc, which the tests compare them with."""


@dataclass(frozen=True)
class Failure:
    """What is wrong with a generator, how much of it, and what the audit has to say."""

    name: str
    fires: tuple[str, ...] = ()
    """The verdicts that must fire, and no other may."""
    truth: float | None = None
    """The effect that the first of them should read."""
    power: float = 1.0
    """The least share of runs in which all of them must fire."""
    count: int = 2000
    withheld: tuple[str, ...] = ()
    """Verdicts that must not say that all is well: they fire, or say that they cannot tell."""
    may: tuple[str, ...] = ()
    """Verdicts that are right if they fire, and if they do not."""


DROPS = [Failure(f"drop {p:.0%}", ("missing mass",), p, power) for p, power in ((0.01, 0), (0.02, 0), (0.05, 0.9))]
DROPS += [Failure("drop 2%", ("missing mass",), 0.02, 0.5, 5000)]
DROPS += [Failure(f"drop {p:.0%}", ("missing mass",), p) for p in (0.1, 0.2)]
COMMON = [
    Failure("perfect"),
    *DROPS,
    Failure("garbage 5%", ("low quality",), None, 0.8),
    Failure("shrink 0.8", ("shrink",), 0.8, 0.8),
    Failure("imbalance 20%", ("imbalance",), None, 0.9),
    Failure("copies 10%", ("copying",), None, 0.9),
]


def planted(count: int, *, but: Sequence[str] = ()) -> list[Failure]:
    """The failures of `tests/planted.py`."""
    from planted import EXPECTED

    return [
        Failure(name, tuple(sorted(fires)), None, 1.0, count) for name, fires in EXPECTED.items() if name not in but
    ]


PHOTOGRAPHS = [
    Failure("perfect"),
    Failure("blur 1", ("low quality",)),
    Failure("blur 2", ("low quality",)),
    Failure("JPEG 10", ("low quality",)),
    Failure("noise 0.2", ("low quality",)),
    Failure("garbage 10%", ("low quality",)),
    Failure("grey blotches", ("low quality", "shrink")),
    Failure("mean image", ("low quality", "shrink", "copying")),
    Failure("early GAN", ("low quality", "shrink")),
    Failure("drop 3 of 10", ("missing mass",), 0.3, 0.8, withheld=("missing mass",)),
    Failure("drop half a class", ("missing mass",), 0.05, 0.0),
    Failure("drop and blur", ("low quality", "missing mass"), None, 0.8, withheld=("missing mass",)),
    Failure("copies 20%", ("copying",)),
    Failure("mirrored copies 20%", ("copying",), None, 0.0),
    Failure("shifted copies 20%", ("copying",), None, 0.0),
]


def of_photographs(count: int, *names: str, hidden: bool = False) -> list[Failure]:
    """These of them, or all. Where classes are hidden, because no labels are given or in pixels, a drop must not be
    called none."""
    chosen = [replace(failure, count=count) for failure in PHOTOGRAPHS if not names or failure.name in names]
    if not hidden:
        return chosen
    without = [tuple(verdict for verdict in failure.fires if verdict != "missing mass") for failure in chosen]
    return [
        # In the regions that are seen, some are made too seldom.
        replace(failure, fires=fires, withheld=("missing mass",), may=("imbalance",))
        if fires != failure.fires
        else failure
        for failure, fires in zip(chosen, without, strict=True)
    ]


FOREIGN = [
    Failure("Gaussian mixture, 20 components", (), None, 0.0),
    Failure("Gaussian mixture, 12 components", ("low quality",), None, 0.0),
    Failure("bootstrap with jitter", ("copying",)),
    Failure("small VAE of digits", ("low quality",)),
]
TABLES = [
    Failure("perfect"),
    Failure("drop 10%", ("missing mass",), 0.1),
    Failure("bootstrap", ("copying",)),
    # Rows of nobody, who may also crowd out some that there are.
    Failure("Gaussian copula", ("low quality",), may=("missing mass", "imbalance")),
    Failure("independent columns", ("low quality",), may=("missing mass", "imbalance")),
]
WORLDS: dict[str, Callable[[], list[Failure]]] = {
    "mixture-2d": lambda: COMMON,
    "mixture-16d": lambda: [*COMMON, Failure("blur 1.2", ("low quality",), None, 0.9)],
    "digits": lambda: [failure for failure in COMMON if failure.count == 2000],
    "planted-2d": lambda: planted(2500),
    "planted-16d": lambda: planted(2500),
    "planted-digits": lambda: planted(2500),
    "planted-stacked": lambda: planted(4000),
    "foreign": lambda: FOREIGN,
    "tables": lambda: TABLES,
    "photographs": lambda: [
        *of_photographs(1500),
        *of_photographs(500, "perfect", "blur 1", "drop 3 of 10", "copies 20%"),
        *of_photographs(5000, "perfect", "blur 1", "drop 3 of 10"),
    ],
    "photographs, no labels": lambda: of_photographs(
        1500, "perfect", "blur 1", "noise 0.2", "drop 3 of 10", "drop and blur", "copies 20%", hidden=True
    ),
    "photographs in pixels": lambda: of_photographs(1500, "perfect", "blur 1", "drop 3 of 10", hidden=True),
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
        assert failure.truth is not None
        law = np.array([failure.truth] + [(1 - failure.truth) / (MODES - 1)] * (MODES - 1))
        law_of_fakes = np.where(np.arange(MODES) == 0, 0, law) / (1 - failure.truth)
    elif failure.name.startswith("imbalance"):
        law_of_fakes = law * random.permutation(np.repeat([1.4, 0.6], MODES // 2))

    def draw(law: np.ndarray, width: float = 1.0) -> np.ndarray:
        modes = random.choice(MODES, size=failure.count, p=law)
        return centres[modes] + width * std * random.standard_normal((failure.count, dimensions))

    real = draw(law)
    fake = draw(law_of_fakes, {"shrink 0.8": 0.8, "blur 1.2": 1.2}.get(failure.name, 1.0))
    if failure.name.startswith("garbage"):
        reach = np.ptp(real, axis=0)
        some = len(fake) // 20
        fake[:some] = random.uniform(real.min(0) - 0.2 * reach, real.max(0) + 0.2 * reach, (some, dimensions))
    elif failure.name.startswith("copies"):
        real, fake = copied(real, fake, random)
    return real, fake, {}


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
        # No class holds a tenth of the digits in every draw: three are taken together.
        assert failure.truth is not None
        lost = random.permutation(DIGITS)[: 1 if failure.truth <= 0.05 else 3]
        gone = [np.isin(labels[half], lost) for half in halves]
        others = halves[0][~gone[0]]
        thinned = halves[0][gone[0]][: round(failure.truth * len(others) / (1 - failure.truth))]
        halves = [np.concatenate([others, thinned]), halves[1][~gone[1]]]
    elif failure.name.startswith("imbalance"):
        rare = np.isin(labels[halves[1]], random.permutation(DIGITS)[: DIGITS // 2])
        halves[1] = halves[1][~rare | (random.random(len(rare)) < 0.6 / 1.4)]
    real_rows, fake_rows = (random.permutation(half)[: failure.count] for half in halves)
    real, fake = images[real_rows], images[fake_rows].copy()
    if failure.name.startswith("garbage"):
        some = len(fake) // 20
        fake[:some] = random.permuted(fake[:some].reshape(some, -1), axis=1).reshape(fake[:some].shape)
    elif failure.name.startswith("shrink"):
        means = np.stack([images[real_rows][labels[real_rows] == digit].mean(axis=0) for digit in range(DIGITS)])
        centres = means[labels[fake_rows]]
        fake = centres + np.float32(0.8) * (fake - centres)
    elif failure.name.startswith("copies"):
        real, fake = copied(real, fake, random)
    return real, fake, {"labels": labels[real_rows]}


def copied(real: np.ndarray, fake: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A tenth of the fakes copy real samples, a fifth of which stand there twice."""
    real, fake = real.copy(), fake.copy()
    rows = random.permutation(len(real))
    twice = int(DUPLICATES * len(real))
    real[rows[:twice]] = real[rows[twice : 2 * twice]]
    some = int(COPIED * len(fake))
    fake[:some] = real[random.integers(len(real), size=some)]
    return real, fake


def of_the_tests(world: str, failure: Failure, seed: int) -> Sides:
    """A failure of `tests/planted.py`."""
    from planted import digit_world, mixture_world, stacked_world

    made = {
        "planted-2d": lambda: mixture_world(2, failure.count, seed),
        "planted-16d": lambda: mixture_world(16, failure.count, seed),
        "planted-digits": lambda: digit_world(seed),
        "planted-stacked": lambda: stacked_world(failure.count, seed),
    }[world]()
    return made.real, made.fakes[failure.name], {"features": made.features}


def photographs(failure: Failure, seed: int, file: str) -> Sides:
    """Photographs of ten classes, with labels; one half is the data, the generator draws on the other."""
    from scipy.ndimage import gaussian_filter

    from modecover.data import Images, open_data

    data = open_data(file)
    assert isinstance(data, Images) and data.labels is not None
    random, n = np.random.default_rng(seed), failure.count
    rows = random.permutation(len(data.pixels))[: 2 * n]
    images, labels = data.pixels[rows].numpy().astype(np.float32) / 127.5 - 1, data.labels[rows].numpy()
    real, fake, classes = images[:n], images[n:], labels[n:]

    def levels(images: np.ndarray) -> np.ndarray:
        return (np.rint((np.clip(images, -1, 1) + 1) * 127.5) / 127.5 - 1).astype(np.float32)

    def blurred(images: np.ndarray, width: float) -> np.ndarray:
        return levels(gaussian_filter(images, (0, 0, width, width), mode="nearest"))

    some = n // 5
    chosen = real[random.integers(n, size=some)]
    copies = {"copies 20%": chosen, "mirrored copies 20%": chosen[..., ::-1]}
    copies["shifted copies 20%"] = np.roll(chosen, (1, 1), (2, 3))
    kept = ~np.isin(classes, random.permutation(10)[:3])
    if failure.name in copies:
        fake = np.concatenate([copies[failure.name], fake[some:]])
    elif failure.name == "garbage 10%":
        fake = fake.copy()
        fake[: n // 10] = random.permuted(fake[: n // 10].reshape(n // 10, -1), axis=1).reshape(fake[: n // 10].shape)
    elif failure.name == "grey blotches":
        blotches = gaussian_filter(random.standard_normal(fake.shape), (0, 0, 4, 4))
        fake = levels(fake.mean() + 0.15 * blotches / blotches.std())
    elif failure.name == "mean image":
        fake = levels(real.mean(axis=0) + 0.05 * random.standard_normal(fake.shape))
    elif failure.name == "noise 0.2":
        fake = levels(fake + 0.2 * random.standard_normal(fake.shape))
    elif failure.name == "JPEG 10":
        fake = np.stack([_compressed(image) for image in fake])
    elif failure.name == "drop half a class":
        # The brighter half.
        light, one = fake.mean(axis=(1, 2, 3)), classes == random.integers(10)
        fake = fake[~(one & (light > np.median(light[one])))]
    elif failure.name == "early GAN":
        fake = _early(real, seed)
    elif failure.name.startswith("drop"):
        fake = fake[kept] if failure.name == "drop 3 of 10" else blurred(fake[kept], 1.0)
    elif failure.name.startswith("blur"):
        fake = blurred(fake, float(failure.name.split()[1]))
    return real, fake, {"labels": labels[:n]}


def with_options(sides: Sides, **options: Any) -> Sides:
    real, fake, given = sides
    return real, fake, {**given, **options}


def _early(real: np.ndarray, seed: int) -> np.ndarray:
    """As many samples of a GAN that has learnt for 150 steps."""
    import modecover

    options = {"steps": 150, "width": 16, "seed": seed, "evaluate_every": 0, "sample_every": 0}
    return modecover.train("gan", real, **options).sample(len(real)).numpy()


def _compressed(image: np.ndarray) -> np.ndarray:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.rint((image + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)).save(file, "JPEG", quality=10)
    return np.asarray(Image.open(file)).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1


def foreign(failure: Failure, seed: int) -> Sides:
    """Generators that modecover did not make: mixtures fitted by expectation maximisation, a bootstrap, a small VAE."""
    from scipy.cluster.vq import kmeans2

    random = np.random.default_rng(seed)
    if failure.name == "small VAE of digits":
        return _vae(seed)
    real, _, _ = mixture(2, Failure("perfect"), seed)
    if failure.name == "bootstrap with jitter":
        return real, real[random.integers(len(real), size=len(real))] + 1e-4 * random.standard_normal(real.shape), {}
    # Expectation maximisation, from k-means: with too few components one of them has to stand for several modes.
    count = int(failure.name.split()[-2])
    means, of = kmeans2(real, count, minit="++", seed=seed)
    covariances = np.stack([np.cov(real[of == each].T) + 1e-6 * np.eye(2) for each in range(count)])
    weights = np.bincount(of, minlength=count) / len(of)
    for _ in range(100):
        away = real[:, None] - means
        exponent = -0.5 * np.einsum("ncd,cde,nce->nc", away, np.linalg.inv(covariances), away)
        logs = exponent + np.log(weights) - 0.5 * np.linalg.slogdet(covariances)[1]
        share = np.exp(logs - logs.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        total = share.sum(axis=0)
        means, weights = share.T @ real / total[:, None], total / len(real)
        away = real[:, None] - means
        covariances = np.einsum("nc,ncd,nce->cde", share, away, away) / total[:, None, None] + 1e-6 * np.eye(2)
    of = random.choice(count, size=len(real), p=weights)
    fake = means[of] + np.einsum("nde,ne->nd", np.linalg.cholesky(covariances)[of], random.standard_normal(real.shape))
    return real, fake, {}


def tables(failure: Failure, seed: int) -> Sides:
    """Tables of people and of others who do as those: "drop" has none of the widowed."""
    from census import bootstrap, copula, independent, people

    random = np.random.default_rng(seed)
    real = people(failure.count, random)
    others = {"bootstrap": bootstrap, "Gaussian copula": copula, "independent columns": independent}
    if failure.name in others:
        return real, others[failure.name](real, random), {}
    return real, people(failure.count, random, widowed=0.0 if failure.name.startswith("drop") else 0.1), {}


def _vae(seed: int) -> Sides:
    """A VAE of one hidden layer and 8 codes, in plain torch, trained on half of the digits for 30 epochs."""
    import torch
    from torch import nn

    images, labels = all_digits()
    rows = np.random.default_rng(seed).permutation(len(images))[:2500]
    real = images[rows]
    torch.manual_seed(seed)
    flat = torch.from_numpy(real).flatten(1)
    encoder = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 16))
    decoder = nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh())
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    for _ in range(30):
        for batch in flat[torch.randperm(len(flat))].split(64):
            mean, log = encoder(batch).chunk(2, dim=1)
            code = mean + (0.5 * log).exp() * torch.randn_like(mean)
            error = (decoder(code) - batch).square().sum(dim=1) / 0.5
            loss = (error + 0.5 * (mean.square() + log.exp() - 1 - log).sum(dim=1)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        fake = decoder(torch.randn(2500, 8)).reshape(real.shape).numpy()
    return real, fake, {"labels": labels[rows]}


# ----------------------------------------------------------------------------------------------------------- measuring


def measure(task: tuple[str, Failure, int, str]) -> dict[str, Any]:
    """One row: the audit of a world with a failure, for a seed."""
    import torch

    from modecover import audit

    world, failure, seed, file = task
    torch.set_num_threads(1)
    make: dict[str, Callable[[], Sides]] = {
        "mixture-2d": lambda: mixture(2, failure, seed),
        "mixture-16d": lambda: mixture(16, failure, seed),
        "digits": lambda: digits(failure, seed),
        "foreign": lambda: foreign(failure, seed),
        "tables": lambda: tables(failure, seed),
        "photographs": lambda: photographs(failure, seed, file),
        "photographs, no labels": lambda: (*photographs(failure, seed, file)[:2], {}),
        "photographs in pixels": lambda: with_options(photographs(failure, seed, file), features="pixels"),
    }
    real, fake, options = make.get(world, lambda: of_the_tests(world, failure, seed))()
    start = time.process_time()
    found = audit(real, fake, seed=seed, **options)
    return {
        "world": world,
        "failure": failure.name,
        "n": failure.count,
        "seed": seed,
        "commit": commit(),
        "cpu_s": round(time.process_time() - start, 1),
        "verdicts": {
            verdict.name: [verdict.fires, *(float(f"{end:.4g}") for end in vars(verdict.effect).values())]
            for verdict in found.verdicts
        },
        "metrics": {metric.key: float(f"{metric.value:.5g}") for metric in found.metrics if metric.key in PEERS},
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
    lines = [HEAD, f"| world | failure | n | seeds | {' | '.join(NAMES)} | read, median | truth in 95 % | |"]
    lines.append("|---|---|---|---|" + "---|" * (len(NAMES) + 3))
    covered: list[bool] = []
    alarms = {name: [0, 0] for name in NAMES}
    for world, failures in WORLDS.items():
        for failure in failures():
            runs = cells.get((world, failure.name, failure.count), [])
            if not runs:
                lines.append(
                    f"| {world} | {failure.name} | {failure.count:,} | 0 |" + " |" * len(NAMES) + " | | not run |"
                )
                continue
            fired = {verdict: sum(run["verdicts"][verdict][0] for run in runs) for verdict in NAMES}
            for verdict in NAMES if world != "foreign" else ():
                if verdict not in (*failure.fires, *failure.withheld, *failure.may):
                    alarms[verdict][0] += fired[verdict]
                    alarms[verdict][1] += len(runs)
            read, inside, word = "", "", ""
            if failure.fires:
                ends = [run["verdicts"][failure.fires[0]][1:] for run in runs]
                read = f"{np.nanmedian([value for value, _, _ in ends]):.3g}"
                if failure.truth is not None:
                    held = [low <= failure.truth <= high for _, low, high in ends]
                    inside = f"{sum(held)} of {len(held)}"
                    if failure.fires[0] == "missing mass" and not world.startswith("photographs"):
                        covered += held
                together = sum(all(run["verdicts"][verdict][0] for verdict in failure.fires) for run in runs)
                if failure.power:
                    word = "holds" if together >= failure.power * len(runs) else f"**below {failure.power:g}**"
            for verdict in failure.withheld:
                told = sum(run["verdicts"][verdict][0] or math.isnan(run["verdicts"][verdict][1]) for run in runs)
                word = f"{word}, else" * bool(word) or f"{verdict} fires, else"
                word += f" cannot tell: {told} of {len(runs)}" + ", holds" * (told == len(runs))
            counts = [f"**{fired[v]}**" if v in failure.fires else str(fired[v] or "") for v in NAMES]
            row = (world, failure.name, f"{failure.count:,}", str(len(runs)), *counts, read, inside, word)
            lines.append(f"| {' | '.join(row)} |")
    lines += [
        "",
        "Alarms of verdicts that were not planted: "
        + "; ".join(f"{name} {wrong} of {runs}" for name, (wrong, runs) in alarms.items())
        + ".",
    ]
    lines += ["", f"The 95 % interval of the missing mass holds the truth in {sum(covered)} of {len(covered)} runs."]
    lines += ["", *_peers(cells)]
    of = ", ".join(sorted({row["commit"] for row in found}))
    lines += [
        "",
        f"Made by `python benchmarks/audit_table.py` on one {platform.machine()} core a run; rows of commit {of}.",
        "",
    ]
    return "\n".join(lines)


def _peers(cells: dict[tuple[str, str, int], list[dict[str, Any]]]) -> list[str]:
    """Which failures the field's numbers tell from a perfect generator: by more than three standard deviations."""
    lines = [PEER_HEAD, "| world | failure | " + " | ".join(PEERS) + " |", "|---|---|" + "---|" * len(PEERS)]
    for (world, name, count), runs in cells.items():
        perfect = cells.get((world, "perfect", count), [])
        if name == "perfect" or len(perfect) < 3 or any("metrics" not in run for run in (*runs, *perfect)):
            continue
        told = []
        for peer in PEERS:
            here, there = (np.array([run["metrics"][peer] for run in side]) for side in (runs, perfect))
            spread = max(float(np.hypot(here.std(ddof=1), there.std(ddof=1))) if len(here) > 1 else 0.0, 1e-12)
            told.append(
                f"{(here.mean() - there.mean()) / spread:+.0f}" if abs(here.mean() - there.mean()) > 3 * spread else ""
            )
        lines.append(f"| {world} | {name}, n = {count:,} | {' | '.join(told)} |")
    return lines


HEAD = """# The audit: what it finds, and how often it errs

Numbers below verdicts are runs in which they fired, in bold those that must. Drops are shares of the mass; "shrink" and
"blur" are factors on the spread inside modes; garbage, imbalance and copies are shares of the samples. Copies of 10 %:
a fifth of the real samples stand there twice. `planted` worlds are those of `tests/planted.py`. Digits and photographs
(CIFAR-10's training images, from a file) are audited with labels unless it is said otherwise. *Tables* are of made-up
people (`tests/census.py`); two thirds of the copula's rows are of nobody. *Foreign* are generators
that modecover did not make; what else must fire there is not known beforehand. "Else cannot tell" counts the runs in
which the verdict fires or says that it cannot tell, and never that all is well. Of half a class nothing is seen, and
the sentence says that of parts of classes nothing would be.
"""

PEER_HEAD = """## The field's numbers of the same samples

By how many standard deviations (over seeds, of the difference) a failure moves the number from a perfect generator's;
empty below 3. A number that moves says that something is wrong, and not what; copies move none.
"""


def commit() -> str:
    words = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def tasks(worlds: Sequence[str], seeds: int, file: str) -> Iterator[tuple[str, Failure, int, str]]:
    """Seed after seed, so that a run that is broken off has looked at every cell."""
    for seed in range(seeds):
        for world in worlds:
            for failure in WORLDS[world]():
                yield world, failure, seed, file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", metavar="WORLD", help=f"of {', '.join(WORLDS)} [all there are data for]")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--photographs", default="", metavar="FILE", help="colour images with ten classes, as CIFAR-10")
    parser.add_argument("--page", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    worlds = arguments.worlds or [
        world for world in WORLDS if arguments.photographs or not world.startswith("photographs")
    ]
    if strangers := [world for world in worlds if world not in WORLDS]:
        parser.error(f"there is no world {strangers[0]!r}: choose of {', '.join(WORLDS)}")
    if any(world.startswith("photographs") for world in worlds) and not arguments.photographs:
        parser.error("photographs need --photographs FILE")
    there = set(map(key, rows()))
    wanted = [] if arguments.page else list(tasks(worlds, arguments.seeds, arguments.photographs))
    missing = [each for each in wanted if (each[0], each[1].name, each[1].count, each[2]) not in there]
    with ProcessPoolExecutor(arguments.jobs) as pool, ROWS.open("a", encoding="utf-8") as file:
        for number, row in enumerate(pool.map(measure, missing), 1):
            print(json.dumps(row), file=file, flush=True)
            print(f"  {number} of {len(missing)}: {key(row)}, {row['cpu_s']} CPU s", file=sys.stderr, flush=True)
    PAGE.write_text(page(rows()), encoding="utf-8")
    print(PAGE.read_text("utf-8"))


if __name__ == "__main__":
    main()
