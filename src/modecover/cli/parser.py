"""How words are read: argparse with one-sentence errors and near-miss suggestions, flags in any spelling (`--lr_E`,
`--lr-e`), flags made from the fields of a dataclass, and those that several commands have."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import difflib
import inspect
import math
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NoReturn, Union

from modecover.errors import UserError
from modecover.kinds import LARGEST_WHOLE, joined, read_number, shown

Convert = Callable[[str], Any]


class Failure(Exception):
    """Nothing the user typed is wrong, but the work failed. The message is one sentence."""


def known(word: str, choices: Iterable[str], noun: str, where: str, told: str = "") -> str:
    """`word` if it is one of `choices`; else a `UserError` with what is told of it, the nearest, or the command that
    lists them."""
    names = list(choices)
    if word in names:
        return word
    # The dashes, which all flags have, are no likeness; what the word is the beginning of is likest.
    plain = {name.lstrip("-"): name for name in names}
    own = word.lower().lstrip("-")
    begun = [name for rest, name in plain.items() if own and rest.lower().startswith(f"{own}-")]
    near = begun or [plain[each] for each in difflib.get_close_matches(own, plain, n=1)]
    hint = f"did you mean {joined(near)}?" if near else f"`{where}` lists them all."
    raise UserError(f"There is no {noun} {word!r}: {told or hint}")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` instead of printing its usage and leaving the process."""

    def __init__(self, prog: str, **options: object):
        # Wide enough for flags like --evaluate-samples, with the help beside them.
        options.setdefault("formatter_class", partial(argparse.HelpFormatter, max_help_position=32))
        super().__init__(prog=prog, allow_abbrev=False, add_help=False, **options)  # type: ignore[arg-type]  # passed on
        self.add_argument("-h", "--help", action="help", help="show this page")

    def elsewhere(self, flag: str) -> str:
        """What a flag that this parser lacks is there for, as a sentence; nothing where that is not known."""
        return ""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments in `words`; a `UserError` where they are not as declared."""
        flags = [name for name in self._option_string_actions if name.startswith("--")]
        read: list[str] = []
        for word in words:
            # `--memory -1GB` as `--memory=-1GB`: argparse takes a word with a dash for a flag, and misses a value.
            action = self._option_string_actions.get(read[-1]) if read else None
            if action is not None and action.nargs is None and re.match(r"-\.?\d", word):
                read[-1] += f"={word}"
                continue
            flag, equals, value = word.partition("=")
            if flag.startswith("--") and flag != "--":  # in the flag's own spelling; unknown ones are refused
                dashed = flag.replace("_", "-")
                same = [name for name in flags if name == dashed] or [f for f in flags if f.lower() == dashed.lower()]
                if len(same) != 1:
                    known(dashed, flags, "flag", f"{self.prog} --help", self.elsewhere(dashed))
                word = same[0] + equals + value
            read.append(word)
        arguments, extra = self.parse_known_args(read)
        if extra:
            raise UserError(f"{extra[0]!r} is one word too many: `{self.prog} --help` shows what goes where.")
        return arguments

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ").replace("expected one argument", "a value is missing")
        message = message.replace("the following arguments are required:", "missing:")
        raise UserError(f"{message[0].upper()}{message[1:].rstrip('.')}. `{self.prog} --help` shows what goes where.")


# ---------------------------------------------------------------- flags from a dataclass


def add_flags(
    group: argparse._ArgumentGroup,
    settings: type,
    changed: Mapping[str, Any] | None = None,
    *,
    points: Mapping[str, Any] | None = None,
) -> None:
    """A flag in `group` for each field of the dataclass `settings`, with the field's docstring as help.

    The parser hands on only what the user said: presets and a method's own defaults come in between.

    Args:
        changed: defaults that differ from the fields' own.
        points: defaults that are others again where the data are points; help shows both.

    Raises:
        UserError: a field is of a type that no word can be, or there is another flag of its name.
    """
    hints, docs = typing.get_type_hints(settings), field_docs(settings)
    for field in dataclasses.fields(settings):
        default = (changed or {}).get(field.name, default_of(field))
        for_points = (points or {}).get(field.name, default)
        told = "" if default in (None, dataclasses.MISSING) or default is False else shown_value(default)
        if for_points != default:
            told = f"{told + '; ' if told else ''}{shown_value(for_points)} for points"
        text = docs.get(field.name, "") + (f" [{told}]" if told else "")
        options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if hints[field.name] in (bool, bool | None):
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
    for cls in filter(dataclasses.is_dataclass, reversed(settings.__mro__)):
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
    """How a flag of this type reads its word, and what help shows in the word's place: of int, float, str, `Literal` of
    strings, tuples of one type (`1,2,3`), and each of these or None (`none`)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType) and type(None) in arguments:
        convert, metavar = converter(Union[tuple(a for a in arguments if a is not type(None))])  # noqa: UP007
        return (lambda word: None if word.lower() == "none" else convert(word)), metavar
    if origin is Literal:

        def choose(word: str) -> str:
            if word not in arguments:
                raise argparse.ArgumentTypeError(f"{shown(word)} is not one of {', '.join(arguments)}")
            return word

        return choose, "{" + ",".join(arguments) + "}"
    if origin is tuple:
        one, metavar = converter(arguments[0])
        return (lambda word: tuple(one(part) for part in word.split(",") if part)), f"{metavar},..."
    plain: dict[Any, tuple[Convert, str]] = {int: (whole_number, "N"), float: (number, "X"), str: (str, "TEXT")}
    if hint in plain:
        return plain[hint]
    raise UserError(
        f"A setting of type {getattr(hint, '__name__', hint)} cannot be a flag: make it int, float, bool, str, a "
        "Literal of texts, a tuple of one of these, or one of these or None; or train from Python."
    )


