"""What a step must cost at the least: work that is counted, over rates that are measured beside it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

WORD = 4
"""Bytes of a float32."""
OPTIMIZER_WORDS = 7
"""Adam, for each weight: reads weight, gradient and two moments, writes weight and two moments."""


# ------------------------------------------------------------------------------------------- fully connected, by hand


@dataclass(frozen=True)
class Backward:
    """One backward pass through a network: for its weights or past them, down to its input or not."""

    widths: tuple[int, ...]
    weights: bool
    inputs: bool


@dataclass(frozen=True)
class Work:
    """The passes that a step of one seed cannot do without.

    Attributes:
        forward: the widths of each network passed through, input and output included.
        backward: the passes back.
        moved: the networks that an optimiser moves.
    """

    forward: tuple[tuple[int, ...], ...]
    backward: tuple[Backward, ...]
    moved: tuple[tuple[int, ...], ...]

    def flops(self, batch: int) -> int:
        """Of the matrix products alone: two for each weight, row and product."""
        return 2 * batch * (sum(map(_products, self.forward)) + sum(map(_products_back, self.backward)))

    def bytes(self, batch: int) -> int:
        """Activations written and read on the way up, read on the way down, where their gradients are written and
        read; and what the optimisers touch."""
        passed = 2 * sum(sum(w[1:]) for w in self.forward) + 3 * sum(sum(b.widths[1:]) for b in self.backward)
        weights = sum(_products(w) + sum(w[1:]) for w in self.moved)
        return WORD * (batch * passed + OPTIMIZER_WORDS * weights)


def _products(widths: Sequence[int]) -> int:
    return sum(a * b for a, b in pairwise(widths))


def _products_back(back: Backward) -> int:
    inner = _products(back.widths[1:])
    return (_products(back.widths) if back.weights else 0) + inner + (_products(back.widths[:2]) if back.inputs else 0)


G = E = (2, 64, 64, 2)
D = (2, 64, 1)
_D_LEARNS, _G_LEARNS, _E_LEARNS = (Backward(widths, weights=True, inputs=False) for widths in (D, G, E))
_THROUGH_D, _THROUGH_G, _THROUGH_E = (Backward(widths, weights=False, inputs=True) for widths in (D, G, E))

POINTS = {
    # D on x and G(z); D as it has moved on G(z), and back through it to G.
    "gan": Work((G, D, D, D), (_D_LEARNS, _D_LEARNS, _THROUGH_D, _G_LEARNS), (G, D)),
    # All gradients before any network moves, so that each of G(z), G(E(x)), D(x), D(G(z)), D(G(E(x))), E(x), E(G(z)) is
    # passed through once. G and E go back from different losses, so nothing on the way back is shared.
    "ldmgan": Work(
        (G, G, E, E, D, D, D),
        (*[_D_LEARNS] * 3, _THROUGH_G, _E_LEARNS, _THROUGH_D, _THROUGH_D, _THROUGH_E, _G_LEARNS, _G_LEARNS),
        (G, E, D),
    ),
}
"""The networks of the preset "ldmgan", on points of the plane."""


# -------------------------------------------------------------------------------------------------- anything, counted


class Ledger(TorchDispatchMode):
    """Counts what runs within the block.

    Attributes:
        flops: of convolutions and matrix products.
        bytes: read and written by these and by batch normalisation, each tensor once for each operation. All else
            (activations, losses, sums) could be fused into them and is not counted, nor are the optimisers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        if packet in flop_registry or "batch_norm" in str(packet):
            self.bytes += sum(t.nbytes for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor))
        return out


def count(step: Callable[[], object], weights: int) -> Ledger:
    """What one step does; `weights` are those that its optimisers move."""
    with Ledger() as ledger:
        step()
    ledger.bytes += WORD * OPTIMIZER_WORDS * weights
    return ledger


# ---------------------------------------------------------------------------------------------------------------- rates


def product_rate(seeds: int, seconds: float = 0.05) -> float:
    """FLOP/s of `seeds` products of 64x64 with 64x128 at once."""
    a, b, out = torch.randn(seeds, 64, 64), torch.randn(seeds, 64, 128), torch.empty(seeds, 64, 128)
    return 2 * seeds * 64 * 64 * 128 / _time_of(lambda: torch.bmm(a, b, out=out), seconds, time.process_time)


def copy_rate(elements: int, device: str = "cpu", seconds: float = 0.05) -> float:
    """Bytes a second, read and written, of copying so many float32."""
    a, b = torch.ones(elements, device=device), torch.empty(elements, device=device)
    return 2 * WORD * elements / _time_of(lambda: b.copy_(a), seconds, clock_of(device))


def convolution_rate(side: int, batch: int, precision: str, device: str = "cpu", seconds: float = 0.3) -> float:
    """FLOP/s of the convolution from 64 to 128 channels of a discriminator of images of this side, forward: in the
    better of the two memory layouts."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rates = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(batch, 64, side // 2, side // 2, device=device, dtype=dtype).to(memory_format=layout)
        w = torch.randn(128, 64, 4, 4, device=device, dtype=dtype).to(memory_format=layout)
        with torch.no_grad():
            run, times = _in_a_row(lambda x=x, w=w: F.conv2d(x, w, stride=2, padding=1), device)
            taken = _time_of(run, seconds, clock_of(device)) / times
        rates.append(2 * batch * (side // 4) ** 2 * 128 * 64 * 16 / taken)
    return max(rates)


def _in_a_row(run: Callable[[], object], device: str, times: int = 50) -> tuple[Callable[[], object], int]:
    """What does this so many times: on a GPU as a graph, for to call it from Python may take longer than it runs."""
    if device == "cpu":
        return run, 1
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(times):
            run()
    return graph.replay, times


def clock_of(device: str) -> Callable[[], float]:
    """CPU seconds of this process; for a GPU seconds by the wall, once it has done all that it was given."""
    if device == "cpu":
        return time.process_time

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def _time_of(run: Callable[[], object], seconds: float, clock: Callable[[], float]) -> float:
    """Seconds of one call: the least of three series, for it is to be a floor."""
    for _ in range(3):
        run()
    start = clock()
    run()
    calls = max(1, int(seconds / 3 / max(clock() - start, 1e-6)))
    best = float("inf")
    for _ in range(3):
        start = clock()
        for _ in range(calls):
            run()
        best = min(best, (clock() - start) / calls)
    return best


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Within the block new tensors are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
