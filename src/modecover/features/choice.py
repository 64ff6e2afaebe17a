"""Which features: by name, by what is known of the data, or those of a network that nothing is learned for: random
convolutions, Inception-v3 as FID takes it, a function or network of the user's."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modecover.errors import UserError
from modecover.features.classifier import classifier
from modecover.features.imagenet import SMALLEST as SMALLEST_NATURAL
from modecover.features.imagenet import imagenet, imagenet_is_there
from modecover.features.kept import Extractor, Floats32, Samples, hash_of, in_batches
from modecover.features.pixels import MEMORY, pixels
from modecover.kinds import first_line
from modecover.metrics.arrays import Integers, Report
from modecover.random import derive_seed

NAMES = ("auto", "pixels", "random-convolutions", "classifier", "imagenet", "inception:FILE", "FILE.pt")

FEWEST_OF_A_CLASS = 20
"""Real samples of a class, on average, from which "auto" lets a classifier learn."""

SCRIPTED = (".pt", ".pth", ".ts")

WIDTHS = (32, 64, 128)
SMALLEST = 8


def fit_features(
    choice: str | Extractor | Callable[[Any], Any],
    real: Samples,
    labels: Integers | None = None,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    memory: int = MEMORY,
    progress: Report | None = None,
) -> Extractor:
    """The extractor that `choice` names, fitted to real samples where it needs them.

    Args:
        choice: "pixels"; "random-convolutions"; "classifier", of `labels`; "inception:FILE", the file being weights for
            torch-fidelity's network; "imagenet", with the weights of `modecover[features]`; a file of a network that
            TorchScript saved (.pt, .pth, .ts), given images in [-1, 1]; an extractor; or a function or network.
            "auto" is "imagenet" for colour images of at least 32 pixels a side, where that is installed, else the
            classifier for images whose labels name few enough classes, else pixels.
        real: points (n, d) or images (n, C, H, W).
        seed: of random weights and of training.
        memory: bytes that tables of products may take.
        progress: of a classifier's training.

    `UserError` where there are no such features, or they cannot be had for such samples.
    """
    if isinstance(choice, Extractor):
        return choice
    if callable(choice):
        return by_function(choice)
    if choice == "auto":
        choice = automatic(real.shape, labels)
    kind, _, weights = choice.partition(":")
    if kind == "pixels":
        return pixels(real, memory=memory)
    if kind == "classifier":
        if labels is None:
            raise UserError("The features 'classifier' need labels of the real samples: give them, or choose others.")
        return classifier(real, labels, seed=seed, device=device, progress=progress)
    if kind == "random-convolutions":
        return random_convolutions(real.shape[1:], seed=seed, device=device)
    if kind == "imagenet":
        return imagenet(device=device)
    if kind == "inception" and weights:
        return inception(weights, device=device)
    if choice.lower().endswith(SCRIPTED):
        return scripted(choice, device=device)
    raise UserError(f"There are no features called {choice!r}: choose one of {', '.join(NAMES)}, or give a function.")


def automatic(shape: tuple[int, ...], labels: Integers | None) -> str:
    """The choice that "auto" stands for, for samples of the shape (n, ...) and their classes, where they are known."""
    if are_natural(shape) and imagenet_is_there():
        return "imagenet"
    # A classifier only where it has enough to learn each class from.
    classes = 0 if labels is None or len(shape) != 4 else len(np.unique(labels))
    return "classifier" if 2 <= classes <= shape[0] / FEWEST_OF_A_CLASS else "pixels"


def by_function(function: Callable[[Any], Any]) -> Extractor:
    """The extractor that a Python function or a network is.

    A network (`torch.nn.Module`) is put into evaluation mode for the call and given tensors in batches, on its own
    device; its hash is that of its weights. Any other function is given the whole array, and its hash is that of its
    source where Python knows it, else of its name. Both take samples, float32 (n, ...), images in [-1, 1], and return
    rows of numbers, (n, ...).
    """
    network = function if isinstance(function, nn.Module) else None
    name = getattr(function, "__name__", type(function).__name__)
    if network is not None:
        identity = [part for name_and_value in sorted(network.state_dict().items()) for part in name_and_value]
    else:
        try:
            identity = [inspect.getsource(function)]
        except (OSError, TypeError):
            identity = [getattr(function, "__qualname__", "")]

    def rows(samples: Floats32) -> Any:
        try:
            found = function(samples) if network is None else _of_network(network, samples)
            found = found if isinstance(found, Tensor) else np.asarray(found)
            return found.reshape(len(found), -1) if found.ndim > 2 or found.ndim == 1 else found
        except Exception as error:  # the user's own code: whatever it raises is told
            raise UserError(
                f"what gives the features {name} raised {type(error).__name__} ({first_line(error)}) for samples of "
                f"shape {samples.shape}; it is called with an array of samples and returns a row of numbers for each"
            ) from error

    return Extractor(name, hash_of(name, *identity), rows, row_wise=network is not None)


def _of_network(network: nn.Module, samples: Floats32) -> Tensor:
    first, training = next(network.parameters(), None), network.training
    network.eval()
    try:
        return in_batches(network, samples, "cpu" if first is None else first.device)
    finally:
        network.train(training)


def are_natural(shape: tuple[int, ...]) -> bool:
    """Whether samples (n, C, H, W) are colour images large enough to be looked at as photographs."""
    return len(shape) == 4 and shape[1] == 3 and min(shape[2:]) >= SMALLEST_NATURAL


def scripted(file: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Extractor:
    """The features of a network that `torch.jit.save` wrote: it is given samples as they are audited, images in
    [-1, 1], so that resizing and normalising are its own. `UserError` where there is no such file, or it is damaged."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"there is no network at {path}; name a file that torch.jit.save wrote.")
    try:
        network = torch.jit.load(path, map_location=device)
    except Exception as error:  # whatever its reader makes of another kind of file
        raise UserError(
            f"{path} is no network of TorchScript ({first_line(error)}): save one with torch.jit.save."
        ) from error
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return dataclasses.replace(by_function(network), name=path.stem, hash=found[:8])


