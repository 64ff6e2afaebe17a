"""Does a network fit its role? Two rows are sent through it, and what comes back is judged in one sentence.

A copy is called in evaluation mode, as samples are asked for, and then called and differentiated as in training.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.networks.copies import detached_copy
from modecover.networks.normalization import KINDS

ROWS = 2
CALLS = 2
"""In training a network is called again and again: what fails, or returns another shape, at the second call shows."""

Shape = tuple[int, ...]
Call = tuple[Mapping[str, str], Sequence[Shape], Callable[[Shape], str]]
"""The options of a network's call, the shapes that will do, and what to say of another shape."""


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

    A copy runs in evaluation mode without gradients, and then as in training: the network, and torch's random state,
    are left as found.

    Args:
        role: as `Method.roles()` gives it.
        shape: of one sample of the data.
        latent: the latent dimension.
        classes, split_statistics, stochastic_codes, packing: what the method asks of its networks: see `Method`.
        practice: whether to find out, too, if it can be trained; known of modecover's own.
    """
    if not isinstance(module, nn.Module):
        raise UserError(f"{name} is a {type(module).__name__}; give an instance of torch.nn.Module.")
    # Its numbers are there, and of the type of the data that it will be given.
    tensors = [*module.parameters(), *module.buffers()]
    if any(is_lazy(tensor) for tensor in tensors):
        raise UserError(f"{name} has lazy layers that have seen no input yet: call it once on a few rows beforehand.")
    tensors = [t for t in tensors if t.is_floating_point() or t.is_complex()]
    if any(t.device.type == "meta" for t in tensors):
        raise UserError(f"{name} is on the meta device, where weights have no values: make it on the CPU.")
    if others := sorted({str(t.dtype) for t in tensors if t.dtype != torch.float32}):
        raise UserError(
            f"{name} holds numbers of type {', '.join(others)}, and data and noise are torch.float32: give "
            f"{name}.float() (precision='bf16' computes in bfloat16)."
        )
    # What it will be given, the calls that will be made of it, and what they should return.
    shape = tuple(shape)
    inputs: dict[str, tuple[str, list[Shape]]] = {
        "generator": ("latent rows", [(latent,)]),
        "encoder": ("data rows", [shape]),
        "discriminator": ("data rows", [(shape[0] * packing, *shape[1:])]),
        "latent discriminator": ("latent rows", [(latent,)]),
        "joint discriminator": ("data and latent rows", [shape, (latent,)]),
    }
    if role not in inputs:
        raise UserError(f"{name} has the role {role!r}, which is none of modecover's.")
    kind, shapes = inputs[role]
    of = str(latent) if role == "generator" else f"shape {' and '.join(map(str, shapes))}"
    given = f"{ROWS} {kind} of {of}"
    if role == "generator":
        calls = _of_generator(name, module, shape, split_statistics)
    elif role == "encoder":
        calls = _of_encoder(name, latent, stochastic_codes)
    else:
        calls = _of_discriminator(name, module, 0 if role == "joint discriminator" else classes)

    # On a copy, so that modes and buffers are left as found.
    pupil = detached_copy(module).eval()
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(ROWS, *each, generator=generator).to(device) for each in shapes]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for options, wanted, otherwise in calls:
            with torch.no_grad():
                output = _called(name, pupil, rows, given, options)
            found = tuple(output.shape)
            if not output.isfinite().all():
                raise UserError(f"{name} returned NaN or infinity for {given}: start its weights smaller.")
            if found not in wanted:
                head = ' and head="classes"' if "head" in options else ""
                raise UserError(f"{name} returned shape {found} for {given}{head}; {otherwise(found)}.")
        if practice:
            _practise(name, pupil.train(), rows, given, calls)


def accepts_option(module: nn.Module, name: str) -> bool:
    """Whether the module's forward can be called with the keyword `name`."""
    if isinstance(module, torch.jit.ScriptModule):
        scripted: Any = module.forward
        return any(argument.name == name for argument in scripted.schema.arguments)
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    parameters = inspect.signature(module.forward).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(p.kind == p.VAR_KEYWORD or (p.name == name and p.kind in named) for p in parameters)


