"""Features by a function of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modecover.errors import UserError
from modecover.features.base import Extractor, hash_of
from modecover.features.kept import Floats32
from modecover.kinds import first_line


def by_function(function: Callable[[Any], Any]) -> Extractor:
    """The extractor that a Python function or a network is.

    A network (`torch.nn.Module`) is put into evaluation mode for the call and given tensors in batches, on its own
    device; its hash is that of its weights. Any other function is given the whole array, and its hash is that of its
    source where Python knows it, else of its name.

    Args:
        function: takes samples, float32 (n, ...), images in [-1, 1], and returns rows of numbers, (n, ...).
    """
    if isinstance(function, nn.Module):
        network = function
        weights = [part for name, value in sorted(network.state_dict().items()) for part in (name, value)]
        name = type(network).__name__
        return Extractor(
            name, hash_of(name, *weights), _guarded(name, lambda samples: _of_network(network, samples)), row_wise=True
        )
    name = getattr(function, "__name__", type(function).__name__)
    return Extractor(name, hash_of(name, _source(function)), _guarded(name, function))


def _guarded(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`function` as one of rows, whatever it raises told in a sentence."""

    def rows(samples: Floats32) -> Any:
        try:
            return _flat(function(samples))
        except Exception as error:
            raise UserError(
                f"what gives the features {name} raised {type(error).__name__} ({first_line(error)}) for samples of "
                f"shape {samples.shape}; it is called with an array of samples and returns a row of numbers for each"
            ) from error

    return rows


def _of_network(network: nn.Module, samples: Floats32) -> Any:
    first = next(network.parameters(), None)
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            block = torch.from_numpy(np.ascontiguousarray(samples))
            return network(block if first is None else block.to(first.device)).cpu()
    finally:
        network.train(training)


def _flat(features: Any) -> Any:
    """Features of any shape as rows."""
    rows = features if isinstance(features, Tensor) else np.asarray(features)
    return rows.reshape(len(rows), -1) if rows.ndim > 2 or rows.ndim == 1 else rows


def _source(function: Callable[[Any], Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return getattr(function, "__qualname__", "")
