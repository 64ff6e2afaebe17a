"""A network as a method holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from modecover import random
from modecover.data.classes import joined
from modecover.engine.stacked import state_owner
from modecover.methods.roles import is_discriminator
from modecover.networks.check import accepts_option


@dataclass
class ForwardOptions:
    """What happens at every forward pass of a step, whatever the method."""

    noisy: bool  # whether the schedule of instance noise is anything but 0
    noise_std: Tensor  # its present value, on the device, so that a captured step can read it
    precision: str  # "fp32" or "bf16": of the networks' arithmetic; what they return is float32 in both
    classes: int = 0  # of a conditional model: so many numbers stand behind a row's own
    carried: Tensor | None = None  # of the rows of the minibatch that was drawn last, (B, classes)

    def autocast(self) -> AbstractContextManager[object]:
        half = self.precision == "bf16"
        return torch.autocast(self.noise_std.device.type, torch.bfloat16) if half else nullcontext()


class Handle:
    """A network as a method holds it: mixed precision, instance noise and the shape of scores are seen to here.

    Args:
        weights: other ones than the module holds, by the names of its parameters: functions of them, through which
            gradients flow.
    """

    def __init__(
        self, name: str, role: str, module: nn.Module, forward: ForwardOptions, weights: dict[str, Tensor] | None = None
    ):
        self.name, self.role, self.module, self._options, self._weights = name, role, module, forward, weights
        self._kind = accepts_option(state_owner(module), "kind")

    def __call__(self, x: Tensor, /, *more: Tensor, **options: str) -> Tensor:
        if not self._kind:
            options.pop("kind", None)
        adversarial = is_discriminator(self.role) and options.get("head", "adversarial") == "adversarial"
        if adversarial and self._options.noisy and self.role != "latent discriminator":
            x = x + self._options.noise_std * random.normal_like(x)
        if self._options.classes and self.role != "latent discriminator":
            if self._options.carried is None:
                raise RuntimeError(f"{self.name} is called before a minibatch is drawn, whose classes it is told")
            x = joined(x, self._options.carried)
        with self._options.autocast():
            rows = (x, *more)
            moved = self._weights
            out = self.module(*rows, **options) if moved is None else functional_call(self.module, moved, rows, options)
        if out.dtype in (torch.bfloat16, torch.float16):
            out = out.float()
        return out.flatten() if adversarial else out

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.module.parameters()

    def after_step(self, loss: Tensor, rate: float) -> Handle:
        """The network as one step of gradient descent on `loss` would leave it, differentiable through that step."""
        weights = dict(self.module.named_parameters()) if self._weights is None else self._weights
        # A mean over S*B rows is 1/S of each stacked seed's own loss.
        scaled = loss * random.stacked_seeds()
        gradients = torch.autograd.grad(
            scaled, list(weights.values()), create_graph=True, allow_unused=True, materialize_grads=True
        )
        pairs = zip(weights.items(), gradients, strict=True)
        moved = {name: weight - rate * gradient for (name, weight), gradient in pairs}
        return Handle(self.name, self.role, self.module, self._options, moved)

    @torch.no_grad()
    def clamp_(self, bound: float) -> None:
        """Clip every weight into [-bound, bound], in place."""
        for parameter in self.parameters():
            parameter.clamp_(-bound, bound)
