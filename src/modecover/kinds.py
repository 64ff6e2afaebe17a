"""Values held against annotations and bounds: one check for settings, methods, networks and what files hold."""

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
from typing import Any, Literal, Union

from modecover.errors import UserError, printable

Bounds = int | tuple[float, float] | list[Any]
"""Of a value: the smallest number, or (smallest, largest), or all that can be chosen, letters of either case."""

LARGEST_WHOLE = 2**63 - 1
"""What torch can count to."""
LARGEST = (2 - 2**-23) * 2.0**127
"""The largest number of float32, in which losses are computed."""

SHORT = {"missing": "missing-mass"}
"""Keys of numbers for short."""

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


def counted(names: Iterable[str], most: int = 20) -> str:
    """The first `most` of `names` with commas, each cut to 100 letters, and how many more there are."""
    listed = [printable(name)[:100] for name in names]
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def nearest(word: str, choices: Iterable[str], part: Callable[[str], str] = str, before: str = "") -> str:
    """ " (did you mean X?)" for the choice most like `word`; empty where none is like it. `part` is what of each is
    compared first, the whole where it is the same of several; `before` is put in front of the one that is named."""
    parts: dict[str, list[str]] = {}
    for choice in choices:
        parts.setdefault(part(choice), []).append(choice)
    near = difflib.get_close_matches(part(word).lower(), parts, n=1, cutoff=0.6)
    whole = difflib.get_close_matches(word, parts[near[0]], n=1, cutoff=0.0) if near else []
    return f" (did you mean {before + whole[0]!r}?)" if whole else ""


def spelled(name: str) -> str:
    """The key of a number in whatever spelling: "missing", "Missing mass" and "missing_mass" are "missing-mass"."""
    key = name.strip().lower().replace(" ", "-").replace("_", "-")
    return SHORT.get(key, key)


def checked(name: str, value: Any, kind: Any) -> Any:
    """`value` as the annotation `kind` declares it: NumPy's numbers become Python's, whole numbers may be written as
    floats (1e4) and floats without a point.

    A kind is int, float, bool, str or another class; a `Literal`; a tuple or sequence of one of these; a choice of any
    of these and None. Whole numbers lie within 64 bits and numbers within float32; neither is a truth value. Raises
    `UserError`, which names `name`, where the value is of another kind, NaN, infinite or too large.
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if kind is int and isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_WHOLE:
        value = int(value)
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
        if getattr(value, "ndim", 0) == 1:  # an array's or a tensor's entries are as good
            value = value.tolist()
        if not isinstance(value, list | tuple):
            raise UserError(f"{name} is {shown(value)}: give a list or tuple, each entry {_words(options[0])}.")
        return tuple(checked(f"an entry of {name}", entry, options[0]) for entry in value)
    is_number = kind in (int, float)
    wanted = {int: numbers.Integral, float: numbers.Real}.get(kind, origin or kind)
    if (is_number and isinstance(value, bool)) or (isinstance(wanted, type) and not isinstance(value, wanted)):
        raise UserError(f"{name} is {shown(value)}: give {_words(kind)}.")
    if not is_number:
        return value
    try:
        number: int | float = kind(value)
    except OverflowError:
        number = math.inf
    if kind is int and abs(number) > LARGEST_WHOLE:
        raise UserError(f"{name} is {shown(value)}: no machine counts so far; give a number of at most 18 digits.")
    if kind is float and not abs(number) <= LARGEST:
        raise UserError(f"{name} is {shown(value)}: give a finite number, at most {LARGEST:.3g}, float32's largest.")
    return number


def or_none(value: Any, kind: Any) -> Any:
    """`value`, or None for the text "none" where the annotation `kind` allows None, for which files have no word."""
    optional = typing.get_origin(kind) in (Union, types.UnionType) and type(None) in typing.get_args(kind)
    return None if optional and isinstance(value, str) and value.lower() == "none" else value


def _words(kind: Any) -> str:
    kind = typing.get_origin(kind) or kind
    name = str(getattr(kind, "__name__", kind))
    return _WORDS.get(kind) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def read_number(text: str) -> float:
    """The number that `text` writes, in ASCII digits; `ValueError` where it is none, not finite, or beyond float32."""
    number = float(text)
    if not text.isascii() or not abs(number) <= LARGEST:
        raise ValueError(f"{shown(text)} is no number that can be computed with")
    return number


def fields_of(cls: type) -> Mapping[str, Any]:
    """Type of each field of a dataclass, by name."""
    return _fields_of(cls)  # a class of a frozen dataclass is hashable, which mypy does not know of a cached argument


@functools.cache  # annotations are text, which is compiled each time: most of what making settings takes
def _fields_of(cls: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(cls)
    return types.MappingProxyType({field.name: hints[field.name] for field in dataclasses.fields(cls)})


def check_fields(instance: Any) -> None:
    """Hold each field of a dataclass against its annotation, see `checked`, and put NumPy's numbers and ints for floats
    right."""
    for name, kind in fields_of(type(instance)).items():
        given = getattr(instance, name)
        value = checked(name, given, kind)
        if value is not given:
            object.__setattr__(instance, name, value)  # also where the dataclass is frozen


def bounded(name: str, value: Any, bounds: Bounds | None) -> Any:
    """`value`, if it lies within bounds; None lies within any. Raises `UserError` where it does not."""
    if value is None or bounds is None:
        return value
    if isinstance(bounds, list):
        for choice in bounds:
            if str(choice).lower() == str(value).lower():
                return choice
        raise UserError(f"{name} is {shown(value)}: choose {joined(bounds)}.")
    least, most = bounds if isinstance(bounds, tuple) else (bounds, math.inf)
    if not least <= value <= most:
        low, high = (f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" for bound in (least, most))
        above = "" if most == math.inf else f" and at most {high}"
        raise UserError(f"{name} is {shown(value)}: give at least {low}{above}.")
    return value


def checked_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments`, by name, as the annotations of `function` (or of a class's constructor) declare them.
    Raises `UserError` where one is of another kind, or `function` has no argument of its name."""
    called: Any = function
    hints = typing.get_type_hints(called.__init__ if inspect.isclass(called) else called)
    hints.pop("return", None)
    if strangers := [name for name in arguments if name not in hints]:
        raise UserError(f"{shown(strangers[0])} is none of its arguments, which are {', '.join(hints)}.")
    return {name: checked(name, value, hints[name]) for name, value in arguments.items()}
