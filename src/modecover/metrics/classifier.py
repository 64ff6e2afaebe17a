"""The digit classifier that names the modes of stacked digits, and the file it is kept in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Integers, as_tensor, readable_tensor

SIDE = 28
DIGITS = 10
FORMAT = "modecover digit classifier 1"
"""Count it up when the network or its training changes, so that no older classifier is taken from a cache."""

_HEADER = "modecover"


def digit_network() -> nn.Sequential:
    """A convolutional network from images (N, 1, 28, 28) in [-1, 1] to scores (N, 10); 45,000 weights.

    Its initial weights come from torch's global generator.
    """

    def block(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    network = nn.Sequential(
        *block(1, 24, kernel=5, stride=2),
        *block(24, 48, kernel=3, stride=1),
        nn.MaxPool2d(2),
        *block(48, 64, kernel=3, stride=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 3 * 3, DIGITS),
    )
    # Channels-last about halves the time of predictions on a CPU.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs


@dataclass(frozen=True)
class Record:
    """Where a digit classifier comes from: to be printed beside every number it helped to make."""

    accuracy: float
    """Share of the held-out digits it names correctly, in [0, 1]."""
    held_out: int
    """Digits it was tested on and not trained on."""
    trained_on: int
    """Digits it was trained on."""
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
        network = digit_network_like(self.network.state_dict())
        return DigitClassifier(network.to(device), self.record)

    def predict(self, images: ArrayLike, *, batch: int = 512) -> Integers:
        """The digit in every channel of every image.

        Images of another side than 28 are resampled to it (bilinear, antialiased), those of 32 and 64 included. The
        classifier learns from digits of 0.8 to 1.1 times their size, and so reads digits resized to 32 as well as
        digits padded to 32.

        Args:
            images: square images of one or more channels in [-1, 1], shape (N, C, H, H), on any device.
            batch: channels classified at a time; bounds the memory and changes nothing.

        Returns:
            The digits 0..9, shape (N, C), int64.

        Raises:
            UserError: the shape, type or range is not as described.
        """
        pixels = _checked(images)
        count, channels, side, _ = pixels.shape
        device = next(self.network.parameters()).device
        found = []
        with torch.inference_mode():
            for part in torch.split(pixels.reshape(count * channels, 1, side, side), batch):
                found.append(self.network(_resampled(part.to(device, torch.float32))).argmax(dim=1).cpu())
        return np.asarray(torch.cat(found).reshape(count, channels).numpy())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and record to a safetensors file (nothing pickled): whole, or not at all.

        Raises:
            UserError: the file cannot be written.
        """
        from safetensors.torch import save

        header = {"format": FORMAT, "sha256": self.sha256, **dataclasses.asdict(self.record)}
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        _write_whole(Path(path), save(weights, {_HEADER: json.dumps(header)}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DigitClassifier:
        """Read a classifier that `save` wrote, on the CPU; its weights are checked against their recorded hash.

        Raises:
            UserError: there is no such file, or it is damaged or not one of these.
        """
        from safetensors import SafetensorError, safe_open

        if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
            raise UserError(f"there is no digit classifier at {path}; train one, or correct the path")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})[_HEADER])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if header.pop("format") != FORMAT:
                raise ValueError("another format")
            if header.pop("sha256") != _hash_of(weights):
                raise ValueError("the weights do not have their recorded hash")
            return cls(digit_network_like(weights), Record(**header))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{path} is damaged or no digit classifier ({type(error).__name__}: {error}); delete it and train anew"
            ) from error


@held()
def stacked_labels(classifier: DigitClassifier, images: ArrayLike) -> Integers:
    """The numbers that stacked digits show, shape (N,), in [0, 10^k): the first channel is the most significant.

    Args:
        images: shape (N, k, H, H) in [-1, 1], one digit in each of the k channels.

    Raises:
        UserError: the images are not as `DigitClassifier.predict` wants them.
    """
    return stacked_numbers(classifier.predict(images))


def stacked_numbers(digits: Integers) -> Integers:
    """Digits (N, k) read as numbers (N,): the first digit is the most significant."""
    places = 10 ** np.arange(digits.shape[1] - 1, -1, -1, dtype=np.int64)
    return np.asarray(digits @ places)


def digit_network_like(weights: dict[str, Tensor]) -> nn.Sequential:
    """A digit network with a copy of `weights`, in evaluation mode; torch's global generator is left alone.

    Raises:
        RuntimeError: a weight is missing, foreign or of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        network = digit_network()
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _checked(images: ArrayLike) -> Tensor:
    pixels = readable_tensor(images) if isinstance(images, Tensor) else as_tensor(images)
    if pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3] or pixels.numel() == 0:
        raise UserError(f"images have shape {tuple(pixels.shape)}; give square ones of shape (N, channels, side, side)")
    if not pixels.is_floating_point():
        raise UserError(f"images have type {pixels.dtype}; give floating-point numbers in [-1, 1]")
    low, high = (float(value) for value in pixels.aminmax())
    # Written so that nan fails too.
    if not (low >= -1.001 and high <= 1.001):
        raise UserError(f"images range from {low:g} to {high:g}; the classifier reads finite values in [-1, 1]")
    return pixels


def _resampled(images: Tensor) -> Tensor:
    if images.shape[-1] == SIDE:
        return images
    return functional.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True)


def _hash_of(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that a reader finds the old file or the new one and no part of one."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); choose a folder you may write to") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
