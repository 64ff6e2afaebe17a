"""Convolutions that halve a map's sides and those that double them: kernels of 4x4, stride 2, padding 1.

On a CPU maps lie channels last, and two kinds of layers, where torch's convolutions reach half the speed of a matrix
product and less, are computed in other ways: those at the smallest maps by products over patches, and those that paint
an image of a few channels phase by phase. Halving x with the kernel w, doubling g with it, and the gradient of w are
the three derivatives of one trilinear form <g, w * x>: each one's own derivatives are the other two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modecover import fast_paths
from modecover.wanted import is_wanted, leaf

SMALL = 4
"""Sides of the smaller map up to which products are faster."""
THIN = 4
"""Channels of the larger map up to which doubling is faster by phases."""


class HalvingConv2d(nn.Conv2d):
    """Maps (B, inputs, 2h, 2w) to (B, outputs, h, w)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return halved(x, self.weight, self.bias)


class DoublingConv2d(nn.ConvTranspose2d):
    """Maps (B, inputs, h, w) to (B, outputs, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return doubled(x, self.weight, self.bias) if output_size is None else super().forward(x, output_size)


class FirstConv2d(nn.ConvTranspose2d):
    """Maps (B, inputs, 1, 1) to (B, outputs, 4, 4): one matrix product, which torch's convolution makes much of."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 4, 1, 0, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return spread(x, self.weight, self.bias) if output_size is None else super().forward(x, output_size)


