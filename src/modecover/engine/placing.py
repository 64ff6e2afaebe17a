"""A place in memory for each intermediate tensor of a program, chosen once.

Then nothing is allocated at a replay, views are constants, and parts of a tensor are made where they belong instead of
being copied there. A place is taken over once nothing reads it any more, so that a step stays within the fast memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

import torch
from torch import Tensor

from modecover.engine.program import Call, Program, Slot, filled, last_uses, slots_in, storage, tensors_in

_aten = torch.ops.aten


def placed(program: Program, frozen: set[int]) -> Program:
    """The program with constants in the place of what it makes, wherever an operation can be told where to put it.

    Its inputs are copied to their places; its outputs stay slots. Call it in inference mode.

    Args:
        program: its calls still know what they made when they were recorded.
        frozen: the memory (`storage`) of constants whose values never change.
    """
    placer = _Placer(program, frozen)
    placer.receive()
    for position, call in enumerate(program.calls):
        placer.place(call.filled(placer.known))
        placer.release(position)
    return replace(program, calls=placer.calls, outputs=placer.hand_out())


class _Placer:
    """Goes through the calls in order.

    Attributes:
        known: slots that have a place by now.
        calls: what is left to do at a replay.
    """

    def __init__(self, program: Program, frozen: set[int]):
        self.known: dict[int, Tensor] = {}
        self.calls: list[Call] = []
        self._frozen = frozen
        self._program = program
        self._owner = _owners(program)
        self._within = _within(program, self._owner)
        self._joined = {whole for whole, _, _ in self._within.values()}
        self._written = _last_writes(program)
        self._dies = last_uses(program.calls, self._memory)
        reshaped = [call.given for call in program.calls if _changes_shape(call.function)]
        kept = (*slots_in(list(program.outputs.values())), *program.inputs, *slots_in(reshaped))
        self._kept = {self._memory(number) for number in kept}
        self._taken: dict[int, Tensor] = {}
        self._free: dict[tuple[torch.dtype, int], list[Tensor]] = defaultdict(list)

    def _memory(self, number: int) -> int:
        """The slot whose memory this one is in."""
        own = self._owner[number]
        return self._within[own][0] if own in self._within else own

    def receive(self) -> None:
        """Copy what the caller gives to places of its own: views of it are then known."""
        for number, like in zip(self._program.inputs, self._program.samples, strict=True):
            if like.is_contiguous() and like.numel():
                place = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)
                self._do(number, place, Call(_aten.copy_.default, [place, Slot(number)], {}))

    def hand_out(self) -> dict[str, Slot | Tensor]:
        """The outputs; of what has a place, or is the same at every step, a copy."""
        found: dict[str, Slot | Tensor] = {}
        fresh = count(1 + max([*self._owner, -1]))
        for name, output in self._program.outputs.items():
            found[name] = value = filled(output, self.known)
            if isinstance(value, Tensor):
                found[name] = slot = Slot(next(fresh))
                self.calls.append(Call(_aten.clone.default, [value], {}, (slot.number,)))
        return found

    def place(self, call: Call) -> None:
        """Keep the call, as it is or writing to a place; or do it now, once and for all."""
        if not call.new:
            self.calls.append(self._together(call))
        elif self._owner[call.new[0]] != call.new[0]:
            self._view(call)
        elif len(call.results) > 1 or call.several or not self._can_have_a_place(call.new[0], call.made[0]):
            self.calls.append(call)
        else:
            self._write(call, call.new[0], call.made[0])

    def release(self, position: int) -> None:
        """Nothing after this position reads what dies there."""
        for number in self._dies.get(position, ()):
            if (flat := self._taken.pop(number, None)) is not None:
                self._free[flat.dtype, len(flat)].append(flat)

    def _view(self, call: Call) -> None:
        if list(slots_in(call.given)):  # of what has no place
            self.calls.append(call)
            return
        views = call.function(*call.arguments, **call.options)
        self.known |= dict(zip(call.results, views if call.several else (views,), strict=True))

    def _can_have_a_place(self, number: int, like: Tensor) -> bool:
        return self._memory(number) not in self._kept and like.is_contiguous() and like.numel() > 0

    def _write(self, call: Call, number: int, like: Tensor) -> None:
        function = call.function
        if function in _WHOLES and self._fill(call, number, like):
            return
        if function.overloadpacket in _UNSET:
            self.known[number] = self._take(number, like)
        elif function in _DRAWS:
            into, place = _DRAWS[function], self._take(number, like)
            self._do(number, place, Call(into, [place], {"generator": call.options["generator"]}))
        elif function is _aten.clone.default:
            place = self._take(number, like)
            self._do(number, place, Call(_aten.copy_.default, [place, call.arguments[0]], {}))
        elif (out := _out_variant(function)) is not None:
            place = self._take(number, like)
            variant, name = out
            self._do(number, place, replace(call, function=variant, options={**call.options, name: place}, results=()))
        else:
            self.calls.append(call)

    def _fill(self, call: Call, number: int, like: Tensor) -> bool:
        """Parts laid side by side: those made in their place, or that never change, need no copy at a replay."""
        if number in self._joined:
            self.known[number] = self._take(number, like)
            return True
        parts, dim = call.arguments[0], (*call.arguments[1:], 0)[0]
        same = [isinstance(part, Tensor) and storage(part) in self._frozen for part in parts]
        if call.function is not _aten.cat.default or not any(same) or list(slots_in(parts)):
            return False
        if storage(like) in self._written:
            return False
        place = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)  # nobody else's: parts of it stay
        self.known[number] = place
        for part, where, constant in zip(parts, place.split([p.shape[dim] for p in parts], dim), same, strict=True):
            if constant:
                where.copy_(part)
            else:
                self.calls.append(Call(_aten.copy_.default, [where, part], {}))
        return True

    def _do(self, number: int, place: Tensor, call: Call) -> None:
        self.known[number] = place
        self.calls.append(call)

    def _take(self, number: int, like: Tensor) -> Tensor:
        """A place for what a call makes; strides as they were, since they decide which way a product takes."""
        memory, offset, size = self._within.get(number, (number, 0, like.numel()))
        if memory not in self._taken:
            free = self._free[like.dtype, size]
            self._taken[memory] = free.pop() if free else torch.empty(size, dtype=like.dtype)
        return self._taken[memory].as_strided(like.shape, like.stride(), offset)

    def _together(self, call: Call) -> Call:
        """Counters of an optimiser that go up together, as one tensor: they stay the tensors they are, side by side."""
        counters = call.arguments[0] if call.function is _aten._foreach_add_.Scalar else []
        if not counters or list(slots_in(call.given)) or not all(map(_is_counter, counters)):
            return call
        if not _side_by_side(counters):
            if self._seen_otherwise(counters) or len({t.dtype for t in counters}) > 1:
                return call
            with torch.inference_mode(False), torch.no_grad():
                for tensor, place in zip(counters, torch.stack(counters), strict=True):
                    tensor.set_(place)
        joint = counters[0].as_strided((len(counters),), (1,))
        return Call(_aten.add_.Tensor, [joint, *call.arguments[1:]], {})

    def _seen_otherwise(self, counters: Sequence[Tensor]) -> bool:
        """Whether the program has a view of one of them, or they already lie beside others."""
        own, places = set(map(id, counters)), set(map(storage, counters))
        constants = [tensor for call in self._program.calls for tensor in tensors_in(call.given)]
        return any(storage(t) in places and id(t) not in own for t in constants) or len(places) < len(counters)


# -------------------------------------------------------------------------------------------- what is where, until when

_NOBODY = -1
"""The owner of memory that a program is given."""


def _owners(program: Program) -> dict[int, int]:
    """Each slot to the one that its memory was made for."""
    at: dict[int, int] = {}
    owner = {number: number for number in program.inputs}
    for call in program.calls:
        given = {storage(tensor): _NOBODY for tensor in tensors_in(call.given)}
        for number, tensor in zip(call.new, call.made, strict=True):
            if call.function.is_view:
                owner[number] = owner[next(slots_in(call.given))]
            else:
                place = storage(tensor)
                owner[number] = at.setdefault(place, given.get(place, number)) if tensor.numel() else number
    return owner


def _within(program: Program, owner: Mapping[int, int]) -> dict[int, tuple[int, int, int]]:
    """Slots that can be made as a part of another: that one's number, where the part begins in it, and its length.

    The parts of a `cat` or `stack` of rows, where neither they nor the whole are written to afterwards.
    """
    makers = {number: call for call in program.calls for number in call.new}
    written = _last_writes(program)
    found: dict[int, tuple[int, int, int]] = {}
    for position, call in enumerate(program.calls):
        if call.function not in _WHOLES or any(call.arguments[1:]):
            continue
        whole, parts = call.made[0], call.arguments[0]
        numbers = list(slots_in(parts))
        fit = len(set(numbers)) == len(parts) and whole.is_contiguous() and storage(whole) not in written
        if fit and all(_is_free(n, owner, found, makers, written, position, whole.dtype) for n in numbers):
            offset = 0
            for number in numbers:
                found[number] = (call.new[0], offset, whole.numel())
                offset += makers[number].made[0].numel()
    return found


def _is_free(
    number: int,
    owner: Mapping[int, int],
    found: Mapping[int, object],
    makers: Mapping[int, Call],
    written: Mapping[int, int],
    position: int,
    dtype: torch.dtype,
) -> bool:
    """Whether a part can be made inside the whole that the call at `position` makes of it."""
    if owner[number] != number or number in found or number not in makers:
        return False
    call = makers[number]
    made = call.made[0]
    if call.function in _WHOLES:  # whose own parts may have places
        return False
    return (
        len(call.results) == 1
        and not call.several
        and _can_be_told(call)
        and made.is_contiguous()
        and made.dtype == dtype
        and written.get(storage(made), -1) < position
    )


def _last_writes(program: Program) -> dict[int, int]:
    """Memory to the position of the last call that writes into it after it was made."""
    return {storage(tensor): position for position, call in enumerate(program.calls) for tensor in call.wrote}


# -------------------------------------------------------------------------------------- operations that are told where

_WHOLES = (_aten.cat.default, _aten.stack.default)
_UNSET = {_aten.empty, _aten.empty_like, _aten.new_empty}
_DRAWS = {_aten.randn.generator: Tensor.normal_, _aten.rand.generator: Tensor.uniform_}
"""Operations that are making room and then this, in place."""


def _changes_shape(function: Any) -> bool:
    """Whether it makes a tensor that it is given one of another shape."""
    return isinstance(function, torch._ops.OpOverload) and torch.Tag.inplace_view in function.tags


def _is_counter(tensor: Tensor) -> bool:
    return tensor.dim() == 0 and not tensor.is_inference()


def _side_by_side(tensors: Sequence[Tensor]) -> bool:
    """Whether they are consecutive elements of one piece of memory."""
    first = tensors[0]
    return all(
        storage(tensor) == storage(first) and tensor.storage_offset() == first.storage_offset() + position
        for position, tensor in enumerate(tensors)
    )


def _can_be_told(call: Call) -> bool:
    """Whether the place of its only result can be given."""
    function = call.function
    known = function in (*_DRAWS, _aten.clone.default) or function.overloadpacket in _UNSET
    return known or _out_variant(function) is not None


@cache
def _out_variant(function: Any) -> tuple[Any, str] | None:
    """The overload that writes into a tensor it is given, and the name of that argument; None where torch only has
    one that computes elsewhere and copies, or that takes the tensor for its scratch paper first, as losses do."""
    takes = [str(argument.type) for argument in function._schema.arguments]
    if any(argument.name == "reduction" for argument in function._schema.arguments):
        return None
    for name in function.overloadpacket.overloads():
        overload = getattr(function.overloadpacket, name)
        arguments = overload._schema.arguments
        out = [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write and a.kwarg_only]
        rest = [str(argument.type) for argument in arguments if argument.name not in out]
        if len(out) == 1 and rest == takes and torch.Tag.generated not in overload.tags:
            return overload, out[0]
    return None
