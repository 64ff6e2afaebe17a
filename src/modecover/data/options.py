"""Options written behind a name, as in `ring:modes=8,std=0.05`, and names that were nearly right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from modecover.errors import UserError

Value = int | float | str | bool


def nearest(word: str, choices: Iterable[str]) -> str:
    """ " (did you mean X?)" for the choice most like `word`; empty where none is like it."""
    near = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def parse_options(name: str, text: str, defaults: Mapping[str, Value]) -> dict[str, Value]:
    """`defaults` changed by `text`, "key=value,..."; a truth value may stand as its key alone.

    Each value takes the type of its default. Raises `UserError` for an unknown key and for a value of another type.
    """
    chosen = dict(defaults)
    for item in filter(None, (item.strip() for item in text.split(","))):
        key, equals, value = (word.strip() for word in item.partition("="))
        if key not in defaults:
            known = f"its options are: {', '.join(defaults)}" if defaults else "it takes none"
            raise UserError(f"{name} has no option {key!r}{nearest(key, defaults)}; {known}.")
        chosen[key] = _convert(name, key, value if equals else None, defaults[key])
    return chosen


def _convert(name: str, key: str, value: str | None, default: Value) -> Value:
    if isinstance(default, bool):
        truth = {None: True, "true": True, "1": True, "false": False, "0": False}
        if (word := value and value.lower()) in truth:
            return truth[word]
        raise UserError(f"{name}: {key} is a switch; write {key} or {key}=false, not {key}={value}.")
    kind = type(default)
    try:
        return kind(value or "")
    except ValueError as error:
        noun = {int: "a whole number", float: "a number"}[kind]
        raise UserError(
            f"{name}: {key} must be {noun}, for example {key}={default}; got {(value or '')[:60]!r}."
        ) from error
