"""The digit classifier that names the modes of stacked digits: its training, its file, and what it counts.

The literature counts the modes of N = 26,000 samples with a digit classifier (VEEGAN, Srivastava et al. 2017; PacGAN,
Lin et al. 2018). A perfect sampler does not reach a divergence of 0 there, for want of samples, for MNIST's own law of
labels and for the classifier's errors: the row of real stacks says what it does reach.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from modecover.arguments import held
from modecover.data.pixels import decoded
from modecover.errors import UserError
from modecover.files import reason, replacing
from modecover.metrics.arrays import ArrayLike, Integers, Report, as_labels, as_tensor
from modecover.metrics.labels import LabelModes, label_modes

SAMPLES = 26_000
"""The literature's number of samples."""
SIDE = 28
DIGITS = 10
KIND = "modecover digit classifier 1"
"""Count it up when the network or its training changes, so that no older classifier is taken from a cache."""
FEWEST = 50
BATCH = 64
PEAK_RATE = 3e-3
WEIGHT_DECAY = 0.01
LABEL_SMOOTHING = 0.1


@dataclass(frozen=True)
class Record:
    """Where a digit classifier comes from: to be printed beside every number it helped to make."""

    accuracy: float
    """Share of the held-out digits it names correctly, in [0, 1]."""
    held_out: int
    """Digits it was tested on and not trained on."""
    trained_on: int
    steps: int
    seed: int
    data: str
    """SHA-256 of the images and labels it was made from."""


@dataclass(frozen=True, eq=False)
class DigitClassifier:
    """A trained digit classifier with its record. The network is in evaluation mode and needs no gradients."""

    network: nn.Sequential
    record: Record

    @property
    def accuracy(self) -> float:
        """Held-out accuracy, in [0, 1]."""
        return self.record.accuracy

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights: their names, types, shapes and bytes."""
        return _hash_of(self.network.state_dict())

    def to(self, device: torch.device | str) -> DigitClassifier:
        """A copy of this classifier on `device`."""
        return DigitClassifier(copy.deepcopy(self.network).to(device), self.record)

    def predict(self, images: ArrayLike, *, batch: int = 512) -> Integers:
        """The digit 0..9 in every channel of every image, shape (N, C), int64.

        Images of another side than 28 are resampled to it (bilinear, antialiased). The classifier learns from digits of
        0.8 to 1.1 times their size, and so reads digits resized to 32 as well as digits padded to 32.

        Args:
            images: square images of one or more channels in [-1, 1], shape (N, C, H, H), on any device.
            batch: channels classified at a time; bounds the memory and changes nothing.
        """
        pixels = as_tensor(images)
        if pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3] or pixels.numel() == 0:
            what = f"images have shape {tuple(pixels.shape)}"
            raise UserError(f"{what}; give square ones of shape (N, channels, side, side)")
        if not pixels.is_floating_point():
            raise UserError(f"images have type {pixels.dtype}; give floating-point numbers in [-1, 1]")
        low, high = (float(value) for value in pixels.aminmax())
        # Written so that nan fails too.
        if not (low >= -1.001 and high <= 1.001):
            raise UserError(f"images range from {low:g} to {high:g}; the classifier reads finite values in [-1, 1]")
        device, side = next(self.network.parameters()).device, pixels.shape[-1]
        found = []
        with torch.inference_mode():
            for part in torch.split(pixels.reshape(-1, 1, side, side), batch):
                x = part.to(device, torch.float32)
                if side != SIDE:
                    x = functional.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True)
                found.append(self.network(x).argmax(dim=1).cpu())
        return np.asarray(torch.cat(found).reshape(pixels.shape[:2]).numpy())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and record to a safetensors file (nothing pickled): whole, or not at all, with `UserError`."""
        from safetensors.torch import save

        path, header = Path(path), {"format": KIND, "sha256": self.sha256, **asdict(self.record)}
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(save(weights, {"modecover": json.dumps(header)}))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot write {path} ({reason(error)}); choose a folder you may write to") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DigitClassifier:
        """A classifier that `save` wrote, on the CPU; `UserError` where there is no such file, or it is damaged (the
        weights are checked against their recorded hash) or not one of these."""
        from safetensors import SafetensorError, safe_open

        if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
            raise UserError(f"there is no digit classifier at {path}; train one, or correct the path")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["modecover"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if header.pop("format") != KIND:
                raise ValueError("another format")
            if header.pop("sha256") != _hash_of(weights):
                raise ValueError("the weights do not have their recorded hash")
            network = _network()
            network.load_state_dict(weights)
            return cls(network.eval().requires_grad_(False), Record(**header))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{path} is damaged or no digit classifier ({type(error).__name__}: {error}); delete it and train anew"
            ) from error


