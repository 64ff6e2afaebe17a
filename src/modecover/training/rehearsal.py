"""What a step would stumble over, found out when a run is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modecover.errors import UserError
from modecover.methods.base import Method
from modecover.networks.copies import detached_copy, first_line
from modecover.random import derive_seed
from modecover.training.engine import Engine, EngineOptions
from modecover.training.finite import NonFiniteError
from modecover.training.prior import Prior
from modecover.training.settings import Settings

ROWS, STEPS = 4, 2


def require_enough_rows(method: Method, settings: Settings, networks: Mapping[str, nn.Module], processes: int) -> None:
    """Find out whether a step can be taken with so few rows as a micro-batch, or a process's share of it, has.

    Raises:
        UserError: it cannot, because batch norm or a loss of the method needs more.
    """
    assert settings.latent is not None, "settings are resolved"
    rows = settings.batch // settings.accumulate
    method.check(latent=settings.latent, batch=max(1, rows // processes))
    normalising = [name for name, network in networks.items() if has_batch_norm(network)]
    if rows < 2 and normalising:
        raise UserError(
            f"{_rows_in_words(settings)}, and batch norm in {' and '.join(normalising)} takes its statistics over rows: "
            f"use a batch of at least {2 * settings.accumulate}{' or fewer micro-batches' * (settings.accumulate > 1)}, "
            "or networks without batch norm."
        )


def has_batch_norm(network: nn.Module) -> bool:
    """Whether a layer takes statistics over the rows of a batch."""
    names = (type(module).__name__ for module in network.modules())
    return any("BatchNorm" in name for name in names)


class _Noise:
    """Minibatches of noise in place of data."""

    def __init__(self, shape: Sequence[int]):
        self._shape = tuple(shape)

    def batch(self, position: int, part: int = 0, parts: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(position, "rehearsal"))
        return torch.randn(ROWS, *self._shape, generator=generator).tanh()


def rehearse(
    method: Method, settings: Settings, shape: Sequence[int], networks: Mapping[str, nn.Module], own: Mapping[str, Any]
) -> None:
    """Take two steps on noise with copies of the networks: for networks and methods that are not modecover's.

    Args:
        own: the networks of others, by name.

    Raises:
        UserError: a step fails; the sentence names the networks, or the method, that were given.
    """
    assert settings.latent is not None and settings.prior is not None, "settings are resolved"
    copies = {name: detached_copy(network).cpu() for name, network in networks.items()}
    with torch.random.fork_rng(devices=[]):
        engine = Engine(
            method,
            copies,
            {name: torch.optim.SGD(network.parameters(), 1e-6) for name, network in copies.items()},
            data=_Noise(shape),
            prior=Prior(settings.latent, settings.prior),
            seeds=[settings.seed],
            options=EngineOptions(batch=ROWS),
        )
        try:
            for _ in range(STEPS):
                engine.step()
        except (UserError, NonFiniteError):  # noise is no data: what is not finite here may be so there
            return
        except Exception as error:
            given = f"your {' and '.join(own)}" if own else type(method).__qualname__
            raise UserError(
                f"A step with {given} failed: {type(error).__name__}, {first_line(error)}. Change what was given so that "
                f"the method {type(method).__qualname__} can be trained with it."
            ) from error


def _rows_in_words(settings: Settings) -> str:
    if settings.accumulate == 1:
        return f"A batch of {settings.batch} has a single row"
    return f"A batch of {settings.batch} in {settings.accumulate} micro-batches has a single row in each"
