"""Tensors as files hold them: plain values with a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from modecover.files import Json


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values alone, on the CPU, contiguous, in memory of their own: safetensors refuses views and shared memory."""
    plain = {name: tensor.detach().resolve_conj().resolve_neg() for name, tensor in tensors.items()}
    return {name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format) for name, tensor in plain.items()}


def digest(tensors: Mapping[str, Tensor], *facts: Json) -> str:
    """SHA-256 of the facts and of every tensor's name, dtype, shape and bytes, whatever their order.

    The tensors are as `stored` returns them.
    """
    total = hashlib.sha256(json.dumps(facts).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
