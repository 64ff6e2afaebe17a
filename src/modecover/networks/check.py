"""Does a network fit its role? Two rows are sent through it, and what comes back is judged in one sentence.

First as one that samples would ask, in evaluation mode; then as training asks (see `modecover.networks.practice`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.networks.practice import check_numbers, practise

ROWS = 2


@dataclass(frozen=True)
class _Calls:
    """How training calls a network: the shapes of a row of each input, these in words, the options of each call."""

    shapes: Sequence[tuple[int, ...]]
    given: str
    options: Sequence[Mapping[str, str]]


def check_network(
    name: str,
    role: str,
    module: nn.Module,
    shape: Sequence[int],
    latent: int,
    classes: int = 0,
    *,
    split_statistics: bool = False,
    stochastic_codes: bool = False,
    packing: int = 1,
    practice: bool = True,
) -> None:
    """Raise `UserError` unless `module`, the network `name` of a method, can play its role.

    The forward runs in evaluation mode without gradients, then a copy is called as in training; modes, buffers and
    torch's random state are left as found.

    Args:
        role: one of `modecover.networks.registry.ROLES`.
        shape: of one sample of the data.
        latent: the latent dimension.
        classes: what the method asks of a discriminator's classifier head; 0 for nothing.
        split_statistics: whether the method asks a generator to keep prior noise and codes apart.
        stochastic_codes: whether it asks an encoder for means and log variances.
        packing: how many rows a discriminator judges together.
        practice: whether to find out, too, if it can be trained; known of modecover's own.
    """
    if not isinstance(module, nn.Module):
        raise UserError(f"{name} is a {type(module).__name__}; give an instance of torch.nn.Module.")
    if any(is_lazy(tensor) for tensor in (*module.parameters(), *module.buffers())):
        raise UserError(f"{name} has lazy layers that have seen no input yet: call it once on a few rows beforehand.")
    check_numbers(name, module)
    with _left_as_found(module):
        if role == "generator":
            calls = _check_generator(name, module, tuple(shape), latent, split_statistics)
        elif role == "encoder":
            calls = _check_encoder(name, module, tuple(shape), latent, stochastic_codes)
        elif role == "discriminator":
            calls = _check_discriminator(name, module, [(shape[0] * packing, *shape[1:])], classes)
        elif role == "latent discriminator":
            calls = _check_discriminator(name, module, [(latent,)], classes, rows="latent rows")
        elif role == "joint discriminator":
            calls = _check_discriminator(name, module, [tuple(shape), (latent,)], 0, rows="data and latent rows")
        else:
            raise UserError(f"{name} has the role {role!r}, which is none of modecover's.")
        if practice:
            practise(name, module, _rows(module, calls.shapes), calls.given, calls.options)


def accepts_option(module: nn.Module, name: str) -> bool:
    """Whether the module's forward can be called with the keyword `name`."""
    if isinstance(module, torch.jit.ScriptModule):
        scripted: Any = module.forward
        return any(argument.name == name for argument in scripted.schema.arguments)
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    parameters = inspect.signature(module.forward).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(p.kind == p.VAR_KEYWORD or (p.name == name and p.kind in named) for p in parameters)


def _check_generator(name: str, module: nn.Module, shape: tuple[int, ...], latent: int, split: bool) -> _Calls:
    told = accepts_option(module, "kind")
    if split and not told and any("running_mean" in part._buffers for part in module.modules()):
        raise UserError(
            f"This method keeps separate batch statistics for prior noise and for codes, but {name}'s forward takes no "
            f'`kind`: write forward(self, z, kind="prior") and use modecover.networks.SplitBatchNorm in it.'
        )
    given = f"{ROWS} latent rows of {latent}"
    wanted = (ROWS, *shape)
    kinds = [{"kind": kind} for kind in ("prior", "code")] if told else [{}]
    for kind in ("prior", "code") if split and told else (None,):
        output = _forward(name, module, [(latent,)], given, None if kind is None else {"kind": kind})
        if tuple(output.shape) != wanted:
            raise UserError(
                f"{name} returned shape {tuple(output.shape)} for {given}; the data needs {wanted}: "
                f"change the last layers of {name}{_other_size(tuple(output.shape), wanted)}."
            )
    return _Calls([(latent,)], given, kinds)


