"""Parquet files whose columns are of every kind but the one that is expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hostile_inputs.record import Input, command
from hostile_inputs.things import both, written

ROWS = 40


def table(path: str = "x.parquet", **columns: Callable[[Any], object]) -> Callable[[], None]:
    """A parquet file; each column is made from pyarrow."""

    def make() -> None:
        import pyarrow as arrow
        from pyarrow import parquet

        Path(path).parent.mkdir(parents=True, exist_ok=True)
        made = {name: column(arrow) for name, column in columns.items()}
        parquet.write_table(arrow.table(made), path)

    return make


def numbers(arrow: Any) -> object:
    return arrow.array(np.random.default_rng(0).normal(size=ROWS))


def column(values: Callable[[], list[Any]], kind: Callable[[Any], object] | None = None) -> Callable[[Any], object]:
    return lambda arrow: arrow.array(values(), None if kind is None else kind(arrow))


def picture_bytes() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


NO_DATA: dict[str, dict[str, Callable[[Any], object]]] = {
    "dates alone": {"a": column(lambda: list(range(ROWS)), lambda arrow: arrow.timestamp("s"))},
    "text alone": {"a": column(lambda: [f"word {n}" for n in range(ROWS)])},
    "nothing but nulls": {"a": column(lambda: [None] * ROWS)},
    "numbers that are all null": {"a": column(lambda: [None] * ROWS, lambda arrow: arrow.float64())},
    "lists of different lengths": {"a": column(lambda: [[1.0], [1.0, 2.0]] * (ROWS // 2))},
    "lists with nulls": {"a": column(lambda: [[1.0, None]] * ROWS)},
    "null lists": {"a": column(lambda: [[1.0, 2.0], None] * (ROWS // 2))},
    "empty lists": {"a": column(lambda: [[]] * ROWS, lambda arrow: arrow.list_(arrow.float32()))},
    "lists of text": {"a": column(lambda: [["x", "y"]] * ROWS)},
    "lists of lists of different lengths": {"a": column(lambda: [[[1.0], [1.0, 2.0]]] * ROWS)},
    "maps": {"a": column(lambda: [[("k", 1.0)]] * ROWS, lambda arrow: arrow.map_(arrow.string(), arrow.float64()))},
    "bytes that are no pictures": {"image": column(lambda: [b"text"] * ROWS)},
    "bytes of nothing": {"image": column(lambda: [b""] * ROWS)},
    "null pictures": {"image": column(lambda: [picture_bytes(), None] * (ROWS // 2))},
    "structs whose bytes are numbers": {"image": column(lambda: [{"bytes": 7, "path": "a"}] * ROWS)},
    "structs whose bytes are text": {"image": column(lambda: [{"bytes": "abc", "path": "a"}] * ROWS)},
    "structs whose bytes are null": {
        "image": column(
            lambda: [{"bytes": None, "path": None}] * ROWS,
            lambda arrow: arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]),
        )
    },
    "structs that name a file outside": {
        "image": column(
            lambda: [{"bytes": None, "path": "/etc/hostname"}] * ROWS,
            lambda arrow: arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]),
        )
    },
    "structs that name a FIFO": {
        "image": column(
            lambda: [{"bytes": None, "path": "pipe"}] * ROWS,
            lambda arrow: arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]),
        )
    },
    "two columns of pictures": {"a": column(lambda: [picture_bytes()] * ROWS), "b": column(lambda: [b"x"] * ROWS)},
    "no rows": {"a": column(list, lambda arrow: arrow.float64())},
    "int64 extremes and infinities": {
        "a": column(lambda: [2**63 - 1, -(2**63)] * (ROWS // 2)),
        "b": column(lambda: [float("inf")] * ROWS),
    },
    "numbers beyond float32": {"a": column(lambda: [1e300, -1e300] * (ROWS // 2))},
    "labels that are NaN": {"a": numbers, "label": column(lambda: [float("nan")] * ROWS)},
    "labels that are lists": {"a": numbers, "label": column(lambda: [[1], [2]] * (ROWS // 2))},
    "labels that are half": {"a": numbers, "label": column(lambda: [0.5] * ROWS)},
    "labels that are null": {"a": numbers, "label": column(lambda: [1, None] * (ROWS // 2))},
}
"""Tables that cannot be learnt: what they hold."""

GAPS: dict[str, dict[str, Callable[[Any], object]]] = {
    "some numbers null": {"a": column(lambda: [1.0, None] * (ROWS // 2)), "b": numbers},
    "some integers null": {"a": column(lambda: [1, None] * (ROWS // 2)), "b": numbers},
    "NaN": {"a": column(lambda: [1.0, float("nan")] * (ROWS // 2))},
    "some words null": {"a": column(lambda: ["x", None] * (ROWS // 2)), "b": numbers},
    "a column null": {"a": column(lambda: [None] * ROWS), "b": numbers},
}
"""Tables with empty cells, which have a coordinate."""

CSV = {
    "nothing": b"",
    "line breaks alone": b"\n\n\n",
    "names alone": b"a,b\n",
    "a name twice": b"a,a\n1,2\n",
    "no names": b"1,2\n3,4\n",
    "more cells than names": b"a,b\n1,2,3\n4,5,6\n",
    "more cells in one row": b"a,b\n1,2\n4,5,6\n",
    "no cells": b"a,b\n,\n,\n",
    "another encoding": "a,b\n1,\u00e4\n".encode("latin-1"),
    "zero bytes": b"a,b\n" + bytes(100),
    "a quote that never ends": b'a,b\n1,"2\n3,4\n',
    "infinity": b"a,b\n1,inf\n",
    "names of each row": b"a\n" + b"\n".join(b"name %d" % n for n in range(50)),
    "numbers of a thousand digits": b"a\n" + b"9" * 1000 + b"\n1\n",
    "names of columns that do not end": b"x" * 10**6,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
}
"""Text files that are no tables."""

READ_AS_DATA = ("labels that are lists", "labels that are half")
"""Of these: tables whose column may be data too, which is told."""

MIXED: dict[str, dict[str, Callable[[Any], object]]] = {
    "numbers and truth values": {"a": numbers, "b": column(lambda: [True, False] * (ROWS // 2))},
    "numbers and words": {"a": numbers, "b": column(lambda: ["red", "blue"] * (ROWS // 2))},
    "numbers and dictionary codes": {
        "a": numbers,
        "b": lambda arrow: arrow.array(["red", "blue"] * (ROWS // 2)).dictionary_encode(),
    },
    "numbers and dates": {"a": numbers, "b": column(lambda: list(range(ROWS)), lambda arrow: arrow.timestamp("s"))},
    "numbers and decimals": {
        "a": numbers,
        "b": column(lambda: list(range(ROWS)), lambda arrow: arrow.decimal128(9, 2)),
    },
    "numbers and words, each its own": {"a": numbers, "b": column(lambda: [f"name {n}" for n in range(ROWS)])},
    "numbers and half floats": {"a": numbers, "b": lambda arrow: arrow.array(np.ones(ROWS, np.float16))},
    "numbers and large text": {"a": numbers, "b": column(lambda: ["x"] * ROWS, lambda arrow: arrow.large_string())},
    "numbers and structs": {"a": numbers, "b": column(lambda: [{"c": 1.0}] * ROWS)},
}
"""Tables of which some columns are no plain numbers: each is used or named, whichever way it ends."""

NAMES = ("", " ", "a.b", "label", "ä", "a\nb", "bytes", "a" * 5000, "--key", "None", "none", "0")


def check(name: str, make: Callable[[], None], words: str = "x.parquet", **options: object) -> Input:
    return command(name, f"data check {words}", make=make, **options)


def _good() -> None:
    rows = np.random.default_rng(0).normal(size=(ROWS, 2))
    Path("good.csv").write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in rows))


def inputs() -> Iterator[Input]:
    for name, columns in NO_DATA.items():
        make = table(**columns)
        right = "either" if name in READ_AS_DATA else "refused"
        yield check(name, both(make, _fifo) if "FIFO" in name else make, right=right)
    for name, columns in GAPS.items():
        yield check(name, table(**columns), right="accepted")
    for name, content in CSV.items():
        yield check(f"CSV: {name}", written("x.csv", content), "x.csv")
        yield command(
            f"CSV audited: {name}", "audit --real good.csv --fake x.csv", make=both(_good, written("x.csv", content))
        )
    for name, content in {
        "other columns": b"a,c\n1,2\n",
        "words": b"a,b\nx,y\n" * 20,
        "gaps": b"a,b\n1,\n" * 20,
    }.items():
        yield command(
            f"CSV audited: {name}", "audit --real good.csv --fake x.csv", make=both(_good, written("x.csv", content))
        )
    for name, columns in MIXED.items():
        # Used or named: the second column may not vanish without a word.
        said = "' b ' in ' ' + (out + err).replace(',', ' ').replace(':', ' ').replace(\"'\", ' ') + ' '"
        said = "__import__('re').search(r'\\bb\\b', out + err) is not None"
        yield check(name, table(**columns), right="either", check=said)
    for name in NAMES:
        yield check(f"a column called {name[:9]!r}", table(**{name: numbers}), right="either")
    two = {"x": numbers, "y": numbers}
    yield check("x and y, no labels", table(**two), "x.parquet --labels none", right="accepted", check="'2' in out")
    yield check("--labels that are not there", table(**two), "x.parquet --labels nosuch")
    yield check("--key that is not there", table(**two), "x.parquet --key nosuch")
    yield check("--key and --labels the same", table(**two), "x.parquet --key x --labels x")
    yield check(
        "a key of words", table(a=numbers, w=column(lambda: ["x", "y"] * 20)), "x.parquet --key w", right="either"
    )
    yield check("no parquet", written("x.parquet", b"text"))
    yield check("an empty file", written("x.parquet", b""))
    yield check("the magic alone", written("x.parquet", b"PAR1PAR1"))
    yield check("a footer that lies", written("x.parquet", b"PAR1" + b"\xff" * 60 + b"\xff\xff\xff\x7fPAR1"))
    yield check("a file cut off", both(table(**two), _cut))
    yield check("a file with a byte changed", both(table(**two), _changed), right="either")
    yield check("an encrypted footer", written("x.parquet", b"PARE" + b"\0" * 60 + b"PARE"))
    folder = both(table("f/a.parquet", x=numbers), table("f/b.parquet", z=numbers))
    yield check("a folder of tables of other columns", folder, "f")
    folder = both(table("f/a.parquet", x=numbers), table("f/b.parquet", x=column(lambda: ["w"] * ROWS)))
    yield check("a folder of tables of other types", folder, "f")
    folder = both(table("f/train.parquet", x=numbers), table("f/test.parquet", x=numbers))
    yield check("a split that is not there", folder, "f --split nosuch")
    yield check("a folder with a broken table", both(table("f/a.parquet", x=numbers), written("f/b.parquet", b"")), "f")
    yield check("1,000 columns", table(**{f"c{n}": numbers for n in range(1000)}), right="accepted")
    words = "train gan --data x.parquet --steps 2 --batch 8 --width 4 --out new"
    for name in ("lists with nulls", "null pictures", "labels that are NaN"):
        yield command(f"trained: {name}", words, make=table(**NO_DATA[name]))


def _fifo() -> None:
    import os

    os.mkfifo("pipe")


def _cut() -> None:
    content = Path("x.parquet").read_bytes()
    Path("x.parquet").write_bytes(content[: len(content) // 2])


def _changed() -> None:
    content = bytearray(Path("x.parquet").read_bytes())
    content[30] ^= 255
    Path("x.parquet").write_bytes(content)
