"""One picture of the samples of all seeds of a run, whatever the data are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from modecover.data import Dataset
from modecover.pictures.drawing import Landmarks, comparison_picture, image_grid, points_picture
from modecover.random import derive_seed

if TYPE_CHECKING:
    from PIL.Image import Image


def prepare_pictures(dataset: Dataset) -> None:
    """Load what draws samples of this data: a second, once."""
    if dataset.shape == (2,):
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401


def samples_picture(samples: Tensor, dataset: Dataset, seeds: Sequence[int]) -> Image | None:
    """A grid of images, or scatters against the target; None where rows are neither images nor points of the plane.

    Args:
        samples: (S, n, *shape), n for each seed.
        dataset: what the samples should look like.
        seeds: their seeds, in order.
    """
    if len(dataset.shape) == 3:
        return image_grid(samples.flatten(0, 1), columns=8)
    if dataset.shape != (2,):
        return None
    landmarks = landmarks_of(dataset)
    if len(seeds) == 1:
        return points_picture(samples[0], landmarks)
    target = dataset.sample(samples.shape[1], _generator(dataset))
    shown = range(min(8, len(seeds)))
    return comparison_picture(target, {"": [samples[i] for i in shown]}, landmarks, seeds=[seeds[i] for i in shown])


def landmarks_of(dataset: Dataset) -> Landmarks:
    """The centres of a known mixture, or samples of the data, to see samples against."""
    if dataset.mixture is not None:
        return Landmarks(dataset.mixture.centres, dataset.mixture.std)
    return Landmarks(points=dataset.sample(1000, _generator(dataset)))


def _generator(dataset: Dataset) -> torch.Generator:
    return torch.Generator(dataset.device).manual_seed(derive_seed(0, "picture of the target"))
