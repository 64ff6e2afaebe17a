"""Folders of pictures: damaged, of strange forms, of strange names, with links, pipes and bombs among them."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hostile_inputs.record import Input, command
from hostile_inputs.things import both, pictures, written


def encoded(mode: str = "RGB", side: int = 16, form: str = "PNG", **saving: object) -> bytes:
    """A picture of this Pillow mode as a file of this form."""
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    if mode in ("I;16", "I", "F"):
        grey = colours[..., 0]
        picture = Image.fromarray(grey.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    else:
        picture = Image.fromarray(colours).convert(mode)
    picture.save(file, form, **saving)  # type: ignore[arg-type]
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes = b"", extra: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """A PNG with this header, whatever it says."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb(side: int) -> bytes:
    """A PNG of side x side black pixels in a few hundred kilobytes."""
    packer, rows = zlib.compressobj(9), b""
    rows = b"".join(packer.compress(b"\0" * (1 + side)) for _ in range(side)) + packer.flush()
    return png(side, side, rows, colour=0)


def exif(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">H", orientation) + b"\0" * 6


def among(name: str, content: Callable[[], bytes], side: int = 16) -> Callable[[], None]:
    """A good folder in which one file more lies."""

    def make() -> None:
        pictures(side=side)
        (Path("pictures") / name).write_bytes(content())

    return make


DAMAGED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "an empty file": ("x.png", lambda: b""),
    "a text": ("x.png", lambda: b"text"),
    "HTML": ("x.jpg", lambda: b"<html>"),
    "a PNG cut off": ("x.png", lambda: encoded()[:-300]),
    "a JPEG cut off": ("x.jpg", lambda: encoded(form="JPEG", side=64)[:500]),
    "a GIF cut off": ("x.gif", lambda: encoded("P", form="GIF")[:60]),
    "a BMP cut off": ("x.bmp", lambda: encoded(form="BMP")[:60]),
    "a TIFF cut off": ("x.tif", lambda: encoded(form="TIFF")[:60]),
    "a WebP cut off": ("x.webp", lambda: encoded(form="WEBP")[:40]),
    "a PNG's header alone": ("x.png", lambda: png(16, 16)),
    "a PNG of 2 billion pixels a side": ("x.png", lambda: png(2**31 - 1, 2**31 - 1)),
    "a PNG of no width": ("x.png", lambda: png(0, 16)),
    "a PNG of a wrong checksum": ("x.png", lambda: encoded()[:40] + b"\xff" + encoded()[41:]),
    "a PNG of an unknown depth": ("x.png", lambda: png(16, 16, depth=7)),
    "a PNG of an unknown colour": ("x.png", lambda: png(16, 16, colour=5)),
    "a PNG with a text bomb": (
        "x.png",
        lambda: png(16, 16, zlib.compress(b"\0" * 17 * 49), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 2**27))),
    ),
    "a bomb of 20,000 x 20,000": ("x.png", lambda: bomb(20_000)),
    "a PPM that lies": ("x.ppm", lambda: b"P6 100000 100000 255\n" + b"\0" * 100),
    "a PPM of nines": ("x.ppm", lambda: b"P6 99999999999999999999 9 255\n"),
    "a PGM of 70,000 levels": ("x.pgm", lambda: b"P5 16 16 70000\n" + b"\0" * 512),
    "floats": ("x.tiff", lambda: encoded("F", form="TIFF")),
    "32-bit integers out of range": ("x.tiff", lambda: tiff_of_integers()),
    "an EPS": ("x.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n(run)\n"),
    "a pickle": ("x.jpg", lambda: b"\x80\x04\x95\x0c\0\0\0"),
    "an LFS pointer": ("x.jpg", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
    "a picture of another size": ("x.png", lambda: encoded(side=17)),
    "a GIF of no frames": ("x.gif", lambda: b"GIF89a\x10\0\x10\0\0\0\0;"),
    "a TIFF whose first page is itself": ("x.tif", lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0"),
}
"""One file among twenty good pictures of 16 x 16: its name and content."""


def tiff_of_integers() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((16, 16), 2**30, np.int32)).save(file, "TIFF")
    return file.getvalue()


