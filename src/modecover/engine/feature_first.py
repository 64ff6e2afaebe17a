"""Chains of linear layers and activations of S stacked seeds, fast on a CPU.

Inside a chain a seed's rows lie side by side feature after feature, (S, features, B): thin batched products (two
coordinates in, one score out) are several times slower where the few features of a row lie side by side. A chain is
one node of autograd: activations overwrite what they are given, and gradients that nobody asked for are not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from modecover.wanted import is_wanted, leaf

WIDE = 16
"""Layers with fewer inputs or outputs are thin."""


@dataclass(frozen=True)
class Link:
    """A linear layer of S seeds and what follows it.

    Attributes:
        weight: (S, out, in).
        bias: (S, out), or None.
        activation: one of `ACTIVATIONS`, or None.
    """

    weight: Tensor
    bias: Tensor | None
    activation: nn.Module | None


ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.ELU)
"""Activations whose slope is a function of their value."""


def chain(x: Tensor, links: Sequence[Link]) -> Tensor:
    """Rows (S*B, in), seed after seed, through each seed's own links: rows (S*B, out)."""
    tensors = [tensor for link in links for tensor in (link.weight, link.bias)]
    out: Tensor = _Chain.apply(x, [link.activation for link in links], *tensors)  # type: ignore[no-untyped-call]
    return out


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, activations: list[nn.Module | None], *tensors: Tensor | None) -> Tensor:
        weights, biases = tensors[::2], tensors[1::2]
        value = _columns(x, _seeds(weights), _has_row_of_ones(tensors))
        values = [value]
        for weight, bias, activation in zip(weights, biases, activations, strict=True):
            assert weight is not None
            if bias is None:
                value = torch.bmm(weight, value)
            elif value.shape[1] > weight.shape[2]:
                value = torch.bmm(torch.cat([weight, bias.unsqueeze(2)], dim=2), value)
            else:
                value = torch.baddbmm(bias.unsqueeze(2), weight, value)
            if activation is not None:
                _activate_(value, activation)
            values.append(value)
        ctx.activations, ctx.leaves = activations, [leaf(tensor) for tensor in tensors]
        # The last value is only needed where an activation made it; else nothing reads it again.
        kept = values if activations[-1] is not None else values[:-1]
        ctx.save_for_backward(x, *tensors, *kept)
        return value.mT.flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, *saved = ctx.saved_tensors
        count = 2 * len(ctx.activations)
        tensors, values = saved[:count], saved[count:]
        needed = [*ctx.needs_input_grad[:1], *ctx.needs_input_grad[2:]]
        needed = [need and is_wanted(key) for need, key in zip(needed, [None, *ctx.leaves], strict=True)]
        if torch.is_grad_enabled():
            of_x, *of_tensors = _differentiable(x, ctx.activations, tensors, gradient, needed)
        else:
            of_x, *of_tensors = _backward(ctx.activations, tensors, values, gradient, needed)
        return of_x, None, *of_tensors


