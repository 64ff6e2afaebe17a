"""Runs that are damaged, locked, of something else, or that are taken up with other data."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostile_inputs.record import Input, command, python
from hostile_inputs.things import SMALL, both, copied, saved, written

AGAIN = f"train gan --data points.npy {SMALL} --out run"
FARTHER = "train gan --data points.npy --steps 4 --batch 8 --width 4 --out run"
STARTS = ("run/run.json", "run/.lock", "run/log.jsonl", "run/samples", "run/curves.png", "run/summary.json")
"""What a start that finds nothing it can use may have written."""

VALUES: dict[str, Any] = {"None": None, "a list": [], "a number": 7, "a text": "x", "a dictionary": {}}


def edited(path: str, change: Callable[[Any], Any]) -> Callable[[], None]:
    def make() -> None:
        copied("run")()
        place = Path(path)
        content = json.loads(place.read_text())
        new = change(content)
        place.write_text(json.dumps(content if new is None else new))

    return make


def replaced(path: str, content: bytes | str) -> Callable[[], None]:
    return both(copied("run"), written(path, content))


def checkpoint(change: Callable[[Path], object]) -> Callable[[], None]:
    def make() -> None:
        copied("run")()
        for path in Path("run/checkpoints").glob("*.safetensors"):
            change(path)

    return make


def inputs() -> Iterator[Input]:
    for key in (
        "program",
        "format",
        "method",
        "data",
        "settings",
        "starts",
        "data.fingerprint",
        "data.name",
        "settings.batch",
        "settings.method",
    ):
        *above, last = key.split(".")

        def out(content: Any, above: list[str] = above, last: str = last) -> None:
            for part in above:
                content = content[part]
            content.pop(last, None)

        yield command(
            f"resumed: run.json without {key}",
            FARTHER,
            make=edited("run/run.json", out),
            right="either",
            changes=STARTS,
        )
        for name, value in VALUES.items():

            def put(content: Any, above: list[str] = above, last: str = last, value: Any = value) -> None:
                for part in above:
                    content = content[part]
                content[last] = value

            yield command(
                f"resumed: {key} is {name}", FARTHER, make=edited("run/run.json", put), right="either", changes=STARTS
            )
            if key in ("data", "settings", "method", "starts"):
                yield command(
                    f"sampled: {key} is {name}",
                    "sample run --count 9",
                    make=edited("run/run.json", put),
                    right="either",
                )
                yield command(
                    f"evaluated: {key} is {name}", "evaluate run", make=edited("run/run.json", put), right="either"
                )
    for name, content in {
        "nothing": b"",
        "text": b"text",
        "cut off": b'{"program": "modecover", ',
        "10,000 levels": b"[" * 10_000,
        "no UTF-8": b"\xff\xfe",
        "a list": b"[]",
        "a huge number": b'{"program": "modecover", "format": ' + b"9" * 5000 + b"}",
    }.items():
        yield command(f"resumed: run.json is {name}", FARTHER, make=replaced("run/run.json", content))
        yield command(
            f"resumed: log.jsonl is {name}", FARTHER, make=replaced("run/log.jsonl", content), right="accepted"
        )
        yield command(
            f"resumed: summary.json is {name}", FARTHER, make=replaced("run/summary.json", content), right="accepted"
        )
        yield command(
            f"evaluated: run.json is {name}",
            "evaluate run --no-audit --data ring",
            make=replaced("run/run.json", content),
            right="either",
        )
    for name, content in {
        "lines of lists": b"[1]\n[2]\n",
        "lines without a step": b'{"loss": 1}\n{"step": "x"}\n{"step": null}\n{"step": []}\n',
        "steps of infinity": b'{"step": Infinity}\n{"step": NaN}\n{"step": 1e999}\n',
        "nested losses": b'{"step": 1, "losses": {"a": {"b": {"c": [1, [2, "x"]]}}}}\n',
        "a line of 5 MB": b'{"step": 1, "x": "' + b"a" * 5_000_000 + b'"}\n',
        "NUL bytes": b"\0" * 1000 + b"\n",
        "strange names": b'{"step": 1, "$\\\\frac{$": 2.0, "a/b/c/d": 1, "": 3}\n',
        "200,000 lines": b'{"step": 1, "losses": {"D": 1.0}}\n' * 200_000,
    }.items():
        yield command(
            f"resumed: log.jsonl has {name}", FARTHER, make=replaced("run/log.jsonl", content), right="accepted"
        )
    for name, change in {
        "cut off": lambda path: path.write_bytes(path.read_bytes()[:-9]),
        "empty": lambda path: path.write_bytes(b""),
        "text": lambda path: path.write_bytes(b"text"),
        "zeros": lambda path: path.write_bytes(b"\0" * 5000),
        "a flipped bit": lambda path: path.write_bytes(bytes([*path.read_bytes()[:-1], path.read_bytes()[-1] ^ 1])),
        "a header that never ends": lambda path: path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()),
        "a folder": lambda path: (path.unlink(), path.mkdir()),
        "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
        "a dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
        "a link to /dev/zero": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        "a model": lambda path: shutil.copy("run/model/model.safetensors", path),
        "of a name too large": lambda path: path.rename(path.with_name("checkpoint-" + "9" * 40 + ".safetensors")),
        "of a name of unicode digits": lambda path: path.rename(
            path.with_name("checkpoint-" + "٣" * 9 + ".safetensors")
        ),
    }.items():
        changes = ("run/",)
        yield command(
            f"resumed: a checkpoint that is {name}", FARTHER, make=checkpoint(change), right="either", changes=changes
        )
    more = both(copied("run"), written("run/checkpoints/checkpoint-999999999.safetensors", b"text"))
    yield command(
        "resumed: a damaged checkpoint of a later step", FARTHER, make=more, right="either", changes=("run/",)
    )
    for name, make in {
        "samples is a file": both(copied("run"), lambda: shutil.rmtree("run/samples"), written("run/samples", "x")),
        "model is a file": both(copied("run"), lambda: shutil.rmtree("run/model"), written("run/model", "x")),
        "checkpoints is a file": both(
            copied("run"), lambda: shutil.rmtree("run/checkpoints"), written("run/checkpoints", "x")
        ),
        "log.jsonl is a folder": both(
            copied("run"), lambda: os.remove("run/log.jsonl"), lambda: os.mkdir("run/log.jsonl")
        ),
        "log.jsonl is a pipe": both(
            copied("run"), lambda: os.remove("run/log.jsonl"), lambda: os.mkfifo("run/log.jsonl")
        ),
        "curves.png is a folder": both(
            copied("run"), lambda: os.remove("run/curves.png"), lambda: os.mkdir("run/curves.png")
        ),
        "curves.png is a pipe": both(
            copied("run"), lambda: os.remove("run/curves.png"), lambda: os.mkfifo("run/curves.png")
        ),
        "run.json is a pipe": both(copied("run"), lambda: os.remove("run/run.json"), lambda: os.mkfifo("run/run.json")),
        "run.json is a link to /dev/zero": both(
            copied("run"), lambda: os.remove("run/run.json"), lambda: os.symlink("/dev/zero", "run/run.json")
        ),
        "summary.json is a folder": both(
            copied("run"), lambda: os.remove("run/summary.json"), lambda: os.mkdir("run/summary.json")
        ),
        "it is a link to nowhere": both(
            copied("run"), lambda: os.rename("run", "old"), lambda: os.symlink("nowhere", "run")
        ),
        "it is a link to the run": both(
            copied("run"), lambda: os.rename("run", "old"), lambda: os.symlink("old", "run")
        ),
    }.items():
        yield command(f"resumed: {name}", FARTHER, make=make, right="either", changes=("run/",))
        yield command(f"sampled: {name}", "sample run --count 9 --out new.npy", make=make, right="either")
        yield command(f"evaluated: {name}", "evaluate run", make=make, right="either", changes=("run/",))
        yield command(f"audited: {name}", "audit --real points.npy --fake run --samples 60", make=make, right="either")
    for name, words in {
        "another batch": AGAIN.replace("--batch 8", "--batch 4"),
        "another method": AGAIN.replace("train gan", "train lsgan"),
        "another seed": f"{AGAIN} --seed 5",
        "more seeds": f"{AGAIN} --seeds 2",
        "other data": AGAIN.replace("points.npy", "fake.npy"),
        "data of another shape": AGAIN.replace("points.npy", "images.npy"),
        "a built-in set": AGAIN.replace("points.npy", "ring"),
        "fewer steps": AGAIN.replace("--steps 2", "--steps 1"),
        "another optimiser": f"{AGAIN} --optimizer sgd",
    }.items():
        right = "either" if name == "fewer steps" else "refused"
        yield command(f"resumed with {name}", words, make=copied("run"), right=right)
    changed = both(copied("run"), saved("points.npy", lambda: __import__("numpy").ones((100, 2))))
    yield command("resumed when the data changed", AGAIN, make=changed)
    yield command("resumed when the data is gone", AGAIN, make=both(copied("run"), lambda: os.remove("points.npy")))
    gone = both(copied("run"), lambda: os.remove("points.npy"))  # from here: the run knows where it was trained
    yield command("evaluated elsewhere than it was trained", "evaluate run", make=gone, right="accepted")
    locked = """
