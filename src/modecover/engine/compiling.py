"""A recorded step as one Python function that only calls its operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from modecover.engine.placing import placed
from modecover.engine.program import Call, Live, Program, Slot, filled, last_uses, slots_in, storage, tensors_in

_aten = torch.ops.aten


def compiled(program: Program) -> Callable[..., dict[str, Tensor]]:
    """The program as a function of its inputs; the tensors that it returns are the caller's own."""
    with torch.inference_mode():
        program = placed(*_folded(program))
    last, kept = last_uses(program.calls), {*program.inputs, *slots_in(list(program.outputs.values()))}
    names: dict[str, Any] = {}
    lines = [f"def run({', '.join(f't{number}' for number in program.inputs)}):"]
    for position, call in enumerate(program.calls):
        lines.append(f"    {_line(call, names)}")
        dead = [number for number in last.get(position, ()) if number not in kept]
        if dead:  # let go after its last use
            lines.append("    " + " = ".join(f"t{number}" for number in dead) + " = None")
    results = ", ".join(f"{name!r}: {_source(value, names)}" for name, value in program.outputs.items())
    lines.append(f"    return {{{results}}}")
    exec(compile("\n".join(lines), "<recorded step>", "exec"), names)
    run: Callable[..., dict[str, Tensor]] = torch.inference_mode()(names["run"])
    return run


# -------------------------------------------------------------------------------------------------- fewer operations

_OF_ONE_VALUE = {
    *(_aten.ones_like, _aten.zeros_like, _aten.full_like, _aten.new_ones, _aten.new_zeros, _aten.new_full),
    *(_aten.ones, _aten.zeros, _aten.full, _aten.scalar_tensor, _aten.arange),
}
"""Operations that take at most the shape of a tensor, not its values."""


def _folded(program: Program) -> tuple[Program, set[int]]:
    """The program without the operations whose results are the same at every step, or which nothing reads.

    They are new tensors of one value (what a backward pass begins with), and what is made of them alone.

    Returns:
        The program, and the memory of the results, whose values never change.
    """
    written = {storage(tensor) for call in program.calls for tensor in call.wrote}
    fixed: dict[int, Tensor] = {}
    kept: list[Call] = []
    for call in program.calls:
        given = [*tensors_in(call.given), *slots_in(call.given)]
        known = given and all(isinstance(value, int) and value in fixed for value in given)
        of_one_value = _is_pure(call.function) and call.function.overloadpacket in _OF_ONE_VALUE
        same = of_one_value or (known and _is_pure(call.function))
        if same and not any(storage(tensor) in written for tensor in call.made):
            fixed |= dict(zip(call.new, call.made, strict=True))
        else:
            kept.append(call.filled(fixed))
    outputs = {name: filled(value, fixed) for name, value in program.outputs.items()}
    return _needed(replace(program, calls=kept, outputs=outputs)), {storage(tensor) for tensor in fixed.values()}


def _needed(program: Program) -> Program:
    """The program without the operations whose results nothing reads."""
    read = set(slots_in(list(program.outputs.values())))
    kept: list[Call] = []
    for call in reversed(program.calls):
        if not _is_pure(call.function) or read.intersection(call.new):
            kept.append(call)
            read.update(slots_in(call.given))
    return replace(program, calls=kept[::-1])


_WRITING = {_aten.native_batch_norm, _aten.cudnn_batch_norm, _aten.miopen_batch_norm}
"""Operations that move running statistics without saying so."""


def _is_pure(function: Any) -> bool:
    """Whether it does nothing but make its results, of what it is given alone; a look does not."""
    if not isinstance(function, torch._ops.OpOverload) or function.overloadpacket in _WRITING:
        return False
    writes = any(a.alias_info is not None and a.alias_info.is_write for a in function._schema.arguments)
    return not writes and torch.Tag.nondeterministic_seeded not in function.tags


# ------------------------------------------------------------------------------------------------------------- source


def _line(call: Call, names: dict[str, Any]) -> str:
    arguments = [_source(value, names) for value in call.arguments]
    arguments += [f"{name}={_source(value, names)}" for name, value in call.options.items()]
    made = f"{_constant(_quick(call.function), names)}({', '.join(arguments)})"
    if not call.new:  # in place, or without a result
        return made
    targets = ", ".join(f"t{number}" if number >= 0 else "_" for number in call.results)
    return f"{targets}{',' if call.several else ''} = {made}"


def _source(value: Any, names: dict[str, Any]) -> str:
    if isinstance(value, Slot):
        return f"t{value.number}"
    if isinstance(value, list) and list(slots_in(value)):
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


def _quick(function: Any) -> Any:
    """The same operation by a shorter way from Python, where there is one."""
    return _SHORTER.get(function, function._op) if isinstance(function, torch._ops.OpOverload) else function


_SHORTER = {
    _aten.bmm.default: torch.bmm,
    _aten.bmm.out: torch.bmm,
    _aten.mm.default: torch.mm,
    _aten.mm.out: torch.mm,
    _aten.baddbmm.default: torch.baddbmm,
    _aten.baddbmm.out: torch.baddbmm,
    _aten.addmm.default: torch.addmm,
    _aten.addmm.out: torch.addmm,
    _aten.add.Tensor: torch.add,
    _aten.add.out: torch.add,
    _aten.sub.Tensor: torch.sub,
    _aten.sub.out: torch.sub,
    _aten.mul.Tensor: torch.mul,
    _aten.mul.out: torch.mul,
    _aten.div.Tensor: torch.div,
    _aten.div.out: torch.div,
    _aten.neg.default: torch.neg,
    _aten.neg.out: torch.neg,
    _aten.exp.default: torch.exp,
    _aten.exp.out: torch.exp,
    _aten.relu_.default: torch.relu_,
    _aten.tanh_.default: torch.tanh_,
    _aten.cat.default: torch.cat,
    _aten.cat.out: torch.cat,
    _aten.stack.default: torch.stack,
    _aten.stack.out: torch.stack,
    _aten.sum.default: torch.sum,
    _aten.sum.dim_IntList: torch.sum,
    _aten.sum.IntList_out: torch.sum,
    _aten.transpose.int: torch.transpose,
    _aten.t.default: torch.t,
    _aten.unsqueeze.default: torch.unsqueeze,
    _aten.view.default: Tensor.view,
    _aten._unsafe_view.default: Tensor.view,
    _aten.expand.default: Tensor.expand,
    _aten.copy_.default: Tensor.copy_,
    _aten.add_.Tensor: Tensor.add_,
}
