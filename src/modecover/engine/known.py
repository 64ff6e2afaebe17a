"""Whether it is known what happens in a step: that of modecover's methods, with modecover's and torch's layers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from modecover.engine.stacked import is_untouched, state_owner
from modecover.methods.base import Method


def is_own(method: Method) -> bool:
    """Whether the method is modecover's: it puts no hooks and no nodes of its own into the graph of its losses."""
    return type(method).__module__.startswith("modecover.")


def are_known(networks: Iterable[nn.Module]) -> bool:
    """Whether the networks are made of modecover's and torch's own modules, and nothing hangs on them: then none reads
    a tensor's value, and gradients flow as autograd says."""
    modules = (module for network in networks for module in state_owner(network).modules())
    own = ("modecover.", "torch.nn.modules.")
    return all(is_untouched(module) and type(module).__module__.startswith(own) for module in modules)
