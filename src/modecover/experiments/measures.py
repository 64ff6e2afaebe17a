"""Numbers of finished runs on images whose modes are not counted: what the papers' tables of distances hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modecover.data import Images, open_data
from modecover.errors import UserError
from modecover.features import Classifier, classifier, imagenet
from modecover.features.choice import are_natural
from modecover.features.kept import Extractor
from modecover.metrics import frechet_distance, frechet_latent_distance, label_law, mode_scores
from modecover.runs.model import load

LEARNT_FROM = 10_000
"""Images at most that a classifier is trained on."""


def scores(folder: Path, data_dir: str, samples: int) -> dict[str, float]:
    """Of a run on images: the Frechet distance of so many samples to at most as many images, in the features of
    EfficientNet for photographs, of a classifier of the labels for others; with labels both MODE scores; and where
    there is an encoder the Frechet latent distance of the images' codes.

    It compares within one page only: features, number of samples and size differ from the papers'. The real images are
    others than those that a classifier has learnt from, where there are enough.
    """
    model = load(folder)
    opened = dict(model.data.get("opened") or {})
    opened |= {"data_dir": data_dir} if data_dir and "data_dir" in opened else {}
    data = open_data(opened.pop("source"), **opened)
    if not isinstance(data, Images):
        raise UserError(f"{data.name} has no images to compare with.")
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data.pixels)))
    real, fake = (rows.numpy() for rows in (data.fetch(order[-samples:]), model.sample(samples, seed=0)))
    judge = _judge(data, order[:LEARNT_FROM])
    numbers = {"frechet": frechet_distance(judge(real), judge(fake))}
    if isinstance(judge, Classifier):
        assert data.labels is not None, "a classifier has learnt them"
        law = label_law(data.labels.numpy(), len(judge.classes))
        found = mode_scores(judge.probabilities(fake), law)
        numbers |= {"mode_score": found.penalised, "mode_score_as_printed": found.as_printed}
    if "E" in model.networks:
        numbers["frechet_latent"] = frechet_latent_distance(model.encode(real))
    return numbers


def _judge(data: Images, learnt_from: Tensor) -> Extractor:
    if are_natural((1, *data.shape)):
        return imagenet()
    if data.labels is None:
        raise UserError(f"{data.name} has neither labels nor photographs: no features to compare images in.")
    if data.fingerprint not in _JUDGES:
        _JUDGES[data.fingerprint] = classifier(data.fetch(learnt_from).numpy(), data.labels[learnt_from].numpy())
    return _JUDGES[data.fingerprint]


_JUDGES: dict[str, Classifier] = {}
"""Classifiers that this process has trained, by the fingerprint of the data."""
