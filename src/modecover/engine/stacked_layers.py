"""Layers whose batched form is known: S copies of a layer as one, each with its own weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modecover.networks import convolutions
from modecover.networks.normalization import CoordinateAffine, SplitBatchNorm
from modecover.networks.spectral import SpectralConv2d, SpectralLinear, normalized


def take(target: nn.Module, layers: Sequence[nn.Module], stacks: dict[Tensor, Tensor] | None = None) -> None:
    """Give `target` the stacked parameters and buffers of `layers`, absent ones as None.

    `stacks` remembers the stack that each tensor of the first layer went into.
    """
    stacks = {} if stacks is None else stacks
    for kind in ("_parameters", "_buffers"):
        tables = [getattr(layer, kind) for layer in layers]
        for name, first in tables[0].items():
            if first is not None and first not in stacks:
                stacks[first] = alike(first, torch.stack([table[name].detach() for table in tables]))
            getattr(target, kind)[name] = None if first is None else stacks[first]


def alike(model: Tensor, tensor: Tensor) -> Tensor:
    """`tensor` as a parameter, trained or not, where `model` is one."""
    return nn.Parameter(tensor, model.requires_grad) if isinstance(model, nn.Parameter) else tensor


class _StackedLayer(nn.Module):
    """A layer of S seeds: tensors with a leading axis of S, under the layer's own names."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.seeds = len(layers)
        take(self, layers)

    def used_weight(self) -> Tensor:
        return self.weight


class _StackedLinear(_StackedLayer):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.used_weight()
        rows = x.reshape(self.seeds, -1, x.shape[-1])
        if self.bias is None:
            out = torch.bmm(rows, weight.mT)
        else:
            out = torch.baddbmm(self.bias.unsqueeze(1), rows, weight.mT)
        return out.view(*x.shape[:-1], weight.shape[1])


class _StackedConv(_StackedLayer):
    """One convolution per seed: grouped convolutions are slower on CPU, and take other algorithms than a plain run."""

    def __init__(self, layers: Sequence[nn.Conv2d] | Sequence[nn.ConvTranspose2d]):
        super().__init__(layers)
        first = layers[0]
        self.options = {name: getattr(first, name) for name in ("stride", "padding", "dilation", "groups")}
        self.function: Callable[..., Tensor] = F.conv2d
        if type(first) in convolutions.FUNCTIONS:
            self.function, self.options = convolutions.FUNCTIONS[type(first)], {}
        elif isinstance(first, nn.ConvTranspose2d):
            self.options["output_padding"] = first.output_padding
            self.function = F.conv_transpose2d

    def forward(self, x: Tensor) -> Tensor:
        biases: Sequence[Tensor | None] = [None] * self.seeds if self.bias is None else list(self.bias)
        chunks = zip(x.chunk(self.seeds), self.used_weight(), biases, strict=True)
        return torch.cat([self.function(rows, weight, bias, **self.options) for rows, weight, bias in chunks])


class _Spectral(_StackedLayer):
    """Each seed's weight divided by its own spectral norm."""

    u: Tensor

    def used_weight(self) -> Tensor:
        return normalized(self.weight, self.u, self.training)


class _StackedSpectralLinear(_Spectral, _StackedLinear):
    pass


class _StackedSpectralConv(_Spectral, _StackedConv):
    pass


def _norm_side_by_side(
    x: Tensor,
    running: tuple[Tensor | None, Tensor | None],
    affine: tuple[Tensor | None, Tensor | None],
    training: bool,
    momentum: float,
    eps: float,
    seeds: int,
) -> Tensor:
    """Statistics per seed: the seeds' channels side by side are one wide batch normalisation."""
    side_by_side = x.unflatten(0, (seeds, -1)).transpose(0, 1).flatten(1, 2)
    wide = [None if t is None else t.view(-1) for t in running]
    flat = [None if t is None else t.reshape(-1) for t in affine]
    out = F.batch_norm(side_by_side, wide[0], wide[1], flat[0], flat[1], training or wide[0] is None, momentum, eps)
    rows: Tensor = out.unflatten(1, (seeds, -1)).transpose(0, 1).flatten(0, 1)
    return rows


class _StackedBatchNorm(_StackedLayer):
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, layers: Sequence[nn.BatchNorm1d] | Sequence[nn.BatchNorm2d]):
        super().__init__(layers)
        self.momentum, self.eps = layers[0].momentum or 0.0, layers[0].eps

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        running, affine = (self.running_mean, self.running_var), (self.weight, self.bias)
        return _norm_side_by_side(x, running, affine, self.training, self.momentum, self.eps, self.seeds)


class _StackedSplitBatchNorm(SplitBatchNorm):
    def __init__(self, layers: Sequence[SplitBatchNorm]):
        super().__init__(layers[0].features, layers[0].eps, layers[0].momentum)
        self.seeds = len(layers)
        take(self, layers)

    def forward(self, x: Tensor, kind: str = "prior") -> Tensor:
        running = (self.get_buffer(f"running_mean_{kind}"), self.get_buffer(f"running_var_{kind}"))
        affine = (self.weight, self.bias)
        return _norm_side_by_side(x, running, affine, self.training, self.momentum, self.eps, self.seeds)


class _StackedAffine(_StackedLayer):
    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        rows = x.unflatten(0, (self.seeds, -1))
        return torch.addcmul(self.bias[:, None], rows, self.weight[:, None]).flatten(0, 1)


BATCHED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Linear: _StackedLinear,
    nn.Conv2d: _StackedConv,
    nn.ConvTranspose2d: _StackedConv,
    **dict.fromkeys(convolutions.FUNCTIONS, _StackedConv),
    SpectralLinear: _StackedSpectralLinear,
    SpectralConv2d: _StackedSpectralConv,
    nn.BatchNorm1d: _StackedBatchNorm,
    nn.BatchNorm2d: _StackedBatchNorm,
    SplitBatchNorm: _StackedSplitBatchNorm,
    CoordinateAffine: _StackedAffine,
}