GOOD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "CMYK": ("x.jpg", lambda: encoded("CMYK", form="JPEG")),
    "YCbCr": ("x.jpg", lambda: encoded("YCbCr", form="JPEG")),
    "16 bits": ("x.png", lambda: encoded("I;16")),
    "a palette": ("x.png", lambda: encoded("P")),
    "a palette with transparency": ("x.png", lambda: encoded("P", transparency=0)),
    "one bit": ("x.png", lambda: encoded("1")),
    "grey with alpha": ("x.png", lambda: encoded("LA")),
    "RGBA": ("x.png", lambda: encoded("RGBA")),
    "LAB": ("x.tif", lambda: encoded("LAB", form="TIFF")),
    "an unknown orientation": ("x.jpg", lambda: encoded(form="JPEG", exif=exif(99))),
    "an orientation of 0": ("x.jpg", lambda: encoded(form="JPEG", exif=exif(0))),
    "turned": ("x.jpg", lambda: encoded(form="JPEG", exif=exif(6))),
    "EXIF cut off": ("x.jpg", lambda: encoded(form="JPEG", exif=exif(6)[:12])),
    "EXIF of nonsense": ("x.jpg", lambda: encoded(form="JPEG", exif=b"Exif\0\0" + b"\xff" * 50)),
    "a JPEG called .png": ("x.png", lambda: encoded(form="JPEG")),
    "an upper-case suffix": ("x.PNG", encoded),
    "text in a PNG": ("x.png", lambda: encoded()[:33] + chunk(b"tEXt", b"Comment\0" + b"a" * 5000) + encoded()[33:]),
    "an ICC profile of nonsense": ("x.png", lambda: encoded(icc_profile=b"\xff" * 500)),
}
"""One picture more of an unusual kind: taken, as the twenty-first."""


def counted(count: int) -> str:
    """Whether `data check` counted so many samples, or said what it left out."""
    return f"'{count:,}' in out"


def linked_class() -> None:
    pictures("elsewhere/cats")
    pictures("data/dogs")
    os.symlink(Path("elsewhere/cats").absolute(), "data/cats")


def loop() -> None:
    pictures("data/a")
    os.symlink("..", "data/a/up")


def deep() -> None:
    place = "data/" + "/".join(["d"] * 60)
    pictures(place)


def classes(*names: str | bytes) -> Callable[[], None]:
    def make() -> None:
        pictures("one")
        os.mkdir("data")
        for name in names:
            target = os.path.join(b"data", name) if isinstance(name, bytes) else os.path.join("data", name)
            shutil.copytree(b"one" if isinstance(name, bytes) else "one", target)  # type: ignore[type-var]
        shutil.rmtree("one")

    return make


def pipe(path: str) -> Callable[[], None]:
    return lambda: os.mkfifo(path)


def frames(form: str, suffix: str) -> Callable[[], None]:
    def make() -> None:
        from PIL import Image

        Path("data").mkdir()
        draw = np.random.default_rng(0)
        for number in range(6):
            pages = [Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(10)]
            pages[0].save(f"data/{number}.{suffix}", form, save_all=True, append_images=pages[1:])

    return make


def suffixes(*names: str) -> Callable[[], None]:
    def make() -> None:
        pictures("data")
        for name in names:
            shutil.copy("data/00.png", f"data/{name}")

    return make


def check(name: str, words: str, make: Callable[[], None], **options: object) -> Input:
    return command(name, f"data check {words}", make=make, **options)


def told(*words: str) -> str:
    """Whether one of the words is in what was printed."""
    return f"any(word in (out + err).lower() for word in {words!r})"


