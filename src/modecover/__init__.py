"""Adversarial generative models that cover every mode of their data.

The names below are loaded when first used, so `import modecover` costs nothing and `modecover --help` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modecover import data, experiments, interventions, losses, methods, metrics, networks, random
    from modecover.auditing.alarm import Alarm
    from modecover.auditing.run import Audit, audit
    from modecover.auditing.versus import Comparison, compare_generators
    from modecover.cli.terminal import Display
    from modecover.comparing.runs import RunComparison, compare
    from modecover.data import open_data
    from modecover.errors import UserError
    from modecover.interventions import InterventionLoss
    from modecover.methods.base import Method
    from modecover.runs.listener import Listener
    from modecover.runs.model import GenerativeModel, load
    from modecover.runs.run import train

__version__ = "0.1.0"

_HOMES = {
    "Alarm": "modecover.auditing.alarm",
    "Audit": "modecover.auditing.run",
    "Comparison": "modecover.auditing.versus",
    "Display": "modecover.cli.terminal",
    "GenerativeModel": "modecover.runs.model",
    "InterventionLoss": "modecover.interventions",
    "Listener": "modecover.runs.listener",
    "Method": "modecover.methods.base",
    "RunComparison": "modecover.comparing.runs",
    "UserError": "modecover.errors",
    "audit": "modecover.auditing.run",
    "compare": "modecover.comparing.runs",
    "compare_generators": "modecover.auditing.versus",
    "load": "modecover.runs.model",
    "open_data": "modecover.data",
    "train": "modecover.runs.run",
}
_ROOMS = ("data", "experiments", "interventions", "losses", "methods", "metrics", "networks", "random")

__all__ = [
    "Alarm",
    "Audit",
    "Comparison",
    "Display",
    "GenerativeModel",
    "InterventionLoss",
    "Listener",
    "Method",
    "RunComparison",
    "UserError",
    "__version__",
    "audit",
    "compare",
    "compare_generators",
    "data",
    "experiments",
    "interventions",
    "load",
    "losses",
    "methods",
    "metrics",
    "networks",
    "open_data",
    "random",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return importlib.import_module(f"modecover.{name}")
    raise AttributeError(f"module 'modecover' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
