"""Whether a run fits into memory, and a step into a minute, from its sizes, before it is allocated.

What is counted is the least that a run takes: weights with their gradients and the optimiser's state, the rows of a
minibatch, and what the layers of the generator keep of it for the backward pass. So nothing is refused that would have
fitted; what a run takes beyond that is told where it comes up (`modecover.limits.within_limits`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from modecover.data import Dataset
from modecover.data.feed import BLOCK
from modecover.data.pictures import StreamedImages
from modecover.errors import UserError
from modecover.limits import explained, free_memory, readable, require_memory
from modecover.methods.base import Method
from modecover.runs.settings import Settings

NUMBER = 4  # bytes of a float32
PROCESS = 2_500_000  # numbers that would fit into what a process of Python takes for itself, at least
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
UPDATE = 1e-4  # seconds that an update of a network takes, at least
LONGEST_STEP = 60  # seconds: while a step is computed nothing is shown or saved, and nothing can be stopped
SPEED = 1e10  # multiplications and additions in a second, about, of one core


@contextmanager
def at_most(numbers: float, refusal: Exception, tensors: float = math.inf) -> Iterator[list[int]]:
    """In the block networks get at most so many weights, in so many tensors: before a further one is initialised,
    `refusal` is raised. Yields how many weights and tensors they have got."""
    made = [0, 0]

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            made[:] = made[0] + parameter.numel(), made[1] + 1
            if made[0] > numbers or made[1] > tensors:
                raise refusal

    handle = register_module_parameter_registration_hook(count)
    try:
        yield made
    finally:
        handle.remove()


@contextmanager
def networks_that_fit(settings: Settings) -> Iterator[None]:
    """In the block, networks of one seed are built; `UserError` once those of all seeds cannot fit into memory."""
    most = free_memory() / (2 * NUMBER * settings.seeds)  # drawn on the CPU, then laid side by side
    try:
        with at_most(most, MemoryError()) as made:
            yield
    except (MemoryError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, UserError) else error  # `build` tells it in words of its own
        if cause is None or isinstance(cause, UserError) or explained(cause) is None:
            raise
        size, free = f" of {made[0]:,} weights and more" if made[0] else "", readable(free_memory())
        raise UserError(
            f"Networks{size}{_each(settings)} do not fit into memory, of which {free} are free: {_smaller(settings)}."
        ) from error


def require_short_steps(method: Method) -> None:
    """Raise `UserError` where one step of the method repeats updates without end: by its settings named `..._steps`."""
    for name, value in method.settings().items():
        if name.endswith("_steps") and value * UPDATE > LONGEST_STEP:
            raise UserError(
                f"A step with {name} = {value:,} takes {value * UPDATE / 60:,.0f} minutes at least, in which nothing "
                f"is shown or saved: choose at most {LONGEST_STEP / UPDATE:,.0f}."
            )


def seconds_of_a_step(settings: Settings, networks: Mapping[str, nn.Module]) -> float:
    """About how long one update of each network takes on a CPU, by its multiplications: of layers without convolutions,
    others take longer."""
    weights = sum(p.numel() for network in networks.values() for p in network.parameters())  # of all seeds
    return 6 * settings.batch * weights / (SPEED * torch.get_num_threads())


def require_fit(
    method: Method, settings: Settings, dataset: Dataset, networks: Mapping[str, nn.Module], device: torch.device
) -> None:
    """Raise `UserError` where a run of resolved settings, with these networks of one seed, cannot fit onto `device`."""
    latent, row, seeds, batch = settings.latent or 1, math.prod(dataset.shape), settings.seeds, settings.batch
    weights = sum(p.numel() for network in networks.values() for p in network.parameters())
    states = {"adam": 2, "rmsprop": 1, "sgd": 0}[settings.optimizer]  # numbers that it keeps for each weight
    copies = 2 + states + (settings.ema > 0)
    # Of a row of the prior, a layer of G makes at least as many numbers as its weights have rows.
    generators = [networks[name] for name, role in method.roles().items() if role == "generator"]
    layers = [m for network in generators for m in network.modules() if isinstance(m, LAYERS)]
    ahead = BLOCK if dataset.size is None and device.type == "cpu" else 1
    rows = batch * ((1 + ahead) * row + latent) + batch // settings.accumulate * sum(len(m.weight) for m in layers)
    evaluated = settings.evaluate_samples or 0
    workers = settings.workers if isinstance(dataset, StreamedImages) else 0
    smaller = f"choose a smaller batch or {'fewer seeds' if seeds > 1 else 'cut it into pieces with accumulate'}"
    parts = [
        (copies * weights * seeds, f"Networks of {weights:,} weights{_each(settings)}", _smaller(settings)),
        (rows * seeds, f"Minibatches of {batch:,} rows{_each(settings)}", smaller),
        (evaluated * (2 * row + latent), f"Evaluations of {evaluated:,} samples", "choose fewer with evaluate_samples"),
        (workers * PROCESS, f"{workers:,} processes that read ahead", "choose fewer workers"),
    ]
    _, largest, cure = max(parts)
    require_memory(largest, NUMBER * sum(size for size, *_ in parts), cure, device)


def _each(settings: Settings) -> str:
    return f" for each of {settings.seeds:,} seeds" if settings.seeds > 1 else ""


def _smaller(settings: Settings) -> str:
    return f"choose a smaller width or latent dimension{', or fewer seeds' if settings.seeds > 1 else ''}"
