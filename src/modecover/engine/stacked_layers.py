"""Layers whose batched form is known: S copies of a layer as one, each with its own weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modecover.networks.normalization import CoordinateAffine, SplitBatchNorm
from modecover.networks.spectral import SpectralConv2d, SpectralLinear, normalized


def alike(model: Tensor, tensor: Tensor) -> Tensor:
    """`tensor` as a parameter, trained or not, where `model` is one."""
    return nn.Parameter(tensor, model.requires_grad) if isinstance(model, nn.Parameter) else tensor


ACTIVATIONS = (nn.Identity, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh)

NARROW = 8
"""Inputs of a layer up to which the gradients' products are turned round: with 16 the turned layout costs more than it
saves, with 64 twice the time."""


class _StackedLayer(nn.Module):
    """A layer of S seeds: tensors with a leading axis of S, under the layer's own names."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Module]):
        nn.Module.__init__(self)
        self.seeds = len(layers)
        for kind in ("_parameters", "_buffers"):
            tables = [getattr(layer, kind) for layer in layers]
            for name, first in tables[0].items():
                own = None if first is None else alike(first, torch.stack([table[name].detach() for table in tables]))
                getattr(self, kind)[name] = own

    def used_weight(self) -> Tensor:
        """The weight; that of spectral layers is divided, each seed's by its own spectral norm."""
        u = self._buffers.get("u")
        return self.weight if u is None else normalized(self.weight, u, self.training)


class _StackedLinear(_StackedLayer):
    apart = False
    """Whether rows come and go as (S, B, features), not seed after seed."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.used_weight(), self.bias
        rows = x if self.apart else x.reshape(self.seeds, -1, x.shape[-1])
        if x.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
            out: Tensor = _Affine.apply(rows, weight, bias)  # type: ignore[no-untyped-call]  # torch's own
        else:
            out = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, weight.mT)
        return out if self.apart else out.view(*x.shape[:-1], out.shape[-1])


class _Affine(torch.autograd.Function):
    """x W^T + b for rows x (S, B, inputs), weights W (S, outputs, inputs) and biases b (S, outputs) or None, on a CPU.

    The gradients are autograd's own, as other products of the same matrices: one whose second factor has one or two
    columns takes five times as long as one whose first factor has one or two rows, and each weight's gradient comes in
    the weight's own layout. Both are computed whether or not they are asked for, which autograd does not tell: a replay
    leaves out what nobody reads.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        outputs, inputs = weight.shape[1:]
        turned = inputs <= NARROW and inputs < outputs
        x_gradient = weight_gradient = None
        if of_x:
            x_gradient = torch.bmm(weight.mT, gradient.mT).mT if turned else torch.bmm(gradient, weight)
        if of_weight:
            weight_gradient = torch.bmm(x.mT, gradient).mT if turned else torch.bmm(gradient.mT, x)
        return x_gradient, weight_gradient, gradient.sum(1) if of_bias else None


class StackedPerceptron(nn.Sequential):
    """Linear layers and activations in turn, between which the rows of the seeds stay apart."""

    def __init__(self, layers: nn.Sequential):
        super().__init__(OrderedDict(layers.named_children()))
        self.train(layers.training)
        for layer in self:
            if isinstance(layer, _StackedLinear):
                self.seeds, layer.apart = layer.seeds, True

    def forward(self, x: Tensor) -> Tensor:
        out = x.reshape(self.seeds, -1, x.shape[-1])
        for layer in self:
            out = layer(out)
        return out.view(*x.shape[:-1], out.shape[-1])


def is_perceptron(network: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether this is a plain sequence of stacked linear layers and activations, which act on every number alone."""
    if type(network) is not nn.Sequential or not any(isinstance(layer, _StackedLinear) for layer in network):
        return False
    return all(type(layer) in {_StackedLinear, *ACTIVATIONS} for layer in network)


class _StackedBatchNorm(_StackedLayer):
    """Statistics per seed: the seeds' channels side by side are one wide batch normalisation."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d] | Sequence[SplitBatchNorm]):
        super().__init__(layers)
        self.momentum, self.eps = layers[0].momentum or 0.0, layers[0].eps

    def forward(self, x: Tensor, kind: str = "") -> Tensor:
        if self.training and (batches := self._buffers.get("num_batches_tracked")) is not None:
            batches += 1
        side_by_side = x.unflatten(0, (self.seeds, -1)).transpose(0, 1).flatten(1, 2)
        running = (self._buffers[f"running_{number}{kind and '_'}{kind}"] for number in ("mean", "var"))
        mean, var = (None if t is None else t.view(-1) for t in running)
        weight, bias = (None if t is None else t.reshape(-1) for t in (self.weight, self.bias))
        own = self.training or mean is None
        out = F.batch_norm(side_by_side, mean, var, weight, bias, own, self.momentum, self.eps)
        return out.unflatten(1, (self.seeds, -1)).transpose(0, 1).flatten(0, 1)


class _StackedSplitBatchNorm(_StackedBatchNorm, SplitBatchNorm):  # type: ignore[misc]  # its bias is never absent
    """To networks, which tell it the kind of their input, one of its own layers."""

    extra_repr = nn.Module.extra_repr

    def forward(self, x: Tensor, kind: str = "prior") -> Tensor:
        return super().forward(x, kind)


class _StackedAffine(_StackedLayer):
    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        rows = x.unflatten(0, (self.seeds, -1))
        return torch.addcmul(self.bias[:, None], rows, self.weight[:, None]).flatten(0, 1)


def is_spectral(module: nn.Module) -> bool:
    """Whether this is a layer with spectral normalisation, alone or stacked, and moves its buffer `u` in training."""
    return isinstance(module, SpectralLinear | SpectralConv2d | _StackedLayer) and "u" in module._buffers


BATCHED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    **dict.fromkeys((nn.Linear, SpectralLinear), _StackedLinear),
    nn.BatchNorm1d: _StackedBatchNorm,
    SplitBatchNorm: _StackedSplitBatchNorm,
    CoordinateAffine: _StackedAffine,
}
