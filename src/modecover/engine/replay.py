"""A training step of small networks, recorded once as a list of tensor operations and replayed.

A step of these methods is hundreds of operations of a few microseconds each. Finding out which they are (modules,
autograd, the optimiser's bookkeeping) takes longer than doing them, and the answer is the same at every step. So one
step is watched below autograd, and from then on its operations are called one after the other, on the same parameters,
optimiser states and generators: the same numbers, bit for bit. What a captured CUDA graph is to a GPU, on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from modecover.engine.program import Call, Program, Slot, slots_in, tensors_in

_aten = torch.ops.aten


class NotReplayable(Exception):
    """The step's operations depend on the values of tensors."""


_recorder: ContextVar[_Recorder | None] = ContextVar("recorder", default=None)


def look(function: Callable[..., None], *arguments: Any) -> None:
    """Call `function(*arguments)` now and at every replay: it may read tensors and raise, and makes nothing."""
    if (recorder := _recorder.get()) is not None:
        recorder.look(function, arguments)
    with _unwatched():
        function(*arguments)


@contextmanager
def _unwatched() -> Iterator[None]:
    with torch.utils._python_dispatch._disable_current_modes():
        yield


def record(step: Callable[[], Mapping[str, Tensor]], inputs: Sequence[Tensor]) -> Program:
    """Run `step`, which reads `inputs` and returns named tensors, and note its operations.

    Raises:
        NotReplayable: it asked for the value of a tensor other than by `look`.
    """
    recorder = _Recorder(inputs)
    token = _recorder.set(recorder)
    try:
        with recorder:
            results = step()
    finally:
        _recorder.reset(token)
    if recorder.refused:
        raise NotReplayable(recorder.refused)
    program = recorder.program
    program.outputs = {name: recorder.known(tensor) for name, tensor in results.items()}
    return program


class _Recorder(TorchDispatchMode):
    """Notes every operation below autograd. Tensors are told apart by identity, so all are kept until the end."""

    def __init__(self, inputs: Sequence[Tensor]):
        super().__init__()  # type: ignore[no-untyped-call]
        self.program = Program(inputs=list(range(len(inputs))), samples=list(inputs))
        self.refused = ""
        self._slots = {id(tensor): Slot(i) for i, tensor in enumerate(inputs)}
        self._alive: list[Any] = list(inputs)
        self._same_as: dict[int, Tensor] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: nothing is compiled here, and torch would import its compiler, some seconds, to leave this out."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.overloadpacket in _OF_VALUES or (func is _aten.index.Tensor and _has_mask(args)):
            self.refused = f"it reads the value of a tensor ({func})"
        if func.namespace != "aten":  # what profilers and debuggers put there
            return out
        self._alive.append((args, kwargs, out))
        several = isinstance(out, tuple | list)
        if func.overloadpacket in _ALIASES and isinstance(out, Tensor):
            self._same_as[id(out)] = self._same_as.get(id(args[0]), args[0])
            return out
        arguments, options = self.known(args), {name: self.known(value) for name, value in kwargs.items()}
        if func.is_view and not list(slots_in([arguments, *options.values()])):
            return out  # a view of a constant is a constant
        given = {id(tensor) for tensor in tensors_in([args, *kwargs.values()])}
        made = [t for t in (out if several else (out,)) if isinstance(t, Tensor) and id(t) not in given]
        for tensor in made:
            self._slots[id(tensor)] = Slot(len(self._slots))
        # In order, with -1 for what it was given: an operation in place, and None for an absent gradient.
        results = tuple(
            self._slots[id(t)].number if any(t is m for m in made) else -1 for t in (out if several else (out,))
        )
        self.program.calls.append(
            Call(func, arguments, options, results, several, tuple(made), tuple(_written(func, args, kwargs)))
        )
        return out

    def known(self, value: Any) -> Any:
        """`value` with slots in the place of tensors that the program makes."""
        if isinstance(value, Tensor):
            value = self._same_as.get(id(value), value)
            return self._slots.get(id(value), value)
        if isinstance(value, list | tuple):
            return [self.known(item) for item in value]
        return value

    def look(self, function: Callable[..., None], arguments: Sequence[Any]) -> None:
        self.program.calls.append(Call(function, self.known(arguments), {}))


_OF_VALUES = {
    *(_aten._local_scalar_dense, _aten.nonzero, _aten.is_nonzero, _aten.equal, _aten.masked_select),
    *(_aten.unique_dim, _aten._unique2, _aten.unique_consecutive, _aten.repeat_interleave),
}
"""Operations whose result is a number, or whose shape depends on values."""
_ALIASES = {_aten.detach, _aten.alias}


def _has_mask(arguments: Any) -> bool:
    return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors_in(list(arguments)[1:]))


def _written(function: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that the operation changes in place."""
    for position, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = arguments[position] if position < len(arguments) else options.get(argument.name)
            yield from tensors_in(given)
