"""Stops training at the first loss or gradient that is not a finite number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, library

NEVER = 2**62
SMALL = 2**18  # numbers that are faster summed as one tensor


class NonFiniteError(RuntimeError):
    """A loss or a gradient is no longer a finite number; the message names network, term, seed and step."""


class FiniteWatch:
    """Looks at every loss term and gradient: at once on a CPU; on a GPU, where looking would wait, when asked."""

    def __init__(self, seeds: Sequence[int], device: torch.device, *, at_once: bool | None = None):
        self.seeds, self.at_once = seeds, device.type == "cpu" if at_once is None else at_once
        self.seed = ""  # of an engine that is one of several, side by side: told behind what went wrong
        self._step = 0
        self._step_on_device = torch.zeros((), dtype=torch.int64, device=device)
        self._sizes: list[tuple[str, Tensor]] = []  # of this step
        self._first_bad: dict[tuple[str, ...], Tensor] = {}  # steps that take turns in what they compute have one each

    def begin(self, step: int) -> None:
        """Step number `step` is about to be computed."""
        self._step = step
        if not self.at_once:
            self._step_on_device.fill_(step)
            self._sizes.clear()

    def end(self) -> None:
        """All of the step is computed: on a GPU keep what went wrong, in a few kernels for all of it."""
        if not self._sizes:
            return
        names, sizes = zip(*self._sizes, strict=True)
        bad = torch.stack(sizes).isfinite().logical_not()
        if names not in self._first_bad:
            self._first_bad[names] = torch.full(bad.shape, NEVER, device=bad.device)
        first = self._first_bad[names]
        first.copy_(torch.where(bad & (first == NEVER), self._step_on_device, first))
        self._sizes.clear()

    def require(self, what: str, tensors: Sequence[Tensor]) -> None:
        """Raise `NonFiniteError` if a number is not finite; on a GPU only note the tensors, for `end` and `check`."""
        if self.at_once:
            torch.ops.modecover.require_finite(tensors, what)
            return
        alone = len(tensors) == 1 and tensors[0].dim() == 0
        self._sizes.append((what, tensors[0] if alone else _largest(tensors).amax()))

    def check(self) -> None:
        """On a GPU: raise `NonFiniteError` for the first step that went wrong. Networks have moved since; the last
        checkpoint, which is only written after a check, is good."""
        found = [pair for names, steps in self._first_bad.items() for pair in zip(steps.tolist(), names, strict=True)]
        first, what = min(found, key=lambda pair: pair[0], default=(NEVER, ""))  # of equals the one computed first
        if first < NEVER:
            raise _stopped(what + self.seed, first)

    def error(self, found: NotFinite) -> NonFiniteError:
        """What an operation of this step found, with the step and, where stacked gradients tell it, the first seed."""
        seeds, parts = self.seeds, found.tensors
        if len(seeds) == 1 or any(t.dim() == 0 or len(t) != len(seeds) for t in parts):
            return _stopped(found.what + self.seed, self._step)
        bad = torch.stack([~t.reshape(len(t), -1).isfinite().all(dim=1) for t in parts]).any(dim=0)
        return _stopped(f"{found.what} (seed {seeds[int(bad.int().argmax())]})", self._step)


class NotFinite(ArithmeticError):
    """What `require_finite` raises: `what` is not finite in one of `tensors`."""

    def __init__(self, what: str, tensors: Sequence[Tensor]):
        super().__init__(what)
        self.what, self.tensors = what, tensors


def _require_finite(tensors: Sequence[Tensor], what: str) -> None:
    if len(tensors) == 1:
        total = tensors[0] if tensors[0].dim() == 0 else tensors[0].sum()
    elif sum(t.numel() for t in tensors) <= SMALL:  # a call costs more than a copy
        total = torch.cat([t.reshape(-1) for t in tensors]).sum()
    else:
        total = torch.stack([t.sum() for t in tensors]).sum()
    # A sum is cheap. It may overflow where every number is finite: only then look at each.
    if not math.isfinite(total.item()) and not _largest(tensors).isfinite().all():
        raise NotFinite(what, tensors)


_OPERATIONS = library.Library("modecover", "DEF")
_OPERATIONS.define("require_finite(Tensor[] tensors, str what) -> ()")
_OPERATIONS.impl("require_finite", _require_finite, "CompositeExplicitAutograd")
# An operation like any other of torch's, so that whoever traces or replays a step looks where it looks.


def _largest(tensors: Sequence[Tensor]) -> Tensor:
    """The largest size in each tensor: not the Euclidean norm, for the square of a large number is not finite."""
    return torch.stack(torch._foreach_norm(list(tensors), math.inf))


def _stopped(what: str, step: int) -> NonFiniteError:
    return NonFiniteError(
        f"Training stopped at step {step}: {what} is not a finite number. "
        "The last checkpoint is kept; try a smaller learning rate, clip=1, precision fp32, or for points of large or "
        "uneven scales standardize=on."
    )
