"""From what a method yields to networks that have moved: gradients, their sums and bounds, the optimisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modecover.engine.finite import FiniteWatch
from modecover.engine.handle import Handle
from modecover.engine.processes import Processes
from modecover.methods.roles import Terms, Update


class Gradients:
    """One update before it is made: the networks, their parameters, and gradients, None where no loss reaches.

    Args:
        handles: the networks that move together.
        parameters: all those of theirs that are trained.
    """

    def __init__(self, handles: Sequence[Handle], parameters: Sequence[nn.Parameter]):
        self.handles, self.parameters = handles, parameters
        self.gradients: list[Tensor | None] = [None] * len(parameters)

    @property
    def names(self) -> str:
        return "+".join(handle.name for handle in self.handles)

    @property
    def present(self) -> list[Tensor]:
        """The gradients that are there."""
        return [gradient for gradient in self.gradients if gradient is not None]

    def add(self, more: Sequence[Tensor | None]) -> None:
        """Add the gradients of a micro-batch.

        Raises:
            RuntimeError: the loss depends on none of the parameters.
        """
        if all(gradient is None for gradient in more):
            raise RuntimeError(f"the loss yielded with {self.names} does not depend on its weights")
        for i, gradient in enumerate(more):
            mine = self.gradients[i]
            if gradient is not None:
                gradient = _laid_out_like(self.parameters[i], gradient)
                self.gradients[i] = gradient if mine is None else mine + gradient

    def clip_(self, bound: float, *, stacked: bool) -> None:
        """Scale each network's gradient, and with `stacked` that of each seed, to a norm of at most `bound`."""
        for handle in self.handles:
            own = set(handle.parameters())
            slots = [i for i, p in enumerate(self.parameters) if p in own and self.gradients[i] is not None]
            grads = [g for g in (self.gradients[i] for i in slots) if g is not None]
            rows = [g.reshape(len(g) if stacked else 1, -1) for g in grads]
            flat = torch.cat(rows, dim=1)
            largest = flat.abs().amax(dim=1).clamp_min(1e-30)  # a square of a large gradient would overflow
            norm = largest * (flat / largest[:, None]).norm(dim=1)
            factor = (bound / norm.clamp_min(1e-12)).clamp_max(1.0)
            for i, row in zip(slots, rows, strict=True):
                # A new tensor: autograd may have given one gradient to two parameters.
                clipped = (row * factor[:, None]).view_as(self.parameters[i])
                self.gradients[i] = _laid_out_like(self.parameters[i], clipped)


def _laid_out_like(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the parameter's own memory layout.

    Autograd may hand out a transposed or an expanded tensor. Fused optimisers walk parameter and gradient side by side
    in memory, and would take such a gradient for another one, without a word.
    """
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


class Updater:
    """Differentiates what a method yields, and moves its networks.

    Args:
        optimizers: of each network by name.
        seeds, accumulate: stacked seeds, and micro-batches of a minibatch.
        clip: of each network's gradient the largest norm, for each seed; 0 for none.
        processes: that share a minibatch.
        finite: looks at all losses and gradients.
    """

    def __init__(
        self,
        optimizers: Mapping[str, torch.optim.Optimizer],
        seeds: int,
        accumulate: int,
        clip: float,
        processes: Processes,
        finite: FiniteWatch,
    ):
        self._optimizers, self._processes, self._finite = optimizers, processes, finite
        self._seeds, self._accumulate, self._clip = seeds, accumulate, clip
        self._all: dict[tuple[str, ...], list[nn.Parameter]] = {}

    def differentiate(self, yielded: Update | list[Update], total: list[Gradients], shown: dict[str, Tensor]) -> None:
        """Add the gradients of what a method yields to `total`, empty or of other micro-batches of it, and its loss
        terms to `shown`, "network/term"."""
        begun = bool(total)
        losses = []
        for number, (who, terms) in enumerate(yielded if isinstance(yielded, list) else [yielded]):
            handles: tuple[Any, ...] = who if isinstance(who, tuple) else (who,)
            if not begun:
                total.append(Gradients(handles, self._parameters_of(handles)))
            loss = self._sum(terms, total[number].names, shown)
            # A mean over S*B rows is 1/S of each seed's own loss; each seed's weights are its own.
            losses.append(loss * (self._seeds / self._accumulate))
        for number, (loss, update) in enumerate(zip(losses, total, strict=True)):
            more = number + 1 < len(losses)  # they share a graph
            update.add(torch.autograd.grad(loss, list(update.parameters), retain_graph=more, allow_unused=True))

    def _parameters_of(self, handles: tuple[Handle, ...]) -> list[nn.Parameter]:
        names = tuple(handle.name for handle in handles)
        if names not in self._all:  # found once: walking through modules takes as long as some steps
            self._all[names] = list(dict.fromkeys(p for handle in handles for p in handle.parameters()))
        return [parameter for parameter in self._all[names] if parameter.requires_grad]

    def _sum(self, terms: Terms, names: str, shown: dict[str, Tensor]) -> Tensor:
        parts = terms if isinstance(terms, Mapping) else {"loss": terms}
        for term, value in parts.items():
            key = f"{names}/{term}"
            share = value.detach()
            if self._accumulate > 1:
                share = share / self._accumulate
            shown[key] = shown[key] + share if key in shown else share
            self._finite.require(f"the loss term {term!r} of {names}", [share])
        values = list(parts.values())
        return values[0] if len(values) == 1 else torch.stack(values).sum()

    def apply(self, total: Sequence[Gradients]) -> str:
        """Move the networks, all at once; in words which."""
        self._processes.mean_([gradient for update in total for gradient in update.present])
        for update in total:
            self._finite.require(f"the gradient of {update.names}", update.present)
            if self._clip:
                update.clip_(self._clip, stacked=self._seeds > 1)
            for parameter, gradient in zip(update.parameters, update.gradients, strict=True):
                parameter.grad = gradient
        for update in total:
            for handle in update.handles:
                self._optimizers[handle.name].step()
            for parameter in update.parameters:
                parameter.grad = None
        return in_words(total)


def in_words(total: Sequence[Gradients]) -> str:
    """The networks of simultaneous updates, for example "D", "(G, E)" for a joint one, or "[D, G]" for two."""
    words = []
    for update in total:
        names = ", ".join(handle.name for handle in update.handles)
        words.append(names if len(update.handles) == 1 else f"({names})")
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"
