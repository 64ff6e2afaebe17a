"""Copies of networks, whoever wrote them."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from modecover.errors import UserError
from modecover.kinds import first_line


def detached_copy(network: nn.Module) -> nn.Module:
    """A deep copy, also of a network that holds on to results of its last forward: old-style spectral or weight norm.

    Raises:
        UserError: it holds something that Python cannot copy.
    """
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
