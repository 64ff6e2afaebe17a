"""Audits of sides that do not fit each other, and of samples of no variety."""

from __future__ import annotations

import os
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

FEATURES = {
    "no numbers": "torch.zeros(len(x), 0)",
    "a row for all": "x.flatten(1).mean(0, keepdim=True)",
    "a row too many": "torch.zeros(len(x) + 1, 4)",
    "a number for each": "x.flatten(1).mean(1)",
    "maps": "x",
    "NaN": "x.flatten(1) * float('nan')",
    "infinity": "x.flatten(1) / 0",
    "complex numbers": "torch.complex(x, x).flatten(1)",
    "whole numbers": "(x.flatten(1) * 9).int()",
    "truth values": "x.flatten(1) > 0",
    "two tensors": "(x, x)",
    "an error": "x.reshape(7, 11)",
    "numbers beyond float32": "x.flatten(1).double() * 1e300",
    "constants": "torch.ones(len(x), 4)",
    "half": "x.flatten(1).half()",
    "10,000 numbers for each": "x.flatten(1).repeat(1, 40)",
    "other numbers each time": "torch.rand(len(x), 4)",
}
"""What a TorchScript network gives."""

SOUND = (
    "constants",
    "half",
    "a number for each",
    "whole numbers",
    "truth values",
    "10,000 numbers for each",
    "other numbers each time",
    "maps",
)

GATES = (
    *("x", "coverage", "coverage=", "=1", "coverage=nan", "coverage=x", "nosuch=1", "coverage=inf", "coverage=1e400"),
    *("coverage=0.5=0.6", "coverage=0.5,missing=0.1", "", " ", "coverage =", "cover\nage=1", "0.5", "coverage:0.5"),
)

HEADER = "age,city,kind\n"


def network(forward: str, path: str = "features.pt") -> Callable[[], None]:
    def make() -> None:
        import torch

        code = f"def forward(self, x):\n    return {forward}\n"
        module = torch.jit.ScriptModule()
        module.define(code)
        module.save(path)

    return make


def table(path: str, line: Callable[[int], str], header: str = HEADER, count: int = 80) -> Callable[[], None]:
    return written(path, header + "".join(f"{line(number)}\n" for number in range(count)))


def plain_line(number: int) -> str:
    return f"{20 + number * 7 % 50},{'Bern' if number % 3 else 'Rome'},{number % 2}"


TABLES: dict[str, Callable[[], None]] = {
    "a column less": table("fake.csv", lambda n: f"{n},Bern", "age,city\n"),
    "other columns": table("fake.csv", plain_line, "a,b,c\n"),
    "no rows": table("fake.csv", plain_line, count=0),
    "nine rows": table("fake.csv", plain_line, count=9),
    "no header": table("fake.csv", plain_line, ""),
    "words for numbers": table("fake.csv", lambda n: f"old,Bern,{n % 2}"),
    "numbers for words": table("fake.csv", lambda n: f"{n},{n},{n % 2}"),
    "empty cells alone": table("fake.csv", lambda n: ",,"),
    "numbers beyond float32": table("fake.csv", lambda n: f"{n}e300,Bern,1"),
    "infinity": table("fake.csv", lambda n: "inf,Bern,1"),
    "a column more": table("fake.csv", lambda n: f"{plain_line(n)},{n}", "age,city,kind,more\n"),
    "another order": table("fake.csv", lambda n: f"Bern,{n % 2},{n}", "city,kind,age\n"),
    "words that are new": table("fake.csv", lambda n: f"{n},Paris{n},{n % 2}"),
    "one row again and again": table("fake.csv", lambda n: plain_line(0)),
    "a column twice": table("fake.csv", plain_line, "age,age,kind\n"),
    "an array": saved("fake.npy", lambda: draw().normal(size=(80, 3))),
    "semicolons": table("fake.csv", lambda n: plain_line(n).replace(",", ";"), "age;city;kind\n"),
}
GOOD_TABLES = ("a column more", "numbers for words", "another order", "words that are new", "one row again and again")


def inputs() -> Iterator[Input]:
    yield from _features()
    yield from _gates()
    yield from _tables()
    yield from _archives()
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