def shown_value(value: Any) -> str:
    """A setting's value as its flag takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return ",".join(map(shown_value, value))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- words to numbers


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


def number(word: str) -> float:
    """A finite number, at most the largest of float32."""
    try:
        return read_number(word)
    except ValueError:
        large = math.isfinite(_float(word)) and word.isascii()
        raise argparse.ArgumentTypeError(f"{shown(word)} is {'too large' if large else 'not a number'}") from None


def _float(word: str) -> float:
    """The number that Python reads in `word`, NaN where it reads none."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def memory(word: str, alone: int = 1) -> int:
    """Bytes in words such as 500MB or 2GiB; a number alone counts `alone` bytes."""
    from modecover.limits import byte_count

    try:
        size = byte_count(word) if math.isnan(_float(word)) else int(min(number(word) * alone, 2.0**70))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error
    if size < 1:
        raise argparse.ArgumentTypeError(f"{word} leaves no memory: give a positive number, or as in 500MB")
    return size


# ---------------------------------------------------------------- flags that several commands have

SOURCES = (
    "a built-in set (ring, grid, circle, digits, stacked-mnist; `modecover list` names them all), a folder of images, "
    "a .npy, .npz, idx, .csv or parquet file, or a Hugging Face name (hf:NAME)"
)
MODEL = "the folder of a run or of a model, or a Hugging Face name (owner/name)"

Flags = Mapping[str, tuple[Convert, str, str]]
"""Of each flag, by the name of the argument that it becomes: how its word is read, what stands for it, help."""

DATA_FLAGS: Flags = {
    "size": (whole_number, "N", "resize and centre-crop images to N x N pixels"),
    "crop": (whole_number, "N", "before that cut N x N pixels from the middle of each"),
    "channels": (whole_number, "{1,3}", "make images grey (1) or colour (3)"),
    "data_dir": (str, "DIR", "folder in which mnist and cifar10 are looked for"),
    "split": (str, "NAME", "train, test, or as the source calls it [train]"),
    "key": (str, "NAME", "the array of an .npz file, or the columns of a table (a,b), to learn"),
    "labels": (str, "NAME", "the array or column that holds the classes; none: there are no classes"),
    "layout": (str, "NAME", "how an array is read: NHWC, NCHW, NHW (grey), or points (not as images)"),
    "value_range": (str, "A..B", "what float pixels run through: 0..1, or --value-range=-1..1"),
    "memory_limit": (
        partial(memory, alone=2**30),
        "SIZE",
        "memory that pictures may take before they are streamed, and compressed files unfold to, as in 500MB [2GiB]",
    ),
}
"""The options of `open_data` that a command line can give."""


def add_optional(group: argparse._ArgumentGroup, flags: Flags) -> None:
    """Flags that are handed on where the user said them, and are else absent."""
    for name, (convert, metavar, text) in flags.items():
        flag = "--" + name.replace("_", "-")
        group.add_argument(flag, type=convert, metavar=metavar, help=text, default=argparse.SUPPRESS)


def take_data_options(given: dict[str, Any]) -> dict[str, Any]:
    """Move what the user said about opening data out of `given`."""
    return {name: given.pop(name) for name in DATA_FLAGS if name in given}


def as_flags(sentence: str) -> str:
    """A sentence that names options of `open_data` or settings as Python writes them (size=32), for a command line."""
    if "=" not in sentence:  # most sentences: nothing has to be loaded for them
        return sentence
    from modecover.runs.settings import Settings

    def of_a_side(found: re.Match[str]) -> str:  # fake_options={'key': 'one', 'size': 32}
        words = re.sub(r"'(\w+)': (\.\.\.)?", r"\1=", found[2]).replace(", ", " ")
        return words.replace("key=", "fake_key=") if found[1] == "fake" else words

    sentence = re.sub(r"(?:(real|fake)_options=)+\{(.*?)\}", of_a_side, sentence)
    names = "|".join([*DATA_FLAGS, "fake_key", "scaling", *(field.name for field in dataclasses.fields(Settings))])

    def flag(found: re.Match[str]) -> str:
        if truth := re.fullmatch(r"(True|False)([.,]*)", found[3]):
            return f"--{'no-' if truth[1] == 'False' else ''}{found[1].replace('_', '-')}{truth[2]}"
        between = "=" if found[3].startswith("-") else " "  # else the parser takes the value for a flag
        return f"--{found[1].replace('_', '-')}{between}{found[3]}".rstrip()

    return re.sub(rf"(?<![-\w])({names})=(?!\{{)(['\"]?)((?:\.*[\w/-][\w./,-]*)?)\2", flag, sentence)
