"""Arguments that every network checks the same way, and the description a network is rebuilt from."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from operator import index
from typing import Any, SupportsIndex

from modecover.errors import UserError


def sizes(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """`values` as a tuple of positive integers; `UserError` where they are not (or where there are none)."""
    if not isinstance(values, Sequence) or not values or not all(_whole(value, 1) for value in values):
        raise UserError(f"{name} is {values!r}; give a sequence of positive whole numbers, for example (128, 128).")
    return tuple(int(value) for value in values)


def size(name: str, value: int) -> int:
    """`value` as a positive integer; `UserError` where it is none."""
    if not _whole(value, 1):
        raise UserError(f"{name} is {value!r}; give a positive whole number.")
    return int(value)


def count(name: str, value: int) -> int:
    """`value` as an integer of at least 0; `UserError` where it is none."""
    if not _whole(value, 0):
        raise UserError(f"{name} is {value!r}; give a whole number of at least 0.")
    return int(value)


def elements(shape: Sequence[int]) -> int:
    """How many numbers a sample of this shape holds."""
    return math.prod(shape)


def _whole(value: object, least: int) -> bool:
    """Whether `value` is an integer (Python's, NumPy's, but no truth value) and at least `least`."""
    return not isinstance(value, bool) and isinstance(value, SupportsIndex) and index(value) >= least


class Configured:
    """A network that can say how to build it again.

    The one condition: the constructor keeps each of its arguments as an attribute of the same name.
    """

    def config(self) -> dict[str, Any]:
        """`{"class": name, "arguments": {...}}` in JSON's own types; `modecover.networks.from_config` reads it."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        arguments = {name: getattr(self, name) for name in names}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
        return {"class": type(self).__name__, "arguments": plain}
