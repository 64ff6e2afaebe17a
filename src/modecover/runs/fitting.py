"""Whether a run fits into memory, from its sizes, before it is allocated.

What is counted is the least that a run takes: weights with their gradients and the optimiser's state, the rows of a
minibatch, and what the layers of the generator keep of it for the backward pass. So nothing is refused that would have
fitted; what a run takes beyond that is told where it comes up (`modecover.limits.within_limits`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from modecover.data import Dataset
from modecover.data.feed import BLOCK
from modecover.data.pictures import StreamedImages
from modecover.errors import UserError
from modecover.limits import explained, free_memory, readable, require_memory
from modecover.methods.base import Method
from modecover.networks.check import ROWS
from modecover.runs.settings import Settings

NUMBER = 4
"""Bytes of a float32."""

PROCESS = 10_000_000
"""Bytes that a process of Python takes for itself, at least."""

_STATES = {"adam": 2, "rmsprop": 1, "sgd": 0}
"""Numbers that an optimiser keeps for each weight."""


@contextmanager
def each_parameter(look: Callable[[Tensor], None]) -> Iterator[None]:
    """In the block, `look` sees every parameter that a network gets, before it is initialised: it may raise."""

    def hook(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            look(parameter)

    handle = register_module_parameter_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def networks_that_fit(settings: Settings) -> Iterator[None]:
    """In the block, networks of one seed are built; `UserError` once those of all seeds cannot fit into memory."""
    most = free_memory() / (2 * NUMBER * settings.seeds)  # drawn on the CPU, then laid side by side
    total = 0

    def count(parameter: Tensor) -> None:
        nonlocal total
        total += parameter.numel()
        if total > most:
            raise too_large()

    def too_large() -> UserError:
        size = f" of {total:,} weights and more" if total else ""
        return UserError(
            f"Networks{size}{_each(settings)} do not fit into memory, of which {readable(free_memory())} are free: "
            f"{_smaller(settings)}."
        )

    try:
        with each_parameter(count):
            yield
    except (MemoryError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, UserError) else error  # `build` tells it in words of its own
        if cause is None or isinstance(cause, UserError) or explained(cause) is None:
            raise
        raise too_large() from error


def require_fit(
    method: Method, settings: Settings, dataset: Dataset, networks: Mapping[str, nn.Module], device: torch.device
) -> None:
    """Raise `UserError` where a run cannot fit into the memory of `device`.

    Args:
        settings: resolved.
        networks: of one seed, by name.
    """
    latent, row, seeds, batch = settings.latent or 1, math.prod(dataset.shape), settings.seeds, settings.batch
    weights = sum(p.numel() for network in networks.values() for p in network.parameters())
    kept = sum(_kept(networks[name], latent) for name, role in method.roles().items() if role == "generator")
    copies = 2 + _STATES[settings.optimizer] + (settings.ema > 0)
    ahead = BLOCK if dataset.size is None and device.type == "cpu" else 1
    evaluated = settings.evaluate_samples or 0
    piece = batch // settings.accumulate * kept
    parts = [
        (f"Networks of {weights:,} weights{_each(settings)}", NUMBER * copies * weights * seeds, _smaller(settings)),
        (
            f"Minibatches of {batch:,} rows{_each(settings)}",
            NUMBER * seeds * (batch * ((1 + ahead) * row + latent) + piece),
            f"choose a smaller batch or {'fewer seeds' if seeds > 1 else 'cut it into pieces with accumulate'}",
        ),
        (
            f"Evaluations of {evaluated:,} samples",
            NUMBER * evaluated * (2 * row + latent),
            "choose fewer with evaluate_samples",
        ),
    ]
    if isinstance(dataset, StreamedImages):
        workers = settings.workers
        parts.append((f"{workers:,} processes that read ahead", PROCESS * workers, "choose fewer workers"))
    what, _, cure = max(parts, key=lambda part: part[1])
    require_memory(what, sum(size for _, size, _ in parts), cure, device)


def _each(settings: Settings) -> str:
    return f" for each of {settings.seeds:,} seeds" if settings.seeds > 1 else ""


def _smaller(settings: Settings) -> str:
    return f"choose a smaller width or latent dimension{', or fewer seeds' if settings.seeds > 1 else ''}"


@torch.no_grad()
def _kept(generator: nn.Module, latent: int) -> int:
    """Numbers that the layers with weights make of one row of the prior."""
    made: list[int] = []

    def count(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(output, Tensor) and next(module.parameters(recurse=False), None) is not None:
            made.append(output.numel())

    compiled = torch.jit.ScriptModule  # takes no hooks, so that nothing is counted of it
    open_modules = (module for module in generator.modules() if not isinstance(module, compiled))
    hooks = [module.register_forward_hook(count) for module in open_modules]
    like = next(generator.parameters(), torch.empty(0))
    training = [(module, module.training) for module in generator.modules()]
    try:
        generator.eval()(torch.zeros(ROWS, latent, dtype=like.dtype, device=like.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training:
            module.training = mode
    return sum(made) // ROWS
