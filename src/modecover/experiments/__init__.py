"""Declared runs: what is compared, on which data, with which settings; and the one way they are all run.

A file of this folder that has an `EXPERIMENT`, or several `EXPERIMENTS`, declares them: nothing else names it.
"""

from __future__ import annotations

import importlib
import pkgutil

from modecover.errors import UserError
from modecover.experiments.declared import Experiment


def names() -> list[str]:
    """The names of all experiments, in the order of their files."""
    return list(_declared())


def get(name: str) -> Experiment:
    """The experiment of that name; `UserError` where there is none."""
    found = _declared()
    if name not in found:
        raise UserError(f"There is no experiment {name!r}: choose one of {', '.join(found)}.")
    return found[name]


def _declared() -> dict[str, Experiment]:
    modules = [importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
    each = [getattr(module, "EXPERIMENTS", ()) or (module.EXPERIMENT,) for module in modules if _declares(module)]
    return {experiment.name: experiment for several in each for experiment in several}


def _declares(module: object) -> bool:
    return hasattr(module, "EXPERIMENT") or hasattr(module, "EXPERIMENTS")
