"""Numbers of finished runs on images whose modes are not counted: what the papers' tables of distances hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modecover.data import Images, reopen
from modecover.data.opened import open_once
from modecover.errors import UserError
from modecover.experiments.report import OWN_DATA, PICTURES
from modecover.features import Classifier, Extractor, classifier, fit_features
from modecover.features.choice import are_natural
from modecover.features.kept import Features
from modecover.metrics import frechet_latent_distance, label_law, mode_scores, neighbour_statistics
from modecover.metrics.classifier import descend
from modecover.metrics.neighbours import NeighbourStatistics
from modecover.networks.dcgan import DCGANDiscriminator
from modecover.pictures.images import image_grid, save_png_atomic
from modecover.pictures.ways import pairs_sheet, strips_sheet
from modecover.random import derive_seed
from modecover.runs.codes import between
from modecover.runs.model import GenerativeModel, load

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN, WAY = 8, 8
"""Pairs of images, or of draws, of which reconstructions and the way between them are shown, and the images of one
way."""
DATA_SHOWN = 16
"""Images of the data."""
LEARNT_FROM, PLAIN_STEPS = 10_000, 1_000
"""Images at most that a classifier is trained on, and the minibatches of one whose certainty goes into scores."""
NOISE, CELEBA_NUMBERS, SURE = (3.5, 4.0), 3 * 64 * 64, 0.9
SUREST = 16
"""Test images that the third party is surest of, which a page shows."""
COVERED = 2_000
"""Photographs, and samples, of which coverage is taken."""
JUDGED, JUDGE_RATE, DCGAN_WIDTH = 64, 2e-4, 64
"""Of the discriminator that looks for missing modes: images a step, rate, and channels next to the image where the
run's networks have no width of their own."""