def inputs() -> Iterator[Input]:
    for name, (file, content) in DAMAGED.items():
        yield check(f"among good ones: {name}", "pictures", among(file, content))
    for name in ("an empty file", "a JPEG cut off", "a bomb of 20,000 x 20,000"):
        file, content = DAMAGED[name]
        words = "data check pictures --size 16 --channels 3"
        yield command(f"with size and channels: {name}", words, make=among(file, content))
        words = "data check pictures --size 16 --memory-limit 1e-9"
        yield command(f"streamed: {name}", words, make=among(file, content))
        words = "train gan --data pictures --size 16 --networks mlp --steps 2 --batch 21 --width 4 --out new"
        yield command(f"trained: {name}", words, make=among(file, content))
    for name, (file, content) in GOOD.items():
        make = among(file, content)
        yield check(f"one of twenty-one: {name}", "pictures", make, right="accepted", check=counted(21))
        yield check(f"streamed: {name}", "pictures --memory-limit 1e-9", make, right="accepted", check=counted(21))
    left_out = told("left out", "leaves out", "not read", "skipped", "ignored", "passed over", "not taken", "unread")
    yield check("a class that is a link", "data", linked_class, right="accepted", check=f"{counted(40)} or {left_out}")
    yield check("a link to the folder above", "data", loop, right="either", check=f"{counted(20)} or {left_out}")
    yield check("sixty folders deep", "data", deep, right="accepted", check=counted(20))
    for form, suffix in (("GIF", "gif"), ("TIFF", "tiff"), ("WEBP", "webp"), ("PNG", "png")):
        words = told("frame", "page")
        yield check(f"ten frames in a .{suffix}", "data", frames(form, suffix), right="either", check=words)
    names = ("a.jfif", "b.tga", "c.avif", "d.txt", "e", "f.png.bak", "g.heic")
    yield check("suffixes not known", "data", suffixes(*names), right="either", check=f"{counted(27)} or {left_out}")
    hidden = both(suffixes(".hidden.png", "._00.png"), lambda: os.mkdir("data/.git"))
    yield check("hidden files", "data", hidden, right="accepted", check=counted(20))
    yield check("a pipe among them", "data", both(suffixes(), pipe("data/x.png")), right="either", check=left_out)
    yield check("a pipe of no suffix", "data", both(suffixes(), pipe("data/x")), right="either")
    yield check("nothing but a pipe", "data", both(lambda: os.mkdir("data"), pipe("data/x.png")))
    dangling = both(suffixes(), lambda: os.symlink("nowhere.png", "data/x.png"))
    yield check("a dangling link", "data", dangling, right="either", check=left_out)
    yield check("a link to itself", "data", both(suffixes(), lambda: os.symlink("x.png", "data/x.png")), right="either")
    device = both(suffixes(), lambda: os.symlink("/dev/zero", "data/x.png"))
    yield check("a link to an endless device", "data", device, right="either", check=left_out)
    yield check("a folder called x.png", "data", both(suffixes(), lambda: os.mkdir("data/x.png")), right="either")
    yield check("an empty folder", "data", lambda: os.mkdir("data"))
    yield check("a folder of empty folders", "data", lambda: os.makedirs("data/a/b"))
    yield check("a folder of text", "data", written("data/a.txt", "text"))
    yield check("the working folder, empty", ".", lambda: None)
    yield check("the system's processes", "/proc/self", lambda: None)
    yield check("a hidden class", "data", classes("a", ".b"), right="accepted", check=counted(20))
    yield check(
        "strange classes", "data", classes("-1", " ", "ä", "a\nb", "0", "NaN"), right="accepted", check=counted(120)
    )
    yield check("a class whose name is no UTF-8", "data", classes("a", b"\xff\xfe"), right="either")
    yield check("classes called train and cats", "data", classes("train", "cats"), right="either")
    yield check("splits alone, without train", "data", classes("test", "val"))
    yield check("a split called like a path", "data --split ../data", classes("train", "test"))
    yield check(
        "an upper-case split",
        "data",
        classes("Train", "Test"),
        right="either",
        check=f"{counted(20)} or 'rain' in out + err",
    )
    long = "x" * 250 + ".png"
    yield check("a name of 254 letters", "data", suffixes(long), right="accepted", check=counted(21))
    yield check("a name with a line break", "data", suffixes("a\nb.png"), right="accepted", check=counted(21))
    broken = both(suffixes(), written("data/a\nb.png", b"text"))
    yield check("a broken picture whose name has a line break", "data", broken)
    broken = both(suffixes(), lambda: Path(os.fsdecode(b"data/\xff.png")).write_bytes(b"text"))
    yield check("a broken picture whose name is no UTF-8", "data", broken)
    yield check("one picture", "data/00.png", suffixes())
    yield check("one picture in a folder", "data", lambda: pictures("data", count=1), right="accepted")
    yield check("pictures of 1x1", "data", lambda: pictures("data", side=1), right="accepted")
    yield check("pictures of 1x1, enlarged", "data --size 64", lambda: pictures("data", side=1), right="accepted")
    yield check("mnist's name, not its content", "data", written("data/train-images-idx3-ubyte", b"text"))
    pipe_mnist = both(lambda: os.mkdir("data"), pipe("data/train-images-idx3-ubyte"))
    yield check("mnist's name, a pipe", "data", pipe_mnist)
    yield check("mnist from a folder of nothing", "mnist --data-dir data", lambda: os.mkdir("data"))
    yield check("mnist from a file", "mnist --data-dir data", written("data", b"x"))
    yield check("mnist from nowhere", "mnist --data-dir nowhere", lambda: None)
    yield check("mnist without a folder", "mnist", lambda: None)
    yield check("cifar10 from a folder of pictures", "cifar10 --data-dir data", suffixes())
    for name in ("a text", "a JPEG cut off"):
        file, content = DAMAGED[name]
        words = "audit --real pictures --fake good"
        yield command(f"audited: {name}", words, make=both(among(file, content), lambda: pictures("good")))
