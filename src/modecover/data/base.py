"""What a data set is: rows by key, keys from a generator, the facts that a run records; and a look at one."""

from __future__ import annotations

import copy
import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.arguments import held
from modecover.errors import UserError
from modecover.kinds import first_line, shown
from modecover.limits import bytes_of, explained

if TYPE_CHECKING:
    from modecover.data.columns import Encoding
    from modecover.data.mixtures import Mixture

MEMORY_LIMIT = 2 * 2**30
"""Bytes that decoded pictures may take before they are streamed, and that a compressed file may unfold to, unless the
user says otherwise."""

NO_LABELS = "none"
"""Stands in the place of a name of labels so that none are taken."""

Progress = Callable[[str, int, int], None]
"""Is told what is being prepared, how much of it is done, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """The `Progress` that tells nobody."""


@dataclass(frozen=True)
class Asked:
    """The options of `open_data`, each of its type. See there for what they mean."""

    size: int | None
    channels: int | None
    data_dir: Path | None
    split: str
    key: tuple[str, ...] | None
    labels: NDArray[Any] | str | None
    layout: str | None
    value_range: str | None
    memory_limit: int
    progress: Progress
    encoding: Encoding | None = None
    stream: bool = False
    crop: int | None = None

    @property
    def label_key(self) -> str | None:
        """The name of the column of labels, `NO_LABELS`, or None where no name was given."""
        return self.labels if isinstance(self.labels, str) else None

    def require_nameless(self, of_split: bool = False, of_columns: bool = False) -> None:
        """Raise `UserError` where a part, or an unusual split, was named of a source that has no names for any."""
        if self.split != "train" and not of_split:
            raise UserError(f"it has no split {self.split!r}, nor any other; leave out split.")
        if not of_columns and (self.key or self.label_key not in (None, NO_LABELS)):
            named = self.key[0] if self.key else self.label_key
            raise UserError(f"it has no names for its parts, so there is no {named!r} in it; leave it out.")

    def recorded(self) -> dict[str, Any]:
        """The options that are not the default, in values that JSON can hold and `open_data` takes."""
        options = {**vars(self), "data_dir": self.data_dir and str(self.data_dir.absolute())}
        options["key"] = self.key and (self.key[0] if len(self.key) == 1 else list(self.key))
        usual = {"split": "train", "memory_limit": MEMORY_LIMIT, "progress": self.progress, "stream": False}
        said = {name: value for name, value in options.items() if value is not None}
        return {name: value for name, value in said.items() if name not in usual or value != usual[name]}


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
    class_names: tuple[str, ...] | None = None
    """What the classes 0, 1, ... are called; None where they are numbers alone."""
    label_column: str | None = None
    """The column of a table that the classes come from."""
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
    encoding: Encoding | None = None
    """How the columns of a table became the coordinates of points, and how rows are seen; None where it is no table."""
    roles: Mapping[str, str] | None = None
    """What each column of a table is taken for; None where the source is no table."""
    own_units: bool = False
    """Whether rows are points in units of the user's, which networks see standardised unless told otherwise."""
    streamed: bool = False
    """Whether images are read from their files at every fetch."""
    opened: Mapping[str, Any] | None = None
    """What opens it again: `open_data(**opened)`, in values that JSON can hold; None where it came from memory."""

    @abstractmethod
    def fetch(self, keys: Tensor) -> Tensor:
        """The rows of these keys, float32 of shape (n, *shape), on `device`. Raises `UserError` where `draw` could not
        have given them."""

    def exact(self, keys: Tensor) -> Tensor:
        """The rows of these keys with all digits that are kept, (n, *shape)."""
        return self.fetch(keys)

    @held(count=0)
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Keys of `count` random samples; from a finite set with replacement."""
        assert self.size is not None, "an endless set draws its own keys"
        return torch.randint(self.size, (count,), generator=generator, device=generator.device)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` random rows, float32 of shape (count, *shape); from a finite set with replacement."""
        return self.fetch(self.draw(count, generator))

    def labels_of(self, keys: Tensor) -> Tensor | None:
        """The classes of these keys, int64 of shape (n,); None where none are known."""
        return None if self.labels is None else rows_at(self.labels, keys)

    def to(self, device: torch.device | str) -> Self:
        """This set with its tensors on `device`; the set itself is left as it is."""
        moved = copy.copy(self)
        moved.device = usable_device(device)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(moved, name, value.to(moved.device))
        return moved

    @held(side=1)
    def resized(self, side: int, memory_limit: int | str = MEMORY_LIMIT, progress: Progress = silent) -> Dataset:
        """What `open_data(..., size=side)` would have opened in its place; nothing in memory is read or decoded again.
        Raises `UserError` where these are no images."""
        made = self._at_side(side, bytes_of("memory_limit", memory_limit), progress)
        made.modes, made.notes, made.roles = self.modes, self.notes, self.roles
        made.class_names, made.label_column = self.class_names, self.label_column
        made.source_range = self.source_range or made.source_range
        made.opened = None if self.opened is None else {**self.opened, "size": side}
        return made

    def _at_side(self, side: int, memory_limit: int, progress: Progress) -> Dataset:
        """This set with images of `side` by `side` pixels, without the facts that are the same for both."""
        raise UserError(f"{self.name} of shape {self.shape} cannot be resized: give images of {side}x{side} pixels.")

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the coordinates of points, where the source has names for them."""
        return None if self.encoding is None else self.encoding.coordinates

    @property
    def memory(self) -> int:
        """Bytes that the set's tensors take on `device`."""
        return sum(x.numel() * x.element_size() for x in vars(self).values() if isinstance(x, Tensor))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, shape={self.shape}, size={self.size})"


