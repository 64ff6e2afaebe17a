"""Features by a small classifier of the labels that the real samples have: what a sample shows, not how well.

While it learns, samples are blurred, mixed with their class's mean, noised and shifted. A blurred or contracted sample
so keeps the features of its class, and the missing-mode estimator sees classes that are missing and no blur.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modecover.errors import UserError
from modecover.features.kept import Extractor, Samples, hash_of, in_batches
from modecover.metrics.arrays import ArrayLike, Floats, Integers, Report, as_labels
from modecover.metrics.classifier import convolution, descend
from modecover.random import derive_seed

WIDTH = 32
"""Features."""
SIDE = 16
"""Larger images are reduced to this side: labels are seen in coarse content."""
STEPS, BATCH, RATE, DECAY, SMOOTHING = 400, 64, 4e-3, 0.02, 0.1
BLURS = (0.5, 1.0)
"""Standard deviations of the blur, in pixels of the reduced images."""
MIXED, NOISE, SHIFT = 0.6, 0.4, 1
"""At most: the share of the class's mean, the noise's standard deviation (data of scale 1), and the shift in pixels."""


@dataclass(frozen=True, eq=False)
class Classifier(Extractor):
    """The features of a classifier, with its opinions."""

    scores: Callable[[Samples], Tensor]
    """Scores (n, classes) of samples."""
    classes: Integers
    """The label of each class, ascending, (classes,)."""

    def probabilities(self, samples: Samples) -> Floats:
        """The classifier's opinion of each sample, (n, classes), rows summing to 1."""
        return np.asarray(self.scores(samples).double().softmax(dim=1).numpy())


def classifier(
    real: Samples,
    labels: ArrayLike,
    *,
    seed: int = 0,
    steps: int = STEPS,
    plain: bool = False,
    device: torch.device | str = "cpu",
    progress: Report | None = None,
) -> Classifier:
    """Train a small classifier on real samples; its 32 features are what its last layer reads.

    Args:
        real: points (n, d) or images (n, C, H, W).
        labels: whole numbers of at least 0, (n,), of at least two different classes; else `UserError`.
        plain: learn from the samples and labels as they are, as for scores that a classifier's certainty goes into.
        seed: of the initial weights, the minibatches and the distortions; torch's global generator is left alone.
    """
    numbers = as_labels(labels, np.iinfo(np.int64).max)
    classes, targets = np.unique(numbers, return_inverse=True)
    if len(numbers) != len(real) or len(classes) < 2:
        raise UserError(
            f"the features 'classifier' need a label for each of the {len(real)} real samples, of two or more classes; "
            f"there are {len(numbers)} labels of {len(classes)} classes"
        )
    random = torch.Generator(device).manual_seed(derive_seed(seed, "classifier"))
    x = in_batches(_prepared, real, "cpu").to(device)
    y = torch.from_numpy(targets.reshape(-1)).to(device)
    centre, scale = x.mean(), float(x.std()) or 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "classifier", "weights"))
        body, head = (network.to(device) for network in _networks(tuple(x.shape[1:]), len(classes)))
    x = (x - centre) / scale
    means = torch.stack([x[y == number].mean(dim=0) for number in range(len(classes))])

    def loss() -> Tensor:
        rows = torch.randint(len(x), (BATCH,), generator=random, device=x.device)
        batch = x[rows] if plain else _distorted(x[rows], means[y[rows]], random)
        return functional.cross_entropy(head(body(batch)), y[rows], label_smoothing=0.0 if plain else SMOOTHING)

    descend([*body.parameters(), *head.parameters()], loss, steps, rate=RATE, decay=DECAY, progress=progress)
    for network in (body, head):
        network.eval().requires_grad_(False)

    def body_of(part: Tensor) -> Tensor:
        return body((_prepared(part) - centre) / scale)

    features = lambda samples: in_batches(body_of, samples, device)
    scores = lambda samples: in_batches(lambda part: head(body_of(part)), samples, device)
    weights = [*body.state_dict().values(), *head.state_dict().values()]
    return Classifier(
        f"classifier-{WIDTH}", hash_of("classifier", *weights), features, scores, classes, row_wise=True, fitted=True
    )


def _prepared(samples: Tensor) -> Tensor:
    """Images of no more than `SIDE` pixels a side; points as they are."""
    if samples.ndim != 4:
        return samples
    height, width = samples.shape[2:]
    return functional.adaptive_avg_pool2d(samples, (min(height, SIDE), min(width, SIDE)))


def _networks(shape: tuple[int, ...], classes: int) -> tuple[nn.Module, nn.Module]:
    """What makes features of prepared samples, and scores of the features; convolutions unless images are tiny."""
    head = nn.Linear(WIDTH, classes)
    if len(shape) != 3 or min(shape[1:]) < 4:
        size = math.prod(shape)
        layers = [nn.Flatten(), nn.Linear(size, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, WIDTH)]
        return nn.Sequential(*layers), head
    body = nn.Sequential(
        *convolution(shape[0], 24),
        nn.MaxPool2d(2),
        *convolution(24, 48),
        nn.MaxPool2d(2),
        *convolution(48, 64),
        nn.Flatten(),
        nn.Linear(64 * (shape[1] // 4) * (shape[2] // 4), WIDTH),
    )
    return body, head


def _distorted(x: Tensor, means: Tensor, random: torch.Generator) -> Tensor:
    """Half of the samples mixed with their class's mean; of images half blurred; all shifted and noised."""
    each = (len(x), *[1] * (x.ndim - 1))

    def uniform() -> Tensor:
        return torch.rand(each, generator=random, device=x.device)

    x = x + MIXED * uniform() * (uniform() < 0.5) * (means - x)
    if x.ndim == 4:
        width = BLURS[int(torch.randint(len(BLURS), (), generator=random, device=x.device))]
        kernel = torch.exp(-torch.arange(-2.0, 3.0, device=x.device).square() / (2 * width**2))
        kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
        flat = functional.pad(x.reshape(-1, 1, *x.shape[2:]), (2, 2, 2, 2), mode="replicate")
        blurred = functional.conv2d(functional.conv2d(flat, kernel), kernel.transpose(2, 3)).view(x.shape)
        x = torch.where(uniform() < 0.5, blurred, x)
        across, down = (torch.randint(-SHIFT, SHIFT + 1, (2,), generator=random, device=x.device)).tolist()
        height, wide = x.shape[2:]
        x = functional.pad(x, (SHIFT,) * 4, mode="replicate")
        x = x[:, :, SHIFT + down : SHIFT + down + height, SHIFT + across : SHIFT + across + wide]
    return x + NOISE * uniform() * torch.randn(x.shape, generator=random, device=x.device)
