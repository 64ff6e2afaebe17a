"""All that training changes, and what can be asked of it without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from modecover import random
from modecover.data.classes import Classes, joined
from modecover.engine.processes import Processes
from modecover.engine.schedules import Schedule
from modecover.engine.stacked import plain_copy, state_owner
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.roles import is_discriminator

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Prior:
    """The law of the latent noise in R^d, d = `dimension`: "normal" N(0, I), "uniform" on [-1, 1]^d or "uniform01" on
    [0, 1]^d."""

    dimension: int
    law: str = "normal"

    def rows(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """`count` draws, shape (count, d): from `generator`, or from the active streams."""
        empty = torch.empty(count, self.dimension, device=device)
        if generator is not None:
            draw = torch.randn if self.law == "normal" else torch.rand
            noise = draw(count, self.dimension, generator=generator, device=device)
        else:
            noise = random.normal_like(empty) if self.law == "normal" else random.uniform_like(empty)
        return 2 * noise - 1 if self.law == "uniform" else noise


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
    capture: bool = False
    lr_schedule: Schedule = field(default_factory=lambda: Schedule.parse("1"))
    instance_noise: Schedule = field(default_factory=lambda: Schedule.parse("0"))
    loss_schedule: Mapping[str, Schedule] = field(default_factory=dict)
    classes: Classes | None = None


class Averages:
    """`average <- decay * average + (1 - decay) * now` after every step, for each of some networks.

    At step n the decay is at most (1 + n) / (10 + n): else a short run's average would be mostly its first weights.

    Args:
        networks: by name, on `device`; averages begin at their present state.
        decay: in [0, 1); at 0 no average is kept.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float, device: torch.device):
        self.decay = decay
        self._owners = {name: state_owner(network) for name, network in networks.items()} if decay else {}
        self._weight = torch.zeros((), device=device)
        self.tensors = {n: {k: v.clone() for k, v in o.state_dict().items()} for n, o in self._owners.items()}

    def begin(self, step: int) -> None:
        """Step number `step` is about to be computed: fix how far the averages will move after it."""
        if self.tensors:
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


@dataclass(eq=False, repr=False)
class TrainingState:
    """The networks of a method with their optimisers and averages, and the number of steps that they have taken.

    Args:
        method: what to train with.
        networks: a module for each name in `method.roles()`, stacked where there are several seeds.
        optimizers: one for each network, over all its parameters; learning rates are scaled by the schedule.
        seeds: those stacked in the program, in row order.
        processes: that train them together; all begin with the first one's tensors.

    Attributes:
        step_number: steps taken.
        batches_per_step: minibatches that a step draws; None before the first.
        revision: grows when networks are put in another mode, or tensors take the place of others: what was found out
            about a step may then hold no longer.
    """

    method: Method
    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    _: KW_ONLY
    data: Batches
    prior: Prior
    seeds: Sequence[int]
    device: torch.device = CPU
    options: EngineOptions = field(default_factory=EngineOptions)
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        roles = self.method.roles()
        self.networks = {name: self.networks[name] for name in roles}
        self.optimizers = {name: self.optimizers[name] for name in roles}
        self.step_number = self.revision = 0
        self.batches_per_step: int | None = None
        self.processes.share_([t for network in self.networks.values() for t in network.state_dict().values()])
        averaged = {name: network for name, network in self.networks.items() if not is_discriminator(roles[name])}
        self._averages = Averages(averaged, self.options.ema, self.device)
        self._frozen = False

    def freeze_batch_norm(self) -> None:
        """Put the generators' batch normalisation in evaluation mode, and leave it there."""
        if self._frozen:
            return
        self._frozen = True
        self.revision += 1
        generators = [self.networks[name] for name, role in self.method.roles().items() if role == "generator"]
        for module in (module for generator in generators for module in generator.modules()):
            if any(name.startswith("running_mean") for name in module._buffers):
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
        """`count` samples of every seed, shape (S, count, *shape), from noise fixed by (seed, key); to be called
        within `evaluating()`. Of classes a conditional model makes as many as the data have; for the key "picture" in
        their order."""
        name = next(n for n, role in self.method.roles().items() if role == "generator")
        generators = [torch.Generator(self.device).manual_seed(random.derive_seed(s, key)) for s in self.seeds]
        network, classes = self.networks[name], self.options.classes
        labels = []
        if classes is not None:
            for seed in self.seeds:
                generator = torch.Generator().manual_seed(random.derive_seed(seed, key, "classes"))
                drawn = classes.drawn(count, generator)
                labels.append(drawn.sort().values if key == "picture" else drawn)
        with self._averages.in_place(name, average):
            out = []
            for start in range(0, count, chunk):
                rows = min(chunk, count - start)
                z = torch.cat([self.prior.rows(rows, self.device, g) for g in generators])
                if classes is not None:
                    some = torch.cat([each[start : start + rows] for each in labels])
                    z = joined(z, classes.rows(some).to(self.device))
                out.append(network(z).float().unflatten(0, (len(self.seeds), rows)))
        return torch.cat(out, dim=1)

    def network(self, name: str, index: int = 0, *, average: bool = False) -> nn.Module:
        """A copy of one network of seed number `index`, on the CPU in evaluation mode."""
        with self._averages.in_place(name, average):
            return plain_copy(self.networks[name], index).cpu().eval()

    @property
    def averaged(self) -> bool:
        """Whether moving averages are kept."""
        return bool(self._averages.tensors)

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
