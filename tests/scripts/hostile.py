"""Hundreds of hostile inputs, given to the command and to the library: each is refused in one sentence, or right.

    python tests/scripts/hostile.py                      all of them
    python tests/scripts/hostile.py --only files tables  some kinds
    python tests/scripts/hostile.py --list               what there is
    python tests/scripts/hostile.py --only files --name bomb --keep FOLDER   one, with what it left behind

An input fails that ends in a traceback, is silent for --limit seconds, takes more memory than --memory gigabytes, is
taken though it is wrong (or refused though it is right), is refused in anything but one sentence, or changes a file
that it has no business with. Each is tried in a fresh folder by a fork of one process that has imported everything.
Nothing reaches the network. Exit code 1 if any failed. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import pkgutil
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hostile_inputs
from hostile_inputs import things
from hostile_inputs.record import Input

MAKING = 300
"""Seconds in which what an input needs is made."""

SOURCE = Path(__file__).parents[2] / "src"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
"""Set before anything heavy is imported."""

IMPORTS = ["modecover.cli.main", "modecover.cli.train", "modecover.cli.terminal", "modecover.runs.run"]
IMPORTS += ["modecover.cli.audit", "modecover.auditing.run", "modecover.cli.models", "modecover.pictures.saving"]
IMPORTS += ["modecover.methods.gan", "safetensors.torch", "rich.table", "scipy.optimize", "matplotlib.figure"]
IMPORTS += ["torch._dynamo", "PIL.Image", "pyarrow.parquet", "datasets", "modecover.experiments", "onnxruntime"]

FAILURES = ("traceback", "hang", "wrongly accepted", "wrongly refused", "no sentence", "leftovers", "memory", "wrong")


@dataclass
class Outcome:
    """What became of one input.

    Attributes:
        failure: one of `FAILURES`; empty where all is well.
        refused: whether it was refused.
        detail: what went wrong.
        out, err: what was printed.
        seconds, gigabytes: what it took.
    """

    failure: str = ""
    refused: bool = False
    detail: str = ""
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    gigabytes: float = 0.0


@dataclass
class Child:
    """A process that tries one input."""

    kind: str
    given: Input
    place: Path
    pid: int
    born: float = field(default_factory=time.monotonic)
    begun: float | None = None
    spoke: float = 0.0
    said: int = 0

    def waited(self) -> tuple[float, float]:
        """Seconds since it last said a word, and in all, each from when what the input needs was made."""
        now = time.monotonic()
        said = sum((self.place / name).stat().st_size for name in ("out", "err") if (self.place / name).exists())
        begun = (self.place / "begun").exists()
        if self.begun is None and (begun or now - self.born > MAKING):
            self.begun = self.spoke = now
        if said != self.said:
            self.said, self.spoke = said, now
        return (now - self.spoke, now - self.begun) if self.begun is not None else (0.0, 0.0)


# ---------------------------------------------------------------------------------------------- in the child


def content(folder: Path) -> dict[str, str]:
    """Each path below a folder to what it is: nothing is followed, and nothing but plain files is opened."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        name = os.fsencode(path.relative_to(folder)).decode(errors="replace")
        if stat.S_ISREG(facts.st_mode):
            small = facts.st_size < 2**24
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if small else f"{facts.st_size}"
        else:
            found[name] = f"mode {stat.S_IFMT(facts.st_mode)}"
    return found


def names_at_hand() -> dict[str, Any]:
    import numpy
    import torch

    import modecover

    return {"modecover": modecover, "np": numpy, "torch": torch, "nn": torch.nn, "Path": Path, "things": things}