def _features() -> Iterator[Input]:
    pictures = sides(images(), images(60, (8, 8), 1))
    words = "audit --real real.npy --fake fake.npy --features features.pt"
    for name, forward in FEATURES.items():
        right = "accepted" if name in SOUND[:2] else "either" if name in SOUND else "refused"
        yield command(f"features of {name}", words, make=both(pictures, network(forward)), right=right)
    for name, make in {
        "text": written("features.pt", "text"),
        "nothing": written("features.pt", ""),
        "a folder": lambda: os.mkdir("features.pt"),
        "a pipe": lambda: os.mkfifo("features.pt"),
        "a link to /dev/zero": lambda: os.symlink("/dev/zero", "features.pt"),
        "a pickle": lambda: torch_saved({"a": 1}),
        "not there": lambda: None,
        "cut off": both(network("x.flatten(1)"), lambda: os.truncate("features.pt", 500)),
    }.items():
        yield command(f"the features' file is {name}", words, make=both(pictures, make))
    of_points = both(sides(points(), points(100, 2, 1)), network("x.flatten(1)"))
    yield command("features of points", words, make=of_points, right="either")
    versus = f"{words} --versus real.npy"
    yield command("features of NaN, two generators", versus, make=both(pictures, network(FEATURES["NaN"])))
    yield command(
        "features in 1 byte", f"{words} --memory 1B", make=both(pictures, network("x.flatten(1)")), right="either"
    )


def torch_saved(value: object) -> None:
    import torch

    torch.save(value, "features.pt")


def _gates() -> Iterator[Input]:
    for gate in GATES:
        for side in ("under", "over"):
            words = ["audit", "--real", "points.npy", "--fake", "fake.npy", f"--fail-{side}={gate}"]
            yield command(f"--fail-{side}={gate!r}", words, make=arrays, changes=("audit.html",))
    for flags in (
        "--fail-under coverage=0.9 --fail-over coverage=0.1",
        "--fail-over missing=2",
        "--fail-under missing=-1",
    ):
        words = f"audit --real points.npy --fake fake.npy {flags}"
        yield command(flags, words, make=arrays, right="either", codes=(0, 3), changes=("audit.html",))
    silent = "audit --real points.npy --fake fake.npy --json - --fail-over missing=1e-9"
    check = "__import__('json').loads(out)['kind'] == 'audit'"
    yield command("a gate beside printed JSON", silent, make=arrays, right="accepted", codes=(0, 3), check=check)


def _tables() -> Iterator[Input]:
    real = table("real.csv", plain_line)
    for name, make in TABLES.items():
        fake = "fake.npy" if name == "an array" else "fake.csv"
        right = "accepted" if name in GOOD_TABLES else "either" if name in ("infinity", "semicolons") else "refused"
        words = f"audit --real real.csv --fake {fake}"
        yield command(f"a table of {name}", words, make=both(real, make), right=right)
        words = f"audit --real real.csv --fake real.csv --versus {fake}"
        yield command(f"two tables, one of {name}", words, make=both(real, make), right=right)
    for flags in (
        "--key age",
        "--key age,city",
        "--key nosuch",
        "--labels city",
        "--labels nosuch",
        "--scaling x",
        "--size 8",
    ):
        right = "refused" if flags.endswith(("nosuch", " x", " 8")) else "accepted"
        make = both(real, TABLES["another order"])
        yield command(f"a table, {flags}", f"audit --real real.csv --fake fake.csv {flags}", make=make, right=right)


def _archives() -> Iterator[Input]:
    two = saved("real.npz", points(), other=points(100, 3, 1))
    make = both(two, saved("fake.npy", points(100, 2, 2)), saved("b.npz", points(100, 2, 3), other=points(9)))
    for words in (
        "audit --real real.npz --fake fake.npy",
        "audit --real real.npz --fake fake.npy --key other",
        "audit --real real.npz --fake fake.npy --key nosuch",
        "audit --real real.npz --fake fake.npy --key data --versus b.npz",
        "audit --real real.npz --fake fake.npy --key data --fake-key x",
        "audit --real real.npz --fake b.npz --key data --fake-key other",
        "audit --real real.npz --fake real.npz --key data --fake-key other",
    ):
        yield command(words, words, make=make)
    for words in (
        "audit --real real.npz --fake fake.npy --key data",
        "audit --real real.npz --fake b.npz --key data --fake-key data",
        "audit --real real.npz --fake b.npz --key data --fake-key data --versus b.npz",
        "audit --real real.npz --fake fake.npy --key data --versus fake.npy --train fake.npy",
    ):
        yield command(words, words, make=make, right="either" if "--versus" in words else "accepted")
