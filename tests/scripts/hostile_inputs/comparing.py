"""Runs that are compared, drawn and animated, and that are none, damaged, unfinished or the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile_inputs.record import Input, command, python
from hostile_inputs.things import both, copied, written


def ring(*names: str) -> Callable[[], None]:
    """Copies of the run on the ring, under these names."""

    def make() -> None:
        copied("ring-run")()
        for name in names:
            shutil.copytree("ring-run", name)

    return make


def changed(path: str, key: str, value: object) -> Callable[[], None]:
    def make() -> None:
        content = json.loads(Path(path).read_text())
        place = content
        *above, last = key.split(".")
        for part in above:
            place = place[part]
        place[last] = value
        Path(path).write_text(json.dumps(content))

    return make


def inputs() -> Iterator[Input]:
    compare = "compare ring-run b --out p.html --json p.json"
    wrote = "Path('p.html').is_file() and Path('p.json').is_file()"
    yield command("two copies of a run", compare, make=ring("b"), right="accepted", check=wrote)
    for name, words in {
        "one run": "compare ring-run",
        "one run twice": "compare ring-run ring-run/",
        "a folder that is no run": "compare ring-run .",
        "a file": "compare ring-run points.npy",
        "nothing": "compare ring-run nowhere",
        "an empty name": ["compare", "ring-run", ""],
        "a model": "compare ring-run ring-run/model",
        "other data": "compare ring-run run",
        "a page that is a picture": "compare ring-run b --out p.png",
        "a page that is a folder": "compare ring-run b --out b",
        "JSON that is a page": "compare ring-run b --json p.html",
        "101 names": "compare" + " ring-run" * 101,
    }.items():
        yield command(f"compared: {name}", words, make=both(copied("run"), ring("b")))
    thirty = [f"r{number}" for number in range(30)]
    words = ["compare", *thirty, "--out", "p.html"]
    yield command(
        "thirty runs", words, make=ring(*thirty), right="accepted", check="Path('p.html').stat().st_size < 4e6"
    )
    for name, content in {
        "nothing": b"",
        "NaN": b'{"step": 2, "evaluation": {"modes_any": ["NaN"], "modes_many": [NaN], "high_quality": [1e999]}}\n',
        "one seed too many": b'{"step": 2, "evaluation": {"modes_any": [1, 2]}}\n',
        "texts": b'{"step": 2, "evaluation": {"modes_any": ["a"]}}\n',
        "no dictionary": b'{"step": 2, "evaluation": 5}\n{"evaluation": null}\n',
        "steps of all kinds": b'{"step": 1e999, "evaluation": {"a": [1]}}\n{"step": -5, "evaluation": {"a": [1]}}\n',
        "a huge step": b'{"step": ' + b"9" * 400 + b', "evaluation": {"a": [1]}}\n',
        "huge numbers": b'{"step": 1, "evaluation": {"a": [1e308]}}\n{"step": 2, "evaluation": {"a": [-1e308]}}\n',
        "a huge whole number": b'{"step": 1, "evaluation": {"a": [' + b"9" * 400 + b"]}}\n",
        "strange names": b'{"step": 1, "evaluation": {"": [1], "<b>": [2], "\\u0000": [3], "$\\\\frac{": [1]}}\n',
        "no UTF-8": b"\xff\xfe\n",
        "10,000 evaluations": b"".join(
            b'{"step": %d, "evaluation": {"modes_any": [1.5]}}\n' % step for step in range(10_000)
        ),
    }.items():
        make = both(ring("b"), written("b/log.jsonl", content))
        yield command(f"compared: a log of {name}", compare, make=make, right="accepted", check=wrote)
    for key, value in {
        "settings.seeds": 0,
        "settings.seed": "x",
        "settings.steps": None,
        "settings.lr": [[["x" * 10_000]]],
        "settings.strange": {"a": {"b": None}},
        "data.name": 5,
        "data.fingerprint": None,
        "starts": [],
        "starts.0": 5,
        "method": "<script>",
    }.items():
        change = changed("b/run.json", key.removesuffix(".0"), [value] if key == "starts.0" else value)
        yield command(
            f"compared: {key} is {str(value)[:20]}",
            compare,
            make=both(ring("b"), change),
            right="either",
        )
    for name, content in {
        "nothing": b"",
        "a list": b"[]",
        "text": b"x",
        "an alarm": b'{"alarm": {"tripped": true}}',
    }.items():
        make = both(ring("b"), written("b/summary.json", content))
        yield command(f"compared: a summary of {name}", compare, make=make, right="accepted", check=wrote)
    gone = both(ring("b"), lambda: os.remove("b/log.jsonl"), lambda: os.remove("b/summary.json"))
    yield command("compared: a run that has only begun", compare, make=gone, right="accepted", check=wrote)
    bad = both(ring("b"), *(written(f"b/samples/step-{n:09}.png", b"x") for n in (1, 10**9)))
    yield command("compared: a damaged picture", compare, make=bad, right="accepted", check=wrote)
    yield command("animated: a damaged picture", "animate b", make=bad)
    yield command("animated: no run", "animate .", make=copied("run"))
    yield command("animated: one picture", "animate run --out a.gif", make=copied("run"), right="either")
    for words in (
        "reconstruct run",
        "interpolate run",
        "traverse run",
        "reconstruct encoder-run --rows 100",
        "reconstruct encoder-run --rows=-1",
        "reconstruct encoder-run --rows 1,x",
        "reconstruct encoder-run --rows ,",
        "reconstruct encoder-run --count 0",
        "reconstruct encoder-run --count 1e15",
        "reconstruct encoder-run --data images.npy",
        "reconstruct encoder-run --data nowhere.npy",
        "reconstruct encoder-run --out a.txt",
        "reconstruct encoder-run --of-seed 9",
        "interpolate encoder-run --rows 1",
        "interpolate encoder-run --steps 1",
        "interpolate encoder-run --steps 1e15",
        "traverse encoder-run --dimension 2",
        "traverse encoder-run --dimension=-1",
        "traverse encoder-run --low nan",
        "traverse encoder-run --high inf",
        "animate encoder-run --seconds=-1",
        "animate encoder-run --out a.png",
    ):
        yield command(words, words, make=copied("run", "encoder-run"))
    for words in ("reconstruct encoder-run --out a.png", "traverse encoder-run --low 9 --high -9 --out a.npy"):
        yield command(words, words, make=copied("encoder-run"), right="accepted")
    model = "modecover.load('encoder-run')"
    for code in (
        f"{model}.interpolate(np.zeros((2, 2)), np.zeros((3, 2)))",
        f"{model}.interpolate(np.zeros((2, 2)), np.zeros((2, 2)), steps=2.5)",
        f"{model}.traverse(np.zeros((2, 2)), 'x')",
        f"{model}.traverse(np.zeros((2, 2)), 0, steps=10**18)",
        f"{model}.traverse(np.zeros((2, 2)), 0, low=float('inf'))",
        f"{model}.reconstruct([[1, 2], [3]])",
        f"{model}.reconstruct(torch.zeros(2, 2, dtype=torch.complex64))",
        f"{model}.reconstruct(None)",
        "modecover.compare('encoder-run')",
        "modecover.compare(['encoder-run', None])",
        "modecover.compare({'encoder-run', 'x'})",
        "modecover.compare(['encoder-run', 'x\\0'])",
        "modecover.compare(5)",
    ):
        yield python(code, make=copied("encoder-run"))