def random_convolutions(shape: tuple[int, ...], *, seed: int = 0, device: torch.device | str = "cpu") -> Extractor:
    """Mean responses of three random convolutional layers, over a 2 x 2 grid of places: local detail, and no download.

    `shape`: of one image, (C, H, W), sides of at least 8. Each filter is a random direction of length sqrt(2).
    """
    if len(shape) != 3 or min(shape[1:]) < SMALLEST:
        raise UserError(f"Random convolutions need at least {SMALLEST} x {SMALLEST} pixels, not {shape}: use pixels.")
    random = torch.Generator().manual_seed(derive_seed(seed, "random convolutions", *shape))
    weights = []
    for inputs, outputs in zip((shape[0], *WIDTHS), WIDTHS, strict=False):
        filters = torch.randn(outputs, inputs * 9, generator=random)
        filters = filters / filters.norm(dim=1, keepdim=True) * math.sqrt(2)
        weights.append(filters.view(outputs, inputs, 3, 3).to(device))

    def network(images: Tensor) -> Tensor:
        found = []
        for weight in weights:
            images = functional.conv2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), weight).relu()
            found.append(functional.adaptive_avg_pool2d(images, 2).flatten(1))
            images = functional.avg_pool2d(images, 2)
        return torch.cat(found, dim=1)

    name = f"random-convolutions-{4 * sum(WIDTHS)}"
    return Extractor(name, hash_of(name, *weights), lambda samples: in_batches(network, samples, device), row_wise=True)


def inception(
    weights: str | os.PathLike[str], *, sha256: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """The 2048 pooled features of Inception-v3. Nothing is downloaded: the weights are a file of yours.

    Args:
        weights: the file of weights. That of torch-fidelity and pytorch-fid is pt_inception-2015-12-05-6726825d.pth,
            whose SHA-256 begins as its name ends.
        sha256: what the file's SHA-256 must be, or begin with; None: not compared. It is the extractor's hash
            whatever it is.

    `UserError` where torch-fidelity is not installed, there is no such file, or its hash is another.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise UserError("Inception's features need torch-fidelity: `pip install 'modecover[inception]'` installs it.")
    path = Path(weights).expanduser()
    if not path.is_file():
        raise UserError(f"there are no Inception weights at {path}; download them and name their file.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and not found.startswith(sha256.lower()):
        raise UserError(f"{path} has the SHA-256 {found}, not {sha256}; take the right file of weights.")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    network = network.to(device)

    def features(images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UserError(f"Inception reads images of 1 or 3 channels; these samples have shape {images.shape[1:]}.")
        pixels = ((images.expand(-1, 3, -1, -1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return network(pixels)[0]

    return Extractor("inception-2048", found[:8], lambda x: in_batches(features, x, device), row_wise=True)
