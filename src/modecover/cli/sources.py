"""The flags that say how data is opened, shared by `train` and `data check`."""

from __future__ import annotations

import argparse
import re
from typing import Any

from modecover.cli.flags import number, whole_number

SOURCES = (
    "a built-in set (ring, grid, circle, digits, stacked-mnist; `modecover list` names them all), a folder of images, "
    "a .npy, .npz, idx or parquet file, or a Hugging Face name (hf:NAME)"
)


def add_data_flags(group: argparse._ArgumentGroup) -> None:
    """A flag for each option of `open_data` that a command line can give."""

    def flag(name: str, **options: Any) -> None:
        group.add_argument(name, default=argparse.SUPPRESS, **options)

    flag("--size", type=whole_number, metavar="N", help="resize and centre-crop images to N x N pixels")
    flag("--channels", type=whole_number, metavar="{1,3}", help="make images grey (1) or colour (3)")
    flag("--data-dir", metavar="DIR", help="folder in which mnist and cifar10 are looked for")
    flag("--split", metavar="NAME", help="train, test, or as the source calls it [train]")
    flag("--key", metavar="NAME", help="the array of an .npz file, or the column of a table, to learn")
    flag("--labels", metavar="NAME", help="the array or column that holds the classes")
    flag("--layout", metavar="{NHWC,NCHW}", help="where an array of images can be read in both ways")
    flag("--memory-limit", type=_gibibytes, metavar="GIB", help="stream pictures that take more memory than this [2]")


DATA_OPTIONS = ("size", "channels", "data_dir", "split", "key", "labels", "layout", "memory_limit")


def take_data_options(given: dict[str, Any]) -> dict[str, Any]:
    """Move what the user said about opening data out of `given`."""
    return {name: given.pop(name) for name in DATA_OPTIONS if name in given}


def as_flags(sentence: str) -> str:
    """A sentence that names options of `open_data` as Python writes them (size=32, key='a'), for a command line."""
    names = "|".join(DATA_OPTIONS)

    def flag(found: re.Match[str]) -> str:
        return f"--{found[1].replace('_', '-')} {found[3]}".rstrip()

    return re.sub(rf"(?<![-\w])({names})=(['\"]?)([\w./-]*)\2", flag, sentence)


def _gibibytes(word: str) -> int:
    size = number(word) * 2**30
    if size < 1:
        raise argparse.ArgumentTypeError(f"{word} leaves no memory: give a positive number of GiB")
    return int(size)
