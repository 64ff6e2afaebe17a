"""Several seeds as engines of one seed each, side by side, where their networks cannot be stacked.

Every seed is, bit for bit, the run that it would be alone: its own networks, optimisers, minibatches and generators. To
all that looks from outside they are one engine of all seeds, whose state has the names and shapes of stacked networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from modecover.engine.engine import Engine


class SideBySide:
    """Engines of one seed each, of one method and the same settings, as one of all seeds; see `Engine`.

    Attributes:
        engines: in the order of their seeds.
        join: waits for what the engines compute at the same time; called before anything of theirs is read. A stepper
            that lets them run on puts it there.
    """

    def __init__(self, engines: Sequence[Engine]):
        self.engines = list(engines)
        first = engines[0]
        self.method, self.prior, self.options = first.method, first.prior, first.options
        self.device, self.processes, self.averaged = first.device, first.processes, first.averaged
        self.seeds = [seed for engine in engines for seed in engine.seeds]
        self.join: Callable[[], None] = lambda: None
        for engine in engines:
            engine.tell_seed()

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Of each name those of all seeds, as a list."""
        return {name: nn.ModuleList([each.networks[name] for each in self.engines]) for name in self.method.roles()}

    @property
    def step_number(self) -> int:
        """Steps that all have taken."""
        return self.engines[-1].step_number

    @property
    def terms(self) -> dict[str, Tensor]:
        """The loss terms of the last step, means over seeds."""
        self.join()
        each = [engine.terms for engine in self.engines]
        return {name: torch.stack([terms[name] for terms in each]).mean(dim=0) for name in each[0]}

    def step(self) -> None:
        """A step of every seed, in turn."""
        for engine in self.engines:
            engine.step()

    def check(self) -> None:
        """On a GPU: raise `NonFiniteError` if a step went wrong."""
        self.join()
        for engine in self.engines:
            engine.check()

    def losses(self) -> dict[str, float]:
        """The named terms of the last step, means over seeds."""
        self.join()
        each = [engine.losses() for engine in self.engines]
        return {name: sum(losses[name] for losses in each) / len(each) for name in each[0]}

    def schedule(self) -> str:
        """The updates of the last step of each seed."""
        return self.engines[0].schedule()

    def share_batch_statistics(self) -> None:
        """Give every process the mean of all processes' buffers."""
        self.join()
        for engine in self.engines:
            engine.share_batch_statistics()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block networks are in evaluation mode, and nothing in it changes what training computes."""
        self.join()
        with ExitStack() as stack:
            for engine in self.engines:
                stack.enter_context(engine.evaluating())
            yield

    def sample(self, count: int, *, average: bool = False, key: str = "samples", chunk: int = 512) -> Tensor:
        """`count` samples of every seed, shape (S, count, *shape); to be called within `evaluating()`."""
        return torch.cat([engine.sample(count, average=average, key=key, chunk=chunk) for engine in self.engines])

    def network(self, name: str, index: int = 0, *, average: bool = False) -> nn.Module:
        """A copy of one network of seed number `index`, on the CPU in evaluation mode."""
        self.join()
        return self.engines[index].network(name, average=average)

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs: what belongs to a seed has a leading axis of S."""
        self.join()
        each = [engine.state() for engine in self.engines]
        return {
            name: torch.stack([state[name] for state in each]) if _is_of_a_seed(name) else value
            for name, value in each[0].items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from `state()` of an engine of as many seeds, or of stacked ones."""
        self.join()
        for index, engine in enumerate(self.engines):
            engine.load({name: value[index] if _is_of_a_seed(name) else value for name, value in tensors.items()})


def _is_of_a_seed(name: str) -> bool:
    """Whether a tensor of an engine's state is another for each seed: steps are counted for all together."""
    return "/" in name and not (name.startswith("optimizer/") and name.endswith("/step"))


AnyEngine = Engine | SideBySide
"""What trains all seeds of a run."""
