"""The command `modecover`: finds the subcommand, and turns what goes wrong into one sentence and an exit code.

Only argparse is imported here, so that `modecover --help` answers at once; a command's module is imported when chosen.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from modecover.cli.parser import Failure, Parser, as_flags, known
from modecover.cli.process import prepare
from modecover.errors import UserError, one_line
from modecover.kinds import shown
from modecover.limits import explained

COMMANDS = {
    "train": ("train:run", "train a method on data; the same command again resumes"),
    "sample": ("models:run_sample", "draw samples from a trained model"),
    "reconstruct": ("encoders:run_reconstruct", "draw data beside what the encoder and generator make of them"),
    "interpolate": ("encoders:run_interpolate", "draw what lies between pairs of data"),
    "traverse": ("encoders:run_traverse", "draw what one coordinate of the codes does"),
    "compare": ("compare:run", "hold runs on the same data beside each other"),
    "animate": ("animate:run", "make a GIF of the pictures that a run has saved"),
    "evaluate": ("models:run_evaluate", "audit a trained model, and count its modes where these are known"),
    "export": ("models:run_export", "write a trained generator or encoder as an ONNX or TorchScript file"),
    "audit": ("audit:run", "judge samples of any generator against real data: which modes are missing, and what else"),
    "list": ("catalogue:run_list", "name the methods, data sets, networks, protocols and interventions"),
    "describe": ("catalogue:run_describe", "a method's objective, schedule of updates, networks, settings, citation"),
    "data": ("data:run", "look at data before training on it: modecover data check SOURCE"),
    "reproduce": ("experiments:run_reproduce", "run a declared experiment and write its page of results"),
    "demo": ("experiments:run_demo", "plain GAN and IVGAN side by side, in two to three minutes"),
}
"""Command: its function of the words behind it, as module:name in this package, and what it does."""

EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return the exit code.

    0: done. 1: training failed, for example on a loss that is not finite. 2: bad input, told in one sentence.
    3: a threshold of an audit is broken. 4: the alarm of a training went off. 130: interrupted.
    """
    prepare()
    words = list(sys.argv[1:] if argv is None else argv)
    show = "--traceback" in words
    words = [word for word in words if word != "--traceback"]
    # A file's name that the terminal's encoding lacks is printed with its code, and does not end the command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), _sigterm_as_ctrl_c():
            warnings.showwarning = _show_warning
            code = _dispatch(words)
        if sys.stdout is not None:  # closed, as by `modecover list >&-`
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `modecover list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, Exception) as error:
        failed = isinstance(error, Failure)
        if isinstance(error, KeyboardInterrupt):
            sentence, code = "Interrupted.", EXIT_INTERRUPTED
        elif show:
            raise
        elif isinstance(error, UserError) or failed:
            sentence, code = as_flags(str(error)), EXIT_FAILED if failed else EXIT_USER
        elif isinstance(error, OSError) and error.strerror is not None:  # no permission, no space: seldom our mistake
            what = f"{error.filename} cannot be used" if error.filename else "A file could not be read or written"
            sentence = f"{what}: {error.strerror}. Mend that, or add --traceback to see where it was needed."
            code = EXIT_USER
        elif (told := explained(error)) is not None:  # memory and numbers have their ends everywhere
            sentence, code = told, EXIT_USER
        else:  # a mistake of ours
            raise
        print(f"modecover: {one_line(sentence)}", file=sys.stderr)
        return code


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """In the block SIGTERM, where it would end the process at once, interrupts it: what is half written goes first."""
    heard = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if heard:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if heard:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _dispatch(words: Sequence[str]) -> int:
    for word in words:  # none is a file's name, or anything else, with these in it; under any locale
        try:
            sound = "\0" not in os.fsencode(word).decode()
        except UnicodeError:
            sound = False
        if not sound:
            raise UserError(f"The word {shown(word)} holds a NUL or bytes that are not UTF-8: rename the file.")
    if words and not words[0].startswith("-"):
        module, _, function = COMMANDS[known(words[0], COMMANDS, "command", "modecover --help")][0].partition(":")
        code: int = getattr(importlib.import_module(f"modecover.cli.{module}"), function)(list(words[1:]))
        return code
    lines = [f"  {name:{max(map(len, COMMANDS))}}  {purpose}" for name, (_, purpose) in COMMANDS.items()]
    last = "`modecover COMMAND --help` says more. For a first look: modecover demo"
    parser = Parser(
        prog="modecover",
        usage="modecover COMMAND ...",
        description="Train adversarial generative models that cover every mode of their data, and measure it.",
        epilog="\n".join(["commands:", *lines, "", last]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    if parser.parse(words).version:
        from modecover import __version__

        print(f"modecover {__version__}")
    else:
        parser.print_help()
    return 0


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Our own warnings are sentences for the user; those of libraries say where they come from."""
    if category is UserWarning and "modecover" in filename:
        print(f"modecover: warning: {as_flags(str(message))}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno, ""), end="", file=sys.stderr)
