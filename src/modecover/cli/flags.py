"""Flags from dataclasses: every field of a method, and of the training settings, with its docstring as help.

The parser hands on only what the user said: presets and a method's own defaults come in between.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, Union

from modecover.errors import UserError
from modecover.kinds import LARGEST_WHOLE, read_number, shown

Convert = Callable[[str], Any]


def add_flags(
    group: argparse._ArgumentGroup,
    settings: type,
    changed: Mapping[str, Any] | None = None,
    *,
    points: Mapping[str, Any] | None = None,
) -> None:
    """A flag for each field of the dataclass `settings`.

    Args:
        group: gets the flags.
        settings: the dataclass.
        changed: defaults that differ from the fields' own.
        points: defaults that are others again where the data are points; help shows both.
    """
    hints, docs = typing.get_type_hints(settings), field_docs(settings)
    for field in dataclasses.fields(settings):
        default = (changed or {}).get(field.name, default_of(field))
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        options["help"] = _help(docs.get(field.name, ""), default, (points or {}).get(field.name, default))
        if hints[field.name] is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"], options["metavar"] = converter(hints[field.name])
        try:
            group.add_argument("--" + field.name.replace("_", "-"), **options)
        except argparse.ArgumentError as error:  # a method of the user's that calls its own what others are called
            raise UserError(f"Two settings, or options of `train`, are called {field.name}: rename one.") from error


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of a field, made where it is a new one each time."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def field_docs(settings: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, its bases' included, as one line of text."""
    docs: dict[str, str] = {}
    for cls in reversed(settings.__mro__[:-1]):
        if not dataclasses.is_dataclass(cls):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        except (OSError, TypeError):  # a class of the user's whose source Python does not know
            continue
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                docs[field.target.id] = " ".join(str(below.value.value).split())
    return docs


def converter(hint: Any) -> tuple[Convert, str]:
    """How a flag of this type reads its word, and what help shows in the word's place.

    Types: int, float, str, `Literal` of strings, tuples of one type (`1,2,3`), and each of these or None (`none`).
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType) and type(None) in arguments:
        convert, metavar = converter(Union[tuple(a for a in arguments if a is not type(None))])  # noqa: UP007
        return (lambda word: None if word.lower() == "none" else convert(word)), metavar
    if origin is Literal:
        return _choice(arguments), "{" + ",".join(arguments) + "}"
    if origin is tuple:
        convert, metavar = converter(arguments[0])
        return (lambda word: tuple(convert(part) for part in word.split(",") if part)), f"{metavar},..."
    plain: dict[Any, tuple[Convert, str]] = {int: (whole_number, "N"), float: (number, "X"), str: (str, "TEXT")}
    if hint in plain:
        return plain[hint]
    raise UserError(
        f"A setting of type {getattr(hint, '__name__', hint)} cannot be a flag: make it int, float, bool, str, a "
        "Literal of texts, a tuple of one of these, or one of these or None; or train from Python."
    )


def whole_number(word: str) -> int:
    """`20000`, `20_000` or `2e4`; at most 18 digits."""
    try:
        value: float = int(word)
    except ValueError:
        value = _float(word)
    written = word.isascii() and any(map(str.isdigit, word))  # neither "inf" nor the digits of other scripts
    if not written or value != value or (math.isfinite(value) and value != int(value)):
        raise argparse.ArgumentTypeError(f"{shown(word)} is not a whole number")
    if abs(value) > LARGEST_WHOLE:
        raise argparse.ArgumentTypeError(f"{shown(word)} is more than can be counted: give at most 18 digits")
    return int(value)


def number(word: str, noun: str = "a number") -> float:
    """A finite number, at most the largest of float32."""
    try:
        return read_number(word)
    except ValueError:
        large = math.isfinite(_float(word)) and word.isascii()
        raise argparse.ArgumentTypeError(f"{shown(word)} is {'too large' if large else f'not {noun}'}") from None


def _float(word: str) -> float:
    """The number that Python reads in `word`, NaN where it reads none."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def _choice(choices: tuple[str, ...]) -> Convert:
    def choose(word: str) -> str:
        if word not in choices:
            raise argparse.ArgumentTypeError(f"{shown(word)} is not one of {', '.join(choices)}")
        return word

    return choose


def _help(doc: str, default: Any, for_points: Any) -> str:
    shown = "" if default in (None, dataclasses.MISSING) or default is False else shown_value(default)
    if for_points != default:
        shown = f"{shown + '; ' if shown else ''}{shown_value(for_points)} for points"
    return (doc + (f" [{shown}]" if shown else "")).replace("%", "%%")


def shown_value(value: Any) -> str:
    """A setting's value as its flag takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ",".join(map(shown_value, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
