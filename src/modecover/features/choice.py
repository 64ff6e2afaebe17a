"""Which features: by name, by function, or by what is known of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from modecover.errors import UserError
from modecover.features.base import Extractor, Samples
from modecover.features.classifier import classifier
from modecover.features.functions import by_function
from modecover.features.pixels import pixels
from modecover.features.random_convolutions import random_convolutions
from modecover.metrics.arrays import Integers

NAMES = ("auto", "pixels", "random-convolutions", "classifier", "inception")


def fit_features(
    choice: str | Extractor | Callable[[Any], Any],
    real: Samples,
    labels: Integers | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Extractor:
    """The extractor of this name, fitted to real samples where it needs it."""
    if isinstance(choice, Extractor):
        return choice
    if callable(choice):
        return by_function(choice)
    if choice in ("auto", "pixels"):
        return pixels(real)
    if choice == "classifier":
        if labels is None:
            raise UserError(
                "the features 'classifier' need labels of the real samples: give labels=, or choose others."
            )
        return classifier(real, labels, seed=seed, device=device)
    if choice == "random-convolutions":
        return random_convolutions(real.shape[1:], seed=seed, device=device)
    raise UserError(f"there are no features called {choice!r}; choose among {', '.join(NAMES)}, or give a function.")
