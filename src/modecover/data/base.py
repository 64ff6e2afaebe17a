"""What a data set is: rows by key, keys from a generator, and the facts that a run records about them."""

from __future__ import annotations

import copy
import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from modecover.errors import UserError

if TYPE_CHECKING:
    from modecover.data.mixtures import Mixture

Progress = Callable[[str, int, int], None]
"""Is told what is being prepared, how much of it is done, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """The `Progress` that tells nobody."""


class Dataset(ABC):
    """Samples of one shape, finite or endless.

    A row is made in two movements, so that the random part stays small: `draw` gives one *key* for each row, `fetch`
    turns keys into rows. The keys of a finite set are its indices, int64 of shape (n,); those of an endless set are
    the random numbers of which a row is made, of shape (n, ...).
    """

    name: str
    """What was opened, in words that fit on one line."""
    shape: tuple[int, ...]
    """Shape of one decoded sample: (d,) for points, (C, H, W) for images."""
    size: int | None
    """Number of samples; None where they are endless."""
    fingerprint: str
    """Hexadecimal SHA-256 of the content, or of the definition where there is no stored content."""
    device: torch.device = torch.device("cpu")
    """Where `fetch` returns its rows."""
    labels: Tensor | None = None
    """Class of each sample of a finite set, int64 of shape (size,); None where none are known."""
    mixture: Mixture | None = None
    """The density the samples come from, where it is known."""
    modes: int | None = None
    """Number of modes of the data, where it is known by construction."""
    value_range: tuple[float, float] | None = None
    """Range of decoded values: (-1, 1) for images, None for points."""
    source_range: tuple[float, float] | None = None
    """Smallest and largest value as the source had them, where all of them were seen on opening."""
    notes: tuple[str, ...] = ()
    """What was guessed or left out on opening, a sentence each, with the way to say otherwise."""
    columns: tuple[str, ...] | None = None
    """Names of the coordinates of points, where the source has names for them."""
    roles: Mapping[str, str] | None = None
    """What each column of a table is taken for; None where the source is no table."""
    own_units: bool = False
    """Whether rows are points in units of the user's, which networks see standardised unless told otherwise."""
    opened: Mapping[str, Any] | None = None
    """What opens it again: `open_data(**opened)`, in values that JSON can hold; None where it came from memory."""

    @abstractmethod
    def fetch(self, keys: Tensor) -> Tensor:
        """The rows of these keys, float32 of shape (n, *shape), on `device`."""

    def exact(self, keys: Tensor) -> Tensor:
        """The rows of these keys with all digits that are kept, (n, *shape)."""
        return self.fetch(keys)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Keys of `count` random samples; from a finite set with replacement."""
        assert self.size is not None, "an endless set draws its own keys"
        return torch.randint(self.size, (count,), generator=generator, device=generator.device)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` random rows, float32 of shape (count, *shape); from a finite set with replacement."""
        return self.fetch(self.draw(count, generator))

    def labels_of(self, keys: Tensor) -> Tensor | None:
        """The classes of these keys, int64 of shape (n,); None where none are known."""
        return None if self.labels is None else self.labels[keys.to(self.labels.device)]

    def to(self, device: torch.device | str) -> Self:
        """This set with its tensors on `device`; the set itself is left as it is."""
        moved = copy.copy(self)
        moved.device = torch.device(device)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(moved, name, value.to(moved.device))
        return moved

    @property
    def memory(self) -> int:
        """Bytes that the set's tensors take on `device`."""
        return sum(x.numel() * x.element_size() for x in vars(self).values() if isinstance(x, Tensor))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, shape={self.shape}, size={self.size})"


def digest(*parts: str | Tensor | None) -> str:
    """Hexadecimal SHA-256 of texts and tensors (their type, shape and bytes) in order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            total.update(f"{part.dtype}{tuple(part.shape)}".encode())
            total.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            total.update(f"{part!r}\0".encode())
    return total.hexdigest()


def needs(module: str, purpose: str, package: str | None = None) -> Any:
    """The imported `module`. Raises `UserError` with the command that installs it where it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = package or module.partition(".")[0]
        raise UserError(f"{purpose} needs the package {package}: install it with `pip install {package}`.") from error
