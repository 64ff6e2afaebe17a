"""Values of the kind that their annotation declares: one check for settings, methods, networks and what files hold."""

from __future__ import annotations

import dataclasses
import inspect
import math
import numbers
import reprlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

from modecover.errors import UserError

LARGEST_WHOLE = 2**63 - 1
"""What torch can count to."""
LARGEST = (2 - 2**-23) * 2.0**127
"""The largest number of float32, in which losses are computed."""

_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}

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
    """What an error says in its first line, or its class, without a full stop at the end."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # of an error whose own __str__ raises
        lines = []
    return (lines or [type(error).__name__])[0].rstrip(".:")


def joined(choices: Sequence[Any]) -> str:
    """`[1, 2, 4]` as "1, 2 or 4"."""
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def checked(name: str, value: Any, kind: Any) -> Any:
    """`value` as the annotation `kind` declares it: NumPy's numbers become Python's, whole numbers may be floats.

    Args:
        name: of the field or argument, for the sentence.
        value: anything.
        kind: int, float, bool, str or another class; a `Literal`; a tuple or sequence of one of these; any of these
            or None. Whole numbers lie within 64 bits and numbers within float32; neither is a truth value.

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
        for option in others[:-1]:
            try:
                return checked(name, value, option)
            except UserError:
                continue
        return checked(name, value, others[-1])
    if origin is Literal:
        if not any(type(value) is type(option) and value == option for option in options):
            raise UserError(f"{name} is {shown(value)}: choose {joined(options)}.")
        return value
    if origin is not None and issubclass(origin, Sequence):
        if not isinstance(value, list | tuple):
            raise UserError(f"{name} is {shown(value)}: give a list or tuple, each entry {_words(options[0])}.")
        return tuple(checked(f"an entry of {name}", entry, options[0]) for entry in value)
    if kind is int:
        return _whole(name, value)
    if kind is float:
        return _number(name, value)
    if isinstance(kind, type) and not isinstance(value, kind):
        raise UserError(f"{name} is {shown(value)}: give {_words(kind)}.")
    return value


def read_number(text: str) -> float:
    """The number that `text` writes, in ASCII digits; `ValueError` where it is none, not finite, or beyond float32."""
    number = float(text)
    if not text.isascii() or not abs(number) <= LARGEST:
        raise ValueError(f"{shown(text)} is no number that can be computed with")
    return number


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


def fields_of(cls: type) -> Mapping[str, Any]:
    """Type of each field of a dataclass, by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


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


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise UserError(f"{name} is {shown(value)}: give a whole number.")
    whole = int(value)
    if abs(whole) > LARGEST_WHOLE:
        raise UserError(f"{name} is {shown(value)}: no machine counts so far; give a number of at most 18 digits.")
    return whole


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UserError(f"{name} is {shown(value)}: give a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= LARGEST:
        raise UserError(
            f"{name} is {shown(value)}: give a finite number, at most {LARGEST:.3g}, the largest of float32."
        )
    return number


def _words(kind: Any) -> str:
    return _WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"
