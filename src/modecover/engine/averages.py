"""Moving averages of networks' weights and running statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from modecover.engine.stacked import state_owner


class Averages:
    """`average <- decay * average + (1 - decay) * now` after every step, for each of some networks.

    At step n the decay is at most (1 + n) / (10 + n): else a short run's average would be mostly its first weights.

    Args:
        networks: by name; averages begin at their present state.
        decay: in [0, 1); at 0 no average is kept.

    Attributes:
        tensors: name of the network to its averaged state, by the state's own names.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float):
        self.decay = decay
        self._owners = {name: state_owner(network) for name, network in networks.items()} if decay else {}
        self._weight = torch.zeros(())
        if self._owners:
            self._weight = torch.zeros((), device=next(iter(next(iter(networks.values())).parameters())).device)
        self.tensors = {n: {k: v.clone() for k, v in o.state_dict().items()} for n, o in self._owners.items()}

    def __bool__(self) -> bool:
        return bool(self.tensors)

    def begin(self, step: int) -> None:
        """Step number `step` is about to be computed: fix how far the averages will move after it."""
        if self._owners:
            self._weight.fill_(1 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages toward the networks; what is not a floating point number is copied."""
        for name, average in self.tensors.items():
            current = self._owners[name].state_dict()
            floats = [key for key, value in average.items() if value.is_floating_point()]
            way = torch._foreach_sub([current[k] for k in floats], [average[k] for k in floats])
            torch._foreach_mul_(way, self._weight)
            torch._foreach_add_([average[k] for k in floats], way)
            for key in average.keys() - floats:
                average[key].copy_(current[key])

    @contextmanager
    def in_place(self, name: str, wanted: bool = True) -> Iterator[None]:
        """Within the block the network has its averaged state, if that is wanted and there is one."""
        if not wanted or name not in self.tensors:
            yield
            return
        owner = self._owners[name]
        kept = {key: value.clone() for key, value in owner.state_dict().items()}
        owner.load_state_dict(self.tensors[name])
        try:
            yield
        finally:
            owner.load_state_dict(kept)
