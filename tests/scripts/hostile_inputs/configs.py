"""Runs as TOML files that are damaged, strange, or say what the command line says too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from hostile_inputs.record import Input, command
from hostile_inputs.things import arrays, both, written

RUN = "train --config run.toml"
GOOD = "method = 'gan'\ndata = 'points.npy'\nout = 'new'\nsteps = 2\nbatch = 8\nwidth = 4\n"
BARE = "steps = 2\nbatch = 8\nwidth = 4\n"

FILES: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b"  \n\n",
    "a comment": b"# nothing\n",
    "text": b"train gan on the ring",
    "JSON": b'{"method": "gan", "data": "points.npy"}',
    "YAML": b"method: gan\ndata: points.npy\n",
    "half a line": b"method = 'ga",
    "an unclosed table": b"[run\nsteps = 2\n",
    "no UTF-8": b"method = '\xff\xfe'\n",
    "UTF-16": "method = 'gan'\n".encode("utf-16"),
    "NUL bytes": b"\0" * 100,
    "a NUL in a text": b"method = 'gan'\ndata = 'a\\u0000b'\n",
    "an entry twice": b"steps = 2\nsteps = 3\n",
    "an entry in two spellings": b"lr_G = 2\nlr-G = 3\n",
    "10,000 levels": b"x = " + b"[" * 10_000,
    "10,000 tables": b"[" + b"a." * 10_000 + b"a]\n",
    "a number of 5,000 digits": b"steps = " + b"9" * 5000 + b"\n",
    "2 MB": b"# " + b"x" * 2_000_000,
    "a method of nothing": b"method = ''\ndata = 'ring'\n",
    "a method of a number": b"method = 5\ndata = 'ring'\n",
    "an unknown method": b"method = 'gna'\ndata = 'ring'\n",
    "no data": b"method = 'gan'\n",
    "no method": b"data = 'ring'\n",
    "surrogates": b"method = 'gan'\ndata = '\\ud800'\n",
}

ENTRIES = (
    *(
        "steps = 0",
        "steps = -1",
        "steps = 2.5",
        "steps = '2'",
        "steps = true",
        "steps = [2]",
        "steps = inf",
        "steps = nan",
    ),
    *("steps = 1979-05-27", "steps = 07:32:00", "steps = {}", "steps = 1e300", "steps = 9223372036854775808"),
    *("lr = 'fast'", "lr = 0", "lr = nan", "lr = -1e-3", "lr = inf", "lr = 1e300", "lr = []", "lr = true"),
    *("data = 5", "data = []", "data = ['points.npy']", "data = ''", "data = {}", "data = 'nowhere.npy'"),
    *("out = 5", "out = true", "out = []", "out = 'points.npy'", "out = '/proc/x'"),
    *("key = 5", "key = [1]", "labels = 5", "labels = [0, 1]", "size = 'x'", "channels = 2", "layout = 'HW'"),
    *("memory_limit = true", "memory_limit = 'much'", "memory_limit = -1", "value_range = [0, 1]", "split = 3"),
    *("alarm = 0.2", "alarm = 'missing'", "alarm = []", "alarm = { missing = 'x' }", "alarm = { missing = 2 }"),
    *("alarm = { nosuch = 0.2 }", "alarm = { missing = nan }", "alarm = { missing = 0.1, missing-mass = 0.2 }"),
    *("preset = 'x'", "preset = 5", "protocol = 'x'", "protocol = []", "networks = 'x'", "networks = { G = 'x' }"),
    *("networks = 5", "nosuch = 1", "stepz = 3", "settings = { lr = 1 }", "'' = 1", "'a b' = 1", "'a\\tb' = 1"),
    *("seed = -1", "seeds = 0", "seeds = 1e18", "device = 5", "device = 'tpu9'", "report_to = 'x'", "report_to = []"),
    *("listener = 'x'", "config = 'run.toml'", "help = true", "dry_run = true", "print_config = true"),
    *("train.steps = 2", "[settings]\nlr = 1", "[[settings]]\nlr = 1", "__class__ = 'x'", "self = 1", "kwargs = 1"),
    *("lr_schedule = 5", "lr_schedule = '2:1'", "optimizer = 'x'", "loss = 'x'", "capture = 'yes'", "ema = 1"),
    *("evaluate_samples = 0", "minutes = -1", "minutes = '1'", "workers = -1", "accumulate = 3", "clip = -1"),
)
"""Behind a good file's."""


