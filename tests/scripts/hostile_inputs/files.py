"""Array files that lie, are cut short, are something else, or hold what cannot be learnt."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hostile_inputs.record import Input, command
from hostile_inputs.things import arrays, both, saved, written

DRAW = np.random.default_rng(0)


def npy(header: str, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A .npy file with this header, whatever it says."""
    text = header.encode("latin1")
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + body


def described(shape: str, kind: str = "<f8", order: str = "False") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}"


def plain(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


POINTS = plain(np.random.default_rng(0).normal(size=(100, 2)))

NPY: dict[str, bytes] = {
    "more rows than there are": npy(described("(1000, 2)"), b"\0" * 100),
    "more rows than memory holds": npy(described("(10000000000000, 2)"), b"\0" * 100),
    "a shape that overflows": npy(described("(4611686018427387904, 4)"), b"\0" * 64),
    "a negative shape": npy(described("(-1, 2)"), b"\0" * 64),
    "a shape that is no tuple": npy(described("'ab'"), b"\0" * 64),
    "a shape of floats": npy(described("(2.5, 2)"), b"\0" * 64),
    "a shape of True": npy(described("(True, 2)"), b"\0" * 64),
    "a header of nothing": npy("", b"\0" * 64),
    "a header that is no literal": npy("{'descr': open('/etc/passwd').read()}", b""),
    "a header 10,000 deep": npy("(" * 10_000 + ")" * 10_000),
    "a header without order": npy("{'descr': '<f8', 'shape': (4, 2)}", b"\0" * 64),
    "an order of 7": npy(described("(4, 2)", order="7"), b"\0" * 64),
    "a type of nothing": npy(described("(4, 2)", kind=""), b"\0" * 64),
    "a type unknown": npy(described("(4, 2)", kind="<q9"), b"\0" * 64),
    "a type of 2 GB": npy(described("(4, 2)", kind="V2147483647"), b"\0" * 64),
    "a version of the future": b"\x93NUMPY" + bytes((9, 0)) + POINTS[8:],
    "a header cut off": POINTS[:40],
    "only the magic": POINTS[:6],
    "a header's length cut off": POINTS[:9],
    "a body cut off": POINTS[:-3],
    "a header that is UTF-16": b"\x93NUMPY\x01\0\x20\0" + "{'descr'".encode("utf-16") * 4,
    "nothing": b"",
    "zeros": b"\0" * 1000,
    "a gzip": gzip.compress(POINTS),
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    "a pickle": b"\x80\x04\x95\x0c\0\0\0\0\0\0\0\x8c\x08builtins\x94.",
    "a LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "no axes": npy(described("()"), b"\0" * 8),
    "33 axes": npy(described("(" + "1," * 33 + ")"), b"\0" * 8),
    "65 axes": npy(described("(" + "1," * 65 + ")"), b"\0" * 8),
    "no rows": npy(described("(0, 2)")),
    "no columns": npy(described("(100, 0)")),
    "no rows of very many columns": npy(described("(0, 9223372036854775807)")),
    "no columns of very many rows": npy(described("(9223372036854775807, 0)")),
    "a shape with a unicode digit": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (\u00b2, 2)}", b""),
    "nul bytes in the header": npy("\0" * 60),
}

ARRAYS: dict[str, Callable[[], object]] = {
    "complex": lambda: np.ones((50, 2), complex),
    "dates": lambda: np.full((50, 2), np.datetime64("2020-01-01")),
    "spans of time": lambda: np.full((50, 2), np.timedelta64(1, "D")),
    "text": lambda: np.full((50, 2), "a"),
    "bytes": lambda: np.full((50, 2), b"a"),
    "records": lambda: np.zeros(50, dtype=[("x", "f4"), ("y", "f4")]),
    "records with two axes": lambda: np.zeros((50, 2), dtype=[("x", "f4")]),
    "void": lambda: np.zeros((50, 2), dtype="V8"),
    "NaN only": lambda: np.full((50, 2), np.nan),
    "one infinity": lambda: np.where(np.arange(100).reshape(50, 2) == 7, np.inf, 1.0),
    "numbers beyond float32": lambda: np.full((50, 2), 1e300) * DRAW.normal(size=(50, 2)),
    "one number": lambda: np.float64(3.0),
    "a cube of text": lambda: np.full((5, 5, 5), "a"),
    "five axes": lambda: np.zeros((4, 4, 4, 4, 4)),
    "pixels of 7": lambda: np.full((20, 16, 16), 7.0),
    "pixels of -3": lambda: np.full((20, 16, 16), -3.0),
    "pixels with NaN": lambda: np.where(DRAW.random((20, 16, 16)) < 0.01, np.nan, 0.5),
    "pixels int64": lambda: DRAW.integers(0, 2**40, (20, 16, 16)),
    "seven channels": lambda: DRAW.random((20, 7, 16, 16)),
    "one colour image": lambda: DRAW.integers(0, 256, (32, 32, 3), dtype=np.uint8),
    "images of no height": lambda: np.zeros((20, 0, 16), np.uint8),
    "images without channels": lambda: np.zeros((20, 16, 16, 0), np.uint8),
    "images 3x3x3 of two readings": lambda: np.zeros((9, 3, 3, 3), np.uint8),
    "int64 extremes": lambda: np.array([[2**63 - 1, -(2**63)]] * 30),
}
"""Arrays that cannot be learnt."""

