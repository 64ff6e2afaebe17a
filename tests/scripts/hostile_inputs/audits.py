"""Audits of sides that do not fit each other, and of samples of no variety."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hostile_inputs.record import Input, command
from hostile_inputs.things import arrays, both, copied, saved, written


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sides(real: Callable[[], object], fake: Callable[[], object]) -> Callable[[], None]:
    return both(saved("real.npy", real), saved("fake.npy", fake))


def points(count: int = 100, columns: int = 2, seed: int = 0) -> Callable[[], object]:
    return lambda: draw(seed).normal(size=(count, columns))


def images(count: int = 60, shape: tuple[int, ...] = (8, 8), seed: int = 0) -> Callable[[], object]:
    return lambda: draw(seed).random((count, *shape))


REFUSED: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "points and images": (points(), images()),
    "two and three columns": (points(), points(100, 3)),
    "other sides": (images(), images(60, (9, 9))),
    "other channels": (images(60, (3, 8, 8)), images(60, (1, 8, 8))),
    "nine samples": (points(9), points()),
    "nine fakes": (points(), points(9)),
    "no fakes": (points(), points(0)),
    "one fake": (points(), points(1)),
    "NaN in the fakes": (points(), lambda: np.where(np.arange(200).reshape(100, 2) == 9, np.nan, 0.5)),
    "infinity in the real": (lambda: np.where(np.arange(200).reshape(100, 2) == 9, np.inf, 0.5), points()),
    "NaN pixels": (images(), lambda: np.where(draw().random((60, 8, 8)) < 0.01, np.nan, 0.5)),
    "pixels of another range": (images(), lambda: draw().random((60, 8, 8)) * 255),
    "uint8 and floats of 255": (
        lambda: draw().integers(0, 256, (60, 8, 8), dtype=np.uint8),
        lambda: draw().random((60, 8, 8)) * 255,
    ),
    "a real side below 0 beyond -1": (lambda: draw().random((60, 8, 8)) - 2, images()),
    "one fake pixel at -0.01": (
        images(),
        lambda: np.concatenate([[-0.01], draw(1).random(60 * 64 - 1)]).reshape(60, 8, 8),
    ),
    "complex fakes": (points(), lambda: np.ones((100, 2), complex)),
    "text": (points(), lambda: np.full((100, 2), "a")),
    "numbers beyond float32": (points(), lambda: draw().normal(size=(100, 2)) * 1e300),
}

TAKEN: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "equal rows on both sides": (lambda: np.ones((100, 2)), lambda: np.ones((100, 2))),
    "equal real rows": (lambda: np.ones((100, 2)), points()),
    "equal fake rows": (points(), lambda: np.ones((100, 2))),
    "the same file": (points(), points()),
    "two rows, repeated": (lambda: np.tile([[0.0, 0], [1, 1]], (50, 1)), points()),
    "black images": (lambda: np.zeros((60, 8, 8), np.uint8), images()),
    "black fakes": (images(), lambda: np.zeros((60, 8, 8), np.uint8)),
    "a constant column": (lambda: np.c_[np.zeros(100), draw().normal(size=100)], points()),
    "one column": (points(100, 1), points(100, 1, 1)),
    "more columns than rows": (points(30, 200), points(30, 200, 1)),
    "images 1x1": (images(60, (1, 1)), images(60, (1, 1), 1)),
    "salaries": (lambda: draw().normal(size=(100, 2)) * [1, 1e6], lambda: draw(1).normal(size=(100, 2)) * [1, 1e6]),
    "tiny numbers": (lambda: draw().normal(size=(100, 2)) * 1e-30, lambda: draw(1).normal(size=(100, 2)) * 1e-30),
    "large numbers": (lambda: draw().normal(size=(100, 2)) * 1e30, lambda: draw(1).normal(size=(100, 2)) * 1e30),
    "the largest of float32": (
        lambda: draw().normal(size=(100, 2)) * 1e37,
        lambda: draw(1).normal(size=(100, 2)) * 1e37,
    ),
    "one far outlier": (points(), lambda: np.r_[draw(1).normal(size=(99, 2)), [[1e20, 0]]]),
    "integers": (lambda: draw().integers(0, 5, (100, 2)), lambda: draw(1).integers(0, 5, (100, 2))),
    "ten samples": (points(10), points(10, 2, 1)),
    "unequal counts": (points(200), points(11, 2, 1)),
    "float16 and float64": (lambda: draw().normal(size=(100, 2)).astype(np.float16), points(100, 2, 1)),
}

FLAGS = (
    "--features nosuch",
    "--features inception:nowhere",
    "--features inception:",
    "--features classifier",
    "--features inception:points.npy",
    "--features inception:/dev/zero",
    "--features inception:.",
    "--features=",
    "--train nowhere.npy",
    "--test nowhere.npy",
    "--test images.npy",
    "--train images.npy",
    "--labels nosuch",
    "--key nosuch",
    "--fake-key nosuch",
    "--size 8",
    "--channels 3",
    "--of-seed 3",
    "--split test",
    "--data-dir nowhere",
    "--versus nowhere.npy",
    "--versus images.npy",
    "--versus=",
    "--versus fake.npy --fail-over missing=0.1",
)


def inputs() -> Iterator[Input]:
    audit = "audit --real real.npy --fake fake.npy"
    for name, (real, fake) in REFUSED.items():
        yield command(name, audit, make=sides(real, fake))
    parsed = "__import__('json').loads(Path('a.json').read_text(), parse_constant=lambda name: 1 / 0)"
    for name, (real, fake) in TAKEN.items():
        check = f"{parsed} and Path('audit.html').is_file() and 'Warning' not in err"
        yield command(f"taken: {name}", f"{audit} --json a.json", make=sides(real, fake), right="accepted", check=check)
        words = f"{audit} --versus real.npy --json a.json"
        yield command(f"versus the data: {name}", words, make=sides(real, fake), right="accepted", check=check)
    for name in ("equal rows on both sides", "equal fake rows", "ten samples"):
        real, fake = TAKEN[name]
        words = f"{audit} --fail-under coverage=0.5 --fail-over missing=0.5"
        yield command(f"gated: {name}", words, make=sides(real, fake), right="either", codes=(0, 3))
    for flags in FLAGS:
        words = f"audit --real points.npy --fake fake.npy {flags}"
        right = "either" if flags in ("--split test", "--data-dir nowhere", "--of-seed 3") else "refused"
        yield command(flags, words, make=arrays, right=right)
    yield command("an unknown run", "audit --real points.npy --fake nowhere/run", make=arrays)
    empty = both(arrays, written("run/run.json", '{"program": "modecover"}'))
    yield command("a run without a model", "audit --real points.npy --fake run", make=empty)
    yield command(
        "a run of images against points", "audit --real points.npy --fake images-run", make=copied("images-run")
    )
    yield command(
        "a run against itself", "audit --real run --fake run --samples 60", make=copied("run"), right="either"
    )
    yield command("two endless sets", "audit --real ring --fake ring --samples 60", right="accepted")
    yield command(
        "an endless set and points of three columns",
        "audit --real ring --fake real.npy",
        make=saved("real.npy", points(100, 3)),
    )
    labels = both(saved("real.npz", points(), labels=lambda: np.arange(100)), saved("fake.npy", points(100, 2, 1)))
    words = "audit --real real.npz --fake fake.npy"
    yield command("each sample its own class", words, make=labels, right="accepted")
    one = both(saved("real.npz", images(), labels=lambda: np.zeros(60, int)), saved("fake.npy", images(60, (8, 8), 1)))
    yield command("one class", words, make=one, right="accepted")
    yield command("one class, features of classes", f"{words} --features classifier", make=one)
    minus = both(
        saved("real.npz", images(), labels=lambda: np.arange(60) % 2 - 1), saved("fake.npy", images(60, (8, 8), 1))
    )
    yield command("negative classes", words, make=minus, right="either")
    yield command("negative classes, features of classes", f"{words} --features classifier", make=minus, right="either")
    far = both(
        saved("real.npz", images(), labels=lambda: np.arange(60) % 2 * 2**62), saved("fake.npy", images(60, (8, 8), 1))
    )
    yield command("a class of 2**62", words, make=far, right="either")
    wide = sides(images(40, (96, 96, 3)), images(40, (96, 96, 3), 1))
    yield command("wide images in 1 MB", f"{audit} --memory 1MB", make=wide, right="either")
    yield command("points in 1 byte", f"{audit} --memory 1B", make=sides(points(), points(100, 2, 1)), right="either")
