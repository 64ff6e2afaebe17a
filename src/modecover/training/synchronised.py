"""Batch normalisation of a minibatch whose rows are shared by several processes.

Each process has some of the rows, and normalises them by the mean and variance of all. torch's `SyncBatchNorm` works on
GPUs alone and cannot be differentiated twice, which penalties on gradients do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from modecover.training.processes import Processes


def synchronised(processes: Processes) -> AbstractContextManager[object]:
    """Within the block, whoever calls torch's `batch_norm` in training mode gets statistics of all processes' rows.

    All must call it alike, with equal numbers of rows. Running statistics then are the same everywhere. (A scripted
    network cannot be reached: it normalises each process's rows alone.)
    """
    return nullcontext() if processes.count == 1 else _Synchronised(processes)


class _Synchronised(TorchFunctionMode):
    """Stands in for `batch_norm` alone: so it serves torch's layers, ours, stacked ones and a user's own."""

    def __init__(self, processes: Processes):
        super().__init__()
        self.processes = processes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        function = self._batch_norm if func is F.batch_norm else func
        return function(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        over, channels = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
        count = x.numel() // x.shape[1] * self.processes.count
        mean = self._sum(wide.sum(over)) / count
        centred = wide - mean.view(channels)
        variance = self._sum(centred.square().sum(over)) / count
        out = centred * (variance + eps).rsqrt().view(channels)
        out = out if weight is None else out * weight.view(channels)
        out = out if bias is None else out + bias.view(channels)
        with torch.no_grad():
            if running_mean is not None:
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            if running_var is not None:
                running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
        return out.to(x.dtype)

    def _sum(self, tensor: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(tensor, self.processes)  # type: ignore[no-untyped-call]
        return total


class _Sum(torch.autograd.Function):
    """The sum over all processes, differentiable any number of times.

    Each process differentiates its own loss with respect to its own copy of the weights. A sum is part of all their
    losses, so its gradient is the sum of what flows back in each.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        total = tensor.clone(memory_format=torch.contiguous_format)
        processes.sum_(total)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(slope, ctx.processes), None  # type: ignore[no-untyped-call]
