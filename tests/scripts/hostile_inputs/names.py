"""Names of files and folders: too long, with NUL, no UTF-8, of something else, where nothing can be written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile_inputs.record import Input, command
from hostile_inputs.things import arrays, both, copied, pictures, written

TRAIN = ["train", "gan", "--data", "points.npy", "--steps", "2", "--batch", "8", "--width", "4"]
AUDIT = ["audit", "--real", "points.npy", "--fake", "fake.npy"]

NO_UTF8 = os.fsdecode(b"a\xff\xfeb")

IMPOSSIBLE: dict[str, str] = {
    "an embedded NUL": "a\0b",
    "a name of 300 letters": "x" * 300,
    "a path of 5,000 letters": "/".join(["x" * 100] * 50),
    "below a file": "points.npy/x",
    "in the system's processes": "/proc/x",
    "in the system's processes, deep": "/proc/self/x/y",
    "below a device": "/dev/null/x",
    "through a link to itself": "loop/x",
}

STRANGE: dict[str, str] = {
    "unicode": "läufe/模型",
    "blanks": "my run ",
    "a line break": "a\nb",
    "no UTF-8": NO_UTF8,
    "quotes": "a'b\"c",
    "a dollar": "$HOME",
    "a percent": "%s%n{0}",
    "rich's markup": "[red]x[/red]",
    "rich's broken markup": "[/x]",
    "mathtext": "$\\frac{$",
    "a leading dash": "-run",
    "two dots": "a/../b",
    "a colon": "C:x",
    "an asterisk": "*",
    "right to left": "\u202etxt",
}


def loop() -> None:
    os.symlink("loop", "loop")


def made(*more: Callable[[], None]) -> Callable[[], None]:
    return both(arrays, loop, *more)


def inputs() -> Iterator[Input]:
    yield from _out_of_train()
    yield from _out_of_others()
    yield from _sources()
    yield from _words()


def _out_of_train() -> Iterator[Input]:
    for name, path in IMPOSSIBLE.items():
        yield command(f"train --out: {name}", [*TRAIN, f"--out={path}"], make=made())
    for name, path in STRANGE.items():
        check = f"Path({path!r}, 'model/model.safetensors').is_file()"
        right = "refused" if path == NO_UTF8 else "accepted"
        yield command(f"train --out: {name}", [*TRAIN, f"--out={path}"], make=made(), right=right, check=check)
    yield command("train --out: a file", [*TRAIN, "--out", "points.npy"], make=made())
    yield command(
        "train --out: a folder of somebody's", [*TRAIN, "--out", "f"], make=made(written("f/thesis.tex", "x"))
    )
    yield command("train --out: the working folder", [*TRAIN, "--out", "."], make=made())
    yield command("train --out: nothing", [*TRAIN, "--out="], make=made(), right="either")
    yield command("train --out: a pipe", [*TRAIN, "--out", "p"], make=made(lambda: os.mkfifo("p")))
    yield command(
        "train --out: a dangling link", [*TRAIN, "--out", "l"], make=made(lambda: os.symlink("no", "l")), right="either"
    )
    yield command("train --out: a device", [*TRAIN, "--out", "/dev/null"], make=made())
    yield command("train --out: /", [*TRAIN, "--out", "/"], make=made())
    yield command("train --out: twice", [*TRAIN, "--out", "a", "--out", "b"], make=made(), right="either")
    below = made(lambda: os.mkdir("run"), written("run/run.json", b"[]"))
    yield command("train --out: a run.json of a list", [*TRAIN, "--out", "run"], make=below)
    words = [*TRAIN, "--out", "run"]
    pipe = made(lambda: os.mkdir("run"), lambda: os.mkfifo("run/run.json"))
    yield command("train --out: run.json is a pipe", words, make=pipe)
    yield command("train --out: run.json is a folder", words, make=made(lambda: os.makedirs("run/run.json")))
    yield command("train --out: .lock is a folder", words, make=made(lambda: os.makedirs("run/.lock")))
    yield command("train --out: .lock is a pipe", words, make=made(lambda: (os.mkdir("run"), os.mkfifo("run/.lock"))))
    yield command(
        "train without --out, a strange source", [*TRAIN[:3], "./a b*", *TRAIN[4:]], make=strange_source, right="either"
    )


def strange_source() -> None:
    pictures("a b*")


def _out_of_others() -> Iterator[Input]:
    for name, path in IMPOSSIBLE.items():
        yield command(f"audit --out: {name}", [*AUDIT, f"--out={path}.html"], make=made())
        yield command(f"audit --json: {name}", [*AUDIT, f"--json={path}.json"], make=made())
        yield command(f"sample --out: {name}", ["sample", "run", f"--out={path}.npy"], make=both(copied("run"), loop))
        yield command(f"check --out: {name}", ["data", "check", "ring", f"--out={path}.png"], make=made())
    for name, path in STRANGE.items():
        right = "refused" if path == NO_UTF8 else "accepted"
        words = ["sample", "run", "--count", "9", f"--out={path}.png"]
        check = f"Path({path + '.png'!r}).is_file()"
        yield command(f"sample --out: {name}", words, make=copied("run"), right=right, check=check)
        words = [*AUDIT, "--samples", "60", f"--out={path}.html", f"--json={path}.json"]
        check = f"Path({path + '.html'!r}).is_file() and Path({path + '.json'!r}).is_file()"
        yield command(f"audit --out: {name}", words, make=made(), right=right, check=check)
    for words in ("sample run --out x.txt", "sample run --out run/model/config.json"):
        yield command(words, words, make=copied("run"))
    yield command("sample --out: nothing", ["sample", "run", "--out="], make=copied("run"), right="either")
    yield command(
        "sample --out: a folder called .npy",
        "sample run --out d.npy",
        make=both(copied("run"), lambda: os.mkdir("d.npy")),
    )
    yield command(
        "sample --out: a pipe", "sample run --out p.npy", make=both(copied("run"), lambda: os.mkfifo("p.npy"))
    )
    yield command("sample --out: a full device", "sample run --out /dev/full", make=copied("run"))
    yield command("audit --out: no .html", [*AUDIT, "--out", "a.txt"], make=made())
    yield command("audit --out: a folder", [*AUDIT, "--out", "d.html"], make=made(lambda: os.mkdir("d.html")))
    yield command(
        "audit --out: a pipe", [*AUDIT, "--out", "p.html"], make=made(lambda: os.mkfifo("p.html")), right="either"
    )
    yield command(
        "audit --json: a pipe", [*AUDIT, "--json", "p.json"], make=made(lambda: os.mkfifo("p.json")), right="either"
    )
    yield command("audit --json: nothing", [*AUDIT, "--json="], make=made())
    yield command("audit --out and --json the same", [*AUDIT, "--out", "a.html", "--json", "a.html"], make=made())
    yield command("reproduce --out: a file", "reproduce ring-ldmgan --out points.npy", make=made())
    yield command("reproduce --results: a file", "reproduce ring-ldmgan --results points.npy", make=made())
    yield command("demo --out: a file", "demo --out points.npy", make=made())
    yield command("demo --out: impossible", "demo --out /proc/x", make=made())


def _sources() -> Iterator[Input]:
    for name, path in IMPOSSIBLE.items():
        yield command(f"check: {name}", ["data", "check", path], make=made())
        yield command(f"audit --fake: {name}", ["audit", "--real", "points.npy", f"--fake={path}"], make=made())
        yield command(f"sample: {name}", ["sample", path], make=made())
        yield command(f"evaluate: {name}", ["evaluate", path], make=made())
    for name, path in STRANGE.items():
        if not path.startswith("-"):
            words = ["data", "check", f"./{path}.npy"]
            make = both(arrays, renamed("points.npy", f"./{path}.npy"))
            yield command(f"check: {name}", words, make=make, right="refused" if path == NO_UTF8 else "accepted")
        make = both(copied("run"), renamed("run", f"./{path}"))
        check = f"Path({path!r}, 'samples.png').is_file()"
        right = "refused" if path == NO_UTF8 else "accepted"
        yield command(f"sample: {name}", ["sample", f"./{path}"], make=make, right=right, check=check)
    for source in (
        "",
        " ",
        ":",
        "::",
        "hf:",
        "hf::",
        "hf:../..",
        "hf:../../etc",
        "hf:a/b/c",
        "hf:/",
        "hf:a b",
        "hf:\n",
    ):
        yield command(f"check {source!r}", ["data", "check", source])
    for source in (
        "hf:x:y:z",
        "hf:~",
        "hf:.",
        "hf:" + "x" * 5000,
        "hf:https://example.com",
        "ylecun/mnist",
        "~nobody/x",
    ):
        yield command(f"check {source[:40]!r}", ["data", "check", source])
    for source in (
        "http://127.0.0.1:1/x.npy",
        "s3://x/y",
        "file:///etc/passwd",
        "ring ",
        "RING",
        "rîng",
        "../ring",
        "~",
    ):
        yield command(f"check {source!r}", ["data", "check", source])
    for model in ("", "a/b", "../x", "~/x", "hf:a/b", "a/b/c", "/", ".", "..", "owner/" + "x" * 300, "-", "--", "\0"):
        yield command(f"sample {model[:30]!r}", ["sample", model])
        yield command(f"evaluate {model[:30]!r}", ["evaluate", model])


def renamed(old: str, new: str) -> Callable[[], None]:
    def make() -> None:
        Path(new).parent.mkdir(parents=True, exist_ok=True)
        os.rename(old, new)

    return make


def _words() -> Iterator[Input]:
    for words in (
        *(
            "trian",
            "train",
            "train gan",
            "train gan --data",
            "train --data ring",
            "train nosuch --data ring",
            "-x",
            "--nosuch",
        ),
        *(
            "train gan --data ring --nosuch 1",
            "train gan ring",
            "train gan --data ring extra",
            "data",
            "data chek ring",
        ),
        *(
            "data check",
            "data check a b",
            "sample",
            "sample a b",
            "evaluate",
            "describe",
            "describe nosuch",
            "describe a b",
        ),
        *("list x", "audit --real ring", "audit --fake ring", "audit ring ring", "reproduce", "reproduce nosuch"),
        *(
            "reproduce ring-ldmgan extra",
            "demo x",
            "--version x",
            "help",
            "train gan --data - --steps 2",
            "train Gan --data ring",
        ),
        *(
            "train gan --data ring --preset nosuch",
            "train gan --data ring --protocol nosuch",
            "train gan --data ring --networks x",
        ),
        *(
            "train gan --data ring --optimizer x",
            "train gan --data ring --prior x",
            "train gan --data ring --precision fp8",
        ),
        *(
            "train gan --data ring --networks dcgan",
            "train gan --data ring --capture",
            "train gan --data ring --no-capture=1",
        ),
        *("train ivgan --data ring --k 3", "train ivgan --data ring --latent 1", "train ivlsgan --data ring --k 0"),
        *(
            "train wgan-gp --data ring --norm-D batch=",
            "train gan --data ring --device=",
        ),
    ):
        right = "either" if words in ("data", "data check", "train", "help", "--version x") else "refused"
        yield command(words, words, right=right)
    yield command("no words at all", [], right="accepted", check="'usage' in out")
    yield command("a word of nothing", [""])
    yield command("a word of blanks", ["  "])
    yield command("a word of 100,000 letters", ["x" * 100_000])
    yield command("a flag of 100,000 letters", ["train", "gan", "--data", "ring", "--" + "x" * 100_000])
    yield command("a method of unicode", ["train", "gän", "--data", "ring"])
    yield command("a method with a line break", ["train", "gan\nx", "--data", "ring"])
    yield command("a method that is a path", ["train", "../gan", "--data", "ring"])
    yield command("a flag twice, the second wrong", ["train", "gan", "--data", "ring", "--steps", "2", "--steps", "x"])
    yield command("a preset's name of markup", ["train", "gan", "--data", "ring", "--preset", "[/red]"])
    yield command("a surrogate", ["data", "check", "\udcff\udc80"])
    yield command("@file", ["data", "check", "@points.npy"], make=arrays)
