"""Public functions hold what they are given against their annotations, and against bounds, before anything else."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, Union

from modecover.errors import UserError
from modecover.kinds import Bounds, bounded, checked, nearest
from modecover.limits import within_limits

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def held(**bounds: Bounds) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorates a public function, and is the first that looks at its arguments: numbers, texts, paths, functions,
    dictionaries and objects are held against their annotations; arrays and sequences are its own to look at.

    An argument of a name that it does not have, and what memory cannot hold, are told in a sentence too.

    Args:
        bounds: by the argument's name; see `kinds.Bounds`.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)
        names = [name for name in signature.parameters if name != "self"]
        gathers = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())

        @functools.wraps(function)
        @within_limits()
        def door(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if strangers := [name for name in kwargs if name not in names and not gathers]:
                unknown = f"{strangers[0]!r}{nearest(strangers[0], names)}"
                raise UserError(f"{function.__name__} has no option {unknown}; it has {', '.join(names)}.")
            given = signature.bind(*args, **kwargs)
            for name, kind in _plain_kinds(function).items():
                if name in given.arguments:
                    value = checked(name, given.arguments[name], kind)
                    given.arguments[name] = bounded(name, value, bounds.get(name))
            return function(*given.args, **given.kwargs)

        return door

    return decorate


@functools.cache
def _plain_kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations, by argument, that a value can be held against without a look into it."""
    parameters = inspect.signature(function).parameters
    gathered = [name for name, parameter in parameters.items() if parameter.kind.name.startswith("VAR_")]
    hints = typing.get_type_hints(function).items()
    return {name: kind for name, kind in hints if _is_plain(kind) and name not in (*gathered, "return")}


def _is_plain(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return all(map(_is_plain, typing.get_args(kind)))
    cls = origin or kind
    sequence = isinstance(cls, type) and issubclass(cls, Sequence) and cls is not str
    foreign = sequence or cls is Any or getattr(cls, "_is_protocol", False)
    return origin is Literal or (isinstance(cls, type) and not foreign)
