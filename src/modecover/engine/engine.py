"""The only place that differentiates and steps.

For each yield of a method: gradients of the loss with respect to the named networks' parameters alone, mean over
micro-batches and processes, clipping, the networks' optimisers, the moving averages. Everything a step needs from
outside (minibatches, prior noise, random streams, learning rates) is fixed by the number of the step.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from modecover import random
from modecover.engine import shared_gradients, updates
from modecover.engine.averages import Averages
from modecover.engine.finite import FiniteWatch
from modecover.engine.handle import ForwardOptions, Handle
from modecover.engine.known import are_known, is_own
from modecover.engine.prior import Prior
from modecover.engine.processes import Processes
from modecover.engine.schedules import Schedule
from modecover.engine.shared_gradients import Objective
from modecover.engine.stacked import plain_copy, state_owner
from modecover.engine.whole_batches import WholeBatches
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.roles import Terms, Update, is_discriminator
from modecover.networks.normalization import SplitBatchNorm
from modecover.networks.spectral import is_spectral


class Batches(Protocol):
    """Minibatch number `position` of every seed; of each seed's rows, part number `part` of `parts`."""

    def batch(self, position: int, part: int = 0, parts: int = 1) -> Tensor: ...


@dataclass(frozen=True)
class EngineOptions:
    """What the engine does beside the method's own updates; see `Settings` for each."""

    batch: int = 64
    accumulate: int = 1
    clip: float = 0.0
    ema: float = 0.0
    precision: str = "fp32"
    steps: int = 1
    freeze_bn_from: int = 0
    lr_schedule: Schedule = field(default_factory=lambda: Schedule.parse("1"))
    instance_noise: Schedule = field(default_factory=lambda: Schedule.parse("0"))


