"""Which features: by name, by a function or network of the user's, or by what is known of the data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modecover.errors import UserError
from modecover.features.base import Extractor, hash_of, in_batches
from modecover.features.classifier import classifier
from modecover.features.fixed import inception, random_convolutions
from modecover.features.kept import Floats32, Samples
from modecover.features.pixels import MEMORY, pixels
from modecover.kinds import first_line
from modecover.metrics.arrays import Integers, Report

NAMES = ("auto", "pixels", "random-convolutions", "classifier", "inception:FILE")

FEWEST_OF_A_CLASS = 20
"""Real samples of a class, on average, from which "auto" lets a classifier learn."""


def fit_features(
    choice: str | Extractor | Callable[[Any], Any],
    real: Samples,
    labels: Integers | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    memory: int = MEMORY,
    progress: Report | None = None,
) -> Extractor:
    """The extractor that `choice` names, fitted to real samples where it needs them.

    Args:
        choice: "pixels"; "random-convolutions"; "classifier", of `labels`; "inception:FILE", the file being weights for
            torch-fidelity's network; an extractor; or a function or network. "auto" is the classifier for images whose
            labels name few enough classes, else pixels.
        real: points (n, d) or images (n, C, H, W).
        seed: of random weights and of training.
        memory: bytes that tables of products may take.
        progress: of a classifier's training.

    Raises:
        UserError: there are no such features, or they cannot be had for such samples.
    """
    if isinstance(choice, Extractor):
        return choice
    if callable(choice):
        return by_function(choice)
    if choice == "auto":  # a classifier only where it has enough to learn each class from
        classes = 0 if labels is None or real.ndim != 4 else len(np.unique(labels))
        choice = "classifier" if 2 <= classes <= len(real) / FEWEST_OF_A_CLASS else "pixels"
    kind, _, weights = choice.partition(":")
    if kind == "pixels":
        return pixels(real, memory=memory)
    if kind == "classifier":
        if labels is None:
            raise UserError("The features 'classifier' need labels of the real samples: give them, or choose others.")
        return classifier(real, labels, seed=seed, device=device, progress=progress)
    if kind == "random-convolutions":
        return random_convolutions(real.shape[1:], seed=seed, device=device)
    if kind == "inception" and weights:
        return inception(weights, device=device)
    raise UserError(f"There are no features called {choice!r}: choose one of {', '.join(NAMES)}, or give a function.")


def by_function(function: Callable[[Any], Any]) -> Extractor:
    """The extractor that a Python function or a network is.

    A network (`torch.nn.Module`) is put into evaluation mode for the call and given tensors in batches, on its own
    device; its hash is that of its weights. Any other function is given the whole array, and its hash is that of its
    source where Python knows it, else of its name.

    Args:
        function: takes samples, float32 (n, ...), images in [-1, 1], and returns rows of numbers, (n, ...).
    """
    network = function if isinstance(function, nn.Module) else None
    name = getattr(function, "__name__", type(function).__name__) if network is None else type(network).__name__
    if network is not None:
        identity = [part for name_and_value in sorted(network.state_dict().items()) for part in name_and_value]
    else:
        try:
            identity = [inspect.getsource(function)]
        except (OSError, TypeError):
            identity = [getattr(function, "__qualname__", "")]

    def rows(samples: Floats32) -> Any:
        try:
            found = function(samples) if network is None else _of_network(network, samples)
            found = found if isinstance(found, Tensor) else np.asarray(found)
            return found.reshape(len(found), -1) if found.ndim > 2 or found.ndim == 1 else found
        except Exception as error:  # the user's own code: whatever it raises is told
            raise UserError(
                f"what gives the features {name} raised {type(error).__name__} ({first_line(error)}) for samples of "
                f"shape {samples.shape}; it is called with an array of samples and returns a row of numbers for each"
            ) from error

    return Extractor(name, hash_of(name, *identity), rows, row_wise=network is not None)


def _of_network(network: nn.Module, samples: Floats32) -> Tensor:
    first, training = next(network.parameters(), None), network.training
    network.eval()
    try:
        return in_batches(network, samples, "cpu" if first is None else first.device)
    finally:
        network.train(training)
