"""Experiments over rows that are torn, foreign or locked, in places where nothing can be written, and asked for amiss."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hostile_inputs.record import Input, command
from hostile_inputs.things import both, written

AGAIN = "reproduce square-fitting --scale smoke"
PAGE = f"{AGAIN} --page"
ROWS = "results/square-fitting.smoke.jsonl"
WRITES = ("results",)

VALUES: dict[str, Any] = {"None": None, "a list": [1], "a number": 7, "a text": "x", "a dictionary": {"x": 1}}


def rows() -> None:
    """All rows of the experiment, as a run of it writes them."""
    from modecover import experiments
    from modecover.experiments.runner import Place, run_job
    from modecover.experiments.store import Store, jobs

    store = Store(Path(ROWS))
    for job in jobs(experiments.get("square-fitting"), "smoke"):
        row = run_job(job, Place(Path("runs")))
        assert row is not None
        store.add(row)


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """The rows, the first of them changed."""

    def make() -> None:
        rows()
        first, *others = Path(ROWS).read_text().splitlines()
        row = json.loads(first)
        change(row)
        Path(ROWS).write_text("\n".join([json.dumps(row), *others, ""]))

    return make


def appended(text: bytes) -> Callable[[], None]:
    def make() -> None:
        rows()
        with open(ROWS, "ab") as file:
            file.write(text)

    return make


def torn() -> None:
    rows()
    Path(ROWS).write_bytes(Path(ROWS).read_bytes()[:-40])


def inputs() -> Iterator[Input]:
    for key in ("key", "scale", "table", "label", "own", "broken", "settings", "summary", "curve", "experiment"):

        def out(row: dict[str, Any], key: str = key) -> None:
            row.pop(key, None)

        for name, words in (("page", PAGE), ("run", AGAIN)):
            yield command(f"{name}: a row without {key}", words, make=edited(out), right="either", changes=WRITES)
        for name, value in VALUES.items():

            def put(row: dict[str, Any], key: str = key, value: Any = value) -> None:
                row[key] = value

            yield command(f"page: {key} is {name}", PAGE, make=edited(put), right="either", changes=WRITES)
    for key in ("seeds", "last", "best", "processor_seconds", "commit", "versions", "hardware"):

        def out_of(row: dict[str, Any], key: str = key) -> None:
            row["summary"].pop(key, None)

        yield command(f"page: a summary without {key}", PAGE, make=edited(out_of), right="either", changes=WRITES)
        for name, value in VALUES.items():

            def put_in(row: dict[str, Any], key: str = key, value: Any = value) -> None:
                row["summary"][key] = value

            yield command(
                f"page: {key} of a summary is {name}", PAGE, make=edited(put_in), right="either", changes=WRITES
            )
    for name, text in {
        "a torn line": b'{"key": "abc", "experi',
        "half a letter": "ä".encode()[:1],
        "a line of lists": b"[1]\n",
        "a number": b"7\n",
        "an object": b"{}\n",
        "a key alone": b'{"key": "abc"}\n',
        "conflict markers": b"<<<<<<< HEAD\n=======\n>>>>>>> other\n",
        "NUL bytes": b"\0" * 1000 + b"\n",
        "10,000 levels": b"[" * 10_000 + b"\n",
        "a number of 5,000 digits": b'{"key": ' + b"9" * 5000 + b"}\n",
        "blank lines": b"\n\n\n",
        "a byte order mark": b"\xef\xbb\xbf\n",
        "a key of a list": b'{"key": [1]}\n',
        "surrogates": b'{"key": "\\ud800"}\n',
    }.items():
        for mode, words in (("page", PAGE), ("run", AGAIN)):
            yield command(
                f"{mode}: {name} behind the rows",
                words,
                make=appended(text),
                right="accepted",
                check="'| a = 0.25 | 0 |' in Path('results/square-fitting.smoke.md').read_text()",
            )
    yield command("run: the last row is torn", AGAIN, make=torn, right="accepted", check="'1 of 5 runs' in out")
    for name, make in {
        "a folder": lambda: os.makedirs(ROWS),
        "a pipe": both(lambda: os.makedirs("results"), lambda: os.mkfifo(ROWS)),
        "a dangling link": both(lambda: os.makedirs("results"), lambda: os.symlink("nowhere", ROWS)),
        "a link to /dev/zero": both(lambda: os.makedirs("results"), lambda: os.symlink("/dev/zero", ROWS)),
        "binary": written(ROWS, os.urandom(5000)),
        "UTF-16": written(ROWS, '{"key": "abc"}\n'.encode("utf-16")),
    }.items():
        for mode, words in (("page", PAGE), ("run", AGAIN)):
            yield command(f"{mode}: the rows are {name}", words, make=make, right="either", changes=WRITES)
    for name, make in {
        "the page is a folder": lambda: os.makedirs("results/square-fitting.smoke.md"),
        "the page is a pipe": both(
            lambda: os.makedirs("results"), lambda: os.mkfifo("results/square-fitting.smoke.md")
        ),
        "results is a dangling link": lambda: os.symlink("nowhere", "results"),
        "results is a pipe": lambda: os.mkfifo("results"),
        "images is a file": written("results/images", "x"),
        "runs is a dangling link": lambda: os.symlink("nowhere", "runs"),
        "runs is a pipe": lambda: os.mkfifo("runs"),
    }.items():
        yield command(name, AGAIN, make=make, right="either", changes=WRITES)
    for flags in (
        "--minutes 0",
        "--minutes -1",
        "--minutes nan",
        "--minutes x",
        "--minutes=",
        "--minutes inf",
        "--minutes 1e400",
        "--workers 0",
        "--workers 1.5",
        "--workers=",
        "--scale huge",
        "--scale=",
        "--only nosuch",
        "--backend slurm",
        "--results=/proc/x",
        "--results=a\0b",
        "--out=a\0b",
        "--queue",
        "--lst",
        "extra",
    ):
        yield command(flags, ["reproduce", "square-fitting", "--scale=smoke", *flags.split(" ")])
    for words in (
        "reproduce --scale smoke",
        "reproduce nosuch --page",
        "reproduce ../square-fitting",
        "reproduce SQUARE-FITTING",
        "reproduce --queue --only nosuch",
        "reproduce --list --queue nosuch",
        "reproduce square-fitting --workers 99999999999999999999",
        "reproduce square-fitting --scale smoke --only",
    ):
        yield command(words, words, right="either" if "--list" in words else "refused")
    unwritable = "reproduce ring-ldmgan --scale smoke --only GAN --workers 1 --out=/proc/x"
    yield command("--out=/proc/x", unwritable, changes=WRITES, fresh=True)
    yield command("--only nothing", ["reproduce", "square-fitting", "--scale=smoke", "--only="], right="either")
    yield command("--minutes so few that nothing runs", f"{AGAIN} --minutes 1e-9", right="accepted")
    yield command("--workers of a million", f"{AGAIN} --workers 1000000", right="accepted")
    yield command("a page of nothing", PAGE, right="accepted")
    yield command("--list", "reproduce --list", right="accepted", check="'square-fitting: ' in out")
