"""A network as a method holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modecover import random
from modecover.networks.check import accepts_option
from modecover.training.stacked import state_owner


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

    def __call__(self, x: Tensor, **options: str) -> Tensor:
        if not self._kind:
            options.pop("kind", None)
        adversarial = self.role == "discriminator" and options.get("head", "adversarial") == "adversarial"
        if adversarial and self._options.noisy:
            x = x + self._options.noise_std * random.normal_like(x)
        with self._options.autocast():
            out: Tensor = self.module(x, **options)
        if out.dtype in (torch.bfloat16, torch.float16):
            out = out.float()
        return out.flatten() if adversarial else out

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.module.parameters()

    @torch.no_grad()
    def clamp_(self, bound: float) -> None:
        """Clip every weight into [-bound, bound], in place."""
        for parameter in self.parameters():
            parameter.clamp_(-bound, bound)
