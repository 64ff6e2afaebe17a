"""Which gradients a backward pass is asked for: autograd does not tell its nodes written in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_wanted: ContextVar[frozenset[int] | None] = ContextVar("wanted_gradients", default=None)


@contextmanager
def gradients_only_of(leaves: Iterable[Tensor]) -> Iterator[None]:
    """Within the block, of all leaves, gradients are asked for with respect to these alone."""
    token = _wanted.set(frozenset(map(id, leaves)))
    try:
        yield
    finally:
        _wanted.reset(token)


def is_wanted(tensor: Tensor | None) -> bool:
    """Whether a gradient with respect to the tensor may be of use: of a leaf only where it was asked for."""
    wanted = _wanted.get()
    return (
        tensor is not None and tensor.requires_grad and (wanted is None or not tensor.is_leaf or id(tensor) in wanted)
    )
