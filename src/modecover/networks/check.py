"""Does a network, whoever wrote it, fit its role? Two rows are sent through a copy, and what comes back is judged."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.networks.normalization import KINDS

ROWS = 2
CALLS = 2
"""In training a network is called again and again: what fails, or returns another shape, at the second call shows."""

Shape = tuple[int, ...]
Call = tuple[Mapping[str, str], Sequence[Shape], str]
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
    told: int = 0,
) -> None:
    """Raise `UserError` unless `module`, the network `name` of a method, can play its role.

    A copy runs in evaluation mode without gradients, as samples are asked for, and then as in training: the network,
    and torch's random state, are left as found.

    Args:
        role: as `Method.roles()` gives it.
        shape, latent: of one sample of the data; the latent dimension.
        classes, split_statistics, stochastic_codes, packing: what the method asks of its networks: see `Method`.
        told: numbers that rows of a conditional model carry behind their own.
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
        "generator": ("latent rows", [(latent + told,)]),
        "encoder": ("data rows", [(shape[0] + told, *shape[1:])]),
        "discriminator": ("data rows", [(shape[0] * packing + told, *shape[1:])]),
        "latent discriminator": ("latent rows", [(latent,)]),
        "joint discriminator": ("data and latent rows", [(shape[0] + told, *shape[1:]), (latent,)]),
    }
    if role not in inputs:
        raise UserError(f"{name} has the role {role!r}, which is none of modecover's.")
    kind, shapes = inputs[role]
    of = str(latent + told) if role == "generator" else f"shape {' and '.join(map(str, shapes))}"
    given = f"{ROWS} {kind} of {of}"
    layers = f"change the last layers of {name}"
    if role == "generator":
        told, wanted = accepts_option(module, "kind"), (ROWS, *shape)
        if split_statistics and not told and any("running_mean" in part._buffers for part in module.modules()):
            raise UserError(
                f"This method keeps separate batch statistics for prior noise and for codes, but {name}'s forward "
                f'takes no `kind`: write forward(self, z, kind="prior") and use modecover.networks.SplitBatchNorm in '
                "it."
            )
        kinds: list[dict[str, str]] = [{"kind": kind} for kind in KINDS] if told else [{}]
        calls: list[Call] = [(option, [wanted], f"the data needs {wanted}: {layers}") for option in kinds]
    elif role == "encoder":
        wanted = (ROWS, 2 * latent if stochastic_codes else latent)
        need = f"a latent dimension of {latent} needs {wanted}"
        if stochastic_codes:
            need = f"this method's codes are Gaussians, and {need}, means and log variances side by side"
        calls = [({}, [wanted], f"{need}: {layers}")]
    else:
        scores = [(ROWS,), (ROWS, 1)]
        score = f"a discriminator returns one score a row, {scores[0]} or {scores[1]}"
        calls = [({}, scores, f"{score}: end {name} with a flatten and a linear layer to 1")]
        if classes and role != "joint discriminator":
            if not accepts_option(module, "head"):
                raise UserError(
                    f"This method classifies into {classes} classes on {name}'s features, but {name}'s forward takes "
                    f"no `head`: wrap it as modecover.networks.TwoHeads(trunk, features, classes={classes}), the trunk "
                    f"being {name} without its last layer."
                )
            logits = (ROWS, classes)
            need = f"the method needs {logits}: give its classifier head {classes} outputs"
            calls.append(({"head": "classes"}, [logits], need))

    pupil = detached_copy(module).eval()
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(ROWS, *each, generator=generator).to(device) for each in shapes]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for options, allowed, cure in calls:
            with torch.no_grad():
                output = _called(name, pupil, rows, given, options)
            found = tuple(output.shape)
            if not output.isfinite().all():
                raise UserError(f"{name} returned NaN or infinity for {given}: start its weights smaller.")
            if found not in allowed:
                head = ' and head="classes"' if "head" in options else ""
                # Data or codes of another size may be what is meant.
                if role == "generator" and len(found) == len(shape) + 1 == 4 and found[:2] == (ROWS, shape[0]):
                    cure += f" or use size={found[2]}" if found[2] == found[3] else ""
                elif role == "encoder" and not stochastic_codes and len(found) == 2 and found[0] == ROWS:
                    cure += f" or use latent={found[1]}"
                raise UserError(f"{name} returned shape {found} for {given}{head}; {cure}.")
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


def detached_copy(network: nn.Module) -> nn.Module:
    """A deep copy, also of a network that holds on to results of its last forward: old-style spectral or weight norm.
    Raises `UserError` where it holds something that Python cannot copy."""
    held = [value for m in network.modules() for value in (*vars(m).values(), *m._buffers.values())]
    results = [value for value in held if isinstance(value, Tensor) and not value.is_leaf]
    try:
        with torch.no_grad():  # a scripted module's weights are copied by operations, which autograd would follow
            copied = copy.deepcopy(network, {id(value): value.detach().clone() for value in results})
    except Exception as error:
        raise UserError(
            f"A {type(network).__name__} cannot be copied ({first_line(error)}), and training keeps copies of networks:"
            " leave out of it what copy.deepcopy does not take, or give it a __deepcopy__."
        ) from error
    for parameter, original in zip(copied.parameters(), network.parameters(), strict=True):
        if not is_lazy(parameter):
            parameter.requires_grad_(original.requires_grad)
    return copied