def try_it(given: Input, place: Path) -> dict[str, Any]:
    """Give the input in the folder `place`/here, and tell what happened."""
    here = place / "here"
    os.chdir(here)
    if given.make is not None:
        given.make()
    for name, value in given.environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value.replace("SILENT", os.environ["HOSTILE_SILENT"])
    before = content(here)
    told: dict[str, Any] = {"code": None, "raised": "", "trace": "", "check": ""}
    names = names_at_hand()
    (place / "begun").touch()
    start = time.monotonic()
    try:
        if given.code:
            names = run_code(given.code, place / "given.py", names)
            told["code"] = 0
        elif given.fresh:
            line = [sys.executable, "-m", "modecover", *given.words]
            told["code"] = subprocess.run(line, stdin=subprocess.DEVNULL).returncode
        else:
            from modecover.cli.main import main

            told["code"] = main(list(given.words))
    except SystemExit as error:
        told["code"] = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        told["raised"] = "SystemExit" if given.code else ""
    except BaseException as error:
        from modecover.errors import UserError

        told["raised"] = "UserError" if isinstance(error, UserError) else type(error).__name__
        told["message"] = str(error)
        told["trace"] = traceback.format_exc()
    told["seconds"] = time.monotonic() - start
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(place / "here")
    if not told["raised"] and told["code"] in given.codes and given.check:
        names |= {"out": read(place / "out"), "err": read(place / "err")}
        try:
            if not eval(given.check, names):
                told["check"] = f"this does not hold: {given.check}"
        except BaseException:
            told["check"] = traceback.format_exc()
    after = content(here)
    told["changed"] = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    told["lost"] = sorted(name for name in before if name not in after)
    told["temporary"] = [path.name for path in (place / "tmp").iterdir()]
    return told


def run_code(code: str, path: Path, names: dict[str, Any]) -> dict[str, Any]:
    """Run Python as a module of its own, whose source can be found, and return its names."""
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("given", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["given"] = importlib.util.module_from_spec(spec)
    vars(module).update(names)
    spec.loader.exec_module(module)
    return vars(module)


def read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def start(kind: str, given: Input, place: Path) -> Child:
    """Fork a process for the input."""
    for name in ("here", "tmp", "home"):
        (place / name).mkdir(parents=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Child(kind, given, place, pid)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        for number, name, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, place / "out", os.O_CREAT | os.O_WRONLY | os.O_APPEND),
            (2, place / "err", os.O_CREAT | os.O_WRONLY | os.O_APPEND),
        ):
            os.dup2(os.open(name, flags, 0o600), number)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        os.environ |= {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "COLUMNS": "120"}
        tempfile.tempdir = str(place / "tmp")
        told = try_it(given, place)
    except BaseException:
        told = {"broken": traceback.format_exc()}
    try:
        (place / "told.json").write_text(json.dumps(told))
    finally:
        os._exit(0)


# --------------------------------------------------------------------------------------------- in the parent


def resident(pid: int) -> float:
    """Gigabytes that a process holds."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**30
    except (OSError, IndexError, ValueError):
        return 0.0


def finished(child: Child, limit: float, memory: float) -> Outcome | None:
    """What became of a child; None while it goes on."""
    pid, _, usage = os.wait4(child.pid, os.WNOHANG)
    stopped = ""
    if not pid:
        silent, whole = child.waited()
        if silent > limit or whole > 10 * limit:
            stopped = "hang"
        elif resident(child.pid) > memory:
            stopped = "memory"
        else:
            return None
        put_down(child)
        _, _, usage = os.wait4(child.pid, 0)
    put_down(child)  # whom it left behind
    outcome = Outcome(stopped, out=read(child.place / "out"), err=read(child.place / "err"))
    outcome.gigabytes = usage.ru_maxrss / 2**20
    if stopped == "hang":
        outcome.detail = f"it said nothing for {limit:g} s, or went on for {10 * limit:g} s"
    elif stopped:
        outcome.detail = f"it took more than {memory:g} GB"
    else:
        judge(child, outcome, memory)
    return outcome


def put_down(child: Child) -> None:
    """End a child and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def judge(child: Child, outcome: Outcome, memory: float) -> None:
    """Fill in what the child told, held against what is right."""
    given = child.given
    try:
        told = json.loads((child.place / "told.json").read_text())
    except (OSError, ValueError):
        outcome.failure, outcome.detail = "traceback", "the process ended without a word"
        return
    if "broken" in told:
        outcome.failure, outcome.detail = "wrong", f"the script itself failed:\n{told['broken']}"
        return
    outcome.seconds = told["seconds"]
    outcome.refused = told["raised"] == "UserError" if given.code else told["code"] == 2
    outcome.failure, outcome.detail = verdict(given, told, outcome)
    if not outcome.failure and outcome.gigabytes > memory:
        outcome.failure, outcome.detail = "memory", f"it took {outcome.gigabytes:.1f} GB"


