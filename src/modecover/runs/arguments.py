"""The arguments of `train`, looked at before anything is opened: a wrong one is named in a sentence."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from modecover.errors import UserError
from modecover.kinds import shown
from modecover.runs.listener import Listener

_TEXT, _PATH = (str,), (str, os.PathLike)

_KINDS: dict[str, tuple[tuple[type, ...], str, bool]] = {
    "out": (_PATH, "the path of a folder", True),
    "preset": (_TEXT, "the name of one of the method's presets", True),
    "protocol": (_TEXT, "the name of a protocol", True),
    "networks": (
        (str, Mapping),
        "the name of a preset, or your modules by the method's names for them, for example networks={'G': MyG()}",
        True,
    ),
    "listener": ((Listener,), "an instance of modecover.runs.listener.Listener", True),
}
"""Of each argument: its types, what it is in words, and whether it may be None."""


def require_kinds(**given: Any) -> None:
    """Raise `UserError` for the first argument that is not of its kind."""
    for name, value in given.items():
        kinds, words, optional = _KINDS[name]
        if (value is None and optional) or (isinstance(value, kinds) and not isinstance(value, bool)):
            continue
        raise UserError(f"{name} is {shown(value)}: give {words}{', or leave it out' * optional}.")


def require_samples(data: Any) -> None:
    """Raise `UserError` where `data` is what a training loop of torch would take: minibatches are drawn here."""
    if isinstance(data, torch.utils.data.DataLoader):
        raise UserError(
            "data is a DataLoader, and modecover draws minibatches itself: give all samples as one array or tensor, "
            "for example data=torch.cat([x for x, *_ in loader]), or the path of the files that they come from."
        )
    if isinstance(data, torch.utils.data.Dataset) and not type(data).__module__.startswith("datasets."):
        raise UserError(
            f"data is a torch Dataset ({type(data).__name__}), whose items can be anything: give all samples as one "
            "array or tensor, for example data=torch.stack([x for x, *_ in dataset]), or the path of the files they "
            "come from."
        )
    empty = isinstance(data, str) and not data.strip()
    if data is None or empty or isinstance(data, bool | int | float | complex | bytes | type) or callable(data):
        raise UserError(
            f"data is {shown(data)}: give a name, for example 'ring', a path, or the samples as an array or tensor."
        )
