"""Stops training at the first loss or gradient that is not a finite number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from modecover.training import replay

NEVER = 2**62
SMALL = 2**18
"""Numbers that are faster summed as one tensor."""


class NonFiniteError(RuntimeError):
    """A loss or a gradient is no longer a finite number; the message names network, term, seed and step."""


class FiniteWatch:
    """Looks at every loss term and gradient: at once on a CPU; on a GPU, where looking would wait, when asked.

    Args:
        seeds: the seeds stacked in the program.
        device: where the tensors are.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device):
        self.seeds, self.at_once = seeds, device.type == "cpu"
        self._step = 0
        self._step_on_device = torch.zeros((), dtype=torch.int64, device=device)
        self._first_bad: dict[str, Tensor] = {}

    def begin(self, step: int) -> None:
        """Step number `step` is about to be computed."""
        self._step = step
        if not self.at_once:
            self._step_on_device.fill_(step)

    def require(self, what: str, tensors: Sequence[Tensor]) -> None:
        """Raise `NonFiniteError` if a number is not finite, or on a GPU keep the step for `check`."""
        if self.at_once:
            # A sum is cheap. It may overflow where every number is finite: only then look at each.
            replay.look(self._look, what, _sum(tensors), list(tensors))
            return
        never = torch.full_like(self._step_on_device, NEVER)
        first = self._first_bad.setdefault(what, never)
        first.copy_(torch.minimum(first, torch.where(_all_finite(tensors), never, self._step_on_device)))

    def _look(self, what: str, total: Tensor, tensors: Sequence[Tensor]) -> None:
        if not math.isfinite(total.item()) and not _all_finite(tensors):
            raise NonFiniteError(_sentence(what, self._step, self._bad_seed(tensors)))

    def check(self) -> None:
        """On a GPU: raise `NonFiniteError` for the first step that went wrong. Networks have moved since; the last
        checkpoint, which is only written after a check, is good."""
        found = {what: int(step) for what, step in self._first_bad.items()}
        if found and (first := min(found.values())) < NEVER:
            raise NonFiniteError(_sentence(next(what for what, step in found.items() if step == first), first))

    def _bad_seed(self, tensors: Sequence[Tensor]) -> int | None:
        """The first seed whose part of a stacked gradient is not finite; None where seeds are not told apart."""
        if len(self.seeds) == 1 or any(t.dim() == 0 or len(t) != len(self.seeds) for t in tensors):
            return None
        bad = torch.stack([~t.reshape(len(t), -1).isfinite().all(dim=1) for t in tensors]).any(dim=0)
        return self.seeds[int(bad.int().argmax())]


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) == 1:
        return tensors[0] if tensors[0].dim() == 0 else tensors[0].sum()
    if sum(t.numel() for t in tensors) <= SMALL:  # a call costs more than a copy
        return torch.cat([t.reshape(-1) for t in tensors]).sum()
    return torch.stack([t.sum() for t in tensors]).sum()


def _all_finite(tensors: Sequence[Tensor]) -> Tensor:
    # The largest size, not the Euclidean norm: the square of a large finite number is not finite.
    return torch.stack(torch._foreach_norm(list(tensors), math.inf)).isfinite().all()


def _sentence(what: str, step: int, seed: int | None = None) -> str:
    of = "" if seed is None else f" (seed {seed})"
    return (
        f"Training stopped at step {step}: {what}{of} is not a finite number. "
        "The last checkpoint is kept; try a smaller learning rate, clip=1, or precision fp32."
    )
