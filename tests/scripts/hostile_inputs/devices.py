"""Devices that are not there, and processes in odd surroundings: no home, no terminal, no folder for temporary files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from hostile_inputs.record import Input, command, python
from hostile_inputs.things import arrays, both, copied, written

TRAIN = "train gan --data points.npy --steps 2 --batch 8 --width 4 --out new"

DEVICES = (
    "hpu",
    "mps",
    "xpu",
    "xla",
    "meta",
    "cuda",
    "cuda:0",
    "cuda:99",
    "cuda:-1",
    "cuda:x",
    "cpu:7",
    "",
    "GPU",
    "tpu",
    "vulkan",
    "privateuseone",
    "fpga",
    "hip",
    "lazy",
    "ipu",
    "mtia",
    "maia",
    "cuda:0,1",
    "auto:1",
    "cpu ",
    "\0",
    "cuda:999999999999",
)

ODD: dict[str, dict[str, Any]] = {
    "no HOME": {"HOME": None},
    "a HOME that is not there": {"HOME": "/nowhere"},
    "a HOME of nothing": {"HOME": ""},
    "a HOME that is a file": {"HOME": "/etc/hostname"},
    "no PATH": {"PATH": None},
    "columns of 0": {"COLUMNS": "0", "LINES": "0"},
    "columns of -5": {"COLUMNS": "-5"},
    "columns of text": {"COLUMNS": "wide"},
    "columns of 1e9": {"COLUMNS": "1000000000"},
    "the C locale": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "an ASCII stdout": {"PYTHONIOENCODING": "ascii"},
    "a strict latin stdout": {"PYTHONIOENCODING": "latin1:strict"},
    "a locale that is not there": {"LANG": "xx_YY.UTF-8", "LC_ALL": "xx_YY.UTF-8"},
    "a dumb terminal": {"TERM": "dumb"},
    "no terminal at all": {"TERM": ""},
    "an unknown terminal": {"TERM": "nosuch"},
    "forced colours": {"FORCE_COLOR": "1", "NO_COLOR": ""},
    "no colours": {"NO_COLOR": "1"},
    "a rank of 0 of 1": {"RANK": "0", "WORLD_SIZE": "1"},
    "threads of 0": {"OMP_NUM_THREADS": "0"},
    "a wait policy of its own": {"OMP_WAIT_POLICY": "ACTIVE"},
    "warnings are errors": {"PYTHONWARNINGS": "error::UserWarning:modecover"},
    "malloc's own settings": {"MALLOC_ARENA_MAX": "1"},
    "a cache that cannot be": {"MODECOVER_CACHE": "/proc/x", "XDG_CACHE_HOME": "/proc/x"},
    "another matplotlib backend": {"MPLBACKEND": "nosuch"},
    "matplotlib's folder is a file": {"MPLCONFIGDIR": "/etc/hostname"},
    "optimised Python": {"PYTHONOPTIMIZE": "2"},
    "no bytecode, hash seed": {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
}

WRONG_RANKS = (
    {"RANK": "x", "WORLD_SIZE": "2"},
    {"RANK": "0", "WORLD_SIZE": "x"},
    {"RANK": "0", "WORLD_SIZE": "-1"},
    {"RANK": "0", "WORLD_SIZE": "0"},
    {"RANK": "5", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
    {"RANK": "0", "WORLD_SIZE": "2"},
    {"WORLD_SIZE": "2"},
    {"WORLD_SIZE": ""},
    {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"},
    {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999999"},
)

FAILING_TEMPORARY = {"TMPDIR": "/nowhere"}


def inputs() -> Iterator[Input]:
    for device in DEVICES:
        right = "either" if device == "cpu:7" else "refused"
        words = [*TRAIN.split(), f"--device={device}"]
        yield command(f"train --device {device!r}", words, make=arrays, right=right)
        yield python(
            f"modecover.open_data('ring', device={device!r})",
            name=f"open_data: {device!r}",
            right="either" if device == "cpu:7" else "refused",
        )
        code = f"x = np.random.normal(size=(60, 2))\nmodecover.audit(x, x, device={device!r}, features='random-convolutions')"
        yield python(code, name=f"audit: {device!r}")
    yield command("train --capture on a processor", f"{TRAIN} --capture", make=arrays)
    fine = "Path('new/model/model.safetensors').is_file()"
    for name, variables in ODD.items():
        check = f"{fine} and 'Traceback' not in err"
        yield command(
            f"train with {name}", TRAIN, make=arrays, environment=variables, fresh=True, right="accepted", check=check
        )
    for name in (
        "no HOME",
        "columns of 0",
        "the C locale",
        "an ASCII stdout",
        "a dumb terminal",
        "columns of text",
        "optimised Python",
    ):
        for words in (
            "list",
            "describe ivgan",
            "train gan --help",
            "data check ring",
            "audit --real points.npy --fake points.npy",
        ):
            yield command(
                f"{words} with {name}", words, make=arrays, environment=ODD[name], fresh=True, right="accepted"
            )
    unicode = ["data", "check", "./läufe-模.npy"]
    moved = both(arrays, lambda: os.rename("points.npy", "läufe-模.npy"))
    for name in ("the C locale", "an ASCII stdout"):
        yield command(
            f"a unicode name with {name}", unicode, make=moved, environment=ODD[name], fresh=True, right="accepted"
        )
        words = ["data", "check", "./nö-模.npy"]
        yield command(f"an absent unicode name with {name}", words, make=arrays, environment=ODD[name], fresh=True)
    yield command(
        "no folder for temporary files",
        TRAIN,
        make=arrays,
        environment=FAILING_TEMPORARY,
        fresh=True,
        right="accepted",
        check=fine,
    )
    for variables in WRONG_RANKS:
        name = " ".join(f"{key}={value}" for key, value in variables.items())
        yield command(f"train with {name}", TRAIN, make=arrays, environment=variables, fresh=True)
    for source in ("hf:owner/name", "owner/name", "hf:owner/name:test"):
        server = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "SILENT"}
        yield command(
            f"{source} from a server that never answers", ["data", "check", source], environment=server, fresh=True
        )
        refusing = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
        yield command(
            f"{source} from a server that is not there", ["data", "check", source], environment=refusing, fresh=True
        )
    for place in ("owner/name",):
        server = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "SILENT"}
        yield command(
            f"sample {place} from a server that never answers", ["sample", place], environment=server, fresh=True
        )
        yield command(
            f"evaluate {place} from a server that never answers", ["evaluate", place], environment=server, fresh=True
        )
        words = ["audit", "--real", "points.npy", "--fake", place]
        yield command(
            f"audit {place} from a server that never answers", words, make=arrays, environment=server, fresh=True
        )
    shell = (
        "import subprocess, sys\nrun = lambda line: subprocess.run(line, shell=True, capture_output=True, text=True)\n"
    )
    shell += "m = f'{sys.executable} -m modecover'\n"
    calls = {
        "stdout closed": "{m} list >&-",
        "stderr closed": "{m} data check nowhere.npy 2>&-",
        "stdin closed": "{m} data check ring <&-",
        "all closed": "{m} list <&- >&- 2>&-",
        "a full stdout": "{m} list > /dev/full",
        "a full stderr": "{m} data check nowhere.npy 2> /dev/full",
        "a reader that left": "{m} list | true",
        "a reader that left, in training": "{m} train gan --data ring --steps 2 --batch 8 --width 4 --out new 2>&1 | true",
        "the working folder is gone": "mkdir gone && cd gone && rmdir ../gone && {m} data check ring --out /tmp/nowhere-x/y.png",
    }
    for name, line in calls.items():
        code = f"{shell}said = run(f{line!r})"
        yield python(
            code,
            name=name,
            right="accepted",
            check="'Traceback' not in said.stderr + said.stdout and 'Exception ignored' not in said.stderr",
        )
    yield command(
        "a file called torch.py beside",
        TRAIN,
        make=both(arrays, written("numbers.py", "raise SystemExit")),
        fresh=True,
        right="either",
    )
    yield command(
        "sample with no HOME",
        "sample run --count 9",
        make=copied("run"),
        environment=ODD["no HOME"],
        fresh=True,
        right="accepted",
    )