class Engine:
    """Runs one method on its networks, step after step.

    Args:
        method: what to train with.
        networks: a module for each name in `method.roles()`, stacked where there are several seeds.
        optimizers: one for each network, over all its parameters; learning rates are scaled by the schedule.
        data: minibatches by number.
        prior: the law of the latent noise.
        seeds: the seeds stacked in the program, in row order.
        device: where the networks are.
    """

    def __init__(
        self,
        method: Method,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        data: Batches,
        prior: Prior,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        options: EngineOptions | None = None,
        processes: Processes | None = None,
    ):
        self.method, self.options = method, options or EngineOptions()
        self.device, self.seeds, self.prior, self.data = torch.device(device), tuple(seeds), prior, data
        self.processes = processes or Processes()
        noisy = self.options.instance_noise.constant != 0
        self._forward = ForwardOptions(noisy, torch.zeros((), device=self.device), self.options.precision)
        roles = method.roles()
        self.handles = {name: Handle(name, role, networks[name], self._forward) for name, role in roles.items()}
        self.networks = {name: networks[name] for name in self.handles}
        self.optimizers = {name: optimizers[name] for name in self.handles}
        self.step_number = 0
        self.batches_per_step: int | None = None
        self._rates = {name: [float(g["lr"]) for g in o.param_groups] for name, o in self.optimizers.items()}
        parts = self.options.accumulate * self.processes.count
        if self.options.batch % parts:
            raise UserError(
                f"A batch of {self.options.batch} cannot be shared by {self.processes.count} processes and "
                f"{self.options.accumulate} micro-batches: choose a batch that {parts} divides."
            )
        # Micro-batch number i of all processes together is that of one process.
        places = [i * self.processes.count + self.processes.rank for i in range(self.options.accumulate)]
        self._streams = [random.Streams(seeds, self.device, place, parts) for place in places]
        several = self.processes.count > 1
        self._whole_batches: AbstractContextManager[object] = WholeBatches(self.processes) if several else nullcontext()
        self.terms: dict[str, Tensor] = {}  # of the last step
        self._finite = FiniteWatch(self.seeds, self.device)
        self.processes.share_([t for network in self.networks.values() for t in network.state_dict().values()])
        averaged = {name: network for name, network in self.networks.items() if not is_discriminator(roles[name])}
        self._averages = Averages(averaged, self.options.ema)
        spectral = (module for network in self.networks.values() for module in network.modules() if is_spectral(module))
        self._iterated = [module.get_buffer("u") for module in spectral] if self.options.accumulate > 1 else []
        self._last_schedule: list[str] = []
        self._frozen = False
        self.revision = 0  # grows when a recording of an earlier step is no longer what a step does
        self.fetch: Callable[[int, int], Tensor] = self.read_batch

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """One step of the method: all its updates.

        Raises:
            NonFiniteError: a loss or gradient is not finite; no network has moved on it.
        """
        self.prepare()
        self.compute()
        self.step_number += 1

    def prepare(self) -> None:
        """Fix everything the coming step takes from outside but its minibatches."""
        self._finite.begin(self.step_number)
        self._averages.begin(self.step_number)
        if self.options.freeze_bn_from and self.step_number >= self.options.freeze_bn_from:
            self.freeze_batch_norm()
        fraction = self.step_number / max(1, self.options.steps)
        factor = self.options.lr_schedule.at(fraction)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self._rates[name], strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * factor)
                else:
                    group["lr"] = rate * factor
        if self._forward.noisy:
            self._forward.noise_std.fill_(self.options.instance_noise.at(fraction))
        for streams in self._streams:
            streams.at("step", self.step_number)
        # Networks of others may draw from torch's own generator (dropout): it too is a function of (seed, step, rank).
        seed = random.derive_seed(*self.seeds, "torch", self.step_number, self.processes.rank)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def compute(self) -> None:
        """The updates of the step: the part that a CUDA graph captures."""
        with self._whole_batches:
            self._compute()

    def _compute(self) -> None:
        counts = [0] * self.options.accumulate
        runs = [iter(self.method.step(**self._arguments(part, counts))) for part in range(self.options.accumulate)]
        self.terms, self._last_schedule = {}, []
        while True:
            total: list[updates.Gradients] = []
            terms: dict[str, Tensor] = {}
            finished = 0
            begun = [u.clone() for u in self._iterated]
            for streams, run in zip(self._streams, runs, strict=True):
                # In every micro-batch the power iteration of spectral norms goes the way it goes for a whole batch.
                for u, start in zip(self._iterated, begun, strict=True):
                    u.copy_(start)
                with random.active(streams):
                    update = next(run, None)
                if update is None:
                    finished += 1
                    continue
                self._add_gradients(total, terms, update if isinstance(update, list) else [update])
            if finished:
                break
            self._apply(total)
            self.terms.update(terms)
        if finished != len(runs):
            raise RuntimeError("the method yielded different numbers of updates for the micro-batches of one step")
        self._count_batches(counts)
        self._averages.update()
        self._finite.end()

    def _arguments(self, part: int, counts: list[int]) -> dict[str, Any]:
        rows = len(self.seeds) * self.options.batch // self._streams[part].parts

        def data() -> Tensor:
            counts[part] += 1
            return self.fetch(counts[part] - 1, part)

        def prior() -> Tensor:
            return self.prior.rows(rows, self.device)

        feeds: dict[str, Any] = {"data": data, "prior": prior}
        names = [name for name in inspect.signature(type(self.method).step).parameters if name != "self"]
        return {name: self.handles[name] if name in self.handles else feeds[name] for name in names}

    def generators(self) -> list[torch.Generator]:
        """The generators that the draws of a step come from."""
        return [generator for streams in self._streams for generator in streams.generators]

    def read_batch(self, index: int, part: int) -> Tensor:
        """Minibatch number `index` of the present step, the rows of micro-batch `part`."""
        position = self.step_number * (self.batches_per_step or 0) + index
        streams = self._streams[part]
        return self.data.batch(position, streams.part, streams.parts)

    def _count_batches(self, counts: list[int]) -> None:
        if self.batches_per_step is None:
            self.batches_per_step = counts[0]
        if any(count != self.batches_per_step for count in counts):
            raise RuntimeError(
                f"the method drew {counts} minibatches in step {self.step_number} and {self.batches_per_step} in the "
                "first: a step must always draw the same number, so that a run can be resumed"
            )

    # ------------------------------------------------------------------ updates

    def _add_gradients(self, total: list[updates.Gradients], shown: dict[str, Tensor], yielded: list[Update]) -> None:
        objectives, networks = [], []
        for who, terms in yielded:
            handles: tuple[Any, ...] = who if isinstance(who, tuple) else (who,)
            parameters = list(dict.fromkeys(p for handle in handles for p in handle.parameters() if p.requires_grad))
            loss = self._sum(terms, "+".join(handle.name for handle in handles), shown)
            # A mean over S*B rows is 1/S of each seed's own loss; each seed's weights are its own.
            objectives.append(Objective(loss * (len(self.seeds) / self.options.accumulate), parameters))
            networks.append(handles)
        known = are_known(self.networks.values())
        share = known and is_own(self.method)
        for slot, gradients in enumerate(shared_gradients.gradients(objectives, share=share, known=known)):
            if slot < len(total):
                total[slot].add(gradients)
            else:
                total.append(updates.Gradients(networks[slot], list(objectives[slot].parameters), list(gradients)))

    def _sum(self, terms: Terms, names: str, shown: dict[str, Tensor]) -> Tensor:
        parts = terms if isinstance(terms, Mapping) else {"loss": terms}
        for term, value in parts.items():
            key = f"{names}/{term}"
            share = value.detach()
            if self.options.accumulate > 1:
                share = share / self.options.accumulate
            shown[key] = shown[key] + share if key in shown else share
            self._finite.require(f"the loss term {term!r} of {names}", [share])
        values = list(parts.values())
        return values[0] if len(values) == 1 else torch.stack(values).sum()

    def _apply(self, total: Sequence[updates.Gradients]) -> None:
        self.processes.mean_([gradient for update in total for gradient in update.present])
        for update in total:
            self._finite.require(f"the gradient of {update.names}", update.present)
            if self.options.clip:
                update.clip_(self.options.clip, stacked=len(self.seeds) > 1)
            for parameter, gradient in zip(update.parameters, update.gradients, strict=True):
                parameter.grad = gradient
        for update in total:
            for handle in update.handles:
                self.optimizers[handle.name].step()
            for parameter in update.parameters:
                parameter.grad = None
        self._last_schedule.append(updates.in_words(total))

    # ------------------------------------------------------------------ what others read

    def check(self) -> None:
        """On a GPU, where `step` does not wait for its results: raise `NonFiniteError` if a step went wrong."""
        self._finite.check()

    def losses(self) -> dict[str, float]:
        """The named terms of the last step, "network/term": means over seeds, micro-batches and processes.

        Several updates of one network in a step show the last one. Every process must ask.
        """
        if not self.terms:
            return {}
        values = [torch.stack(list(self.terms.values()))]
        self.processes.mean_(values)
        return dict(zip(self.terms, values[0].tolist(), strict=True))

    def schedule(self) -> str:
        """The updates of the last step, for example "D x5 -> G" or "D -> [G, E]"; (G, E) is a joint update."""
        words: list[tuple[str, int]] = []
        for word in self._last_schedule:
            if words and words[-1][0] == word:
                words[-1] = (word, words[-1][1] + 1)
            else:
                words.append((word, 1))
        return " -> ".join(word if count == 1 else f"{word} x{count}" for word, count in words)

    def freeze_batch_norm(self) -> None:
        """Put the generators' batch normalisation in evaluation mode, and leave it there."""
        if self._frozen:
            return
        self._frozen = True
        self.revision += 1
        for name, role in self.method.roles().items():
            for module in self.networks[name].modules() if role == "generator" else ():
                if "running_mean" in module._buffers or isinstance(module, SplitBatchNorm):
                    module.eval()

    def share_batch_statistics(self) -> None:
        """Give every process the mean of all processes' buffers: scripted batch norms each keep their own rows'."""
        buffers = [b for network in self.networks.values() for b in network.buffers()]
        averaged = [t for average in self._averages.tensors.values() for t in average.values()]
        self.processes.mean_([t for t in (*buffers, *averaged) if t.is_floating_point()])

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within the block networks are in evaluation mode, and nothing in it changes what training computes."""
        modes = {m: m.training for network in self.networks.values() for m in network.modules()}
        for network in self.networks.values():
            network.eval()
        try:
            with torch.no_grad(), random.active(None), torch.random.fork_rng(devices=[]):
                yield
        finally:
            for module, mode in modes.items():
                module.training = mode

    def sample(self, count: int, *, average: bool = False, key: str = "samples", chunk: int = 512) -> Tensor:
        """`count` samples of every seed, shape (S, count, *shape), from noise that is fixed by (seed, key).

        Call it within `evaluating()`.
        """
        name = next(n for n, role in self.method.roles().items() if role == "generator")
        generators = [torch.Generator(self.device).manual_seed(random.derive_seed(s, key)) for s in self.seeds]
        network = self.networks[name]
        with self._averages.in_place(name, average):
            out = []
            for start in range(0, count, chunk):
                rows = min(chunk, count - start)
                z = torch.cat([self.prior.rows(rows, self.device, g) for g in generators])
                out.append(network(z).float().unflatten(0, (len(self.seeds), rows)))
        return torch.cat(out, dim=1)

    def network(self, name: str, index: int = 0, *, average: bool = False) -> nn.Module:
        """A copy of one network of seed number `index`, on the CPU in evaluation mode."""
        with self._averages.in_place(name, average):
            return plain_copy(self.networks[name], index).cpu().eval()

    @property
    def averaged(self) -> bool:
        """Whether moving averages are kept."""
        return bool(self._averages)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, Tensor]:
        """All that a resumed run needs, by name."""
        tensors: dict[str, Tensor] = {"step": torch.tensor(self.step_number)}
        tensors["batches_per_step"] = torch.tensor(self.batches_per_step or 0)
        for name, network in self.networks.items():
            owner = state_owner(network)
            tensors |= {f"network/{name}/{key}": value for key, value in owner.state_dict().items()}
            for index, slots in self.optimizers[name].state_dict()["state"].items():
                tensors |= {f"optimizer/{name}/{index}/{key}": torch.as_tensor(v) for key, v in slots.items()}
            tensors |= {f"average/{name}/{key}": value for key, value in self._averages.tensors.get(name, {}).items()}
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from `state()` of an engine built alike."""
        self.revision += 1
        self.step_number = int(tensors["step"])
        self.batches_per_step = int(tensors["batches_per_step"]) or None
        for name, network in self.networks.items():
            try:
                state_owner(network).load_state_dict(_under(tensors, f"network/{name}/"))
            except RuntimeError as error:
                raise UserError(
                    f"The checkpoint's {name} is another network than the one given now: resume with the one that the "
                    "run began with, or choose another folder."
                ) from error
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(tensors, f"optimizer/{name}/").items():
                index, _, slot = key.partition("/")
                slots.setdefault(int(index), {})[slot] = value.clone()  # the optimiser keeps what it is given
            optimizer = self.optimizers[name]
            optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
            if name in self._averages.tensors:
                for key, value in _under(tensors, f"average/{name}/").items():
                    self._averages.tensors[name][key].copy_(value)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
