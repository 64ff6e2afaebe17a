"""Values held against annotations: fields of settings, what files hold, and the arguments of public functions."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import os
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, Union

from modecover.errors import UserError
from modecover.limits import within_limits

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LARGEST_WHOLE = 2**63 - 1
"""What torch can count to."""
LARGEST = (2 - 2**-23) * 2.0**127
"""The largest number of float32, in which losses are computed."""

_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
_WORDS |= {os.PathLike: "a path", Callable: "a function", Mapping: "a dictionary"}

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 60


def shown(value: object) -> str:
    """`value` as a sentence can hold it: its repr on one line of at most about 60 characters, whatever it is."""
    try:
        text = " ".join(_brief.repr(value).split())
    except Exception:  # a number of 5,000 digits, an object whose repr raises
        text = ""
    return text if 0 < len(text) <= 80 else f"a {type(value).__name__}"


def first_line(error: BaseException) -> str:
    """What an error says in its first line, 200 letters of it, or its class, without a full stop at the end."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # of an error whose own __str__ raises
        lines = []
    return (lines or [type(error).__name__])[0][:200].rstrip(".:")


def joined(choices: Sequence[Any]) -> str:
    """`[1, 2, 4]` as "1, 2 or 4"."""
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """ " (did you mean X?)" for the choice most like `word`; empty where none is like it."""
    near = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def checked(name: str, value: Any, kind: Any) -> Any:
    """`value` as the annotation `kind` declares it: NumPy's numbers become Python's, whole numbers may be floats.

    Args:
        name: of the field or argument, for the sentence.
        value: anything.
        kind: int, float, bool, str or another class; a `Literal`; a tuple or sequence of one of these; a choice of any
            of these and None. Whole numbers lie within 64 bits and numbers within float32; neither is a truth value.

    Raises:
        UserError: it is of another kind, NaN, infinite or too large.
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        others = [option for option in options if option is not type(None)]
        if value is None and len(others) < len(options):
            return None
        for option in others:
            try:
                return checked(name, value, option)
            except UserError:
                if len(others) == 1:
                    raise
        raise UserError(f"{name} is {shown(value)}: give {joined(list(dict.fromkeys(map(_words, others))))}.")
    if origin is Literal:
        if not any(type(value) is type(option) and value == option for option in options):
            raise UserError(f"{name} is {shown(value)}: choose {joined(options)}.")
        return value
    if origin is not None and issubclass(origin, Sequence):
        if not isinstance(value, list | tuple):
            raise UserError(f"{name} is {shown(value)}: give a list or tuple, each entry {_words(options[0])}.")
        return tuple(checked(f"an entry of {name}", entry, options[0]) for entry in value)
    if kind in (int, float):
        return _number(name, value, kind)
    if isinstance(origin or kind, type) and not isinstance(value, origin or kind):
        raise UserError(f"{name} is {shown(value)}: give {_words(kind)}.")
    return value


def _number(name: str, value: Any, kind: type) -> int | float:
    wanted = numbers.Integral if kind is int else numbers.Real
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise UserError(f"{name} is {shown(value)}: give {_words(kind)}.")
    try:
        number: int | float = kind(value)
    except OverflowError:
        number = math.inf
    if kind is int and abs(number) > LARGEST_WHOLE:
        raise UserError(f"{name} is {shown(value)}: no machine counts so far; give a number of at most 18 digits.")
    if kind is float and not abs(number) <= LARGEST:
        raise UserError(f"{name} is {shown(value)}: give a finite number, at most {LARGEST:.3g}, float32's largest.")
    return number


def _words(kind: Any) -> str:
    kind = typing.get_origin(kind) or kind
    return _WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def read_number(text: str) -> float:
    """The number that `text` writes, in ASCII digits; `ValueError` where it is none, not finite, or beyond float32."""
    number = float(text)
    if not text.isascii() or not abs(number) <= LARGEST:
        raise ValueError(f"{shown(text)} is no number that can be computed with")
    return number


def fields_of(cls: type) -> Mapping[str, Any]:
    """Type of each field of a dataclass, by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def check_fields(instance: Any) -> None:
    """Hold each field of a dataclass against its annotation, and put NumPy's numbers and ints for floats right.

    Raises:
        UserError: a field is of another kind; the sentence names it.
    """
    for name, kind in fields_of(type(instance)).items():
        given = getattr(instance, name)
        value = checked(name, given, kind)
        if value is not given:
            object.__setattr__(instance, name, value)  # also where the dataclass is frozen


def checked_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments`, by name, as the annotations of `function` (or of a class's constructor) declare them.

    Raises:
        UserError: one is of another kind, or `function` has no argument of its name.
    """
    called: Any = function
    hints = typing.get_type_hints(called.__init__ if inspect.isclass(called) else called)
    hints.pop("return", None)
    if strangers := [name for name in arguments if name not in hints]:
        raise UserError(f"{shown(strangers[0])} is none of its arguments, which are {', '.join(hints)}.")
    return {name: checked(name, value, hints[name]) for name, value in arguments.items()}


Bounds = int | tuple[float, float] | list[Any]


def bounded(name: str, value: Any, bounds: Bounds | None) -> Any:
    """`value`, if it lies within bounds, see `held`; None lies within any. Raises `UserError` where it does not."""
    if value is None or bounds is None:
        return value
    if isinstance(bounds, list):
        return checked(name, value, Literal[tuple(bounds)])
    least, most = bounds if isinstance(bounds, tuple) else (bounds, math.inf)
    if not least <= value <= most:
        above = "" if most == math.inf else f" and at most {_amount(most)}"
        raise UserError(f"{name} is {shown(value)}: give at least {_amount(least)}{above}.")
    return value


def _amount(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def held(**bounds: Bounds) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorates a public function, and is the first that looks at its arguments: numbers, texts, paths, functions,
    dictionaries and objects are held against their annotations; arrays and sequences are its own to look at.

    An argument of a name that it does not have, and what memory cannot hold, are told in a sentence too.

    Args:
        bounds: by the argument's name, the smallest value of a number, or (smallest, largest), or a list of all that
            can be chosen.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        @within_limits()
        def door(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            names = [name for name in signature.parameters if name != "self"]
            for name in () if _gathers(signature) else kwargs:
                if name not in names:
                    hint = nearest(name, names)
                    raise UserError(f"{function.__name__} has no option {name!r}{hint}; it has {', '.join(names)}.")
            given = signature.bind(*args, **kwargs)
            for name, kind in _plain_kinds(function).items():
                if name in given.arguments:
                    value = checked(name, given.arguments[name], kind)
                    given.arguments[name] = bounded(name, value, bounds.get(name))
            return function(*given.args, **given.kwargs)

        return door

    return decorate


def _gathers(signature: inspect.Signature) -> bool:
    """Whether a function takes arguments of any name."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())


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