class LastConv2d(nn.Conv2d):
    """Maps (B, inputs, 4, 4) to (B, outputs, 1, 1): one matrix product."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 1, 0, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return gathered(x, self.weight, self.bias)


def halved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d(x, weight, bias, stride=2, padding=1)` for a weight (outputs, inputs, 4, 4)."""
    x = _laid_out(x)
    even = x.dim() == 4 and x.shape[2] % 2 == x.shape[3] % 2 == 0
    if even and _has_faster_way(x, weight, side=x.shape[2] // 2):
        return _differentiable(_Halve, x, weight, bias)
    return F.conv2d(x, weight, bias, stride=2, padding=1)


def doubled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv_transpose2d(x, weight, bias, stride=2, padding=1)` for a weight (inputs, outputs, 4, 4)."""
    x = _laid_out(x)
    if x.dim() == 4 and _has_faster_way(x, weight, side=x.shape[2]):
        return _differentiable(_Double, x, weight, bias)
    return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)


def spread(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv_transpose2d(x, weight)` for x (B, inputs, 1, 1), a weight (inputs, outputs, 4, 4) and no bias."""
    if not fast_paths.taken() or bias is not None or x.dim() != 4 or x.shape[2:] != (1, 1):
        return F.conv_transpose2d(x, weight, bias)
    return F.linear(x.flatten(1), weight.flatten(1).T).unflatten(1, weight.shape[1:])


def gathered(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d(x, weight, bias)` for x (B, inputs, 4, 4) and a weight (outputs, inputs, 4, 4)."""
    if not fast_paths.taken() or x.dim() != 4 or x.shape[2:] != (4, 4):
        return F.conv2d(x, weight, bias)
    return F.linear(x.flatten(1), weight.flatten(1), bias)[:, :, None, None]


FUNCTIONS: dict[type[nn.Module], Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    HalvingConv2d: halved,
    DoublingConv2d: doubled,
    FirstConv2d: spread,
    LastConv2d: gathered,
}
"""What each kind of layer computes of an input, a weight and a bias."""


def _laid_out(x: Tensor) -> Tensor:
    """The maps in the order of memory that convolutions are fastest in: on a GPU that of its bf16 units."""
    if not fast_paths.taken() or x.dim() != 4 or x.device.type not in ("cpu", "cuda"):
        return x
    if x.device.type == "cuda" and not torch.is_autocast_enabled("cuda"):
        return x
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # by permutations: vmap knows no memory formats


def _has_faster_way(x: Tensor, weight: Tensor, side: int) -> bool:
    """Whether one of the layer's three computations has a faster way than torch's; `side` is of the smaller map."""
    if not fast_paths.taken() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if torch._C._are_functorch_transforms_active():  # vmap's tensors are not the leaves they stand for
        return False
    return _is_small(side) or weight.shape[1] <= THIN


def _differentiable(function: Any, *arguments: Tensor | None) -> Tensor:
    out: Tensor = function.apply(*arguments)
    return out


class _Layer(torch.autograd.Function):
    """A function of an input, a weight and a bias."""

    @staticmethod
    def keep(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, patches: Tensor | None) -> None:
        ctx.save_for_backward(x, weight, bias, patches)
        ctx.leaves = leaf(weight), leaf(bias)

    @staticmethod
    def needed(ctx: Any) -> tuple[bool, bool, bool]:
        """Whether gradients of the input, the weight and the bias are."""
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return of_x, of_weight and is_wanted(ctx.leaves[0]), of_bias and is_wanted(ctx.leaves[1])


class _Halve(_Layer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        patches = _patches(x) if _is_small(x.shape[2] // 2) else None
        _Layer.keep(ctx, x, weight, bias, patches)
        return _halve(x, weight, bias, patches).detach()  # no view any more: an activation may overwrite it

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _, patches = ctx.saved_tensors
        of_x, of_weight, of_bias = _Layer.needed(ctx)
        if torch.is_grad_enabled():  # gradients of these gradients may be asked for
            x_slope = _differentiable(_Double, slope, weight, None) if of_x else None
            weight_slope = _differentiable(_Correlate, x, slope) if of_weight else None
        else:
            x_slope = _double(slope, weight, None) if of_x else None
            weight_slope = _correlate(x, slope, patches) if of_weight else None
        return x_slope, weight_slope, slope.sum((0, 2, 3)) if of_bias else None


class _Double(_Layer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        _Layer.keep(ctx, x, weight, bias, None)
        return _double(x, weight, bias).detach()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _, _ = ctx.saved_tensors
        of_x, of_weight, of_bias = _Layer.needed(ctx)
        if torch.is_grad_enabled():
            x_slope = _differentiable(_Halve, slope, weight, None) if of_x else None
            weight_slope = _differentiable(_Correlate, slope, x) if of_weight else None
        else:
            patches = _patches(slope) if _is_small(x.shape[2]) else None
            x_slope = _halve(slope, weight, None, patches) if of_x else None
            weight_slope = _correlate(slope, x, patches) if of_weight else None
        return x_slope, weight_slope, slope.sum((0, 2, 3)) if of_bias else None


class _Correlate(torch.autograd.Function):
    """The gradient of the kernel, (O, C, 4, 4): of maps (B, C, 2h, 2w) with maps (B, O, h, w)."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, small: Tensor) -> Tensor:
        ctx.save_for_backward(large, small)
        return _correlate(large, small, _patches(large) if _is_small(small.shape[2]) else None)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        large, small = ctx.saved_tensors
        return (
            _differentiable(_Double, small, slope, None) if ctx.needs_input_grad[0] else None,
            _differentiable(_Halve, large, slope, None) if ctx.needs_input_grad[1] else None,
        )


# ------------------------------------------------------------------- the three computations, each by its fastest way


def _is_small(side: int) -> bool:
    return side <= SMALL


def _halve(x: Tensor, weight: Tensor, bias: Tensor | None, patches: Tensor | None) -> Tensor:
    if patches is None:
        return F.conv2d(_laid_out(x), weight, bias, stride=2, padding=1)
    rows = patches @ _matrix(weight).T
    rows = rows if bias is None else rows.add_(bias)
    return rows.view(len(x), x.shape[2] // 2, x.shape[3] // 2, rows.shape[1]).permute(0, 3, 1, 2)


def _double(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if _is_small(x.shape[2]):
        out = _sum_of_patches(_rows(x) @ _matrix(weight), len(x), x.shape[2], x.shape[3])
    else:
        out = _phases(x, weight)
    return out if bias is None else out.add_(bias[:, None, None])


def _correlate(large: Tensor, small: Tensor, patches: Tensor | None) -> Tensor:
    outputs, inputs = small.shape[1], large.shape[1]
    if patches is not None:
        return (_rows(small).T @ patches).view(outputs, 4, 4, inputs).permute(0, 3, 1, 2)
    like, options = small.new_empty(outputs, inputs, 4, 4), ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
    backward = torch.ops.aten.convolution_backward
    of_weight: Tensor = backward(_laid_out(small), _laid_out(large), like, None, *options, [False, True, False])[1]
    return of_weight


def _rows(maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) as a matrix (B*h*w, C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _matrix(weight: Tensor) -> Tensor:
    """Kernels (O, C, 4, 4) as a matrix (O, 4*4*C)."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _patches(maps: Tensor) -> Tensor:
    """What each place of the halved map sees of the maps (B, C, 2h, 2w): (B*h*w, 4*4*C)."""
    padded = F.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    windows = padded.unfold(1, 4, 2).unfold(2, 4, 2)  # (B, h, w, C, 4, 4)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, 16 * maps.shape[1])


def _sum_of_patches(patches: Tensor, count: int, height: int, width: int) -> Tensor:
    """The adjoint of `_patches`: (B*h*w, 4*4*C) to maps (B, C, 2h, 2w) where each patch is added in its place."""
    channels = patches.shape[1] // 16
    # A kernel of 4 covers 2 cells of 2x2: the cells of all patches at one of these 2x2 places do not overlap.
    cells = patches.view(count, height, width, 2, 2, 2, 2, channels).permute(3, 5, 0, 1, 4, 2, 6, 7)
    padded = patches.new_zeros(count, height + 1, 2, width + 1, 2, channels)
    for down in (0, 1):
        for right in (0, 1):
            padded[:, down : down + height, :, right : right + width] += cells[down, right]
    return _inner(padded)


def _phases(x: Tensor, weight: Tensor) -> Tensor:
    """Doubling by a 2x2 convolution to the four phases of the doubled map, side by side as channels."""
    outputs, channels = weight.shape[:2]
    cells = weight.view(outputs, channels, 2, 2, 2, 2).flip(2, 4)  # (O, C, cell, phase, cell, phase), down and right
    kernel = cells.permute(3, 5, 1, 0, 2, 4).reshape(4 * channels, outputs, 2, 2)
    phases = F.conv2d(_laid_out(x), kernel, padding=1).permute(0, 2, 3, 1).unflatten(3, (2, 2, channels))
    return _inner(phases.permute(0, 1, 3, 2, 4, 5))


def _inner(padded: Tensor) -> Tensor:
    """(B, h + 1, 2, w + 1, 2, C), a map with a margin of one on each side, as maps (B, C, 2h, 2w)."""
    inner = padded.flatten(3, 4).flatten(1, 2)[:, 1:-1, 1:-1]
    return inner.contiguous().permute(0, 3, 1, 2)
