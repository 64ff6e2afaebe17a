"""Would training fail on this network? A copy of it is called and differentiated as a step of training would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.networks.copies import detached_copy

CALLS = 2
"""A network is called again and again: what fails, or returns another shape, at the second call shows here."""


def check_numbers(name: str, module: nn.Module) -> None:
    """Raise `UserError` unless the network's numbers are there, and of the type of the data that it will be given."""
    tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point() or t.is_complex()]
    if any(t.device.type == "meta" for t in tensors):
        raise UserError(f"{name} is on the meta device, where weights have no values: make it on the CPU.")
    if others := sorted({str(t.dtype) for t in tensors if t.dtype != torch.float32}):
        raise UserError(
            f"{name} holds numbers of type {', '.join(others)}, and data and noise are torch.float32: give "
            f"{name}.float() (precision='bf16' computes in bfloat16)."
        )


def practise(
    name: str, module: nn.Module, rows: Sequence[Tensor], given: str, options: Sequence[Mapping[str, str]]
) -> None:
    """Raise `UserError` unless a copy of the network can be trained: called several times, and differentiated.

    Args:
        name: of the network, for the sentence.
        module: is copied.
        rows: a tensor for each of its inputs.
        given: these rows in words.
        options: of the calls that training makes.
    """
    parameters = list(module.parameters())
    if not parameters:
        raise UserError(f"{name} is a network without parameters, which cannot be trained: give it at least one layer.")
    if not any(p.requires_grad for p in parameters):
        raise UserError(
            f"{name} is frozen (requires_grad is False for all of its parameters), and every network of a method is "
            f"trained: call {name}.requires_grad_(True)."
        )
    pupil = detached_copy(module).train()
    with torch.enable_grad():
        for option in options:
            shapes = set()
            for _ in range(CALLS):
                output = _called(name, pupil, rows, given, option)
                shapes.add(tuple(output.shape))
                _differentiate(name, pupil, output, given)
            if len(shapes) > 1:
                raise UserError(
                    f"{name} returned the shapes {' and '.join(map(str, sorted(shapes)))} for the same {given}: let "
                    "its forward return one shape at every call."
                )


def _called(name: str, pupil: nn.Module, rows: Sequence[Tensor], given: str, option: Mapping[str, str]) -> Tensor:
    try:
        output = pupil(*(x.clone().requires_grad_() for x in rows), **option)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name} failed in training mode on {given}: {first_line(error)}. Change {name}'s layers to take such "
            "rows at every call."
        ) from error
    if not isinstance(output, Tensor) or not output.is_floating_point():
        raise UserError(f"{name} returned no tensor of floating point numbers in training mode for {given}.")
    return output


def _differentiate(name: str, pupil: nn.Module, output: Tensor, given: str) -> None:
    parameters = [p for p in pupil.parameters() if p.requires_grad]
    follows = output.requires_grad
    if follows:
        try:
            gradients = torch.autograd.grad(output.float().square().sum(), parameters, allow_unused=True)
        except Exception as error:
            raise UserError(
                f"{name} cannot be differentiated on {given}: {first_line(error)}. Change {name}'s layers to ones that "
                "autograd follows."
            ) from error
        follows = any(gradient is not None for gradient in gradients)
    if not follows:
        raise UserError(
            f"{name}'s output does not depend on its parameters in a way that autograd follows, so that nothing would "
            "be trained: leave detach, no_grad, .data and NumPy out of its forward."
        )
