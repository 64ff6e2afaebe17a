"""What a step would stumble over, found out when a run is built: two steps are taken on noise, with copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modecover.engine.engine import Engine, EngineOptions
from modecover.engine.finite import NonFiniteError
from modecover.engine.known import is_own
from modecover.engine.prior import Prior
from modecover.engine.stacked import stack
from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.methods.base import Method
from modecover.networks.copies import detached_copy
from modecover.random import derive_seed
from modecover.runs.settings import Settings

ROWS, SEEDS, STEPS = 4, 2, 2
"""At most, of a rehearsal: rows of a batch, stacked seeds, steps."""


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a layer of the network takes statistics over the rows of a batch."""
    return any("BatchNorm" in type(module).__name__ for module in network.modules())


def rehearse(
    method: Method,
    settings: Settings,
    shape: Sequence[int],
    members: Sequence[Mapping[str, nn.Module]],
    own: Mapping[str, Any],
    processes: int = 1,
) -> None:
    """Raise `UserError` where steps fail with these networks, or with so few rows as there are.

    Steps are tried where that is not known: with networks or a method of others, and with a single row.

    Args:
        members: the networks of each seed; they are copied.
        own: those of others, by name.
        processes: how many share a batch.
    """
    assert settings.latent is not None, "settings are resolved"
    rows = settings.batch // settings.accumulate  # batch norm takes those of all processes; losses have fewer
    method.check(latent=settings.latent, batch=max(1, rows // processes))
    if rows > 1 and not own and is_own(method):
        return
    try:
        _two_steps(method, settings, shape, members, min(rows, ROWS))
    except UserError:
        raise
    except NonFiniteError as error:  # with more rows: noise is no data
        if rows == 1:
            raise UserError(f"{_single(settings)}, and the method needs more ({error}): {_more(settings)}.") from error
    except (Exception, SystemExit) as error:
        normalising = [name for name, network in members[0].items() if has_batch_norm(network)]
        if rows == 1 and normalising:
            raise UserError(
                f"{_single(settings)}, and batch norm in {' and '.join(normalising)} takes statistics over rows: "
                f"{_more(settings)}, or networks without batch norm."
            ) from error
        given = f"your {' and '.join(own)}" if own else f"the method {type(method).__qualname__}"
        raise UserError(
            f"A step with {given} fails ({type(error).__name__}: {first_line(error)}): change what "
            f"{type(method).__qualname__}.step cannot be taken with."
        ) from error


def _two_steps(
    method: Method, settings: Settings, shape: Sequence[int], members: Sequence[Mapping[str, nn.Module]], rows: int
) -> None:
    assert settings.latent is not None and settings.prior is not None, "settings are resolved"
    few = members[:SEEDS]
    networks = {name: stack([detached_copy(member[name]).cpu() for member in few]) for name in few[0]}
    with torch.random.fork_rng(devices=[]):
        engine = Engine(
            method,
            networks,
            {name: torch.optim.SGD(network.parameters(), 1e-6) for name, network in networks.items()},
            data=_Noise(len(few) * rows, shape),
            prior=Prior(settings.latent, settings.prior),
            seeds=range(len(few)),
            options=EngineOptions(batch=rows),
        )
        for _ in range(STEPS):
            engine.step()


class _Noise:
    """Minibatches of noise in place of data."""

    def __init__(self, rows: int, shape: Sequence[int]):
        self._shape = (rows, *shape)

    def batch(self, position: int, part: int = 0, parts: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed("rehearsal", position))
        return torch.randn(self._shape, generator=generator).tanh()


def _single(settings: Settings) -> str:
    if settings.accumulate == 1:
        return f"A batch of {settings.batch} is a single row"
    return f"A batch of {settings.batch} in {settings.accumulate} micro-batches has a single row in each"


def _more(settings: Settings) -> str:
    return f"use a batch of at least {2 * settings.accumulate}{' or fewer micro-batches' * (settings.accumulate > 1)}"