def _backward(
    activations: Sequence[nn.Module | None],
    tensors: Sequence[Tensor],
    values: Sequence[Tensor],
    gradient: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of x and of each of `tensors`, where `needed`."""
    of_tensors: list[Tensor | None] = [None] * len(tensors)
    slope = _columns(gradient, _seeds(tensors))
    own = False  # whether `slope` may be overwritten
    for i in reversed(range(len(activations))):
        weight, value, activation = tensors[2 * i], values[i], activations[i]
        if activation is not None:
            slope = _slope_before(slope, values[i + 1], activation, overwrite=own)
        if value.shape[1] > weight.shape[2] and (needed[1 + 2 * i] or needed[2 + 2 * i]):
            both = torch.bmm(value, slope.mT)
            of_tensors[2 * i], of_tensors[2 * i + 1] = both[:, :-1].mT.contiguous(), both[:, -1].contiguous()
        else:
            of_tensors[2 * i] = _of_weight(slope, value) if needed[1 + 2 * i] else None
            of_tensors[2 * i + 1] = slope.sum(2) if needed[2 + 2 * i] else None
        if not any(needed[: 1 + 2 * i]):
            return [None, *of_tensors]
        slope, own = torch.bmm(weight.mT, slope), True
    return [slope.mT.flatten(0, 1), *of_tensors]


def _of_weight(slope: Tensor, value: Tensor) -> Tensor:
    """slope (S, out, B) times value (S, in, B) transposed, (S, out, in), by the fastest of equal ways."""
    if slope.shape[1] > value.shape[1]:  # a product with few columns is slow, one with few rows is not
        return torch.bmm(value, slope.mT).mT.contiguous()
    if slope.shape[1] >= WIDE:  # rows times rows is the slowest product of all: a copy first is faster
        return torch.bmm(slope, value.mT.contiguous())
    return torch.bmm(slope, value.mT)


def _activate_(value: Tensor, activation: nn.Module) -> None:
    """In place."""
    if isinstance(activation, nn.ReLU):
        value.relu_()
    elif isinstance(activation, nn.LeakyReLU):
        torch.ops.aten.leaky_relu_(value, activation.negative_slope)
    elif isinstance(activation, nn.Tanh):
        value.tanh_()
    elif isinstance(activation, nn.Sigmoid):
        value.sigmoid_()
    elif isinstance(activation, nn.ELU):
        torch.ops.aten.elu_(value, activation.alpha)
    else:
        raise TypeError(f"no chain has a {type(activation).__name__}")


def _slope_before(slope: Tensor, value: Tensor, activation: nn.Module, *, overwrite: bool) -> Tensor:
    """The gradient of what the activation was given, from that of its `value`."""
    aten = torch.ops.aten
    into = {"grad_input": slope if overwrite else torch.empty_like(slope)}
    out: Tensor
    if isinstance(activation, nn.ReLU):
        out = aten.threshold_backward.grad_input(slope, value, 0, **into)
    elif isinstance(activation, nn.LeakyReLU):
        out = aten.leaky_relu_backward.grad_input(slope, value, activation.negative_slope, True, **into)
    elif isinstance(activation, nn.Tanh):
        out = aten.tanh_backward.grad_input(slope, value, **into)
    elif isinstance(activation, nn.Sigmoid):
        out = aten.sigmoid_backward.grad_input(slope, value, **into)
    else:
        assert isinstance(activation, nn.ELU)
        out = aten.elu_backward.grad_input(slope, activation.alpha, 1.0, 1.0, True, value, **into)
    return out


def _differentiable(
    x: Tensor,
    activations: Sequence[nn.Module | None],
    tensors: Sequence[Tensor | None],
    gradient: Tensor,
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The same by operations that autograd knows, for penalties on gradients and for unrolled steps."""
    inputs = [x, *tensors]
    weights, biases = tensors[::2], tensors[1::2]
    value = x.unflatten(0, (_seeds(weights), -1)).mT
    for weight, bias, activation in zip(weights, biases, activations, strict=True):
        assert weight is not None
        value = torch.bmm(weight, value) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, value)
        value = value if activation is None else activation(value)
    asked = [tensor for tensor, need in zip(inputs, needed, strict=True) if need and tensor is not None]
    found = iter(torch.autograd.grad(value.mT.flatten(0, 1), asked, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]


def _has_row_of_ones(tensors: Sequence[Tensor | None]) -> bool:
    """Whether the first layer's bias is the last column of its weight: for thin inputs, a pass over its output less."""
    weight, bias = tensors[:2]
    return bias is not None and weight is not None and weight.shape[2] < WIDE <= weight.shape[1]


def _columns(x: Tensor, seeds: int, ones: bool = False) -> Tensor:
    """Rows (S*B, F) as the columns of S matrices, (S, F, B), in that order of memory; with a last row of ones."""
    if x.shape[1] == 1 and x.is_contiguous() and not ones:
        # By a view: transposing keeps strides that products take for those of a slower layout.
        return x.view(seeds, 1, -1)
    columns = x.unflatten(0, (seeds, -1)).mT
    if not ones:
        return columns.contiguous()
    return torch.cat([columns, columns.new_ones(1, 1, 1).expand(seeds, 1, columns.shape[2])], dim=1)


def _seeds(weights: Sequence[Tensor | None]) -> int:
    assert weights[0] is not None
    return len(weights[0])
