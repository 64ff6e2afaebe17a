"""Stacked seeds: S copies of a network, each with its own weights, behind one module.

A batch of S*B rows, seed after seed, goes through as S batches of B rows, so a method never sees the seeds.
Two ways, chosen by what the network is made of:

- layers whose batched form is known (linear, convolution, batch normalisation) are swapped for it, and the network's
  own `forward` runs on all rows at once: a few batched matrix products instead of S networks;
- any other network, a user's own for example, is S plain copies, one called after the other. Each works on its slice
  of the stacked weights, so tied weights, buffers, hooks and parametrizations do what they do in a network alone.
  (`torch.func.vmap` is up to twice as fast on small networks, but fails or errs on several of these.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from modecover.engine.stacked_layers import ACTIVATIONS, BATCHED, StackedPerceptron, alike, is_perceptron, take
from modecover.errors import UserError
from modecover.networks.check import detached_copy


class Stacked(nn.Module):
    """S independent copies of one network; state has the network's own names with a leading axis of S.

    A buffer that the network's forward assigns is kept without its autograd graph.

    Args:
        members: S networks of one architecture; they are copied.

    Raises:
        UserError: the members are one object, or differ in their layers or in the shapes of their tensors.
    """

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
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
        self.seeds = len(members)
        self._copies = [detached_copy(member) for member in members]  # in a list: no submodules, not in the state
        self.body = detached_copy(members[0])  # holds the stacked state and the modes of all modules
        self._batched = all(batchable(member) for member in members) and len({repr(member) for member in members}) == 1
        if self._batched:
            self.body = _swap(self.body, members)
        else:
            stacks: dict[Tensor, Tensor] = {}  # what is tied stays tied
            for module, *layers in zip(self.body.modules(), *(member.modules() for member in members), strict=True):
                take(module, layers, stacks)

    def forward(self, *rows: Tensor, **options: str) -> Tensor:
        """Rows (S*B, ...), one tensor for each input of the network, to rows (S*B, ...), B rows through each copy."""
        if self._batched:
            out: Tensor = self.body(*rows, **options)
            return out
        # One unbind for each weight: its gradient is one stack, where S slices would each make a tensor of full size.
        slices: dict[Tensor, Sequence[Tensor]] = {weight: weight.unbind() for weight in self.body.parameters()}

        def lent(stacked: Tensor, index: int) -> Tensor:
            # Buffers are lent as clones: what autograd saves of them must not change when they are written back.
            return slices[stacked][index] if stacked in slices else stacked[index].clone()

        batches = zip(*(x.unflatten(0, (self.seeds, -1)).unbind() for x in rows), strict=True)
        outputs = [self._furnished(index, lent)(*inputs, **options) for index, inputs in enumerate(batches)]
        # What the copies' forwards left in their buffers, mutated or assigned, is stacked again.
        with torch.no_grad():
            for owner, *modules in zip(self.body.modules(), *(c.modules() for c in self._copies), strict=True):
                for key in modules[0]._buffers:
                    left = [buffer for module in modules if (buffer := module._buffers[key]) is not None]
                    if left:
                        new, old = torch.stack(left), owner._buffers.get(key)
                        if old is not None and old.shape == new.shape:
                            old.copy_(new)
                        else:
                            owner._buffers[key] = new
        return torch.cat(outputs)

    def member(self, index: int) -> nn.Module:
        """A plain copy of network number `index`, with its weights, buffers and modes."""
        own = lambda stacked, index: alike(stacked, stacked[index].detach().clone())
        return detached_copy(self._furnished(index, own))

    def _furnished(self, index: int, tensor: Callable[[Tensor, int], Tensor]) -> nn.Module:
        """Copy number `index` in body's modes, with `tensor(stacked, index)` for each; what is tied stays tied."""
        network = self._copies[index]
        given: dict[Tensor, Tensor] = {}
        for module, owner in zip(network.modules(), self.body.modules(), strict=True):
            module.training = owner.training
            for kind in ("_parameters", "_buffers"):
                for key, stacked in getattr(owner, kind).items():
                    if stacked is not None:
                        if stacked not in given:
                            given[stacked] = tensor(stacked, index)
                        getattr(module, kind)[key] = given[stacked]
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


_ROW_BY_ROW = (
    *ACTIVATIONS,
    *(nn.Sequential, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d, nn.Upsample, nn.PixelShuffle),
)

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
        moving = not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or module.momentum is not None
        return moving and getattr(module, "padding_mode", "zeros") == "zeros"
    if any(value is not None for value in (*module._parameters.values(), *module._buffers.values())):
        return False
    if isinstance(module, nn.Flatten):
        return module.start_dim >= 1
    if isinstance(module, nn.Unflatten):
        return isinstance(module.dim, int) and module.dim >= 1
    # What modecover's own networks say of themselves: see `modecover.networks.network`.
    return type(module) in _ROW_BY_ROW or vars(type(module)).get("row_wise") is True


def _swap(network: nn.Module, members: Sequence[nn.Module]) -> nn.Module:
    if type(network) in BATCHED:
        return BATCHED[type(network)](members)
    for name, child in list(network.named_children()):
        setattr(network, name, _swap(child, [getattr(member, name) for member in members]))
    return StackedPerceptron(network) if is_perceptron(network) else network
