"""A network as a method holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from modecover import random
from modecover.engine.stacked import state_owner
from modecover.methods.roles import is_discriminator
from modecover.networks.check import accepts_option


@dataclass
class ForwardOptions:
    """What happens at every forward pass of a step, whatever the method.

    Attributes:
        noisy: whether the schedule of instance noise is anything but 0.
        noise_std: its present value, a tensor on the device, so that a captured step can read it.
        precision: "fp32" or "bf16": of the networks' arithmetic. What they return is float32 in both.
    """

    noisy: bool
    noise_std: Tensor
    precision: str

    def autocast(self) -> AbstractContextManager[object]:
        if self.precision == "bf16":
            return torch.autocast(self.noise_std.device.type, torch.bfloat16)
        return nullcontext()


class Handle:
    """A network as a method holds it: mixed precision, instance noise and the shape of scores are seen to here."""

    def __init__(self, name: str, role: str, module: nn.Module, forward: ForwardOptions):
        self.name, self.role, self.module, self._options = name, role, module, forward
        self._kind = accepts_option(state_owner(module), "kind")

    def __call__(self, x: Tensor, /, *more: Tensor, **options: str) -> Tensor:
        if not self._kind:
            options.pop("kind", None)
        adversarial = is_discriminator(self.role) and options.get("head", "adversarial") == "adversarial"
        if adversarial and self._options.noisy and self.role != "latent discriminator":
            x = x + self._options.noise_std * random.normal_like(x)
        with self._options.autocast():
            out = self._forward(x, *more, **options)
        if out.dtype in (torch.bfloat16, torch.float16):
            out = out.float()
        return out.flatten() if adversarial else out

    def _forward(self, *rows: Tensor, **options: str) -> Tensor:
        out: Tensor = self.module(*rows, **options)
        return out

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.module.parameters()

    def after_step(self, loss: Tensor, rate: float) -> Handle:
        """The network as one step of gradient descent on `loss` would leave it, differentiable through that step."""
        return Moved(self, dict(self.module.named_parameters())).after_step(loss, rate)

    @torch.no_grad()
    def clamp_(self, bound: float) -> None:
        """Clip every weight into [-bound, bound], in place."""
        for parameter in self.parameters():
            parameter.clamp_(-bound, bound)


class Moved(Handle):
    """A network with other weights than its module holds: functions of them, through which gradients flow.

    Args:
        network: whose module and role.
        weights: a tensor for each parameter of the module, by its name.
    """

    def __init__(self, network: Handle, weights: dict[str, Tensor]):
        super().__init__(network.name, network.role, network.module, network._options)
        self._weights = weights

    def _forward(self, *rows: Tensor, **options: str) -> Tensor:
        out: Tensor = functional_call(self.module, self._weights, rows, options)
        return out

    def after_step(self, loss: Tensor, rate: float) -> Handle:
        # A mean over S*B rows is 1/S of each stacked seed's own loss.
        scaled = loss * random.stacked_seeds()
        gradients = torch.autograd.grad(
            scaled, list(self._weights.values()), create_graph=True, allow_unused=True, materialize_grads=True
        )
        pairs = zip(self._weights.items(), gradients, strict=True)
        return Moved(self, {name: weight - rate * gradient for (name, weight), gradient in pairs})
