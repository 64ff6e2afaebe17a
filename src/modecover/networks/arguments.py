"""Arguments that every network checks the same way, and the description a network is rebuilt from."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from modecover.errors import UserError


def sizes(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """`values` as a tuple of positive integers; `UserError` where they are not (or where there are none)."""
    if not isinstance(values, Sequence) or not values or not all(map(_positive, values)):
        raise UserError(f"{name} is {values!r}; give a sequence of positive whole numbers, for example (128, 128).")
    return tuple(int(value) for value in values)


def size(name: str, value: int) -> int:
    """`value` as a positive integer; `UserError` where it is none."""
    if not _positive(value):
        raise UserError(f"{name} is {value!r}; give a positive whole number.")
    return int(value)


def count(name: str, value: int) -> int:
    """`value` as an integer of at least 0; `UserError` where it is none."""
    return 0 if _whole(value) and value == 0 else size(name, value)


def elements(shape: Sequence[int]) -> int:
    """How many numbers a sample of this shape holds."""
    return math.prod(shape)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive(value: object) -> bool:
    return isinstance(value, int) and _whole(value) and value > 0


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
