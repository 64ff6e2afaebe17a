"""torch's optimisers without torch's compiler.

`torch.optim` keeps some methods of an optimiser from being compiled, and imports the compiler (`torch._dynamo`, as slow
to import as half of torch itself) to say so, at the first optimiser that a process makes. Nothing here is compiled, so
that the same methods do without: same classes, same numbers.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

_GUARDED = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


@cache
def eager(kind: type[Kind]) -> type[Kind]:
    """A subclass of an optimiser's class with the methods that torch has under guard laid bare."""
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in _GUARDED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**bare, "step": step, "__module__": __name__})
