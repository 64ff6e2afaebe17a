"""Whether it is known what happens in a step: that of modecover's methods, with modecover's and torch's layers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from modecover.methods.base import Method
from modecover.training.stacked import state_owner


def is_own(method: Method) -> bool:
    """Whether the method is modecover's: it puts no hooks and no nodes of its own into the graph of its losses."""
    return type(method).__module__.startswith("modecover.")


def are_known(networks: Iterable[nn.Module]) -> bool:
    """Whether the networks are made of modecover's and torch's own modules, and nothing hangs on them: then none reads
    a tensor's value, and gradients flow as autograd says."""
    return all(_is_known(state_owner(network)) for network in networks)


def _is_known(network: nn.Module) -> bool:
    for module in network.modules():
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
        changed = any(hooks) or "forward" in vars(module) or hasattr(module, "parametrizations")
        if changed or not type(module).__module__.startswith(("modecover.", "torch.nn.modules.")):
            return False
    return True
