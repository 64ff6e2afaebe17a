"""A run in a process of its own that starts in a fraction of a second: for tests that kill it.

The processes are forked from a server that has imported everything and done nothing else, so that each is a fresh
process in all that matters, without the seconds that importing takes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTS = ["modecover.cli.main", "modecover.cli.train", "modecover.cli.terminal", "modecover.runs.run"]
IMPORTS += ["modecover.methods.gan", "safetensors.torch", "rich.table", "scipy.optimize", "matplotlib.figure"]
IMPORTS += ["torch._dynamo"]  # torch imports it, over seconds, where the first optimiser is made


def start(words: list[str], output: Path) -> BaseProcess:
    """The command line `modecover WORDS` in a new process, which leads a group of its own; what it prints goes to the
    file `output`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTS)
    process = context.Process(target=_command, args=(words, output))
    process.start()
    return process


def _command(words: list[str], output: Path) -> None:
    import torch

    from modecover.cli.main import main

    os.setpgid(0, 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    sys.exit(main(words))
