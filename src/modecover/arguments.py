"""Public functions hold what they are given against their annotations, before anything else."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from modecover.errors import UserError
from modecover.kinds import checked, shown
from modecover.limits import within_limits

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def held(**least: int) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorates a function: its numbers, texts, mappings and objects are held against their annotations before it runs,
    and what memory cannot hold is told in a sentence. Arrays, sequences and functions are its own to look at.

    Args:
        least: the smallest value of a number, by the argument's name.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        @within_limits()
        def door(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            given = signature.bind(*args, **kwargs)
            for name, kind in _kinds(function).items():
                if name not in given.arguments:
                    continue
                value = given.arguments[name] = checked(name, given.arguments[name], kind)
                if name in least and value is not None and value < least[name]:
                    raise UserError(f"{name} is {shown(value)}: give at least {least[name]}.")
            return function(*given.args, **given.kwargs)

        return door

    return decorate


@functools.cache
def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations, by argument, that are classes or mappings, or a choice of these or None."""
    kinds = {name: _without_content(kind) for name, kind in typing.get_type_hints(function).items() if name != "return"}
    return {name: kind for name, kind in kinds.items() if _is_plain(kind)}


def _without_content(kind: Any) -> Any:
    """`Mapping[str, int]` as `Mapping`."""
    return collections.abc.Mapping if typing.get_origin(kind) is collections.abc.Mapping else kind


def _is_plain(kind: Any) -> bool:
    if typing.get_origin(kind) is types.UnionType:
        options = typing.get_args(kind)
        return len(options) == 2 and all(map(_is_plain, options))
    return isinstance(kind, type) and typing.get_origin(kind) is None and kind is not Any