TAKEN: dict[str, Callable[[], object]] = {
    "float16": lambda: DRAW.normal(size=(50, 2)).astype(np.float16),
    "long double": lambda: DRAW.normal(size=(50, 2)).astype(np.longdouble),
    "big-endian": lambda: DRAW.normal(size=(50, 2)).astype(">f8"),
    "Fortran order": lambda: np.asfortranarray(DRAW.normal(size=(50, 2))),
    "int8": lambda: DRAW.integers(-5, 5, (50, 2)).astype(np.int8),
    "truth values": lambda: DRAW.random((20, 16, 16)) < 0.5,
    "one row": lambda: np.ones((1, 2)),
    "one column": lambda: np.arange(50.0)[:, None],
    "equal rows only": lambda: np.ones((50, 2)),
    "a constant image": lambda: np.zeros((20, 16, 16), np.uint8),
    "tiny numbers": lambda: DRAW.normal(size=(50, 2)) * 1e-40,
    "images 1x1": lambda: DRAW.random((20, 1, 1)),
    "pixels within rounding error": lambda: np.clip(DRAW.random((20, 16, 16)), 0, 1) * (1 + 5e-5),
}

CHECKED = "'Traceback' not in err and 'samples' in out"


def zipped(path: str, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Callable[[], None]:
    def make() -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return make


def patched(make: Callable[[], None], path: str, old: bytes, new: bytes, every: bool = True) -> Callable[[], None]:
    def changed() -> None:
        make()
        content = Path(path).read_bytes()
        assert old in content, "nothing to patch"
        Path(path).write_bytes(content.replace(old, new, -1 if every else 1))

    return changed


def encrypted(path: str) -> Callable[[], None]:
    """A zip whose member says that it is encrypted."""

    def make() -> None:
        zipped(path, {"data.npy": POINTS}, zipfile.ZIP_STORED)()
        content = bytearray(Path(path).read_bytes())
        content[6] |= 1
        at = content.index(b"PK\x01\x02")
        content[at + 8] |= 1
        Path(path).write_bytes(content)

    return make


def unknown_method(path: str) -> Callable[[], None]:
    """A zip whose member says that it is packed by method 99."""

    def make() -> None:
        zipped(path, {"data.npy": POINTS}, zipfile.ZIP_STORED)()
        content = bytearray(Path(path).read_bytes())
        content[8] = 99
        content[content.index(b"PK\x01\x02") + 10] = 99
        Path(path).write_bytes(content)

    return make


def wrong_checksum(path: str) -> Callable[[], None]:
    def make() -> None:
        zipped(path, {"data.npy": POINTS}, zipfile.ZIP_STORED)()
        content = bytearray(Path(path).read_bytes())
        content[200] ^= 255
        Path(path).write_bytes(content)

    return make


def bomb(path: str, gigabytes: int = 5) -> Callable[[], None]:
    """A zip of a few megabytes whose one array unpacks to gigabytes of zeros."""

    def make() -> None:
        rows = gigabytes * 2**30 // 16
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("data.npy", "w", force_zip64=True) as member,
        ):
            member.write(npy(described(f"({rows}, 2)")))
            for _ in range(gigabytes * 16):
                member.write(b"\0" * 2**26)

    return make


def lying_bomb(path: str) -> Callable[[], None]:
    """A zip whose array claims 100 rows and holds half a gigabyte."""

    def make() -> None:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("data.npy", "w") as member,
        ):
            member.write(npy(described("(100, 2)")))
            for _ in range(8):
                member.write(b"\0" * 2**26)

    return make


