"""Random draws that belong to a seed, a step and a row, and to nothing else.

A run's result must not depend on how it was computed: not on how many seeds share the program, on how many
processes or micro-batches share the batch, on whether it was interrupted, or on what was sampled on the side.
So every draw inside a training step comes from a stream that is a pure function of (seed, step): each stacked
seed has its own generator, and each process or micro-batch draws the rows of the *whole* batch and keeps its own.

Inside a step the engine makes its streams the active ones, and the functions below draw from them. Outside (a
plain PyTorch loop, a notebook) they draw from torch's global generator, as `torch.randn_like` would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor


def derive_seed(*keys: int | str) -> int:
    """A 63-bit seed that is a pure function of `keys`; different keys give independent-looking seeds.

    torch's CPU generator uses the low 32 bits, so that among 10^5 steps a few may draw the same numbers.
    """
    text = "\0".join(f"{type(key).__name__}:{key}" for key in keys)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class Streams:
    """One generator for each stacked seed, drawing this process's (or micro-batch's) rows of the batch.

    Args:
        seeds: the seeds of the runs stacked in this program, in row order.
        device: where the draws are made.
        part, parts: of `parts` equal row ranges of each seed's batch this stream keeps number `part`.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu", part: int = 0, parts: int = 1):
        if not seeds:
            raise ValueError("streams need at least one seed")
        if not 0 <= part < parts:
            raise ValueError(f"part {part} is not one of {parts} parts")
        self.seeds = tuple(seeds)
        self.part, self.parts = part, parts
        self.generators = [torch.Generator(device=device) for _ in self.seeds]

    def at(self, *keys: int | str) -> Streams:
        """Put every generator at the state that belongs to (its seed, *keys); returns self."""
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(derive_seed(seed, *keys))
        return self

    def rows(self, count: int, draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """`count` rows, `count / seeds` for each seed; `draw(n, generator)` makes n rows."""
        own, rest = divmod(count, len(self.generators))
        if rest:
            raise ValueError(f"{count} rows cannot be shared by {len(self.generators)} stacked seeds")
        parts = [draw(own * self.parts, g) for g in self.generators]
        if self.parts > 1:
            parts = [rows[self.part * own : (self.part + 1) * own] for rows in parts]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


_active: ContextVar[Streams | None] = ContextVar("modecover_streams", default=None)


@contextmanager
def active(streams: Streams | None) -> Iterator[None]:
    """Within the block, the functions of this module draw from `streams`."""
    token = _active.set(streams)
    try:
        yield
    finally:
        _active.reset(token)


def stacked_seeds() -> int:
    """How many seeds share the rows of a batch: 1 outside the engine."""
    streams = _active.get()
    return 1 if streams is None else len(streams.seeds)


def by_seed(x: Tensor) -> Tensor:
    """Rows seen seed by seed: shape (S*B, ...) becomes (S, B, ...). For losses that are not means over samples."""
    return x.unflatten(0, (stacked_seeds(), -1))


def normal_like(x: Tensor) -> Tensor:
    """Standard normal draws of x's shape, each row from its own seed's stream."""
    return _drawn_like(x, torch.randn, torch.randn_like)


def uniform_like(x: Tensor) -> Tensor:
    """Uniform draws on [0, 1) of x's shape, each row from its own seed's stream."""
    return _drawn_like(x, torch.rand, torch.rand_like)


def _drawn_like(x: Tensor, draw: Callable[..., Tensor], draw_like: Callable[[Tensor], Tensor]) -> Tensor:
    streams = _active.get()
    if streams is None:
        return draw_like(x)
    facts = {"device": x.device, "dtype": x.dtype}
    return streams.rows(len(x), lambda rows, own: draw((rows, *x.shape[1:]), generator=own, **facts))


def gaussian(moments: Tensor) -> Tensor:
    """A draw (B, d) from each row's Gaussian, its means and log variances side by side in `moments`, (B, 2d).

    Gradients reach both (Kingma & Welling 2014, section 2.4).
    """
    mean, log_variance = moments.chunk(2, dim=1)
    return mean + (0.5 * log_variance).exp() * normal_like(mean)


def integers(high: int, x: Tensor, *, shared: bool = False) -> Tensor:
    """One integer in [0, high) for each row of x, shape (len(x),), int64.

    With `shared` all rows of a seed's batch get the same integer.
    """
    streams = _active.get()
    if streams is None:
        count = 1 if shared else len(x)
        return torch.randint(high, (count,), device=x.device).expand(len(x))
    if shared:
        each = [torch.randint(high, (1,), generator=g, device=x.device) for g in streams.generators]
        return torch.cat(each).repeat_interleave(len(x) // len(each))
    return streams.rows(len(x), lambda rows, own: torch.randint(high, (rows,), generator=own, device=x.device))
