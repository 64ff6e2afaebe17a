"""Training the digit classifier, once for each set of digits."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, as_labels, as_tensor
from modecover.metrics.classifier import DIGITS, SIDE, DigitClassifier, Record, digit_network
from modecover.optimizers import eager

Progress = Callable[[int, int], None]
"""Called after every step with the steps done and the steps in all."""

FEWEST = 50
BATCH = 64
PEAK_RATE = 3e-3
WEIGHT_DECAY = 0.01
LABEL_SMOOTHING = 0.1


@held(seed=0)
def train_digit_classifier(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
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

    Raises:
        UserError: the digits or labels are not as described, or `steps` is below 1.
    """
    pixels, digits = _checked(images, labels)
    total = _steps_for(len(pixels)) if steps is None else steps
    if total < 1:
        raise UserError(f"steps is {total}; train for at least one step")
    generator = Generator().manual_seed(seed)
    order = torch.randperm(len(pixels), generator=generator)
    held_out, kept = order[: len(order) // 5], order[len(order) // 5 :]
    network = _initialised(generator).to(device)
    _fit(network, pixels[kept], digits[kept], total, generator, progress)
    record = Record(
        accuracy=math.nan,
        held_out=len(held_out),
        trained_on=len(kept),
        steps=total,
        seed=seed,
        data=_fingerprint(pixels, digits),
    )
    classifier = DigitClassifier(network.eval().requires_grad_(False), record)
    correct = classifier.predict(_decoded(pixels[held_out]))[:, 0] == digits[held_out].numpy()
    return replace(classifier, record=replace(record, accuracy=float(correct.mean())))


@held(seed=0)
def cached_digit_classifier(
    images: ArrayLike,
    labels: ArrayLike,
    cache_dir: str | os.PathLike[str],
    *,
    seed: int = 0,
    steps: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> DigitClassifier:
    """`train_digit_classifier`, or what it made before from the same digits, labels, seed and steps.

    The file in `cache_dir` is named after them. A damaged one is replaced, with a warning.

    Raises:
        UserError: the digits or labels are not as described, or the folder cannot be written.
    """
    pixels, digits = _checked(images, labels)
    total = _steps_for(len(pixels)) if steps is None else steps
    data = _fingerprint(pixels, digits)
    path = Path(cache_dir) / f"digit-classifier-{data[:16]}-seed{seed}-steps{total}.safetensors"
    if path.exists():
        try:
            found = DigitClassifier.load(path)
            if (found.record.data, found.record.seed, found.record.steps) != (data, seed, total):
                raise UserError(f"{path} was made from other digits or settings than its name says")
            return found.to(device)
        except UserError as error:
            warnings.warn(f"{error}; training it anew now", stacklevel=2)
    made = train_digit_classifier(images, labels, seed=seed, steps=total, device=device, progress=progress)
    made.save(path)
    return made


def _steps_for(count: int) -> int:
    return max(1200, 4 * count // BATCH)


def _checked(images: ArrayLike, labels: ArrayLike) -> tuple[Tensor, Tensor]:
    """Images as uint8 (N, 1, 28, 28) and labels as int64 (N,), on the CPU."""
    pixels = as_tensor(images)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    if pixels.ndim != 4 or pixels.shape[1:] != (1, SIDE, SIDE) or pixels.dtype != torch.uint8:
        raise UserError(
            f"digits have type {pixels.dtype} and shape {tuple(pixels.shape)}; give uint8 images of shape (N, 28, 28)"
        )
    digits = torch.from_numpy(as_labels(labels, DIGITS))
    if len(digits) != len(pixels) or len(pixels) < FEWEST:
        raise UserError(
            f"there are {len(pixels)} digits and {len(digits)} labels; give as many labels, and at least {FEWEST}"
        )
    return pixels, digits


def _fingerprint(pixels: Tensor, digits: Tensor) -> str:
    digest = hashlib.sha256(f"{tuple(pixels.shape)}\n".encode())
    digest.update(pixels.contiguous().numpy().tobytes())
    digest.update(digits.numpy().tobytes())
    return digest.hexdigest()


def _initialised(generator: Generator) -> nn.Sequential:
    """A digit network whose weights are drawn from `generator`, uniform on +-1 / sqrt(fan-in), biases zero."""
    with torch.random.fork_rng(devices=[]):
        network = digit_network()
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _fit(
    network: nn.Sequential,
    pixels: Tensor,
    digits: Tensor,
    steps: int,
    generator: Generator,
    progress: Progress | None,
) -> None:
    """Descend the smoothed cross-entropy: AdamW, a tenth of the steps up to the peak rate under half a cosine to 0."""
    device = next(network.parameters()).device
    network.train()
    optimiser = eager(torch.optim.AdamW)(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    batch = min(BATCH, len(pixels))
    queue = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(queue) < batch:
            queue = torch.cat([queue, torch.randperm(len(pixels), generator=generator)])
        rows, queue = queue[:batch], queue[batch:]
        warm_up = min(1.0, (step + 1) / (0.1 * steps))
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * warm_up * (1 + math.cos(math.pi * step / steps)) / 2
        x = _distorted(_decoded(pixels[rows]), generator).to(device)
        loss = functional.cross_entropy(network(x), digits[rows].to(device), label_smoothing=LABEL_SMOOTHING)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if progress is not None:
            progress(step + 1, steps)


def _decoded(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


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
