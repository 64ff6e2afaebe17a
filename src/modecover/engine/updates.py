"""From what a method yields to networks that have moved: gradients, their sums and bounds, the optimisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from modecover.engine.finite import FiniteWatch
from modecover.engine.handle import Handle
from modecover.engine.processes import Processes
from modecover.methods.roles import Update


class Gradients:
    """One update before it is made: the networks that move together, all those of their parameters that are trained,
    and gradients, None where no loss reaches."""

    def __init__(self, handles: Sequence[Handle], parameters: Sequence[nn.Parameter]):
        self.handles, self.parameters = handles, parameters
        self.gradients: list[Tensor | None] = [None] * len(parameters)

    @property
    def names(self) -> str:
        return "+".join(handle.name for handle in self.handles)

    @property
    def present(self) -> list[Tensor]:
        return [gradient for gradient in self.gradients if gradient is not None]

    def add(self, more: Sequence[Tensor | None]) -> None:
        """Add the gradients of a micro-batch; `RuntimeError` where the loss depends on none of the parameters."""
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
            rows = [g.reshape(len(g) if stacked else 1, -1) for i in slots if (g := self.gradients[i]) is not None]
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


@dataclass
class Updater:
    """Differentiates what a method yields, and moves its networks.

    `seeds` are stacked, and `accumulate` micro-batches and all `processes` share a minibatch; `clip` is the largest
    norm of each network's gradient, for each seed; 0 for none. `factors` of loss terms, "network/term", are scalars on
    the device, which a captured step reads: terms are shown without them.
    """

    optimizers: Mapping[str, torch.optim.Optimizer]
    seeds: int
    accumulate: int
    clip: float
    processes: Processes
    finite: FiniteWatch
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    _all: dict[tuple[str, ...], list[nn.Parameter]] = field(default_factory=dict)

    def differentiate(self, yielded: Update | list[Update], total: list[Gradients], shown: dict[str, Tensor]) -> None:
        """Add the gradients of what a method yields to `total`, empty or of other micro-batches of it, and its loss
        terms to `shown`, "network/term"."""
        begun = bool(total)
        losses = []
        for number, (who, yielded_terms) in enumerate(yielded if isinstance(yielded, list) else [yielded]):
            handles: tuple[Any, ...] = who if isinstance(who, tuple) else (who,)
            names = tuple(handle.name for handle in handles)
            if not begun:
                if names not in self._all:  # found once: walking through modules takes as long as some steps
                    self._all[names] = list(dict.fromkeys(p for handle in handles for p in handle.parameters()))
                total.append(Gradients(handles, [p for p in self._all[names] if p.requires_grad]))
            # Each term is shown as its mean over micro-batches; the loss is the terms' sum.
            terms = yielded_terms if isinstance(yielded_terms, Mapping) else {"loss": yielded_terms}
            for term, value in terms.items():
                key = f"{total[number].names}/{term}"
                share = value.detach() / self.accumulate if self.accumulate > 1 else value.detach()
                shown[key] = shown[key] + share if key in shown else share
                self.finite.require(f"the loss term {term!r} of {total[number].names}", [share])
            values = [
                value * self.factors[key] if (key := f"{total[number].names}/{term}") in self.factors else value
                for term, value in terms.items()
            ]
            loss = values[0] if len(values) == 1 else torch.stack(values).sum()
            # A mean over S*B rows is 1/S of each seed's own loss; each seed's weights are its own.
            losses.append(loss * (self.seeds / self.accumulate))
        for number, (loss, update) in enumerate(zip(losses, total, strict=True)):
            more = number + 1 < len(losses)  # they share a graph
            update.add(torch.autograd.grad(loss, list(update.parameters), retain_graph=more, allow_unused=True))

    def apply(self, total: Sequence[Gradients]) -> str:
        """Move the networks, all at once; in words which: "D", "(G, E)" for a joint update, "[D, G]" for two."""
        self.processes.mean_([gradient for update in total for gradient in update.present])
        for update in total:
            self.finite.require(f"the gradient of {update.names}", update.present)
            if self.clip:
                update.clip_(self.clip, stacked=self.seeds > 1)
            for parameter, gradient in zip(update.parameters, update.gradients, strict=True):
                parameter.grad = gradient
        for update in total:
            for handle in update.handles:
                self.optimizers[handle.name].step()
            for parameter in update.parameters:
                parameter.grad = None
        words = []
        for update in total:
            names = ", ".join(handle.name for handle in update.handles)
            words.append(names if len(update.handles) == 1 else f"({names})")
        return words[0] if len(words) == 1 else f"[{', '.join(words)}]"