def gzip_bomb(path: str, header: bytes, megabytes: int = 5000) -> Callable[[], None]:
    def make() -> None:
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(header)
            for _ in range(megabytes // 50):
                file.write(b"\0" * (50 * 2**20))

    return make


def many_members(path: str, count: int) -> Callable[[], None]:
    return zipped(path, {f"a{number}.npy": POINTS for number in range(count)})


def idx(kind: int, axes: int, counts: list[int], body: bytes = b"") -> bytes:
    return bytes((0, 0, kind, axes)) + b"".join(struct.pack(">I", n) for n in counts) + body


IDX: dict[str, bytes] = {
    "255 axes": idx(8, 255, [1] * 255, b"\0"),
    "255 axes of 2": idx(8, 255, [2] * 255, b"\0"),
    "axes cut off": idx(8, 3, [10]),
    "more than there is": idx(8, 3, [60000, 28, 28], b"\0" * 100),
    "more than memory": idx(8, 3, [4294967295, 65535, 65535], b"\0" * 100),
    "no axes": idx(8, 0, [], b"\0"),
    "an unknown type": idx(7, 3, [1, 4, 4], b"\0" * 16),
    "no rows": idx(8, 3, [0, 28, 28]),
    "no magic": b"\1\2\3\4" + b"\0" * 100,
    "nothing": b"",
    "a gzip cut off": gzip.compress(idx(8, 3, [20, 8, 8], b"\7" * 1280))[:-9],
    "a gzip of nothing": gzip.compress(b""),
    "a gzip of a wrong checksum": gzip.compress(idx(8, 3, [20, 8, 8], b"\7" * 1280))[:-8] + b"\0" * 8,
    "a gzip with a tail": gzip.compress(idx(8, 3, [20, 8, 8], b"\7" * 1280)) + b"tail",
    "NaN": idx(0x0D, 2, [2, 2], struct.pack(">4f", 1, 2, float("nan"), 4)),
}

LABELS: dict[str, Callable[[], object]] = {
    "of another length": lambda: np.zeros(7, int),
    "infinite": lambda: np.full(100, np.inf),
    "NaN": lambda: np.full(100, np.nan),
    "of 1e300": lambda: np.full(100, 1e300),
    "halves": lambda: np.full(100, 0.5),
    "complex": lambda: np.full(100, 1j),
    "dates": lambda: np.full(100, np.datetime64("2020-01-01")),
    "of two columns": lambda: np.zeros((100, 2), int),
    "of no axes": lambda: np.int64(3),
    "unsigned and beyond int64": lambda: np.full(100, 2**64 - 1, dtype=np.uint64),
    "records": lambda: np.zeros(100, dtype=[("x", "i4")]),
}


def fifo(path: str) -> Callable[[], None]:
    def make() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)

    return make


def linked(path: str, target: str) -> Callable[[], None]:
    def make() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, path)

    return make


def check(name: str, words: str, make: Callable[[], None] | None, **options: object) -> Input:
    return command(name, f"data check {words}", make=make, **options)


