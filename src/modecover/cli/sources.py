"""The flags that say how data is opened, shared by `train` and `data check`."""

from __future__ import annotations

import argparse
import dataclasses
import re
from typing import Any

from modecover.cli.flags import number, whole_number
from modecover.errors import UserError

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
    flag("--key", metavar="NAME", help="the array of an .npz file, or the columns of a table (a,b), to learn")
    flag("--labels", metavar="NAME", help="the array or column that holds the classes; none: there are no classes")
    flag("--layout", metavar="NAME", help="how an array is read: NHWC, NCHW, NHW (grey), or points (not as images)")
    flag("--value-range", metavar="A..B", help="what float pixels run through: 0..1, or --value-range=-1..1")
    limit = "memory that pictures may take before they are streamed, and compressed files unfold to, as in 500MB [2GiB]"
    flag("--memory-limit", type=memory_limit, metavar="SIZE", help=limit)


DATA_OPTIONS = ("size", "channels", "data_dir", "split", "key", "labels", "layout", "value_range", "memory_limit")


def take_data_options(given: dict[str, Any]) -> dict[str, Any]:
    """Move what the user said about opening data out of `given`."""
    return {name: given.pop(name) for name in DATA_OPTIONS if name in given}


def as_flags(sentence: str) -> str:
    """A sentence that names options as Python writes them (size=32, key='a', device=cuda), for a command line.

    Options are those of `open_data` and the settings of training.
    """
    from modecover.runs.settings import Settings

    names = "|".join([*DATA_OPTIONS, *(field.name for field in dataclasses.fields(Settings))])

    def flag(found: re.Match[str]) -> str:
        between = "=" if found[3].startswith("-") else " "  # else the parser takes the value for a flag
        return f"--{found[1].replace('_', '-')}{between}{found[3]}".rstrip()

    return re.sub(rf"(?<![-\w])({names})=(?!\{{)(['\"]?)([\w./,-]*)\2", flag, sentence)


def memory_limit(word: str) -> int:
    """Bytes in words such as 500MB or 2GiB; a number alone counts GiB."""
    from modecover.limits import byte_count

    try:
        size = int(min(number(word), 2.0**40) * 2**30)
    except argparse.ArgumentTypeError:
        try:
            size = byte_count(word)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
    if size < 1:
        raise argparse.ArgumentTypeError(f"{word} leaves no memory: give a positive number of GiB, or as in 500MB")
    return size