def verdict(given: Input, told: dict[str, Any], outcome: Outcome) -> tuple[str, str]:
    """(one of `FAILURES`, detail), or two empty texts."""
    if "Traceback (most recent call last)" in outcome.err + outcome.out:
        return "traceback", "a traceback was printed"
    if told["raised"] not in ("", "UserError") or (told["raised"] and not given.code):
        return "traceback", told["trace"] or f"it raised {told['raised']}"
    if outcome.refused:
        if given.right == "accepted":
            return "wrongly refused", told.get("message", "")
        if found := no_sentence(given, told, outcome):
            return "no sentence", found
        changed = [name for name in told["changed"] if not name.startswith(given.changes or ("\0",))]
        if changed or told["temporary"]:
            return "leftovers", f"changed: {', '.join([*changed, *told['temporary']][:10])}"
        return "", ""
    if given.right == "refused":
        return "wrongly accepted", f"exit code {told['code']}"
    if told["code"] not in given.codes:
        return "wrong", f"exit code {told['code']} is none of {given.codes}"
    if told["check"]:
        return "wrong", told["check"]
    partial = [name for name in told["changed"] if name.endswith(".partial")]
    lost = [name for name in told["lost"] if not name.startswith(given.changes or ("\0",))]
    if partial or lost or told["temporary"]:
        return "leftovers", f"left or lost: {', '.join([*partial, *lost, *told['temporary']][:10])}"
    if given.code and given.silent and outcome.out:
        return "wrong", "the library printed"
    return "", ""


def no_sentence(given: Input, told: dict[str, Any], outcome: Outcome) -> str:
    """Why what was said is not one sentence; empty where it is."""
    if given.code:
        said = told["message"]
    else:
        lines = [line for line in outcome.err.splitlines() if line.strip()]
        ours = [line for line in lines if line.startswith("modecover: ") and "modecover: warning" not in line]
        if len(ours) != 1 or lines[-1] != ours[0]:
            return f"stderr has {len(ours)} sentences in {len(lines)} lines"
        if any(re.search(r"\w*Warning: ", line) for line in lines):
            return "a warning of a library was printed"
        said = ours[0].removeprefix("modecover: ")
    if "\n" in said.strip():
        return "it has several lines"
    if not 15 <= len(said) <= 1200:
        return f"it has {len(said)} characters"
    return ""


def train_runs(place: Path) -> None:
    """The runs that inputs start from, each trained in a fork."""
    place.mkdir()
    os.environ["HOSTILE_RUNS"] = str(place)
    for name, words in things.RUNS.items():
        given = Input(name, words=(*words.split(), "--out", str(place / name)), make=things.arrays, right="accepted")
        child = start("runs", given, place / f".{name}")
        while (outcome := finished(child, 300, 16)) is None:
            time.sleep(0.05)
        if outcome.failure:
            sys.exit(f"The run {name} could not be trained: {outcome.detail}\n{outcome.err}")


