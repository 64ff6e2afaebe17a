"""What a data set is, in numbers and first samples: for a look before training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modecover.arguments import held
from modecover.data.base import Dataset
from modecover.data.pictures import StreamedImages

CHUNK = 256


@dataclass(frozen=True)
class DataSummary:
    """A data set as `check` found it."""

    name: str
    shape: tuple[int, ...]
    """Of one decoded sample."""
    count: int | None
    """Samples; None where they are endless."""
    examined: int
    """Samples on which the ranges, mean and standard deviation rest."""
    source_range: tuple[float, float] | None
    """Smallest and largest value as the source had them; None where that was not seen."""
    range: tuple[float, float]
    """Smallest and largest value after decoding."""
    ranges: tuple[tuple[float, float], ...]
    """The same of each channel, or of each coordinate of points."""
    mean: tuple[float, ...]
    """Of each channel, or of each coordinate of points, after decoding."""
    std: tuple[float, ...]
    """Of each channel or coordinate, after decoding."""
    classes: int | None
    """Different labels; None without labels."""
    class_sizes: tuple[int, int] | None
    """Samples in the smallest and the largest class."""
    modes: int | None
    memory: int
    """Bytes the set takes on its device."""
    streamed: bool
    """Whether images are read from their files at every fetch."""
    fingerprint: str
    samples: Tensor
    """(n, *shape) on the CPU; evenly spaced over a finite set, which may be sorted by class."""


@held(samples=1, examine=1)
def check(dataset: Dataset, *, samples: int = 64, examine: int = 10_000) -> DataSummary:
    """Look at up to `examine` samples, evenly spaced over a finite set, and keep `samples` of them to show.

    Raises:
        UserError: where a streamed picture among them cannot be read.
    """
    if dataset.size is None:
        keys = dataset.draw(examine, torch.Generator(dataset.device).manual_seed(0))
    else:
        keys = _spaced(dataset.size, examine)
    low = torch.full((dataset.shape[0],), float("inf"), dtype=torch.float64)
    high, count = -low, 0
    total = squares = torch.zeros(dataset.shape[0], dtype=torch.float64)
    for chunk in torch.split(keys, CHUNK):
        rows = dataset.fetch(chunk).cpu().double()
        values = rows.flatten(2).transpose(0, 1).flatten(1) if rows.ndim > 2 else rows.T
        low, high = torch.minimum(low, values.amin(1)), torch.maximum(high, values.amax(1))
        count += values.shape[1]
        total, squares = total + values.sum(1), squares + values.square().sum(1)
    mean = total / count
    sizes = None if dataset.labels is None else torch.unique(dataset.labels, return_counts=True)[1]
    return DataSummary(
        name=dataset.name,
        shape=dataset.shape,
        count=dataset.size,
        examined=len(keys),
        source_range=dataset.source_range,
        range=(low.min().item(), high.max().item()),
        ranges=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        mean=tuple(mean.tolist()),
        std=tuple((squares / count - mean.square()).clamp(min=0).sqrt().tolist()),
        classes=None if sizes is None else len(sizes),
        class_sizes=None if sizes is None else (int(sizes.min()), int(sizes.max())),
        modes=dataset.modes,
        memory=dataset.memory,
        streamed=isinstance(dataset, StreamedImages),
        fingerprint=dataset.fingerprint,
        samples=dataset.fetch(keys[_spaced(len(keys), samples).to(keys.device)]).cpu(),
    )


def _spaced(size: int, count: int) -> Tensor:
    """`count` indices evenly spaced over 0 .. size - 1, or all of them where there are no more."""
    count = min(size, count)
    return torch.arange(count) * size // count
