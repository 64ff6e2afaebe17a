"""All that training changes, and what can be asked of it without changing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from modecover import random
from modecover.engine.averages import Averages
from modecover.engine.prior import Prior
from modecover.engine.processes import Processes
from modecover.engine.stacked import plain_copy, state_owner
from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.methods.roles import is_discriminator
from modecover.networks.normalization import SplitBatchNorm


class TrainingState:
    """The networks of a method with their optimisers and averages, and the number of steps that they have taken.

    Args:
        method: whose networks they are.
        networks: a module for each name in `method.roles()`, stacked where there are several seeds.
        optimizers: one for each network, over all its parameters.
        prior: the law of the latent noise.
        seeds: the seeds stacked in the program, in row order.
        device: where the networks are.
        processes: that train them together; all begin with the first one's tensors.
        ema: decay of the moving averages of all networks but discriminators, in [0, 1); at 0 there are none.

    Attributes:
        step_number: steps taken.
        batches_per_step: minibatches that a step draws; None before the first.
        revision: grows when networks are put in another mode, or tensors take the place of others: what was found out
            about a step may then hold no longer.
    """

    def __init__(
        self,
        method: Method,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        prior: Prior,
        seeds: Sequence[int],
        device: torch.device | str,
        processes: Processes,
        ema: float,
    ):
        roles = method.roles()
        self.method, self.prior, self.processes = method, prior, processes
        self.device, self.seeds = torch.device(device), tuple(seeds)
        self.networks = {name: networks[name] for name in roles}
        self.optimizers = {name: optimizers[name] for name in roles}
        self.step_number = self.revision = 0
        self.batches_per_step: int | None = None
        processes.share_([t for network in self.networks.values() for t in network.state_dict().values()])
        averaged = {name: network for name, network in self.networks.items() if not is_discriminator(roles[name])}
        self._averages = Averages(averaged, ema)
        generators = [self.networks[name] for name, role in roles.items() if role == "generator"]
        self._frozen = False
        self._batch_norms = [m for generator in generators for m in generator.modules() if _keeps_statistics(m)]

    # ------------------------------------------------------------------ batch statistics

    def freeze_batch_norm(self) -> None:
        """Put the generators' batch normalisation in evaluation mode, and leave it there."""
        if self._frozen:
            return
        self._frozen = True
        self.revision += 1
        for module in self._batch_norms:
            module.eval()

    def share_batch_statistics(self) -> None:
        """Give every process the mean of all processes' buffers: scripted batch norms each keep their own rows'."""
        buffers = [b for network in self.networks.values() for b in network.buffers()]
        averaged = [t for average in self._averages.tensors.values() for t in average.values()]
        self.processes.mean_([t for t in (*buffers, *averaged) if t.is_floating_point()])

    # ------------------------------------------------------------------ samples and networks

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


def _keeps_statistics(module: nn.Module) -> bool:
    return "running_mean" in module._buffers or isinstance(module, SplitBatchNorm)