def _check_encoder(name: str, module: nn.Module, shape: tuple[int, ...], latent: int, stochastic: bool) -> _Calls:
    given = f"{ROWS} data rows of shape {shape}"
    output = _forward(name, module, [shape], given)
    found, wanted = tuple(output.shape), (ROWS, 2 * latent if stochastic else latent)
    if found != wanted and stochastic:
        raise UserError(
            f"{name} returned shape {found} for {given}; this method's codes are Gaussians, and a latent dimension of "
            f"{latent} needs {wanted}, means and log variances side by side: change the last layers of {name}."
        )
    if found != wanted:
        other = f" or use latent={found[1]}" if len(found) == 2 and found[0] == ROWS else ""
        raise UserError(
            f"{name} returned shape {found} for {given}; a latent dimension of {latent} needs {wanted}: "
            f"change the last layers of {name}{other}."
        )
    return _Calls([shape], given, [{}])


def _check_discriminator(
    name: str, module: nn.Module, shapes: Sequence[tuple[int, ...]], classes: int, *, rows: str = "data rows"
) -> _Calls:
    given = f"{ROWS} {rows} of shape {' and '.join(str(shape) for shape in shapes)}"
    if classes and not accepts_option(module, "head"):
        raise UserError(
            f"This method classifies into {classes} classes on {name}'s features, but {name}'s forward takes no "
            f"`head`: wrap it as modecover.networks.TwoHeads(trunk, features, classes={classes}), the trunk being "
            f"{name} without its last layer."
        )
    found = tuple(_forward(name, module, shapes, given).shape)
    if found not in ((ROWS,), (ROWS, 1)):
        raise UserError(
            f"{name} returned shape {found} for {given}; a discriminator returns one score a row, {(ROWS,)} or "
            f"{(ROWS, 1)}: end {name} with a flatten and a linear layer to 1."
        )
    found = tuple(_forward(name, module, shapes, given, {"head": "classes"}).shape) if classes else ()
    if classes and found != (ROWS, classes):
        raise UserError(
            f'{name} returned shape {found} for {given} and head="classes"; the method needs {(ROWS, classes)}: '
            f"give its classifier head {classes} outputs."
        )
    return _Calls(shapes, given, [{}, {"head": "classes"}] if classes else [{}])


def _forward(
    name: str, module: nn.Module, shapes: Sequence[tuple[int, ...]], given: str, options: dict[str, str] | None = None
) -> Tensor:
    """The module's output for rows of the given shapes, one for each of its inputs.

    Raises `UserError` where there is no output, or it is no finite tensor.
    """
    try:
        output = module(*_rows(module, shapes), **(options or {}))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{name} failed on {given}: {first_line(error)}. Change {name}'s layers to take such rows."
        ) from error
    if not isinstance(output, Tensor):
        raise UserError(f"{name} returned a {type(output).__name__} for {given}; let its forward return one tensor.")
    if not output.is_floating_point():
        raise UserError(f"{name} returned numbers of type {output.dtype} for {given}; return floating point numbers.")
    if not output.isfinite().all():
        raise UserError(f"{name} returned NaN or infinity for {given}: start its weights smaller.")
    return output


def _rows(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(ROWS, *shape, generator=generator).to(device) for shape in shapes]


def _other_size(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """ " or use size=60" where the network makes square images of another size."""
    square = len(found) == len(wanted) == 4 and found[:2] == wanted[:2] and found[2] == found[3]
    return f" or use size={found[2]}" if square else ""


@contextmanager
def _left_as_found(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; on leaving, modes, buffers and random state are put back."""
    modes = [(part, part.training) for part in module.modules()]
    buffers = [
        (part, key, buffer, buffer.detach().clone())
        for part in module.modules()
        for key, buffer in part._buffers.items()
        if buffer is not None
    ]
    devices = {p.device for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=list(devices)), torch.no_grad():
        try:
            module.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training
            for part, key, buffer, value in buffers:
                part._buffers[key] = buffer.copy_(value)
