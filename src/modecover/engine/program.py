"""A training step as a list of tensor operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


@dataclass
class Call:
    """One operation, or a look: `function(*arguments, **options)`; tensors in it are `Slot`s or constants.

    Attributes:
        results: slots of the tensors it makes, -1 for one that it was given.
        several: whether it returns a sequence of tensors.
        made, wrote: the tensors that it made, and wrote into, when it was recorded.
    """

    function: Any
    arguments: Any
    options: Mapping[str, Any]
    results: tuple[int, ...] = ()
    several: bool = False
    made: tuple[Tensor, ...] = ()
    wrote: tuple[Tensor, ...] = ()

    @property
    def given(self) -> list[Any]:
        """All it is called with."""
        return [self.arguments, *self.options.values()]

    @property
    def new(self) -> list[int]:
        """The slots that it makes."""
        return [number for number in self.results if number >= 0]

    def filled(self, known: Mapping[int, Tensor]) -> Call:
        """The call with constants in the place of the slots that are known."""
        options = {name: filled(value, known) for name, value in self.options.items()}
        arguments = filled(self.arguments, known)
        return Call(self.function, arguments, options, self.results, self.several, self.made, self.wrote)


@dataclass(frozen=True)
class Slot:
    """A tensor that the program makes, or is given."""

    number: int


@dataclass(frozen=True, eq=False)
class Live:
    """A learning rate times a sign, read anew at every replay where the optimiser keeps it."""

    group: Mapping[str, Any]
    sign: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Live) and self.group is other.group and self.sign == other.sign


@dataclass
class Program:
    """The operations of a step.

    Attributes:
        calls: in order.
        inputs: slots that the caller fills, with tensors like those in `samples`.
        outputs: slots that are read afterwards, by name.
    """

    calls: list[Call] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    samples: Sequence[Tensor] = ()
    outputs: dict[str, Slot | Tensor] = field(default_factory=dict)

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the steps of this optimiser read their learning rate anew, where they have it as a number."""
        for group in optimizer.param_groups:
            own = {id(parameter) for parameter in group["params"]}
            for call in self.calls:
                option, sign = _RATES.get(call.function, ("", 0))
                if option in call.options and id(next(tensors_in(call.arguments), None)) in own:
                    call.options = {**call.options, option: Live(group, sign)}

    def __eq__(self, other: object) -> bool:
        """Whether both do the same with the same constants."""
        if not isinstance(other, Program) or len(self.calls) != len(other.calls):
            return False
        mine, others = [(p.inputs, sorted(p.outputs)) for p in (self, other)]
        return mine == others and all(_same_call(a, b) for a, b in zip(self.calls, other.calls, strict=True))


_RATES = {
    _aten._fused_adam_.default: ("lr", 1),
    _aten.addcdiv_.default: ("value", -1),  # RMSprop
    _aten.add_.Tensor: ("alpha", -1),  # SGD
}
"""Operations of optimisers on parameters, in place, with the option that their learning rate is."""


def _same_call(a: Call, b: Call) -> bool:
    given = [[call.arguments, *call.options.items()] for call in (a, b)]
    return a.function == b.function and a.results == b.results and _same(*given)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):  # two views of one constant are two objects
        return all(x == y for x, y in zip(_place(a), _place(b), strict=True))
    return a is b or (type(a) is type(b) and bool(a == b))


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested lists."""
    return (leaf for leaf in _leaves(value) if isinstance(leaf, Tensor))


def slots_in(value: Any) -> Iterator[int]:
    """The numbers of the slots in nested lists."""
    return (leaf.number for leaf in _leaves(value) if isinstance(leaf, Slot))


def filled(value: Any, known: Mapping[int, Tensor]) -> Any:
    """Nested lists with constants in the place of the slots that are known."""
    if isinstance(value, Slot):
        return known.get(value.number, value)
    return [filled(item, known) for item in value] if isinstance(value, list | tuple) else value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def last_uses(calls: Sequence[Call], group: Callable[[int], int] = lambda number: number) -> dict[int, list[int]]:
    """Position of a call to the slots, or groups of them, that no later call makes or reads."""
    last: dict[int, int] = {}
    for position, call in enumerate(calls):
        last |= dict.fromkeys(map(group, (*slots_in(call.given), *call.new)), position)
    at: dict[int, list[int]] = {}
    for number, position in last.items():
        at.setdefault(position, []).append(number)
    return at


def storage(tensor: Tensor) -> int:
    """Where the tensor's memory begins: the same for all views of it."""
    return tensor.untyped_storage().data_ptr()