def inputs() -> Iterator[Input]:
    for name, content in NPY.items():
        yield check(f".npy: {name}", "x.npy", written("x.npy", content))
    for name, array in ARRAYS.items():
        yield check(f"array of {name}", "x.npy", saved("x.npy", array))
    for name, array in TAKEN.items():
        yield check(f"taken: {name}", "x.npy", saved("x.npy", array), right="accepted", check=CHECKED)
    for name in ("one row", "equal rows only", "a constant image", "tiny numbers", "one column"):
        words = "train gan --data x.npy --steps 2 --batch 2 --width 4 --out new"
        yield command(f"trained on: {name}", words, make=saved("x.npy", TAKEN[name]), right="either", codes=(0, 1))
    yield from _npz()
    for name, content in IDX.items():
        yield check(f"idx: {name}", "x-idx3-ubyte", written("x-idx3-ubyte", content))
    header = idx(8, 3, [5_000_000_000 // 784, 28, 28])
    yield check("idx: a gzip bomb", "x-idx3-ubyte.gz", gzip_bomb("x-idx3-ubyte.gz", header))
    header = idx(8, 3, [20, 8, 8])
    yield check("idx: a gzip bomb that claims little", "x-idx3-ubyte.gz", gzip_bomb("x-idx3-ubyte.gz", header, 1000))
    for name, path in (("a FIFO", "x.npy"), ("a FIFO", "x.npz"), ("a FIFO", "x-idx3-ubyte"), ("a FIFO", "x.parquet")):
        yield check(f"{name} called {path}", path, fifo(path))
    yield check("a folder called x.npy", "x.npy", lambda: Path("x.npy").mkdir())
    yield check("a folder called x.parquet", "x.parquet", lambda: Path("x.parquet").mkdir())
    yield check("a dangling link", "x.npy", linked("x.npy", "nowhere.npy"))
    yield check("a link to itself", "x.npy", linked("x.npy", "x.npy"))
    yield check("a good file through a link", "x.npy", both(arrays, linked("x.npy", "points.npy")), right="accepted")
    yield check("a device", "/dev/null", None)
    yield check("an endless device", "/dev/zero", None)
    yield check("a link to an endless device", "x.npy", linked("x.npy", "/dev/zero"))
    yield check("an idx link to an endless device", "x-idx3-ubyte", linked("x-idx3-ubyte", "/dev/zero"))
    yield check("standard input", "-", None)
    yield check("standard input, by its device", "/dev/stdin", None)
    yield check("an upper-case suffix", "X.NPY", both(arrays, lambda: os.rename("points.npy", "X.NPY")), right="either")
    yield check("a .pt", "x.pt", written("x.pt", b"PK\x03\x04"))
    yield check("a .mat", "x.mat", written("x.mat", b"MATLAB 5.0"))
    yield check("a text without suffix", "x", written("x", "text"))
    for key in ("data", "nosuch"):
        yield check(f".npy with --key {key}", f"points.npy --key {key}", arrays, right="either")
    yield check(".npy with --labels nosuch", "points.npy --labels nosuch", arrays)
    for name, content in NPY.items():
        if name in ("more rows than memory holds", "a header 10,000 deep", "a body cut off", "nothing"):
            words = "audit --real points.npy --fake x.npy"
            yield command(f"audited: {name}", words, make=both(arrays, written("x.npy", content)))
            words = "train gan --data x.npy --out new"
            yield command(f"trained: {name}", words, make=written("x.npy", content))


def _npz() -> Iterator[Input]:
    archives = {
        "no zip": written("x.npz", b"text"),
        "nothing": written("x.npz", b""),
        "a zip without members": zipped("x.npz", {}),
        "a zip of text": zipped("x.npz", {"a.txt": b"text"}),
        "a text named data.npy": zipped("x.npz", {"data.npy": b"text"}),
        "a header that lies": zipped("x.npz", {"data.npy": NPY["more rows than memory holds"]}),
        "an array cut off": zipped("x.npz", {"data.npy": POINTS[:-3]}),
        "objects": lambda: np.savez("x.npz", data=np.array([{}, None], dtype=object)),
        "an encrypted member": encrypted("x.npz"),
        "an unknown method": unknown_method("x.npz"),
        "a wrong checksum": wrong_checksum("x.npz"),
        "cut in two": both(zipped("x.npz", {"data.npy": POINTS}), lambda: os.truncate("x.npz", 300)),
        "a bomb of 5 GB": bomb("x.npz"),
        "several arrays": saved("x.npz", lambda: np.ones((9, 2)), more=lambda: np.ones((9, 2))),
        "1,000 arrays": many_members("x.npz", 1000),
        "labels alone": lambda: np.savez("x.npz", labels=np.zeros(9)),
        "a name of nothing": zipped("x.npz", {".npy": POINTS, "a.npy": POINTS}),
        "a zip in a zip": zipped("x.npz", {"data.npy": b"PK\x03\x04" * 100}),
        "no axes": lambda: np.savez("x.npz", data=np.float64(1)),
    }
    for name, make in archives.items():
        yield check(f".npz: {name}", "x.npz", make)
    yield check(".npz: a bomb that claims 100 rows", "x.npz", lying_bomb("x.npz"), right="either")
    yield check(".npz: a name with dots and slashes", "x.npz", zipped("x.npz", {"../../x.npy": POINTS}), right="either")
    yield check(".npz: two members of one name", "x.npz", _twice("x.npz"), right="either")
    yield check(".npz: a key that is not there", "x.npz --key nosuch", saved("x.npz", lambda: np.ones((9, 2))))
    yield check(".npz: an empty key", "x.npz --key=", saved("x.npz", lambda: np.ones((9, 2))))
    for name, labels in LABELS.items():
        make = saved("x.npz", lambda: np.random.default_rng(0).normal(size=(100, 2)), labels=labels)
        yield check(f".npz: labels {name}", "x.npz", make)
    words = saved("x.npz", lambda: np.ones((100, 2)), labels=lambda: np.array(["ä"] * 50 + [""] * 50))
    yield check(".npz: labels of words", "x.npz", words, right="accepted", check="'classes' in out")
    make = saved("x.npz", lambda: np.ones((100, 2)), labels=lambda: np.arange(100) - 50)
    yield check(".npz: negative labels", "x.npz", make, right="either")


def _twice(path: str) -> Callable[[], None]:
    def make() -> None:
        import warnings

        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            archive.writestr("data.npy", POINTS)
            archive.writestr("data.npy", b"other")

    return make