@held()
def stacked_labels(classifier: DigitClassifier, images: ArrayLike) -> Integers:
    """The numbers that stacked digits show, shape (N,), in [0, 10^k): the first channel is the most significant.

    `images`: shape (N, k, H, H) in [-1, 1], one digit in each of the k channels; see `DigitClassifier.predict`.
    """
    digits = classifier.predict(images)
    places = DIGITS ** np.arange(digits.shape[1] - 1, -1, -1, dtype=np.int64)
    return np.asarray(digits @ places)


@held()
def stacked_modes(images: ArrayLike, classifier: DigitClassifier, *, reference: ArrayLike | None = None) -> LabelModes:
    """Count the modes of stacked digits, 10^k for k channels, by `label_modes` of `stacked_labels`.

    For more images than memory holds, collect the latter of each batch and give them to the former.

    `reference`: the law of the training data's numbers to compare with also, weights of shape (10^k,); `stacked_law`
    and `label_law` make it.
    """
    numbers = stacked_labels(classifier, images)
    return label_modes(numbers, DIGITS ** np.shape(images)[1], reference=reference)


@held(seed=0, steps=1)
def train_digit_classifier(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    progress: Report | None = None,
) -> DigitClassifier:
    """Train a digit classifier on four fifths of the digits and test it on the rest.

    Every minibatch is turned, sheared, scaled and shifted a little at random. All draws come from generators of
    `seed`: torch's global one is left alone.

    Args:
        images: digits of uint8 0..255, white on black as in MNIST, shape (N, 28, 28) or (N, 1, 28, 28), N >= 50.
        labels: the digits 0..9, shape (N,).
        seed: decides the split, the initial weights, the order and the distortions.
        steps: minibatches of 64 to train on; None: 1,200, or N / 16 where that is more.
        device: where to train, and where the classifier will be.
    """
    pixels, digits, total, data = _checked(images, labels, steps)
    generator = Generator().manual_seed(seed)
    order = torch.randperm(len(pixels), generator=generator)
    held_out, kept = order[: len(order) // 5], order[len(order) // 5 :]
    network = _network()
    for layer in network:
        # Uniform on +-1 / sqrt(fan-in), biases zero.
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    network.to(device).train()
    batch = min(BATCH, len(kept))
    queue = torch.empty(0, dtype=torch.int64)

    def loss() -> Tensor:
        nonlocal queue
        if len(queue) < batch:
            queue = torch.cat([queue, torch.randperm(len(kept), generator=generator)])
        rows, queue = kept[queue[:batch]], queue[batch:]
        x = _distorted(decoded(pixels[rows]), generator).to(device)
        return functional.cross_entropy(network(x), digits[rows].to(device), label_smoothing=LABEL_SMOOTHING)

    descend(network.parameters(), loss, total, rate=PEAK_RATE, decay=WEIGHT_DECAY, progress=progress)
    network.eval().requires_grad_(False)
    record = Record(math.nan, len(held_out), len(kept), total, seed, data)
    named = DigitClassifier(network, record).predict(decoded(pixels[held_out]))[:, 0]
    return DigitClassifier(network, replace(record, accuracy=float((named == digits[held_out].numpy()).mean())))


@held(seed=0, steps=1)
def cached_digit_classifier(
    images: ArrayLike,
    labels: ArrayLike,
    cache_dir: str | os.PathLike[str],
    *,
    seed: int = 0,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    progress: Report | None = None,
) -> DigitClassifier:
    """`train_digit_classifier`, or what it made before from the same digits, labels, seed and steps.

    The file in `cache_dir` is named after them. A damaged one is replaced, with a warning. `UserError` also where the
    folder cannot be written.
    """
    pixels, digits, total, data = _checked(images, labels, steps)
    path = Path(cache_dir) / f"digit-classifier-{data[:16]}-seed{seed}-steps{total}.safetensors"
    if path.exists():
        try:
            found = DigitClassifier.load(path)
            if (found.record.data, found.record.seed, found.record.steps) != (data, seed, total):
                raise UserError(f"{path} was made from other digits or settings than its name says")
            return found.to(device)
        except UserError as error:
            warnings.warn(f"{error}; training it anew now", stacklevel=2)
    made = train_digit_classifier(pixels, digits, seed=seed, steps=total, device=device, progress=progress)
    made.save(path)
    return made


def descend(
    weights: Iterable[Tensor],
    loss: Callable[[], Tensor],
    steps: int,
    *,
    rate: float,
    decay: float,
    progress: Report | None,
    warm_up: float = 0.1,
    fused: bool | None = None,
) -> None:
    """Take steps of AdamW on what `loss` gives.

    The rate rises over the share `warm_up` of the steps, and falls as half a cosine over all of them.
    """
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=fused)
    for step in range(steps):
        risen = min(1.0, (step + 1) / (warm_up * steps)) if warm_up else 1.0
        for group in optimiser.param_groups:
            group["lr"] = rate * risen * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()
        if progress is not None:
            progress(step + 1, steps)


