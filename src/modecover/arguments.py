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
    dictionaries and objects are held against their annotations, and `bounds`; arrays and sequences are its own to look
    at. An argument of a name that it does not have, and what memory cannot hold, are told in a sentence too."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)
        names = [name for name in signature.parameters if name != "self"]
        gathered = [name for name, parameter in signature.parameters.items() if parameter.kind.name.startswith("VAR_")]
        gathers = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())

        @functools.cache
        def plain_kinds() -> dict[str, Any]:  # not before the first call, when what annotations name is imported
            hints = typing.get_type_hints(function).items()
            return {name: kind for name, kind in hints if _is_plain(kind) and name not in gathered}

        @functools.wraps(function)
        @within_limits()
        def door(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if strangers := [name for name in kwargs if name not in names and not gathers]:
                unknown = f"{strangers[0]!r}{nearest(strangers[0], names)}"
                raise UserError(f"{function.__name__} has no option {unknown}; it has {', '.join(names)}.")
            given = signature.bind(*args, **kwargs)
            for name, kind in plain_kinds().items():
                if name in given.arguments:
                    value = checked(name, given.arguments[name], kind)
                    given.arguments[name] = bounded(name, value, bounds.get(name))
            return function(*given.args, **given.kwargs)

        return door

    return decorate


def _is_plain(kind: Any) -> bool:
    """Whether a value can be held against the annotation without a look into it."""
    cls = typing.get_origin(kind) or kind
    if cls in (Union, types.UnionType):
        return all(map(_is_plain, typing.get_args(kind)))
    if not isinstance(cls, type) or cls is Any or getattr(cls, "_is_protocol", False):
        return cls is Literal
    return cls is str or not issubclass(cls, Sequence)
