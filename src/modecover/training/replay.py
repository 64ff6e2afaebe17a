"""A training step of small networks as a list of tensor operations, recorded once and replayed.

A step of these methods is hundreds of operations of a few microseconds each. Finding out which they are (modules,
autograd, the optimiser's bookkeeping) takes longer than doing them, and the answer is the same at every step. So one
step is watched below autograd, and from then on its operations are called one after the other, on the same parameters,
optimiser states and generators: the same numbers, bit for bit. What a captured CUDA graph is to a GPU, on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten


class NotReplayable(Exception):
    """The step's operations depend on the values of tensors."""


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
        inputs: slots that the caller fills.
        outputs: slots that are read afterwards, by name.
    """

    calls: list[Call] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: dict[str, Slot | Tensor] = field(default_factory=dict)

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the steps of this optimiser read their learning rate anew, where they have it as a number."""
        for group in optimizer.param_groups:
            own = {id(parameter) for parameter in group["params"]}
            for call in self.calls:
                option, sign = _RATES.get(call.function, ("", 0))
                if option in call.options and id(next(_tensors(call.arguments), None)) in own:
                    call.options = {**call.options, option: Live(group, sign)}

    def __eq__(self, other: object) -> bool:
        """Whether both do the same with the same constants."""
        if not isinstance(other, Program) or len(self.calls) != len(other.calls):
            return False
        mine, others = [(p.inputs, sorted(p.outputs)) for p in (self, other)]
        return mine == others and all(_same_call(a, b) for a, b in zip(self.calls, other.calls, strict=True))


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
        self.program = Program(inputs=list(range(len(inputs))))
        self.refused = ""
        self._slots = {id(tensor): Slot(i) for i, tensor in enumerate(inputs)}
        self._alive: list[Any] = list(inputs)
        self._same_as: dict[int, Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func.overloadpacket in _OF_VALUES:
            self.refused = f"it reads the value of a tensor ({func})"
        if func.namespace != "aten":  # what profilers and debuggers put there
            return out
        self._alive.append((args, kwargs, out))
        several = isinstance(out, tuple | list)
        if func.overloadpacket in _ALIASES and isinstance(out, Tensor):
            self._same_as[id(out)] = self._same_as.get(id(args[0]), args[0])
            return out
        arguments, options = self.known(args), {name: self.known(value) for name, value in kwargs.items()}
        if func.is_view and not _has_slots([arguments, *options.values()]):
            return out  # a view of a constant is a constant
        given = {id(tensor) for tensor in _tensors([args, *kwargs.values()])}
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


_OF_VALUES = {_aten._local_scalar_dense, _aten.nonzero, _aten.is_nonzero, _aten.equal, _aten.unique_dim, _aten._unique2}
_ALIASES = {_aten.detach, _aten.alias}
_OF_ONE_VALUE = {
    *(_aten.ones_like, _aten.zeros_like, _aten.full_like, _aten.new_ones, _aten.new_zeros, _aten.new_full),
    *(_aten.ones, _aten.zeros, _aten.full, _aten.scalar_tensor, _aten.arange),
}
"""Operations that take at most the shape of a tensor, not its values."""
_RATES = {
    _aten._fused_adam_.default: ("lr", 1),
    _aten.addcdiv_.default: ("value", -1),  # RMSprop
    _aten.add_.Tensor: ("alpha", -1),  # SGD
}
"""Operations of optimisers on parameters, in place, with the option that their learning rate is."""


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _written(function: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that the operation changes in place."""
    for position, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = arguments[position] if position < len(arguments) else options.get(argument.name)
            yield from _tensors(given)


def _has_slots(value: Any) -> bool:
    return isinstance(value, Slot) or (isinstance(value, list | tuple) and any(map(_has_slots, value)))


def compiled(program: Program) -> Callable[..., dict[str, Tensor]]:
    """The program as a function of its inputs; each intermediate tensor is let go after its last use."""
    program = _folded(program)
    last = _last_uses(program)
    names: dict[str, Any] = {}
    lines = [f"def run({', '.join(f't{number}' for number in program.inputs)}):"]
    for position, call in enumerate(program.calls):
        lines.append(f"    {_line(call, names)}")
        dead = [number for number in last.get(position, ()) if number not in program.inputs]
        if dead:
            lines.append("    " + " = ".join(f"t{number}" for number in dead) + " = None")
    results = ", ".join(f"{name!r}: {_source(value, names)}" for name, value in program.outputs.items())
    lines.append(f"    return {{{results}}}")
    exec(compile("\n".join(lines), "<recorded step>", "exec"), names)
    run: Callable[..., dict[str, Tensor]] = torch.inference_mode()(names["run"])
    return run


def _folded(program: Program) -> Program:
    """The program without the operations whose results are the same at every step.

    They are new tensors of one value (what a backward pass begins with), and what is made of them alone.
    """
    written = {_storage(tensor) for call in program.calls for tensor in call.wrote}
    fixed: dict[int, Tensor] = {}
    kept: list[Call] = []
    for call in program.calls:
        given = list(_leaves([call.arguments, *call.options.values()]))
        known = given and all(isinstance(value, Slot) and value.number in fixed for value in given)
        same = isinstance(call.function, torch._ops.OpOverload) and (
            call.function.overloadpacket in _OF_ONE_VALUE or (known and _is_pure(call.function))
        )
        if same and not any(_storage(tensor) in written for tensor in call.made):
            fixed |= dict(zip((n for n in call.results if n >= 0), call.made, strict=True))
        else:
            options = {name: _filled(value, fixed) for name, value in call.options.items()}
            kept.append(replace(call, arguments=_filled(call.arguments, fixed), options=options))
    return Program(kept, program.inputs, {name: _filled(value, fixed) for name, value in program.outputs.items()})


def _is_pure(function: Any) -> bool:
    writes = any(a.alias_info is not None and a.alias_info.is_write for a in function._schema.arguments)
    return not writes and torch.Tag.nondeterministic_seeded not in function.tags


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _leaves(value: Any) -> Iterator[Slot | Tensor]:
    if isinstance(value, Slot | Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)


def _filled(value: Any, fixed: Mapping[int, Tensor]) -> Any:
    if isinstance(value, Slot):
        return fixed.get(value.number, value)
    return [_filled(item, fixed) for item in value] if isinstance(value, list | tuple) else value


def _line(call: Call, names: dict[str, Any]) -> str:
    arguments = [_source(value, names) for value in call.arguments]
    arguments += [f"{name}={_source(value, names)}" for name, value in call.options.items()]
    made = f"{_constant(_quick(call.function), names)}({', '.join(arguments)})"
    if all(number < 0 for number in call.results):  # in place, or without a result
        return made
    targets = ", ".join(f"t{number}" if number >= 0 else "_" for number in call.results)
    return f"{targets}{',' if call.several else ''} = {made}"


def _source(value: Any, names: dict[str, Any]) -> str:
    if isinstance(value, Slot):
        return f"t{value.number}"
    if isinstance(value, list) and _has_slots(value):
        return f"[{', '.join(_source(item, names) for item in value)}]"
    if isinstance(value, Live):
        return f"{'-' if value.sign < 0 else ''}{_constant(value.group, names)}['lr']"
    if value is None or isinstance(value, bool | int):
        return repr(value)
    return _constant(value, names)


def _constant(value: Any, names: dict[str, Any]) -> str:
    name = f"c{len(names)}"
    names[name] = value
    return name


def _last_uses(program: Program) -> dict[int, list[int]]:
    """Position of a call to the slots that nothing reads after it."""
    last: dict[int, int] = {}
    for position, call in enumerate(program.calls):
        for number in (*_numbers([call.arguments, *call.options.values()]), *(n for n in call.results if n >= 0)):
            last[number] = position
    kept = set(_numbers(list(program.outputs.values())))
    at: dict[int, list[int]] = {}
    for number, position in last.items():
        if number not in kept:
            at.setdefault(position, []).append(number)
    return at


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, Slot):
        yield value.number
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _numbers(item)


def _quick(function: Any) -> Any:
    """The same operation by a shorter way from Python, where there is one."""
    return _SHORTER.get(function, function._op) if isinstance(function, torch._ops.OpOverload) else function


_SHORTER = {
    _aten.bmm.default: torch.bmm,
    _aten.mm.default: torch.mm,
    _aten.baddbmm.default: torch.baddbmm,
    _aten.addmm.default: torch.addmm,
    _aten.add.Tensor: torch.add,
    _aten.sub.Tensor: torch.sub,
    _aten.mul.Tensor: torch.mul,
    _aten.div.Tensor: torch.div,
    _aten.neg.default: torch.neg,
    _aten.relu_.default: torch.relu_,
    _aten.tanh_.default: torch.tanh_,
    _aten.cat.default: torch.cat,
    _aten.stack.default: torch.stack,
    _aten.transpose.int: torch.transpose,
    _aten.t.default: torch.t,
    _aten.unsqueeze.default: torch.unsqueeze,
    _aten.view.default: Tensor.view,
    _aten._unsafe_view.default: Tensor.view,
    _aten.expand.default: Tensor.expand,
}
