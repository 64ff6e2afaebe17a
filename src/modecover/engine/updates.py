"""The gradients of one update, before the networks move on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modecover.engine.handle import Handle


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


def in_words(total: Sequence[Gradients]) -> str:
    """The networks of simultaneous updates, for example "D", "(G, E)" for a joint one, or "[D, G]" for two."""
    words = []
    for update in total:
        names = ", ".join(handle.name for handle in update.handles)
        words.append(names if len(update.handles) == 1 else f"({names})")
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"
