"""Generators that fail in one known way: what the audit must tell apart, on mixtures, digits and stacked digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from modecover.data import Images, open_data
from modecover.features import Classifier, classifier

EXPECTED = {
    "perfect": set(),
    "drop": {"missing mass"},
    "skew": {"imbalance"},
    "shrunk": {"shrink"},
    "blurred": {"low quality"},
    "garbage": {"low quality"},
    "drop and blur": {"missing mass", "low quality"},
    "copies": {"copying"},
    "support of 200": {"copying"},
}
"""The verdicts that must fire on each planted failure, and no other may."""

DROPPED_DIGITS = (2, 5, 7)
SHRINK, BLUR, GARBAGE, SUPPORT, RARE = 0.6, 1.0, 0.1, 200, 0.5
"""Share of the distance to the class's mean; pixels; share of the samples; different samples; weight of rare digits."""


@dataclass(frozen=True)
class World:
    """Real samples, and generators of which each but the first fails in its own way."""

    real: np.ndarray
    fakes: dict[str, np.ndarray]
    missing: float
    """The share of the real samples that "drop" and "drop and blur" miss."""
    features: object = "auto"


def mixture_world(dimensions: int, count: int, seed: int = 0) -> World:
    """20 Gaussians: on a grid in the plane, 10 standard deviations apart; else at random places.

    Dropped are 6 modes; skewed weights are 4 to 1; shrunk modes have half the standard deviation and blurred ones 1.7
    times it; garbage is uniform on a box that holds the data.
    """
    random = np.random.default_rng(seed)
    if dimensions == 2:
        centres, std = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).reshape(-1, 2), 0.1
    else:
        centres, std = random.standard_normal((20, dimensions)), 0.15

    def draw(
        weights: np.ndarray | None = None, width: float = 1.0, number: int = count
    ) -> tuple[np.ndarray, np.ndarray]:
        modes = random.choice(20, size=number, p=weights)
        return centres[modes] + width * std * random.standard_normal((number, dimensions)), modes

    real, modes = draw()
    fewer = np.where(np.arange(20) < 6, 0, 1 / 14)
    skewed = random.permutation(np.repeat([0.08, 0.02], 10))
    box = real.min(axis=0) - 0.2 * np.ptp(real, axis=0), real.max(axis=0) + 0.2 * np.ptp(real, axis=0)
    garbage = draw()[0]
    garbage[: int(GARBAGE * count)] = random.uniform(*box, size=(int(GARBAGE * count), dimensions))
    fakes = {
        "perfect": draw()[0],
        "drop": draw(fewer)[0],
        "skew": draw(skewed)[0],
        "shrunk": draw(width=0.5)[0],
        "blurred": draw(width=1.7)[0],
        "garbage": garbage,
        "drop and blur": draw(fewer, 1.7)[0],
        "copies": real[random.integers(count, size=count)],
        "support of 200": draw(number=SUPPORT)[0][random.integers(SUPPORT, size=count)],
    }
    return World(real, fakes, float((modes < 6).mean()))


def digit_world(seed: int = 0) -> World:
    """2,500 of the 5,000 digits are the data, and the generators draw on the others. Features: a classifier of the
    data's labels.

    Dropped are three classes; five classes have a quarter of their weight; shrunk digits lie at 0.6 of their distance
    to their class's mean; garbage has its pixels shuffled.
    """
    images, labels, real, rest = _halves(seed)
    random = np.random.default_rng(seed + 1)
    fake, fake_labels = images[rest], labels[rest]
    kept = ~np.isin(fake_labels, DROPPED_DIGITS)
    rare = np.isin(fake_labels, random.permutation(10)[:5]) & (random.random(len(fake)) > 0.25)
    fakes = _image_failures(images[real], fake, _shrunk(images[real], labels[real], fake, fake_labels), random)
    fakes |= {"drop": fake[kept], "skew": fake[~rare], "drop and blur": _blurred(fake[kept])}
    judge = _judge(seed)
    return World(images[real], fakes, float(np.isin(labels[real], DROPPED_DIGITS).mean()), judge)


