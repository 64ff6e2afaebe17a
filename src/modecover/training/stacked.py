"""Stacked seeds: S copies of a network, each with its own weights, behind one module.

A batch of S*B rows, seed after seed, goes through as S batches of B rows, so a method never sees the seeds.
Two ways, chosen by what the network is made of:

- layers whose batched form is known (linear, convolution, batch normalisation) are swapped for it, and the network's
  own `forward` runs on all rows at once: a few batched matrix products instead of S networks;
- any other network, a user's own for example, runs under `torch.func.vmap`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from modecover.networks.normalization import CoordinateAffine, SplitBatchNorm


class Stacked(nn.Module):
    """S independent copies of one network; state has the network's own names with a leading axis of S.

    Args:
        members: S networks of one shape; their weights are copied.
    """

    body: nn.Module

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.seeds = len(members)
        self._plain = [copy.deepcopy(members[0])]  # in a list: not a submodule, not in the state
        if batchable(members[0]):
            self.body = _swap(copy.deepcopy(members[0]), members)
            self._vmapped = False
        else:
            self.body = copy.deepcopy(members[0])
            _stack_own_state(self.body, members)
            self._vmapped = True

    def forward(self, x: Tensor, **options: str) -> Tensor:
        """Rows (S*B, ...) to rows (S*B, ...), B rows through each copy."""
        if not self._vmapped:
            out: Tensor = self.body(x, **options)
            return out
        template = self._plain[0]
        template.train(self.training)
        state = {**dict(self.body.named_parameters()), **dict(self.body.named_buffers())}

        def one(state: dict[str, Tensor], rows: Tensor) -> Tensor:
            result: Tensor = functional_call(template, state, (rows,), options)
            return result

        rows = x.unflatten(0, (self.seeds, -1))
        return vmap(one, randomness="different")(state, rows).flatten(0, 1)

    def member(self, index: int) -> nn.Module:
        """A plain copy of network number `index`, with its weights and buffers."""
        network = copy.deepcopy(self._plain[0])
        own = {name: value[index].clone() for name, value in self.body.state_dict().items()}
        network.load_state_dict(own, assign=True)  # so that it has their dtype and device, too
        return network.train(self.training)


def plain_copy(module: nn.Module, index: int) -> nn.Module:
    """A copy of the network of seed number `index`, whether or not seeds are stacked."""
    return module.member(index) if isinstance(module, Stacked) else copy.deepcopy(module)


def state_owner(module: nn.Module) -> nn.Module:
    """The module whose state names are the network's own."""
    return module.body if isinstance(module, Stacked) else module


def stack(members: Sequence[nn.Module]) -> nn.Module:
    """One module for all members: the network itself where there is one."""
    return members[0] if len(members) == 1 else Stacked(members)


class _StackedLayer(nn.Module):
    """A layer of S seeds: tensors with a leading axis of S, under the layer's own names."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.seeds = len(layers)
        _take(self, layers)


class _StackedLinear(_StackedLayer):
    def forward(self, x: Tensor) -> Tensor:
        rows = x.unflatten(0, (self.seeds, -1))
        if self.bias is None:
            return torch.bmm(rows, self.weight.mT).flatten(0, 1)
        return torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.mT).flatten(0, 1)


class _StackedConv(_StackedLayer):
    """One convolution per seed: grouped convolutions are slower on CPU, and take other algorithms than a plain run."""

    def __init__(self, layers: Sequence[nn.Conv2d] | Sequence[nn.ConvTranspose2d]):
        super().__init__(layers)
        first = layers[0]
        self.options = {name: getattr(first, name) for name in ("stride", "padding", "dilation", "groups")}
        self.function: Callable[..., Tensor] = F.conv2d
        if isinstance(first, nn.ConvTranspose2d):
            self.options["output_padding"] = first.output_padding
            self.function = F.conv_transpose2d

    def forward(self, x: Tensor) -> Tensor:
        biases: Sequence[Tensor | None] = [None] * self.seeds if self.bias is None else list(self.bias)
        chunks = zip(x.chunk(self.seeds), self.weight, biases, strict=True)
        return torch.cat([self.function(rows, weight, bias, **self.options) for rows, weight, bias in chunks])


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
    return out.unflatten(1, (seeds, -1)).transpose(0, 1).flatten(0, 1)


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
        _take(self, layers)

    def forward(self, x: Tensor, kind: str = "prior") -> Tensor:
        running = (self.get_buffer(f"running_mean_{kind}"), self.get_buffer(f"running_var_{kind}"))
        affine = (self.weight, self.bias)
        return _norm_side_by_side(x, running, affine, self.training, self.momentum, self.eps, self.seeds)


class _StackedAffine(_StackedLayer):
    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        rows = x.unflatten(0, (self.seeds, -1))
        return torch.addcmul(self.bias[:, None], rows, self.weight[:, None]).flatten(0, 1)


_BATCHED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Linear: _StackedLinear,
    nn.Conv2d: _StackedConv,
    nn.ConvTranspose2d: _StackedConv,
    nn.BatchNorm1d: _StackedBatchNorm,
    nn.BatchNorm2d: _StackedBatchNorm,
    SplitBatchNorm: _StackedSplitBatchNorm,
    CoordinateAffine: _StackedAffine,
}

_ROW_BY_ROW = (
    *(nn.Sequential, nn.Identity, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh),
    *(nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d, nn.Upsample, nn.PixelShuffle),
)


def batchable(network: nn.Module) -> bool:
    """Whether every layer has a batched form and every `forward` treats rows alike.

    That is known of torch's layers listed here and of modecover's own networks; every tensor must belong to a layer
    with a batched form.
    """
    return all(_known(module) for module in network.modules())


def _known(module: nn.Module) -> bool:
    if module._forward_hooks or module._forward_pre_hooks or hasattr(module, "parametrizations"):
        return False
    if type(module) in _BATCHED:
        moving = not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or module.momentum is not None
        return moving and getattr(module, "padding_mode", "zeros") == "zeros"
    stateless = all(value is None for value in (*module._parameters.values(), *module._buffers.values()))
    return stateless and _row_by_row(module)


def _row_by_row(module: nn.Module) -> bool:
    if isinstance(module, nn.Flatten):
        return module.start_dim >= 1
    if isinstance(module, nn.Unflatten):
        return isinstance(module.dim, int) and module.dim >= 1
    return type(module) in _ROW_BY_ROW or type(module).__module__.startswith("modecover.networks.")


def _swap(network: nn.Module, members: Sequence[nn.Module]) -> nn.Module:
    if type(network) in _BATCHED:
        return _BATCHED[type(network)](members)
    for name, child in list(network.named_children()):
        setattr(network, name, _swap(child, [getattr(member, name) for member in members]))
    return network


def _take(target: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Give `target` the stacked parameters and buffers of `layers`, absent ones as None."""
    first = layers[0]
    for name in first._parameters:
        own = [layer._parameters[name] for layer in layers]
        present = [tensor.detach() for tensor in own if tensor is not None]
        target.register_parameter(name, nn.Parameter(torch.stack(present)) if present else None)
    for name in first._buffers:
        kept = [tensor for tensor in (layer._buffers[name] for layer in layers) if tensor is not None]
        target.register_buffer(name, torch.stack(kept) if kept else None)


def _stack_own_state(body: nn.Module, members: Sequence[nn.Module]) -> None:
    for name, module in body.named_modules():
        _take(module, [member.get_submodule(name) for member in members])
