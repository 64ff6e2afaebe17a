"""Stacked seeds: S copies of a network, each with its own weights, behind one module.

A batch of S*B rows, seed after seed, goes through as S batches of B rows, so a method never sees the seeds. Layers
whose batched form is known (linear, batch normalisation) are swapped for it, and the network's own `forward` runs on
all rows at once: a few batched matrix products instead of S networks. Where a network has other layers, the seeds run
side by side (`modecover.engine.side_by_side`).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from modecover.engine.stacked_layers import ACTIVATIONS, BATCHED, StackedPerceptron, alike, is_perceptron
from modecover.errors import UserError
from modecover.networks.check import detached_copy


class Stacked(nn.Module):
    """S independent copies of one network; state has the network's own names with a leading axis of S.

    Args:
        members: S networks that `can_be_stacked`; they are copied.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.seeds = len(members)
        self.body = _swap(detached_copy(members[0]), members)  # holds the stacked state and the modes of all modules
        self._plain = [detached_copy(members[0])]  # in a list: no submodule, not in the state

    def forward(self, *rows: Tensor, **options: str) -> Tensor:
        """Rows (S*B, ...), one tensor for each input of the network, to rows (S*B, ...), B rows through each copy."""
        out: Tensor = self.body(*rows, **options)
        return out

    def member(self, index: int) -> nn.Module:
        """A plain copy of network number `index`, with its weights, buffers and modes."""
        network = detached_copy(self._plain[0])
        for module, owner in zip(network.modules(), self.body.modules(), strict=True):
            module.training = owner.training
            for kind in ("_parameters", "_buffers"):
                for key, stacked in getattr(owner, kind).items():
                    own = None if stacked is None else alike(stacked, stacked[index].detach().clone())
                    getattr(module, kind)[key] = own
        return network


def plain_copy(module: nn.Module, index: int) -> nn.Module:
    """A copy of the network of seed number `index`, whether or not seeds are stacked."""
    return module.member(index) if isinstance(module, Stacked) else detached_copy(module)


def state_owner(module: nn.Module) -> nn.Module:
    """The module whose state names are the network's own."""
    return module.body if isinstance(module, Stacked) else module


def stack(members: Sequence[nn.Module]) -> nn.Module:
    """One module for all members: the network itself where there is one."""
    return members[0] if len(members) == 1 else Stacked(members)


def can_be_stacked(members: Sequence[nn.Module]) -> bool:
    """Whether all members are batchable, and differ in nothing but their weights.

    Raises:
        UserError: two of them are one object, or they differ in their layers or in the shapes of their tensors, so that
            they are not the network of several seeds.
    """
    kind = type(members[0]).__name__
    if len({id(member) for member in members}) < len(members):
        raise UserError(
            f"Two of {len(members)} seeds got the same {kind}: let the function that is given for a network make a "
            "new one at every call."
        )
    named = (
        (*m.named_parameters("P", remove_duplicate=False), *m.named_buffers("B", remove_duplicate=False))
        for m in members
    )
    if len({tuple((name, t.shape) for name, t in tensors) for tensors in named}) > 1:
        raise UserError(
            f"The seeds' networks {kind} differ in their layers or in the shapes of their weights: let the "
            "function that is given for a network make the same architecture at every call."
        )
    return all(map(batchable, members)) and len({repr(member) for member in members}) == 1


_STEADY = {StackedPerceptron, *BATCHED.values(), *(each for each in vars(nn).values() if isinstance(each, type))}
"""Layers of stacked seeds, and torch's own."""


def batchable(network: nn.Module) -> bool:
    """Whether every `forward` is known to treat rows alike, and each tensor is of one layer with a batched form."""
    kinds = (network.named_modules, network.named_parameters, network.named_buffers)
    tied = any(len(list(named())) < len(list(named(remove_duplicate=False))) for named in kinds)
    return not tied and all(_is_untouched(m) and _treats_rows_alike(m) for m in network.modules())


def is_steady(network: nn.Module) -> bool:
    """Whether every forward in a mode does the same operations, whatever the values: known of torch's own layers and of
    those that say how they treat rows, where nothing hangs on them."""
    modules = state_owner(network).modules()
    return all(_is_untouched(m) and ("row_wise" in vars(type(m)) or type(m) in _STEADY) for m in modules)


def _is_untouched(module: nn.Module) -> bool:
    """Whether the module does what its class says: no hooks, no parametrizations, no `forward` of its own."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return not (any(hooks) or "forward" in vars(module) or hasattr(module, "parametrizations"))


def _treats_rows_alike(module: nn.Module) -> bool:
    if type(module) in BATCHED:
        return not isinstance(module, nn.BatchNorm1d) or module.momentum is not None
    if any(value is not None for value in (*module._parameters.values(), *module._buffers.values())):
        return False
    if isinstance(module, nn.Flatten):
        return module.start_dim >= 1
    if isinstance(module, nn.Unflatten):
        return isinstance(module.dim, int) and module.dim >= 1
    # What modecover's own networks say of themselves: see `modecover.networks.network`.
    return type(module) in (nn.Sequential, *ACTIVATIONS) or vars(type(module)).get("row_wise") is True


def _swap(network: nn.Module, members: Sequence[nn.Module]) -> nn.Module:
    if type(network) in BATCHED:
        return BATCHED[type(network)](members)
    for name, child in list(network.named_children()):
        setattr(network, name, _swap(child, [getattr(member, name) for member in members]))
    return StackedPerceptron(network) if is_perceptron(network) else network