def stacked_world(count: int, seed: int = 0) -> World:
    """Three digits in three channels, 1,000 modes. Features: the probabilities that a classifier of single digits gives
    to the ten digits, channel by channel.

    The data stack one half of the digits and the generators the other. Dropped are the 300 modes whose first digit is
    one of three; skewed are the weights of all three digits, odd ones half as likely. (Of the first digit alone, what
    of it is seen in 20 bins lies at the threshold: the verdict then hangs on the rounding of the judge's training.)
    """
    images, labels, real, rest = _halves(seed)
    random = np.random.default_rng(seed + 1)

    def stacks(pool: np.ndarray, weights: np.ndarray | None = None, weighted: int = 1) -> tuple[np.ndarray, np.ndarray]:
        law = None if weights is None else weights[labels[pool]] / weights[labels[pool]].sum()
        laws = [law] * weighted + [None] * (3 - weighted)
        rows = np.stack([random.choice(pool, size=count, p=p) for p in laws], axis=1)
        return images[rows][:, :, 0], labels[rows]

    fewer = np.where(np.isin(np.arange(10), DROPPED_DIGITS), 0.0, 1.0)
    data, numbers = stacks(real)
    fake, fake_numbers = stacks(rest)
    dropped = stacks(rest, fewer)[0]
    shrunk = np.stack(
        [_shrunk(images[real], labels[real], fake[:, c : c + 1], fake_numbers[:, c])[:, 0] for c in range(3)], axis=1
    )
    fakes = _image_failures(data, fake, shrunk, random)
    skewed = stacks(rest, np.where(np.arange(10) % 2, RARE, 1.0), weighted=3)[0]
    fakes |= {"drop": dropped, "skew": skewed, "drop and blur": _blurred(dropped)}
    single = _judge(seed)
    return World(data, fakes, float(np.isin(numbers[:, 0], DROPPED_DIGITS).mean()), by_channel(single))


def by_channel(single: Classifier) -> Callable[[np.ndarray], np.ndarray]:
    """What a classifier of single digits thinks of every channel: 10 probabilities each; each array's are kept."""
    known: dict[int, np.ndarray] = {}

    def opinions(stacks: np.ndarray) -> np.ndarray:
        key = hash(stacks.tobytes())
        if key not in known:
            channels = range(stacks.shape[1])
            known[key] = np.concatenate([single.probabilities(stacks[:, c : c + 1]) for c in channels], axis=1)
        return known[key]

    return opinions


@cache
def _judge(seed: int) -> Classifier:
    """A classifier of the digits that are the data."""
    images, labels, real, _ = _halves(seed)
    return classifier(images[real], labels[real], seed=seed)


def _halves(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = open_data("digits")
    assert isinstance(data, Images) and data.labels is not None
    images = data.pixels.numpy().astype(np.float32) / 127.5 - 1
    order = np.random.default_rng(seed).permutation(len(images))
    return images, data.labels.numpy(), order[: len(order) // 2], order[len(order) // 2 :]


def _image_failures(
    real: np.ndarray, fake: np.ndarray, shrunk: np.ndarray, random: np.random.Generator
) -> dict[str, np.ndarray]:
    garbage = fake.copy()
    some = garbage[: int(GARBAGE * len(fake))]
    garbage[: len(some)] = random.permuted(some.reshape(len(some), -1), axis=1).reshape(some.shape)
    return {
        "perfect": fake,
        "shrunk": shrunk,
        "blurred": _blurred(fake),
        "garbage": garbage,
        "copies": real[random.integers(len(real), size=len(fake))],
        "support of 200": fake[:SUPPORT][random.integers(SUPPORT, size=len(fake))],
    }


def _blurred(images: np.ndarray) -> np.ndarray:
    return gaussian_filter(images, (0, 0, BLUR, BLUR), mode="nearest")


def _shrunk(real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fake images moved towards the mean of the real images of their class."""
    means = np.stack([real[real_labels == label].mean(axis=0) for label in range(10)])[labels]
    return (means + SHRINK * (fake - means)).astype(np.float32)