def silent_server() -> socket.socket:
    """A listening socket on the loopback that takes connections and never answers: SILENT in an input's environment."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(64)
    os.environ["HOSTILE_SILENT"] = f"http://127.0.0.1:{server.getsockname()[1]}"
    return server


def all_inputs(only: list[str], part: str) -> Iterator[tuple[str, Input]]:
    kinds = [module.name for module in pkgutil.iter_modules(hostile_inputs.__path__)]
    kinds = [kind for kind in kinds if kind not in ("record", "things")]
    if unknown := set(only) - set(kinds):
        sys.exit(f"There is no kind {', '.join(sorted(unknown))}: there are {', '.join(kinds)}.")
    for kind in only or kinds:
        seen: set[str] = set()
        for given in importlib.import_module(f"hostile_inputs.{kind}").inputs():
            if given.name in seen:
                sys.exit(f"Two inputs of {kind} are called {given.name!r}.")
            seen.add(given.name)
            if part in given.name:
                yield kind, given


def run_all(
    inputs: list[tuple[str, Input]], place: Path, options: argparse.Namespace, stack: contextlib.ExitStack
) -> list[tuple[str, Input, Outcome]]:
    """Try all, `options.jobs` at a time."""
    waiting = [(number, kind, given) for number, (kind, given) in enumerate(inputs)][::-1]
    going: list[tuple[int, Child]] = []
    done: dict[int, tuple[str, Input, Outcome]] = {}
    failed = 0
    stack.callback(lambda: [put_down(child) for _, child in going])  # the script may be stopped
    while waiting or going:
        while waiting and len(going) < options.jobs:
            number, kind, given = waiting.pop()
            going.append((number, start(kind, given, place / f"{number:04}")))
        for number, child in list(going):
            if (outcome := finished(child, options.limit, options.memory)) is None:
                continue
            going.remove((number, child))
            done[number] = (child.kind, child.given, outcome)
            if outcome.failure:
                failed += 1
                show_failure(child.kind, child.given, outcome, options.lines)
            if not options.keep:
                shutil.rmtree(child.place, ignore_errors=True)
            show_progress(f"{len(done)} of {len(inputs)}, {failed} failed; {child.kind}: {child.given.name}")
        time.sleep(0.01)
    return [done[number] for number in sorted(done)]


def show_progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line[:110]!r:112}", end="", flush=True, file=sys.stderr)


def show_table(results: list[tuple[str, Input, Outcome]]) -> None:
    columns = ("tried", "refused", "accepted", *FAILURES)
    counts: dict[str, Counter[str]] = {}
    for kind, _, outcome in results:
        for row in (kind, "all"):
            column = outcome.failure or ("refused" if outcome.refused else "accepted")
            counts.setdefault(row, Counter()).update(["tried", column])
    counts["all"] = counts.pop("all")
    print(f"{'':14}" + "".join(f"{name:>{max(9, len(name) + 2)}}" for name in columns))
    for row, counter in counts.items():
        print(f"{row:14}" + "".join(f"{counter[name]:>{max(9, len(name) + 2)}}" for name in columns))


def show_failure(kind: str, given: Input, outcome: Outcome, lines: int) -> None:
    print(f"\n[{outcome.failure}] {kind}: {given.name}  ({outcome.seconds:.1f} s, {outcome.gigabytes:.1f} GB)")
    for line in given.shown.splitlines()[-12:]:
        print(f"    {line[:300]}")
    for text in (outcome.detail, outcome.out, outcome.err):
        for line in [line for line in text.splitlines() if line.strip()][-lines:]:
            print(f"    | {line[:300]}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="Throw hostile inputs at modecover.")
    parser.add_argument("--only", nargs="*", default=[], metavar="KIND")
    parser.add_argument("--name", default="", help="only inputs whose name holds this")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds without a word [10]")
    parser.add_argument("--memory", type=float, default=4.0, help="gigabytes for one input [4]")
    parser.add_argument("--lines", type=int, default=6, help="of each failure's output [6]")
    parser.add_argument("--keep", help="a folder in which all that inputs leave is kept")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    inputs = list(all_inputs(options.only, options.name))
    if options.list:
        for kind, given in inputs:
            print(f"{kind:14} {given.right:9} {given.name}")
        print(f"{len(inputs)} inputs")
        return 0
    os.environ |= {**ENVIRONMENT, "PYTHONPATH": str(SOURCE)}
    sys.path.insert(0, str(SOURCE))
    for name in IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start_time = time.monotonic()
    with contextlib.ExitStack() as stack:
        base = Path(options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-"))).absolute()
        base.mkdir(parents=True, exist_ok=True)
        stack.enter_context(silent_server())
        os.environ["MODECOVER_CACHE"] = str(base / "cache")
        train_runs(base / "runs")
        results = run_all(inputs, base / "inputs", options, stack)
    failed = [result for result in results if result[2].failure]
    print()
    show_table(results)
    slowest = max(results, key=lambda result: result[2].seconds, default=None)
    if slowest is not None:
        print(f"Slowest: {slowest[0]}: {slowest[1].name}, {slowest[2].seconds:.1f} s.")
    print(f"{len(results) - len(failed)} of {len(results)} are right, in {time.monotonic() - start_time:.0f} s.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
