"""How well samples cover the modes of the data, where the data has modes that are known."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from modecover.data import Dataset, StackedDigits
from modecover.data.mixtures import Mixture
from modecover.limits import require_memory
from modecover.metrics.classifier import SAMPLES, DigitClassifier, cached_digit_classifier, stacked_modes
from modecover.metrics.labels import stacked_law
from modecover.metrics.modes import mixture_modes
from modecover.metrics.transport import wasserstein
from modecover.random import derive_seed

Progress = Callable[[int, int], None]


class Evaluator(ABC):
    """Judges samples of one seed.

    Attributes:
        samples: how many samples it wants.
        headline: the numbers worth showing first.
        facts: what the numbers depend on beside the samples (a classifier's accuracy and hash).
    """

    samples: int
    headline: ClassVar[tuple[str, ...]]
    facts: dict[str, object]

    @abstractmethod
    def judge(self, samples: Tensor) -> dict[str, float]:
        """Numbers by name, for samples of shape (N, *shape)."""

    @abstractmethod
    def score(self, numbers: dict[str, float]) -> tuple[float, ...]:
        """By what two evaluations are compared to find the best: larger is better."""

    @abstractmethod
    def control(self) -> dict[str, float]:
        """The same numbers for fresh samples of the data itself: what a perfect model would read."""


@dataclass
class MixtureEvaluator(Evaluator):
    """Modes by both counts, high-quality share, KL, spread within modes and Wasserstein distance of a 2-D mixture."""

    mixture: Mixture
    samples: int = 2048
    headline = ("modes_many", "modes_any", "high_quality", "std_ratio", "kl")

    def __post_init__(self) -> None:
        self.facts = {"modes": len(self.mixture.centres), "samples": self.samples}
        self._reference = self._real("reference")

    def judge(self, samples: Tensor) -> dict[str, float]:
        report = mixture_modes(samples, self.mixture.centres, self.mixture.std, self.mixture.weights)
        names = ("modes_any", "modes_many", "high_quality", "kl", "reverse_kl", "std_ratio")
        numbers = {name: float(getattr(report, name)) for name in names}
        return {**numbers, "wasserstein": wasserstein(samples, self._reference, limit=500)}

    def score(self, numbers: dict[str, float]) -> tuple[float, ...]:
        return numbers["modes_many"], numbers["modes_any"], numbers["high_quality"]

    def control(self) -> dict[str, float]:
        return self.judge(self._real("control"))

    def _real(self, purpose: str) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(0, "evaluation", purpose))
        return self.mixture.sample(self.samples, generator)


@dataclass
class StackedEvaluator(Evaluator):
    """Numbers written by stacked digits, read by a digit classifier; both counts and both directions of KL."""

    data: StackedDigits
    classifier: DigitClassifier
    samples: int = SAMPLES
    headline = ("modes_any", "modes_enough", "kl_uniform")

    def __post_init__(self) -> None:
        self.facts = {
            "modes": self.data.modes,
            "samples": self.samples,
            "classifier_accuracy": self.classifier.accuracy,
            "classifier_held_out": self.classifier.record.held_out,
            "classifier_sha256": self.classifier.sha256,
        }
        assert self.data.base.labels is not None
        self._law = stacked_law(self.data.base.labels, self.data.k)

    def judge(self, samples: Tensor) -> dict[str, float]:
        report = stacked_modes(samples, self.classifier, reference=self._law)
        names = ("modes_any", "modes_enough", "kl_uniform", "kl_reference", "reverse_kl_uniform")
        return {name: float(getattr(report, name)) for name in names}

    def score(self, numbers: dict[str, float]) -> tuple[float, ...]:
        return (-numbers["kl_uniform"],)

    def control(self) -> dict[str, float]:
        fresh = StackedDigits(self.data.base.to("cpu"), self.data.k, count=None)
        generator = torch.Generator().manual_seed(derive_seed(0, "evaluation", "control"))
        return self.judge(fresh.sample(self.samples, generator))


def evaluator_for(dataset: Dataset, samples: int | None = None, progress: Progress | None = None) -> Evaluator | None:
    """What can judge samples of this data; None where its modes are not known.

    For stacked digits a classifier of single digits is trained the first time, and kept in `cache_folder()`.
    """
    if samples is not None:
        require_memory(f"Evaluations of {samples:,} samples", 8 * samples * math.prod(dataset.shape), "choose fewer")
    if dataset.mixture is not None:
        return MixtureEvaluator(dataset.mixture, samples or 2048)
    if isinstance(dataset, StackedDigits):
        base = dataset.base.to("cpu")
        assert base.labels is not None, "stacked digits have labels"
        digits = _at_28_pixels(base.pixels)
        classifier = cached_digit_classifier(digits, base.labels, cache_folder(), progress=progress)
        return StackedEvaluator(dataset, classifier, samples or SAMPLES)
    return None


def _at_28_pixels(pixels: Tensor) -> Tensor:
    """Digits uint8 (N, 1, H, H) at the classifier's side, (N, 28, 28)."""
    if pixels.shape[-1] != 28:
        resized = F.interpolate(pixels.float(), size=(28, 28), mode="bilinear", antialias=True)
        pixels = resized.round().clamp(0, 255).to(torch.uint8)
    return pixels[:, 0]


def cache_folder() -> Path:
    """Where things that are made once are kept: $MODECOVER_CACHE, else modecover in the user's cache folder."""
    if own := os.environ.get("MODECOVER_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modecover"