def good(more: str = "") -> Callable[[], None]:
    """A good file, with what `more` says in the place of what it says."""
    names = {line.partition("=")[0].strip() for line in more.splitlines()}
    kept = [line for line in GOOD.splitlines() if line.partition("=")[0].strip() not in names]
    return both(arrays, written("run.toml", "\n".join([*kept, more, ""])))


def inputs() -> Iterator[Input]:
    for name, content in FILES.items():
        yield command(name, RUN, make=both(arrays, written("run.toml", content)))
        yield command(
            f"with a method: {name}",
            "train gan --data points.npy --config run.toml --steps 2 --batch 8 --width 4 --out new --print-config",
            make=both(arrays, written("run.toml", content)),
            right="either",
        )
    for entry in ENTRIES:
        yield command(entry.replace("\n", " "), RUN, make=good(entry))
    for name, make in {
        "it is not there": arrays,
        "it is a folder": both(arrays, lambda: os.mkdir("run.toml")),
        "it is a pipe": both(arrays, lambda: os.mkfifo("run.toml")),
        "it is a dangling link": both(arrays, lambda: os.symlink("nowhere", "run.toml")),
        "it is a link to itself": both(arrays, lambda: os.symlink("run.toml", "run.toml")),
        "it is a link to /dev/zero": both(arrays, lambda: os.symlink("/dev/zero", "run.toml")),
    }.items():
        yield command(name, RUN, make=make)
    for words in (
        *(
            "train --config",
            "train --config=",
            "train --config run.toml --config run.toml",
            "train --config run.toml x",
        ),
        *(
            "train --config run.toml/x",
            "train --config /proc/self/mem",
            "train --config points.npy",
            "train lsgan --config",
        ),
        *(
            "train --config run.toml --steps 0",
            "train --config run.toml --steps x",
            "train --config run.toml --nosuch 3",
        ),
        *(
            "train --config run.toml --data nowhere",
            "train --config run.toml --alarm x",
            "train nosuch --config run.toml",
        ),
        *("train --config run.toml --data=", "train vae --config run.toml --k 3", "train --config run.toml --preset x"),
        *("--config run.toml train", "audit --config run.toml", "train --config run.toml --print-config --lr 0"),
        *("train --config a\0b",),
    ):
        yield command(words, words, make=good())
    taken = {
        "as it is": ("", "", "Path('new/model/model.safetensors').is_file()"),
        "steps of 2.0": ("steps = 2.0", "", "Path('new/model/model.safetensors').is_file()"),
        "the command line goes before": (
            "",
            "--steps 3 --out other",
            "Path('other/model').is_dir() and not Path('new').exists()",
        ),
        "an alarm that the command line takes back": (
            "alarm = { missing = 0.5 }",
            "--alarm none",
            "Path('new/model').is_dir()",
        ),
        "none": ("lr_G = 'none'\nreport_to = 'None'", "", "Path('new/model').is_dir()"),
        "dashes": ("lr-G = 1e-3\nevaluate-every = 0", "", "Path('new/model').is_dir()"),
        "a path of unicode": ("out = 'läufe/模型'", "", "Path('läufe/模型/model').is_dir()"),
    }
    for name, (more, flags, check) in taken.items():
        yield command(f"taken: {name}", f"{RUN} {flags}", make=good(more), right="accepted", check=check)
    marked = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    yield command("a byte order mark", RUN, make=both(arrays, written("run.toml", marked)), right="either")
    crlf = GOOD.replace("\n", "\r\n")
    yield command("CRLF", RUN, make=both(arrays, written("run.toml", crlf)), right="accepted")