def _of_generator(name: str, module: nn.Module, shape: Shape, split: bool) -> list[Call]:
    told = accepts_option(module, "kind")
    if split and not told and any("running_mean" in part._buffers for part in module.modules()):
        raise UserError(
            f"This method keeps separate batch statistics for prior noise and for codes, but {name}'s forward takes no "
            f'`kind`: write forward(self, z, kind="prior") and use modecover.networks.SplitBatchNorm in it.'
        )
    wanted = (ROWS, *shape)

    def otherwise(found: Shape) -> str:
        square = len(found) == len(wanted) == 4 and found[:2] == wanted[:2] and found[2] == found[3]
        other = f" or use size={found[2]}" if square else ""
        return f"the data needs {wanted}: change the last layers of {name}{other}"

    return [(option, [wanted], otherwise) for option in ([{"kind": kind} for kind in KINDS] if told else [{}])]


def _of_encoder(name: str, latent: int, stochastic: bool) -> list[Call]:
    wanted = (ROWS, 2 * latent if stochastic else latent)

    def otherwise(found: Shape) -> str:
        if stochastic:
            return (
                f"this method's codes are Gaussians, and a latent dimension of {latent} needs {wanted}, means and log "
                f"variances side by side: change the last layers of {name}"
            )
        other = f" or use latent={found[1]}" if len(found) == 2 and found[0] == ROWS else ""
        return f"a latent dimension of {latent} needs {wanted}: change the last layers of {name}{other}"

    return [({}, [wanted], otherwise)]


def _of_discriminator(name: str, module: nn.Module, classes: int) -> list[Call]:
    if classes and not accepts_option(module, "head"):
        raise UserError(
            f"This method classifies into {classes} classes on {name}'s features, but {name}'s forward takes no "
            f"`head`: wrap it as modecover.networks.TwoHeads(trunk, features, classes={classes}), the trunk being "
            f"{name} without its last layer."
        )
    scores, logits = [(ROWS,), (ROWS, 1)], (ROWS, classes)
    score = f"a discriminator returns one score a row, {scores[0]} or {scores[1]}"
    calls: list[Call] = [({}, scores, lambda found: f"{score}: end {name} with a flatten and a linear layer to 1")]
    told = f"the method needs {logits}: give its classifier head {classes} outputs"
    return [*calls, ({"head": "classes"}, [logits], lambda found: told)] if classes else calls


def _called(
    name: str, module: nn.Module, rows: Sequence[Tensor], given: str, options: Mapping[str, str], mode: str = ""
) -> Tensor:
    """What the module makes of the rows; `UserError` where that is no tensor of floating point numbers."""
    try:
        output = module(*rows, **options)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        every = " at every call" if mode else ""
        raise UserError(
            f"{name} failed{mode} on {given}: {first_line(error)}. Change {name}'s layers to take such rows{every}."
        ) from error
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise UserError(f"{name} returned a {kind}{mode} for {given}; let its forward return one tensor.")
    if not output.is_floating_point():
        raise UserError(
            f"{name} returned numbers of type {output.dtype}{mode} for {given}; return floating point numbers."
        )
    return output


def _practise(name: str, pupil: nn.Module, rows: Sequence[Tensor], given: str, calls: Sequence[Call]) -> None:
    """Raise `UserError` unless the network can be trained: called several times, and differentiated."""
    if not [*pupil.parameters()]:
        raise UserError(f"{name} is a network without parameters, which cannot be trained: give it at least one layer.")
    if not (parameters := [p for p in pupil.parameters() if p.requires_grad]):
        raise UserError(
            f"{name} is frozen (requires_grad is False for all of its parameters), and every network of a method is "
            f"trained: call {name}.requires_grad_(True)."
        )
    for options, _, _ in calls:
        shapes = set()
        for _ in range(CALLS):
            inputs = [x.clone().requires_grad_() for x in rows]
            with torch.enable_grad():
                output = _called(name, pupil, inputs, given, options, " in training mode")
                try:
                    total = output.float().square().sum()
                    slopes = torch.autograd.grad(total, parameters, allow_unused=True) if output.requires_grad else ()
                except Exception as error:
                    raise UserError(
                        f"{name} cannot be differentiated on {given}: {first_line(error)}. Change {name}'s layers to "
                        "ones that autograd follows."
                    ) from error
            if all(slope is None for slope in slopes):
                raise UserError(
                    f"{name}'s output does not depend on its parameters in a way that autograd follows, so that "
                    "nothing would be trained: leave detach, no_grad, .data and NumPy out of its forward."
                )
            shapes.add(tuple(output.shape))
        if len(shapes) > 1:
            raise UserError(
                f"{name} returned the shapes {' and '.join(map(str, sorted(shapes)))} for the same {given}: let "
                "its forward return one shape at every call."
            )