def _checked(images: ArrayLike, labels: ArrayLike, steps: int | None) -> tuple[Tensor, Tensor, int, str]:
    """Images as uint8 (N, 1, 28, 28) and labels as int64 (N,), on the CPU; the number of steps; and the SHA-256."""
    pixels = as_tensor(images).cpu()
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    if pixels.ndim != 4 or pixels.shape[1:] != (1, SIDE, SIDE) or pixels.dtype != torch.uint8:
        what = f"digits have type {pixels.dtype} and shape {tuple(pixels.shape)}"
        raise UserError(f"{what}; give uint8 images of shape (N, 28, 28)")
    digits = torch.from_numpy(as_labels(labels, DIGITS))
    if len(digits) != len(pixels) or len(pixels) < FEWEST:
        what = f"there are {len(pixels)} digits and {len(digits)} labels"
        raise UserError(f"{what}; give as many labels, and at least {FEWEST}")
    data = b"".join((f"{tuple(pixels.shape)}\n".encode(), pixels.contiguous().numpy().data, digits.numpy().data))
    total = max(1200, 4 * len(pixels) // BATCH) if steps is None else steps
    return pixels, digits, total, hashlib.sha256(data).hexdigest()


def _distorted(x: Tensor, generator: Generator) -> Tensor:
    """Each image turned by up to 11 degrees, sheared by 0.15, scaled by 0.8..1.1 and shifted by up to 2 pixels."""

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(x), generator=generator)

    angle, shear, scale = between(-0.2, 0.2), between(-0.15, 0.15), 1 / between(0.8, 1.1)
    across, down = between(-0.15, 0.15), between(-0.15, 0.15)
    rows = [
        torch.stack([scale * angle.cos(), scale * (shear - angle.sin()), across], dim=1),
        torch.stack([scale * angle.sin(), scale * angle.cos(), down], dim=1),
    ]
    places = functional.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    # What lies outside the image reads as zero there, and black is -1.
    return functional.grid_sample(x + 1, places, align_corners=False) - 1


def convolution(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """The layers of a convolution, batch normalisation and rectifiers."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def _network() -> nn.Sequential:
    """From images (N, 1, 28, 28) in [-1, 1] to scores (N, 10) by 45,000 weights; torch's global generator stays."""
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(
            *convolution(1, 24, kernel=5, stride=2),
            *convolution(24, 48),
            nn.MaxPool2d(2),
            *convolution(48, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 3 * 3, DIGITS),
        )
    # Channels-last about halves the time of predictions on a CPU.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs


def _hash_of(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
