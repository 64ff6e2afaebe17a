"""Looking at a run while it goes on: how often, at which samples, and how well these cover modes that are known, or how
far from the data they are where none are."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from modecover.data import Dataset, Images, StackedDigits
from modecover.data.base import Progress, silent
from modecover.data.mixtures import Mixture
from modecover.data.scaling import Scaling
from modecover.engine.side_by_side import AnyEngine
from modecover.errors import UserError
from modecover.features import Extractor, automatic, fit_features
from modecover.features.choice import NAMES
from modecover.limits import require_memory
from modecover.metrics.classifier import SAMPLES, DigitClassifier, cached_digit_classifier, stacked_modes
from modecover.metrics.frechet import frechet_distance, wasserstein
from modecover.metrics.labels import stacked_law
from modecover.metrics.modes import mixture_modes
from modecover.random import derive_seed

Evaluations = list[tuple[int, list[dict[str, float]]]]
"""(step, the numbers of each seed) in order."""

FIRST_LOOK = 32  # the step of the first picture by default, and of the first evaluation where the clock may end the run
SHARE = 0.025  # of the time so far, that pictures may have taken, and evaluations, where the next comes by default
SHARE_OF_MINUTES = 0.1  # the same of evaluations where the clock may end the run: a short run shall have a curve, too
FEW, FEWEST = 2048, 10  # samples of an evaluation by default, but of stacked digits; and at least
LEARNT_FROM, BLOCK = 10_000, 512  # rows at most that features are fitted to; and that are read at a time
BEYOND = 1e15  # numbers so large come of a run that has diverged, and have no distance
FITTED = ("pixels", "classifier")
"""Features that are fitted to real rows."""
SKIPPED = (
    f"evaluations take over {SHARE:.1%} of the time, so some are skipped; --evaluate-every N has one every N steps"
)


@dataclass
class Interlude:
    """Work of one kind that a run does between its steps, and that must not hold up training.

    Attributes:
        every: steps between, as the user wants it; 0: never. None: `default` steps, where there is time.
        default: steps.
        first: by default the work also comes at this step and whenever its number has doubled, before the first
            `default` steps are over; 0: it does not.
        share: of the time so far, that it may have taken where the next comes by default; None: `SHARE`.
        seconds: that it has taken in this start of the run.
    """

    every: int | None
    default: int
    first: int = 0
    share: float | None = None
    seconds: float = 0.0

    def falls_on(self, step: int) -> bool:
        """Whether its interval ends at this step."""
        if self.every is None and self.first and step < self.default:
            doublings, rest = divmod(step, self.first)
            return rest == 0 and doublings.bit_count() == 1
        every = self.default if self.every is None else self.every
        return every > 0 and step % every == 0

    def has_time(self, elapsed: float) -> bool:
        """Whether the work is wanted at any price, or has taken no more than its share of the `elapsed` seconds."""
        share = SHARE if self.share is None else self.share
        return self.every is not None or self.seconds <= share * elapsed

    @contextmanager
    def timed(self) -> Iterator[None]:
        """The block is work of this kind."""
        start = time.monotonic()
        yield
        self.seconds += time.monotonic() - start


def samples_of(engine: AnyEngine, scaling: Scaling | None, count: int, key: str, *, average: bool) -> Tensor:
    """Samples of every seed of a run, (S, count, *shape), in the data's units and on the CPU.

    They come from noise that is fixed by seed and key. Call it within `engine.evaluating()`. `scaling` is how the
    engine sees rows; with `average` they are of the moving average of the weights.
    """
    rows = engine.sample(count, average=average, key=key).cpu()
    return rows if scaling is None else scaling.undo(rows)


@dataclass(frozen=True)
class Evaluator:
    """Judges samples of one seed.

    Attributes:
        judge: numbers by name, for samples of shape (N, *shape).
        draw: so many fresh samples of the data itself.
        samples: how many samples it wants.
        headline: the numbers worth showing first.
        facts: what the numbers depend on beside the samples (a classifier's accuracy and hash).
        of_data: the numbers of fresh samples of the data, once they were taken.
    """

    judge: Callable[[Tensor], dict[str, float]]
    draw: Callable[[int, torch.Generator], Tensor]
    samples: int
    headline: tuple[str, ...]
    facts: dict[str, object]
    of_data: dict[str, float] = field(default_factory=dict)

    def control(self) -> dict[str, float]:
        """The same numbers for fresh samples of the data itself: what a perfect model would read."""
        if not self.of_data:
            self.of_data.update(self.judge(self.draw(self.samples, _generator("control"))))
        return dict(self.of_data)

    def judge_run(self, engine: AnyEngine, scaling: Scaling | None) -> list[dict[str, float]]:
        """The numbers of each seed of a run; those of moving averages, where they are kept, begin with "ema_"."""
        raw = samples_of(engine, scaling, self.samples, "evaluation", average=False)
        numbers = [self.judge(samples) for samples in raw]
        if engine.averaged:
            mean = samples_of(engine, scaling, self.samples, "evaluation", average=True)
            for row, samples in zip(numbers, mean, strict=True):
                row |= {f"ema_{name}": value for name, value in self.judge(samples).items()}
        return numbers

    def summary(self, evaluations: Evaluations) -> dict[str, object]:
        """Of each seed the last numbers, and the best of the curve."""
        curves = zip(*[[(step, row) for row in rows] for step, rows in evaluations], strict=True)
        best = [max(curve, key=lambda entry: score(entry[1])) for curve in curves]
        last = evaluations[-1][1]
        return {"evaluation": self.facts, "last": last, "best": [{"step": step, **row} for step, row in best]}


def in_words(facts: Mapping[str, object]) -> str:
    """An evaluator's facts: "features classifier-32:154033f5, samples 5000"."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def score(numbers: Mapping[str, float]) -> tuple[float, ...]:
    """By what two evaluations of a seed are compared to find the best: larger is better. NaN is the worst."""
    less = [name for name in ("kl_uniform", "frechet") if name in numbers][:1]
    found = [-numbers[name] for name in less]
    found = found or [numbers.get(name, math.nan) for name in ("modes_many", "modes_any", "high_quality")]
    return tuple(-math.inf if value != value else value for value in found)


def evaluator_for(
    dataset: Dataset,
    samples: int | None = None,
    progress: Progress = silent,
    *,
    features: str | None = None,
    device: torch.device | str = "cpu",
) -> Evaluator | None:
    """What can judge samples of this data, on `device` where networks judge; None where its modes are not known and no
    features are named.

    For stacked digits a classifier of single digits is trained the first time, and kept in $MODECOVER_CACHE, else in
    modecover in the user's cache folder.

    Args:
        samples: to judge. Default: 26,000 of stacked digits, 2,048 of others.
        features: those in which the Frechet distance is taken where modes are not known, as `fit_features` names them.

    Raises:
        UserError: there is no memory for the samples, no such features, or too few rows to take a distance from.
    """
    if samples is not None:
        size = 2 * 4 * samples * math.prod(dataset.shape)
        require_memory(f"{samples:,} samples", size, "choose fewer")
    if dataset.mixture is not None:
        return _of_mixture(dataset.mixture, samples or FEW)
    if isinstance(dataset, StackedDigits):
        return _of_stacks(dataset, samples or SAMPLES, progress, device)
    return None if features is None else _of_features(dataset, samples or FEW, features, progress, device)


def _of_mixture(mixture: Mixture, samples: int) -> Evaluator:
    """Modes by both counts, high-quality share, KL, spread within modes and Wasserstein distance of a 2-D mixture."""
    reference = mixture.sample(samples, _generator("reference"))

    def judge(rows: Tensor) -> dict[str, float]:
        report = mixture_modes(rows, mixture.centres, mixture.std, mixture.weights)
        names = ("modes_any", "modes_many", "high_quality", "kl", "reverse_kl", "std_ratio")
        numbers = {name: float(getattr(report, name)) for name in names}
        return {**numbers, "wasserstein": wasserstein(rows, reference, limit=500)}

    return Evaluator(
        judge,
        mixture.sample,
        samples,
        headline=("modes_many", "modes_any", "high_quality", "std_ratio", "kl"),
        facts={"modes": len(mixture.centres), "samples": samples},
    )


def digit_judge(base: Images, progress: Progress = silent) -> DigitClassifier:
    """A classifier of single digits, trained on these the first time and kept in a folder: see `evaluator_for`."""
    assert base.labels is not None, "digits have labels"
    pixels = base.pixels
    if pixels.shape[-1] != 28:  # the classifier's side
        pixels = F.interpolate(pixels.float(), size=(28, 28), mode="bilinear", antialias=True)
        pixels = pixels.round().clamp(0, 255).to(torch.uint8)
    cache = os.environ.get("MODECOVER_CACHE")
    folder = Path(cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modecover")
    told = partial(progress, "digit classifier for the evaluation")
    return cached_digit_classifier(pixels[:, 0], base.labels, folder, progress=told)


def _of_stacks(data: StackedDigits, samples: int, progress: Progress, device: torch.device | str) -> Evaluator:
    """Numbers written by stacked digits, read by a digit classifier; both counts and both directions of KL."""
    base = data.base.to("cpu")
    assert base.labels is not None, "stacked digits have labels"
    classifier = digit_judge(base, progress).to(device)
    law = stacked_law(base.labels, data.k)

    def judge(rows: Tensor) -> dict[str, float]:
        report = stacked_modes(rows, classifier, reference=law)
        names = ("modes_any", "modes_enough", "kl_uniform", "kl_reference", "reverse_kl_uniform")
        return {name: float(getattr(report, name)) for name in names}

    return Evaluator(
        judge,
        StackedDigits(base, data.k, count=None).sample,
        samples,
        headline=("modes_any", "modes_enough", "kl_uniform"),
        facts={
            "modes": data.modes,
            "samples": samples,
            "classifier_accuracy": classifier.accuracy,
            "classifier_held_out": classifier.record.held_out,
            "classifier_sha256": classifier.sha256,
        },
    )


def _of_features(data: Dataset, samples: int, choice: str, progress: Progress, device: torch.device | str) -> Evaluator:
    """The Frechet distance to real rows, in features that were fitted to others of them; points are standardised first.

    As it grows where samples are few, samples, real rows and those of the control are equally many: at most a third of
    all rows each.
    """
    if data.size is None:
        raise UserError(f"{data.name} is endless: evaluate_features needs data of so many rows. Leave it out.")
    count = min(samples, data.size // 3)
    if count < FEWEST:
        raise UserError(
            f"{data.name} has {data.size:,} rows, too few for a Frechet distance: leave out evaluate_features, or give "
            f"at least {3 * FEWEST}."
        )
    order = torch.randperm(data.size, generator=_generator("rows"))
    reference, control, rest = order[:count], order[count : 2 * count], order[2 * count :][:LEARNT_FROM]
    told = partial(progress, "features for the evaluation")

    def rows_of(keys: Tensor) -> Tensor:
        return torch.cat([data.fetch(part.to(data.device)).cpu() for part in keys.split(BLOCK)])

    scaling = None
    if len(data.shape) == 1:
        scaling = Scaling.of(rows_of(rest)) if data.encoding is None else data.encoding.scaling

    def seen(rows: Tensor) -> NDArray[np.float32]:
        return (rows if scaling is None else scaling.apply(rows)).numpy()

    labels = None if data.labels is None else data.labels.cpu()[rest].numpy()
    choice = automatic((len(rest), *data.shape), labels) if choice == "auto" else choice
    key = (data.fingerprint, None if labels is None else labels.tobytes(), count, choice, str(device))
    if key not in _REAL:
        learnt = seen(rows_of(rest)) if choice in FITTED else np.empty((0, *data.shape), np.float32)
        extractor = fit_features(choice, learnt, labels, device=device, progress=told)
        real: list[NDArray[np.float32]] = []
        for part in reference.split(BLOCK):
            told(BLOCK * len(real), count)
            real.append(extractor(seen(rows_of(part))))
        _REAL.clear()  # those of one data set are enough
        _REAL[key] = (extractor, np.concatenate(real), {})
    extractor, features, of_data = _REAL[key]
    if choice not in NAMES:  # a file, which may be another the next time
        _REAL.clear()

    def judge(rows: Tensor) -> dict[str, float]:
        sane = bool(rows.isfinite().all()) and float(rows.abs().max()) < BEYOND
        return {"frechet": frechet_distance(features, extractor(seen(rows))) if sane else math.nan}

    return Evaluator(
        judge,
        lambda wanted, _: rows_of(control[:wanted]),
        count,
        headline=("frechet",),
        facts={"features": extractor.identity, "samples": count},
        of_data=of_data,
    )


_REAL: dict[tuple[object, ...], tuple[Extractor, NDArray[np.float32], dict[str, float]]] = {}
"""What this process has made of the real rows last, for its next run on them: features, theirs and the control's
numbers."""


def _generator(purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(0, "evaluation", purpose))