def rows_at(source: Tensor, keys: Any) -> Tensor:
    """The rows of a tensor at these indices; `UserError` where they are none."""
    try:
        return source.index_select(0, torch.as_tensor(keys, device=source.device))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        if explained(error) is not None:
            raise
        raise no_keys(keys, len(source)) from error


def no_keys(keys: Any, size: int) -> UserError:
    """What to say of keys that a set of this size does not have."""
    return UserError(
        f"keys is {shown(keys)}: give a tensor of whole numbers from 0 to {size - 1:,}, the indices of rows."
    )


def digest(*parts: str | Tensor | None) -> str:
    """Hexadecimal SHA-256 of texts and tensors (their type, shape and bytes) in order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            total.update(f"{part.dtype}{tuple(part.shape)}".encode())
            total.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        else:
            total.update(f"{part!r}\0".encode())
    return total.hexdigest()


def usable_device(device: torch.device | str) -> torch.device:
    """`device`, tried. Raises `UserError` where nothing can be computed there."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except Exception as error:  # each back end refuses in a way of its own
        reason = first_line(error)
        raise UserError(f"device {str(device)[:100]!r} is not usable here ({reason}); say device='cpu'.") from error
    return found


def needs(module: str, purpose: str, install: str | None = None) -> Any:
    """The imported `module`. Raises `UserError` with the command that installs its package where that is missing:
    `install`, or pip with the package's name."""
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        command = install or f"pip install {package}"
        raise UserError(f"{purpose} needs the package {package}: install it with `{command}`.") from error


@dataclass(frozen=True)
class DataSummary:
    """A data set as `check` found it. What is not told here is as in `Dataset`."""

    name: str
    shape: tuple[int, ...]
    source_range: tuple[float, float] | None
    modes: int | None
    memory: int
    streamed: bool
    fingerprint: str
    count: int | None
    """Samples; None where they are endless."""
    examined: int
    """Samples on which the ranges, mean and standard deviation rest."""
    range: tuple[float, float]
    """Smallest and largest value after decoding."""
    ranges: tuple[tuple[float, float], ...]
    """The same of each channel, or of each coordinate of points; so are the mean and standard deviation."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int | None
    """Different labels; None without labels."""
    class_sizes: tuple[int, int] | None
    """Samples in the smallest and the largest class."""
    samples: Tensor
    """(n, *shape) on the CPU; evenly spaced over a finite set, which may be sorted by class."""


@held(samples=1, examine=1)
def check(dataset: Dataset, *, samples: int = 64, examine: int = 10_000) -> DataSummary:
    """Look at up to `examine` samples, evenly spaced over a finite set, and keep `samples` of them to show. Raises
    `UserError` where a streamed picture among them cannot be read."""
    if dataset.size is None:
        keys = dataset.draw(examine, torch.Generator(dataset.device).manual_seed(0))
    else:
        keys = _spaced(dataset.size, examine)
    low = torch.full((dataset.shape[0],), float("inf"), dtype=torch.float64)
    high, count = -low, 0
    total = squares = torch.zeros(dataset.shape[0], dtype=torch.float64)
    for chunk in torch.split(keys, 256):
        rows = dataset.fetch(chunk).cpu().double()
        values = rows.flatten(2).transpose(0, 1).flatten(1) if rows.ndim > 2 else rows.T
        low, high = torch.minimum(low, values.amin(1)), torch.maximum(high, values.amax(1))
        count += values.shape[1]
        total, squares = total + values.sum(1), squares + values.square().sum(1)
    mean = total / count
    facts = ("name", "shape", "source_range", "modes", "memory", "streamed", "fingerprint")
    sizes = None if dataset.labels is None else torch.unique(dataset.labels, return_counts=True)[1]
    return DataSummary(
        **{name: getattr(dataset, name) for name in facts},
        count=dataset.size,
        examined=len(keys),
        range=(low.min().item(), high.max().item()),
        ranges=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        mean=tuple(mean.tolist()),
        std=tuple((squares / count - mean.square()).clamp(min=0).sqrt().tolist()),
        classes=None if sizes is None else len(sizes),
        class_sizes=None if sizes is None else (int(sizes.min()), int(sizes.max())),
        samples=dataset.fetch(keys[_spaced(len(keys), samples).to(keys.device)]).cpu(),
    )


def _spaced(size: int, count: int) -> Tensor:
    """`count` indices evenly spaced over 0 .. size - 1, or all of them where there are no more."""
    count = min(size, count)
    return torch.arange(count) * size // count
