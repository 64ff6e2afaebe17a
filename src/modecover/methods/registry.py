"""The methods by name. A file is loaded only when its method is asked for, so that start-up stays quick."""

import contextlib
import dataclasses
import difflib
import inspect
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeGuard

from modecover.errors import UserError
from modecover.kinds import checked, fields_of, first_line, shown
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

_PLACE = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*)[:.](?P<name>[^\W\d]\w*)")
"""module:Class, or as `name_of` writes it and runs record it, module.Class."""


def name_of(method: str | Method | type[Method]) -> str:
    """The name by which `get` finds the method: a registered one's own, another's qualified name.

    Args:
        method: a registered name, a method or its class; or where its class is, in words: "module:Class".

    Raises:
        UserError: it is no method, it cannot be imported, or its settings or its `step` cannot be read.
    """
    if isinstance(method, str):
        place = None if method in METHODS or method in _given else _PLACE.fullmatch(method)
        if place is None:
            return method
        module, name = place["module"], place["name"]
        found = getattr(module_named(module), name, None)
        if found is None:
            has = ", ".join(methods_in(module)) or "it has none"
            raise UserError(
                f"{module} has no {name}: name one of its classes that derive from modecover.Method ({has})."
            )
        if not _is_method(found):
            raise UserError(f"{module}:{name} is {shown(found)}: give a class that derives from modecover.Method.")
        method = found
    cls = method if isinstance(method, type) else type(method)
    if not issubclass(cls, Method):
        raise UserError(f"method is {shown(method)}: give a name that `modecover list` shows, or a Method.")
    if is_registered(cls):
        return cls.name
    try:
        cls.roles()
        settings = fields_of(cls)
    except (TypeError, NameError, ValueError) as error:
        raise UserError(f"{cls.__qualname__} is no method that can be trained: {error}.") from error
    for key, annotation in inspect.get_annotations(cls).items():
        if key not in settings and "ClassVar" not in str(annotation):
            raise UserError(f"{key} is no setting of {cls.__qualname__}: put @dataclass(frozen=True) above the class.")
    for each in dataclasses.fields(cls):
        if each.default is each.default_factory is dataclasses.MISSING:
            raise UserError(f"The setting {each.name} of {cls.__qualname__} has no default: give it one.")
    name = f"{cls.__module__}.{cls.__qualname__}"
    _given[name] = cls
    return name


def is_registered(cls: type[Method]) -> bool:
    """Whether the class is one of modecover's methods itself, not one that was derived from it."""
    return METHODS.get(cls.name) == f"{cls.__module__}:{cls.__qualname__}"


def get(name: str) -> type[Method]:
    """The method of that name: a registered one, one that `name_of` has named, or "module:Class".

    Raises:
        UserError: it is no text, no method has it (the message names the nearest), or it cannot be imported.
    """
    name = name_of(checked("method", name, str))
    if name in _given:
        return _given[name]
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METHODS)}, or your module:Class."
        raise UserError(f"There is no method called {name!r}: {hint}")
    module, _, attribute = METHODS[name].partition(":")
    return getattr(import_module(module), attribute)


def methods_in(module: str) -> dict[str, type[Method]]:
    """The methods that a module of the user's has, by "module:Class"; see `module_named` for what is raised."""
    methods = {name: each for name, each in vars(module_named(module)).items() if _is_method(each)}
    return {f"{module}:{n}": each for n, each in methods.items() if not each.__module__.startswith("modecover.")}


def module_named(module: str) -> ModuleType:
    """A module of the user's, which may lie in the current folder.

    That folder comes first while the module is imported, and last for what its functions import later: a file of the
    user's may have the name of a library that we load when we need it.

    Raises:
        UserError: there is no such module, or it raises while it is imported.
    """
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise UserError(f"Importing {module} raised {type(error).__name__}: {error}: install it.") from error
        raise UserError(
            f"There is no module {module}, here or installed: name a method of yours as module:Class, as in "
            "mypackage.mymodule:MyMethod; `modecover list` names those that are registered."
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it is, sys.exit too: the module is the user's
        said = f"{type(error).__name__}: {first_line(error)}".removesuffix(f": {type(error).__name__}")
        raise UserError(f"Importing {module} raised {said}: `python -c 'import {module}'` shows where.") from error
    finally:
        os.chdir(here)
        if added:
            with contextlib.suppress(ValueError):  # the module may have removed it
                sys.path.remove(here)
            sys.path.append(here)


def _is_method(thing: object) -> TypeGuard[type[Method]]:
    return isinstance(thing, type) and issubclass(thing, Method) and thing is not Method
