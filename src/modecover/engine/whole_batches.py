"""Batch statistics over the rows of all processes, whatever layer asks for them.

`torch.nn.SyncBatchNorm` needs GPUs, and its gradient cannot be differentiated again. Here the one function that every
batch norm ends in, `torch.nn.functional.batch_norm`, is answered with sums over processes that autograd follows, any
number of times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from modecover.engine.processes import Processes


class WholeBatches(TorchFunctionMode):
    """Within the block, batch norm in training mode normalises over all processes' rows: of each as many, through the
    same layers. Scripted modules, which do not call Python's functions, keep the statistics of their own rows."""

    def __init__(self, processes: Processes):
        super().__init__()
        self._processes = processes

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is F.batch_norm:
            return batch_norm(self._processes, *args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def batch_norm(
    processes: Processes,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of the rows (B, features, ...) of all processes; this process's rows of it.

    The variance is taken around the common mean: from the mean of squares it would lose the digits of large means.
    Raises `ValueError` where all processes together have one value for each feature, so that there is no variance.
    """
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
    features = (1, -1) + (1,) * (x.dim() - 2)
    others = [0, *range(2, x.dim())]
    count = processes.count * x.numel() // x.shape[1]
    if count < 2:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
    mean: Tensor = _Sum.apply(x.sum(others), processes) / count  # type: ignore[no-untyped-call]
    centred = x - mean.view(features)
    variance: Tensor = _Sum.apply(centred.square().sum(others), processes) / count  # type: ignore[no-untyped-call]
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    out = centred * (variance + eps).rsqrt().view(features)
    if weight is not None:
        out = out * weight.view(features)
    if bias is not None:
        out = out + bias.view(features)
    return out.to(input.dtype)


class _Sum(torch.autograd.Function):
    """The sum over processes. All of them depend on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        summed = tensor.clone()
        processes.sum_(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(gradients[0], ctx.processes), None  # type: ignore[no-untyped-call]