def scores(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """Of a run on images, beside its evaluations: of so many samples both MODE scores, where the images have labels and
    are no photographs; of photographs precision and coverage; and where there is an encoder the Frechet latent distance
    of the images' codes."""
    model = load(folder)
    data = images_of(model, data_dir)
    photographs = are_natural((1, *data.shape))
    numbers = _mode_scores(model, data, samples) if data.labels is not None and not photographs else {}
    numbers |= _coverage(model, data, min(samples, COVERED, len(data.pixels) // 2)) if photographs else {}
    order = order_of(data)
    keep(image_grid(data.fetch(order[:DATA_SHOWN]), columns=SHOWN), folder, OWN_DATA)
    if "E" in model.networks:
        real = data.fetch(order[-samples:]).numpy()
        numbers["frechet_latent"] = frechet_latent_distance(model.encode(real))
        shown = torch.from_numpy(real[: 2 * SHOWN])
        again, ways = model.reconstruct(shown), model.interpolate(shown[::2], shown[1::2], WAY)
        keep(pairs_sheet(shown, again), folder, "reconstructions")
        keep(strips_sheet(shown[::2], ways, shown[1::2]), folder, "between two images")
    return numbers


def scores_and_ways(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """`scores`; and what the generator makes on the ways between draws of its noise, as a picture."""
    model = load(folder)
    start, end = model.latents(2 * SHOWN).chunk(2)
    codes = between(start, end, WAY, model.prior.law)
    with torch.inference_mode():
        ways = model(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    keep(image_grid(ways.flatten(0, 1), columns=WAY), folder, "between two draws")
    return scores(folder, data_dir, samples)


def _coverage(model: GenerativeModel, data: Images, samples: int) -> dict[str, float]:
    """Of photographs the share of samples among real ones (precision) and of real ones that have a sample near them
    (coverage), in features of photographs, or pixels where these are not installed; and the same of other real ones."""
    key = f"{data.fingerprint} {samples}"
    if key not in _REAL:
        order = order_of(data)
        own, others = (data.fetch(part).numpy() for part in (order[:samples], order[samples : 2 * samples]))
        extractor = fit_features("auto", own)
        real = extractor(own)
        _REAL.clear()
        _REAL[key] = (extractor, real, neighbour_statistics(real, extractor(others)))
    extractor, real, ideal = _REAL[key]
    found = neighbour_statistics(real, extractor(model.sample(samples, seed=0).numpy()))
    return {
        **{"precision": found.precision, "coverage": found.coverage},
        **{"precision_of_the_data": ideal.precision, "coverage_of_the_data": ideal.coverage},
    }


def keep(picture: Image, folder: Path, caption: str) -> None:
    """Leave a picture in a run's folder for the page of its experiment."""
    save_png_atomic(picture, folder / PICTURES / f"{caption}.png")


def mode_score(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """Both MODE scores of a run on labelled images."""
    model = load(folder)
    return _mode_scores(model, images_of(model, data_dir), samples)


def _mode_scores(model: GenerativeModel, data: Images, samples: int) -> dict[str, float]:
    """Both MODE scores, and that of the images themselves, by a classifier that learns from some of them as they
    are."""
    if data.labels is None:
        raise UserError(f"{data.name} has no labels to score by.")
    order = order_of(data)
    key = data.fingerprint
    if key not in _JUDGES:
        learnt, steps = order[:LEARNT_FROM], max(1, min(PLAIN_STEPS, samples // 5))
        _JUDGES[key] = classifier(data.fetch(learnt).numpy(), data.labels[learnt].numpy(), plain=True, steps=steps)
    law = label_law(data.labels.numpy(), len(_JUDGES[key].classes))
    own, fake = (
        mode_scores(_JUDGES[key].probabilities(rows.numpy()), law)
        for rows in (data.fetch(order[-samples:]), model.sample(samples, seed=0))
    )
    return {
        "mode_score": fake.penalised,
        "mode_score_as_printed": fake.as_printed,
        "mode_score_of_the_data": own.penalised,
    }


def missed(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """MDGAN's Tables 3 and 4: of a thousand test images those that a discriminator of the networks that the run had is
    sure of (above .9), having told training images from samples, both under noise; and the same with training images
    in the samples' place, where nothing is missing.

    The paper's levels of noise are of 12,288 numbers; of fewer they go with the root.
    """
    model = load(folder)
    data, test = images_of(model, data_dir), images_of(model, data_dir, split="test")
    order = order_of(data)
    real, others = (
        data.fetch(order).chunk(2)[:2] if len(order) < 2 * samples else data.fetch(order[: 2 * samples]).chunk(2)
    )
    asked = test.fetch(torch.arange(min(len(test.pixels), samples)))
    width = model.training_facts["settings"].get("width") or DCGAN_WIDTH
    found: dict[str, float] = {}
    for level in NOISE:
        std = level * math.sqrt(math.prod(data.shape) / CELEBA_NUMBERS)
        for name, fake in (
            (f"missed, noise {level:g}", model.sample(samples, seed=0)),
            (f"null, noise {level:g}", others),
        ):
            odds = _odds(real, fake, asked, std, steps=samples // 10, width=width)
            found[name] = 1000 * float((odds.sigmoid() > SURE).float().mean())
            if name == f"missed, noise {NOISE[0]:g}":
                surest = odds.argsort(descending=True)[:SUREST]
                keep(image_grid(asked[surest], columns=SUREST // 2), folder, "test images it is surest of")
    return found


def _odds(real: Tensor, fake: Tensor, asked: Tensor, std: float, steps: int, width: int) -> Tensor:
    """Of each image asked about the log odds, by a discriminator of this width, that it is real."""
    random = torch.Generator().manual_seed(derive_seed(0, "third party"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, "third party", "weights"))
        judge = DCGANDiscriminator(real.shape[1:], width=width)

    def noisy(rows: Tensor) -> Tensor:
        return rows + std * torch.randn(rows.shape, generator=random)

    def loss() -> Tensor:
        scores = [judge(noisy(rows[torch.randint(len(rows), (JUDGED,), generator=random)])) for rows in (real, fake)]
        return functional.softplus(-scores[0]).mean() + functional.softplus(scores[1]).mean()

    descend(judge.parameters(), loss, max(1, steps), rate=JUDGE_RATE, decay=0.0, progress=None)
    judge.eval()
    with torch.inference_mode():
        return torch.cat([judge(noisy(rows)) for rows in asked.split(256)])


def order_of(data: Images) -> Tensor:
    """The rows of a set in an order that has nothing to do with how they lie, the same for all measures: from one end
    of it a classifier learns, and from the other is what it judges."""
    return torch.from_numpy(np.random.default_rng(0).permutation(len(data.pixels)))


def images_of(model: GenerativeModel, data_dir: str, split: str = "") -> Images:
    """The data that a model was trained on, opened again, or another split of them, where they have splits.

    Raises:
        UserError: they cannot be opened, or are no images; also a split of theirs, in whose place no other is taken.
    """
    recorded = model.data.get("opened")
    if not isinstance(recorded, Mapping):
        reopen(model.data)  # says why they cannot be, and what to do
        raise AssertionError("data that came from memory are not opened again")
    beside = {"data_dir": data_dir} if data_dir and "data_dir" in recorded else {}
    source = str(recorded["source"])
    has_splits = source in WITH_SPLITS or Path(source, split or "train").is_dir()
    data = open_once(**{**recorded, **beside, **({"split": split} if split and has_splits else {})})
    if not isinstance(data, Images):
        raise UserError(f"{data.name} has no images to compare with.")
    return data


WITH_SPLITS = ("mnist", "cifar10")
"""Of the data that have names. Folders have them as subfolders."""

_JUDGES: dict[str, Classifier] = {}
"""Classifiers that this process has trained, by the fingerprint of the data."""
_REAL: dict[str, tuple[Extractor, Features, NeighbourStatistics]] = {}
"""Of the photographs that this process looked at last: features, theirs, and how others of them are covered."""
