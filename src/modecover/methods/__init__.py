"""Methods: one file per paper's method, and a registry by name. `names()` lists them, `get(name)` gives a class."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modecover.methods.registry import get, names

__all__ = ["get", "names"]


def __getattr__(name: str) -> Any:
    """The registry's functions, loaded when first used: it imports torch."""
    if name in __all__:
        return getattr(importlib.import_module("modecover.methods.registry"), name)
    raise AttributeError(f"module 'modecover.methods' has no attribute {name!r}")
