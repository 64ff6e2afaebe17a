"""The only place that differentiates and steps.

For each yield of a method: gradients of the loss with respect to the named networks' parameters alone, mean over
micro-batches and processes, clipping, the networks' optimisers, the moving averages. Everything a step needs from
outside (minibatches, prior noise, random streams, learning rates) is fixed by the number of the step.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from modecover import random
from modecover.data.classes import parted
from modecover.engine.finite import FiniteWatch, NotFinite
from modecover.engine.handle import ForwardOptions, Handle
from modecover.engine.stacked_layers import is_spectral
from modecover.engine.state import TrainingState
from modecover.engine.updates import Gradients, Updater
from modecover.engine.whole_batches import WholeBatches
from modecover.errors import UserError


class Engine(TrainingState):
    """Runs one method on its networks, step after step; `terms` are the loss terms of the last step, "network/term",
    each a scalar."""

    def __post_init__(self) -> None:
        options, processes = self.options, self.processes
        parts = options.accumulate * processes.count
        if options.batch % parts:
            raise UserError(
                f"A batch of {options.batch} cannot be shared by {processes.count} processes and "
                f"{options.accumulate} micro-batches: choose a batch that {parts} divides."
            )
        super().__post_init__()
        self.terms: dict[str, Tensor] = {}
        noisy = options.instance_noise.constant != 0
        self._classes = 0 if options.classes is None else len(options.classes)
        self._forward = ForwardOptions(noisy, torch.zeros((), device=self.device), options.precision, self._classes)
        roles = self.method.roles()
        self.handles = {name: Handle(name, role, self.networks[name], self._forward) for name, role in roles.items()}
        self._arguments = [name for name in inspect.signature(type(self.method).step).parameters if name != "self"]
        self._rates = {name: [float(g["lr"]) for g in o.param_groups] for name, o in self.optimizers.items()}
        for group in (group for optimizer in self.optimizers.values() for group in optimizer.param_groups):
            if self.device.type == "cpu" and group.get("fused"):  # rates as tensors, which a replay follows
                group["lr"] = torch.tensor(float(group["lr"]), dtype=torch.float64)
        # Micro-batch number i of all processes together is that of one process.
        places = [i * processes.count + processes.rank for i in range(options.accumulate)]
        self._streams = [random.Streams(self.seeds, self.device, place, parts) for place in places]
        several = processes.count > 1
        self._whole_batches: AbstractContextManager[object] = WholeBatches(processes) if several else nullcontext()
        self._finite = FiniteWatch(self.seeds, self.device)
        self._factors = {term: torch.ones((), device=self.device) for term in options.loss_schedule}
        self._updater = Updater(
            self.optimizers, len(self.seeds), options.accumulate, options.clip, processes, self._finite, self._factors
        )
        spectral = (module for network in self.networks.values() for module in network.modules() if is_spectral(module))
        self._iterated = [module.get_buffer("u") for module in spectral] if options.accumulate > 1 else []
        self._words: list[str] = []

    def step(self) -> None:
        """One step of the method: all its updates. Raises `NonFiniteError` where a loss or gradient is not finite; no
        network has moved on it."""
        with self.next_step():
            self.compute()

    @contextmanager
    def next_step(self) -> Iterator[None]:
        """Fix everything that the coming step takes from outside but its minibatches; the block computes it."""
        options, fraction = self.options, self.step_number / max(1, self.options.steps)
        self._finite.begin(self.step_number)
        self._averages.begin(self.step_number)
        if options.freeze_bn_from and self.step_number >= options.freeze_bn_from:
            self.freeze_batch_norm()
        factor = options.lr_schedule.at(fraction)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * factor)
                elif group["lr"] != rate * factor:
                    group["lr"] = rate * factor
                    self.revision += 1  # a number is part of a trace
        if self._forward.noisy:
            self._forward.noise_std.fill_(options.instance_noise.at(fraction))
        for term, schedule in options.loss_schedule.items():
            self._factors[term].fill_(schedule.at(fraction))
        for streams in self._streams:
            streams.at("step", self.step_number)
        # Networks of others may draw from torch's own generator (dropout): it too is a function of (seed, step, rank).
        seed = random.derive_seed(*self.seeds, "torch", self.step_number, self.processes.rank)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        try:
            yield
        except NotFinite as found:
            raise self._finite.error(found) from None
        self.step_number += 1

    def compute(self, batches: Sequence[Tensor] | None = None) -> None:
        """The updates of the step, on these minibatches (see `read_batches`) or on those that it reads itself."""
        counts = [0] * self.options.accumulate
        self.terms, self._words = {}, []
        with self._whole_batches:
            # The method runs once for each micro-batch, all of them side by side from update to update.
            runs = [iter(self.method.step(**self._given(i, counts, batches))) for i in range(self.options.accumulate)]
            carried: list[Tensor | None] = [None] * len(runs)
            while True:
                total: list[Gradients] = []
                terms: dict[str, Tensor] = {}
                finished = 0
                begun = [u.clone() for u in self._iterated]
                for part, (streams, run) in enumerate(zip(self._streams, runs, strict=True)):
                    # In every micro-batch the power iteration of spectral norms goes the way it goes for a whole batch.
                    for u, start in zip(self._iterated, begun, strict=True):
                        u.copy_(start)
                    self._forward.carried = carried[part]
                    with random.active(streams):
                        update = next(run, None)
                    carried[part] = self._forward.carried
                    if update is None:
                        finished += 1
                    else:
                        self._updater.differentiate(update, total, terms)
                if finished:
                    break
                self._words.append(self._updater.apply(total))
                self.terms.update(terms)
            if finished != len(runs):
                raise RuntimeError("the method yielded different numbers of updates for the micro-batches of one step")
            if self.batches_per_step is None:
                self.batches_per_step = counts[0]
                if strangers := self._factors.keys() - self.terms.keys():
                    raise UserError(
                        f"loss_schedule is of {', '.join(sorted(strangers))}, which is no loss term of this method "
                        f"with these settings: it has {', '.join(self.terms)}."
                    )
            if any(count != self.batches_per_step for count in counts):
                raise RuntimeError(
                    f"the method drew {counts} minibatches in step {self.step_number} and {self.batches_per_step} in "
                    "the first: a step must always draw the same number, so that a run can be resumed"
                )
            self._averages.update()
            self._finite.end()

    def _given(self, part: int, counts: list[int], batches: Sequence[Tensor] | None) -> dict[str, Any]:
        """What the method's step asks for, by the names in its signature: networks, minibatches, prior noise."""
        rows = len(self.seeds) * self.options.batch // self._streams[part].parts

        def data() -> Tensor:
            index, each = counts[part], self.batches_per_step or 0
            counts[part] += 1
            rows = self.read_batch(index, part) if batches is None else batches[part * each + index]
            if self._classes:
                rows, self._forward.carried = parted(rows, self._classes)
            return rows

        def prior() -> Tensor:
            return self.prior.rows(rows, self.device)

        given = {"data": data, "prior": prior, **self.handles}
        return {name: given[name] for name in self._arguments}

    def read_batch(self, index: int, part: int) -> Tensor:
        """Minibatch number `index` of the coming step, the rows of micro-batch `part`."""
        position = self.step_number * (self.batches_per_step or 0) + index
        streams = self._streams[part]
        return self.data.batch(position, streams.part, streams.parts)

    def read_batches(self) -> list[Tensor]:
        """All minibatches of the coming step, micro-batch after micro-batch; known after the first step."""
        assert self.batches_per_step is not None
        return [self.read_batch(i, part) for part in range(len(self._streams)) for i in range(self.batches_per_step)]

    def generators(self) -> list[torch.Generator]:
        """The generators that the draws of a step come from."""
        return [generator for streams in self._streams for generator in streams.generators]

    def check(self) -> None:
        """On a GPU, where `step` does not wait for its results: raise `NonFiniteError` if a step went wrong."""
        self._finite.check()

    def tell_seed(self) -> None:
        """Name the seed in what is told of losses and gradients that are not finite: there are others beside it."""
        self._finite.seed = f" (seed {self.seeds[0]})"

    def losses(self) -> dict[str, float]:
        """The named terms of the last step, "network/term", of several updates of one network the last: means over
        seeds, micro-batches and processes, every one of which must ask."""
        if not self.terms:
            return {}
        values = [torch.stack(list(self.terms.values()))]
        self.processes.mean_(values)
        return dict(zip(self.terms, values[0].tolist(), strict=True))

    def schedule(self) -> str:
        """The updates of the last step, for example "D x5 -> G" or "D -> [G, E]"; (G, E) is a joint update."""
        counted = [(word, len(list(same))) for word, same in groupby(self._words)]
        return " -> ".join(word if count == 1 else f"{word} x{count}" for word, count in counted)
