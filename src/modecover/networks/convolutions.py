"""Convolutions that halve a map's sides and those that double them: kernels of 4x4, stride 2, padding 1.

On a CPU maps lie channels last, and two kinds of layers, where torch's convolutions reach half the speed of a matrix
product and less, are computed in other ways: those at the smallest maps by products over patches, and those that paint
an image of a few channels phase by phase. Halving x with the kernel w, doubling g with it, and the gradient of w are
the three derivatives of one trilinear form <g, w * x>: each one's own derivatives are the other two.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modecover import fast_paths
from modecover.wanted import is_wanted

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
        return doubled(x, self.weight, self.bias)


def halved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d(x, weight, bias, stride=2, padding=1)` for a weight (outputs, inputs, 4, 4)."""
    x = _laid_out(x)
    even = x.shape[2] % 2 == x.shape[3] % 2 == 0
    if even and _is_ours(x, weight, side=x.shape[2] // 2):
        out: Tensor = _Halve.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return out
    return F.conv2d(x, weight, bias, stride=2, padding=1)


def doubled(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv_transpose2d(x, weight, bias, stride=2, padding=1)` for a weight (inputs, outputs, 4, 4)."""
    x = _laid_out(x)
    if _is_ours(x, weight, side=x.shape[2]):
        out: Tensor = _Double.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return out
    return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)


def _laid_out(x: Tensor) -> Tensor:
    """The maps in the order of memory that convolutions are fastest in: on a GPU that of its bf16 units."""
    last = x.device.type == "cpu" or torch.is_autocast_enabled(x.device.type)
    # By two permutations, since vmap knows no memory formats.
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) if last and fast_paths.taken() else x


def _is_ours(x: Tensor, weight: Tensor, side: int) -> bool:
    """Whether one of the layer's three computations has a faster way than torch's; `side` is of the smaller map."""
    library = x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or not fast_paths.taken()
    library = library or torch._C._are_functorch_transforms_active()  # vmap's tensors are not the leaves they stand for
    return not library and (side <= SMALL or weight.shape[1] <= THIN)


class _Trilinear(torch.autograd.Function):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)


class _Halve(_Trilinear):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _halve(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        return (
            _Double.apply(slope, weight, None) if ctx.needs_input_grad[0] else None,  # type: ignore[no-untyped-call]
            _Correlate.apply(x, slope) if is_wanted(weight) else None,  # type: ignore[no-untyped-call]
            slope.sum((0, 2, 3)) if is_wanted(bias) else None,
        )


class _Double(_Trilinear):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _double(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        return (
            _Halve.apply(slope, weight, None) if ctx.needs_input_grad[0] else None,  # type: ignore[no-untyped-call]
            _Correlate.apply(slope, x) if is_wanted(weight) else None,  # type: ignore[no-untyped-call]
            slope.sum((0, 2, 3)) if is_wanted(bias) else None,
        )


class _Correlate(_Trilinear):
    """The gradient of the kernel, (O, C, 4, 4): of maps (B, C, 2h, 2w) with maps (B, O, h, w)."""

    @staticmethod
    def forward(large: Tensor, small: Tensor) -> Tensor:
        return _correlate(large, small)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        large, small = ctx.saved_tensors
        return (
            _Double.apply(small, slope, None) if ctx.needs_input_grad[0] else None,  # type: ignore[no-untyped-call]
            _Halve.apply(large, slope, None) if ctx.needs_input_grad[1] else None,  # type: ignore[no-untyped-call]
        )


# ------------------------------------------------------------------- the three computations, each by its fastest way


def _halve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if x.shape[2] // 2 > SMALL:
        return F.conv2d(_laid_out(x), weight, bias, stride=2, padding=1)
    rows = _patches(x) @ _matrix(weight).T
    rows = rows if bias is None else rows.add_(bias)
    return rows.view(len(x), x.shape[2] // 2, x.shape[3] // 2, -1).permute(0, 3, 1, 2)


def _double(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    small = x.shape[2] <= SMALL
    out = _sum_of_patches(_rows(x) @ _matrix(weight), len(x), x.shape[2], x.shape[3]) if small else _phases(x, weight)
    return out if bias is None else out.add_(bias[:, None, None])


def _correlate(large: Tensor, small: Tensor) -> Tensor:
    outputs, inputs = small.shape[1], large.shape[1]
    if small.shape[2] <= SMALL:
        return (_rows(small).T @ _patches(large)).view(outputs, 4, 4, inputs).permute(0, 3, 1, 2)
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
