"""The methods by name. A file is loaded only when its method is asked for, so that start-up stays quick."""

from __future__ import annotations

import difflib
import re
from importlib import import_module
from pathlib import Path

from modecover.errors import UserError
from modecover.kinds import checked, shown
from modecover.methods.base import Method

_NAMED = re.compile(r'^class (\w+)\(\w+, name="([\w-]+)"\):$', re.MULTILINE)

METHODS: dict[str, str] = {
    name: f"modecover.methods.{path.stem}:{attribute}"
    for path in sorted(Path(__file__).parent.glob("*.py"))
    for attribute, name in _NAMED.findall(path.read_text("utf-8"))
}
"""Where each method is: read from the files beside this one, so that a new one is there once its file is."""


def names() -> list[str]:
    """The names of all methods, in the order they are listed: file by file."""
    return list(METHODS)


_given: dict[str, type[Method]] = {}
"""Methods that are not ours, by the names that `name_of` gave them."""


def name_of(method: str | Method | type[Method]) -> str:
    """The name by which `get` finds the method: a registered one's own, another's qualified name.

    Raises:
        UserError: it is no method, or its `step` cannot be read.
    """
    if isinstance(method, str):
        return method
    cls = method if isinstance(method, type) else type(method)
    if not issubclass(cls, Method):
        raise UserError(f"method is {shown(method)}: give a name that `modecover list` shows, or a Method.")
    qualified = f"{cls.__module__}:{cls.__qualname__}"
    if METHODS.get(cls.name) == qualified:
        return cls.name
    try:
        cls.roles()
    except (TypeError, NameError, ValueError) as error:
        raise UserError(f"{cls.__qualname__} is no method that can be trained: {error}.") from error
    name = qualified.replace(":", ".")
    _given[name] = cls
    return name


def get(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        UserError: it is no text, or no method has it; the message names the nearest.
    """
    if checked("method", name, str) in _given:
        return _given[name]
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METHODS)}."
        raise UserError(f"There is no method called {name!r}: {hint}")
    module, _, attribute = METHODS[name].partition(":")
    method: type[Method] = getattr(import_module(module), attribute)
    return method
