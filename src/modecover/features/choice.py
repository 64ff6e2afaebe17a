"""Which features: by name, by function, or by what is known of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from modecover.errors import UserError
from modecover.features.base import Extractor
from modecover.features.classifier import Progress, classifier
from modecover.features.functions import by_function
from modecover.features.inception import inception
from modecover.features.kept import Samples
from modecover.features.pixels import MEMORY, pixels
from modecover.features.random_convolutions import random_convolutions
from modecover.metrics.arrays import Integers

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
    progress: Progress | None = None,
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
    if choice == "auto":
        choice = "classifier" if _worth_a_classifier(real, labels) else "pixels"
    kind, _, weights = choice.partition(":")
    if kind == "pixels":
        return pixels(real, memory=memory)
    if kind == "classifier":
        if labels is None:
            raise UserError(
                "The features 'classifier' need labels of the real samples: give labels, or other features."
            )
        return classifier(real, labels, seed=seed, device=device, progress=progress)
    if kind == "random-convolutions":
        return random_convolutions(real.shape[1:], seed=seed, device=device)
    if kind == "inception" and weights:
        return inception(weights, device=device)
    raise UserError(f"There are no features called {choice!r}: choose one of {', '.join(NAMES)}, or give a function.")


def _worth_a_classifier(real: Samples, labels: Integers | None) -> bool:
    if labels is None or real.ndim != 4:
        return False
    classes = len(np.unique(labels))
    return 2 <= classes <= len(real) / FEWEST_OF_A_CLASS
