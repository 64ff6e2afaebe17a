"""Compositional MNIST (Che et al. 2017, section 4.1): three digits side by side, a number of a thousand.

The paper's four sets, in which digits are drawn with unequal chances, are defined nowhere: these are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modecover.data import Images, open_data
from modecover.data.digits import files_of
from modecover.errors import UserError
from modecover.metrics import label_modes
from modecover.metrics.arrays import Floats
from modecover.random import derive_seed
from modecover.runs.evaluation import digit_judge
from modecover.runs.model import load

IMAGES, SIDE, DIGIT, WIDTH = 20_000, 64, 28, 21
"""Images of a set, their side, that of a digit, and the columns of it that are kept: three times 21 is nearly 64."""
TOP, LEFT = (SIDE - DIGIT) // 2, (DIGIT - WIDTH) // 2
EVENNESS = 4.0
"""Of the Dirichlet law that the chances of the ten digits are drawn from, at each place: 1 would be any chances at all,
and with many they are nearly equal."""


def law(number: int) -> Floats:
    """The chances of the ten digits at each of the three places in a set, (3, 10)."""
    random = np.random.default_rng(derive_seed(number, "compositional MNIST"))
    return random.dirichlet(np.full(10, EVENNESS), size=3)


def compose(
    number: int, source: str, data_dir: str, settings: Mapping[str, Any], *, count: int = IMAGES, seed: int = 0
) -> tuple[np.ndarray, dict[str, Any]]:
    """Images of a set, uint8 (count, 64, 64), of the digits of `source`; and the settings as they are."""
    base = open_data(source, data_dir=data_dir or None)
    if not isinstance(base, Images) or base.labels is None or base.shape != (1, DIGIT, DIGIT):
        raise UserError(f"{base.name} cannot be put side by side: give 28x28 digits with labels.")
    random = np.random.default_rng(derive_seed(seed, "compositional MNIST", number))
    labels, pixels = base.labels.numpy(), base.pixels[:, 0, :, LEFT : LEFT + WIDTH].numpy()
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    for place, chances in enumerate(law(number)):
        digits = random.choice(10, size=count, p=chances)
        columns = slice(place * WIDTH, (place + 1) * WIDTH)
        for digit in range(10):
            rows = np.flatnonzero(digits == digit)
            images[rows, TOP : TOP + DIGIT, columns] = pixels[random.choice(np.flatnonzero(labels == digit), len(rows))]
    return images, dict(settings)


def coverage(number: int, folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """Of a run on a set: of the thousand numbers those that so many samples do not show, and the divergence of those
    they show from the set's law; and the same of fresh images of the set, which have rare numbers, too.

    Digits are named by a classifier of MNIST where it is at hand, else of the digits that come with pip.
    """
    source = "mnist" if data_dir and files_of("mnist", Path(data_dir), "train") else "digits"
    base = open_data(source, data_dir=data_dir or None)
    assert isinstance(base, Images), "digits are images"
    judge = digit_judge(base)
    first, second, third = law(number)
    chances = np.einsum("i,j,k->ijk", first, second, third).ravel()

    def read(images: Tensor) -> tuple[float, float]:
        shown = judge.predict(_cut(images)) @ np.array([100, 10, 1])
        found = label_modes(shown, 1000, reference=chances)
        assert found.kl_reference is not None, "there is a law to compare with"
        return 1000.0 - found.modes_any, found.kl_reference

    fresh, _ = compose(number, source, data_dir, {}, count=samples, seed=1)
    missed, divergence = read(load(folder).sample(samples, seed=0))
    of_data = read(torch.from_numpy(fresh)[:, None].float() / 127.5 - 1)
    return {
        "numbers_missed": missed,
        "KL": divergence,
        "numbers_missed_of_the_data": of_data[0],
        "KL_of_the_data": of_data[1],
    }


def _cut(images: Tensor) -> Tensor:
    """The three digits of images (N, 1, 64, 64) as channels, (N, 3, 28, 28)."""
    digits = images.new_full((len(images), 3, DIGIT, DIGIT), -1.0)
    for place in range(3):
        part = images[:, 0, TOP : TOP + DIGIT, place * WIDTH : (place + 1) * WIDTH]
        digits[:, place, :, LEFT : LEFT + WIDTH] = part
    return digits