import subprocess, sys, time
holder = subprocess.Popen([sys.executable, '-c', "import fcntl, os, sys; f = os.open('run/.lock', os.O_RDWR | os.O_CREAT); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
holder.stdout.readline()
try:
    modecover.train('gan', 'points.npy', 'run', steps=4, batch=8, width=4)
finally:
    holder.kill(); holder.wait()
"""
    yield python(locked, name="locked by another process", make=copied("run"), changes=("run/.lock",))
    twice = """
class L(__import__('modecover.runs.listener', fromlist=['Listener']).Listener):
    def stepped(self, step, steps):
        modecover.train('gan', 'points.npy', 'new', steps=4, batch=8, width=4)
modecover.train('gan', 'points.npy', 'new', steps=4, batch=8, width=4, listener=L())
"""
    yield python(twice, name="locked by this very process", make=copied("run"), changes=("new",))
    for words in (
        "sample images-run --out a.png --count 0",
        "evaluate two-run --of-seed 0",
        "sample two-run --of-seed 2",
        "sample run --of-seed 5",
    ):
        yield command(words, words, make=copied("images-run", "two-run", "run"))
    for name in ("seed-x", "seed-", "seed--1", "seed-٣", "seed-99999999999999999999"):
        make = both(copied("two-run"), lambda name=name: os.mkdir(f"two-run/model/{name}"))  # type: ignore[misc]
        yield command(f"a folder model/{name}", "sample two-run --count 9 --out new.npy", make=make, right="accepted")
        full = both(
            copied("two-run"), lambda name=name: shutil.copytree("two-run/model/seed-0", f"two-run/model/{name}")
        )  # type: ignore[misc]
        yield command(
            f"a model in model/{name}",
            "evaluate two-run --samples 50 --no-audit --data ring",
            make=full,
            right="either",
        )
    gone = both(copied("two-run"), lambda: os.remove("two-run/model/seed-0/model.safetensors"))
    yield command("the first seed's weights are gone", "sample two-run", make=gone)
    yield command("evaluated: the first seed's weights are gone", "evaluate two-run", make=gone)
