"""Which gradients a backward pass is asked for: autograd does not tell its nodes written in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

_wanted: ContextVar[frozenset[int] | None] = ContextVar("wanted_gradients", default=None)


@contextmanager
def gradients_only_of(leaves: Iterable[Tensor]) -> Iterator[None]:
    """Within the block, of all leaves, gradients are asked for with respect to these alone.

    Not for graphs that hold nodes of others: one of them may differentiate something else in its own backward.
    """
    token = _wanted.set(frozenset(map(id, leaves)))
    try:
        yield
    finally:
        _wanted.reset(token)


def leaf(tensor: Tensor | None) -> int | None:
    """What `is_wanted` knows a leaf by; None for any other tensor.

    To be asked in a node's forward: what is saved for its backward may come back as another object.
    """
    return id(tensor) if tensor is not None and tensor.is_leaf else None


def is_wanted(leaf: int | None) -> bool:
    """In a node's backward: whether a gradient with respect to this `leaf` may be of use."""
    wanted = _wanted.get()
    return wanted is None or leaf is None or leaf in wanted
