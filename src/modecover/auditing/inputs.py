"""What can be audited, as rows of numbers: anything `open_data` opens, trained models, and Python functions."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from modecover.auditing.results import MADE, ROLES
from modecover.data import NAMES, Dataset, open_data
from modecover.data.base import Progress, silent
from modecover.data.columns import NUMBER, Encoding
from modecover.data.loaders import is_loader, name_of, rows_of
from modecover.data.pixels import SIGNED
from modecover.data.scaling import Scaling
from modecover.errors import UserError, printable
from modecover.features.kept import Kept, blocks, kept_rows, raw
from modecover.kinds import first_line
from modecover.random import derive_seed

SAMPLES, FEWEST = 10_000, 10
"""Rows taken of each side, where nothing else is said; and that an audit needs at least."""

MOST = 10**7
"""The distances between more would take weeks."""

APART = 3.0
"""Standard deviations of columns that differ by more than this factor are in no common unit."""

_OPTIONS = [name for name, p in inspect.signature(open_data).parameters.items() if p.kind is p.KEYWORD_ONLY]
_NAMED = re.compile(rf"(?<![\w/-])({'|'.join(_OPTIONS)})=('[^']*'|\w+)?")
_OF_ARRAYS = ("size", "channels", "layout", "value_range", "encoding")
_PYTHONS = {*sys.stdlib_module_names, "builtins", "posix", "nt"}
_FUNCTION = re.compile(r"(?P<module>[A-Za-z_][\w.]*|.+\.py):(?P<name>[A-Za-z_][\w.]*)")


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Rows to be audited, and what is known of them."""

    kept: Kept
    """(n, d) points, or (n, C, H, W) images in [-1, 1]."""
    name: str
    fingerprint: str
    """SHA-256 of these rows."""
    index: npt.NDArray[np.int64]
    """Where each row stands in the source, ascending; 0 .. n-1 where all were taken or the source is endless."""
    of: int | None
    """Rows the source has; None where it is endless."""
    labels: npt.NDArray[np.int64] | None = None
    """Classes of the rows, (n,), where they are known."""
    dataset: Dataset | None = None
    """What the rows were taken from, where it is a data set: its `mixture` or `modes` may be known."""
    scaling: Scaling | None = None
    """How `kept` sees the rows of the data set; None where as they are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.kept.shape[1:]

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """All samples as float32: of images a new array, four times as large as what is kept."""
        return self.kept[:]

    def __len__(self) -> int:
        return len(self.kept)

    def facts(self) -> dict[str, Any]:
        """What an audit records of its input: name, count, shape, fingerprint, and of how many rows it is a part."""
        facts = {"name": self.name, "count": len(self), "shape": list(self.shape), "fingerprint": self.fingerprint}
        return facts if self.of is None or self.of == len(self) else {**facts, "of": self.of}


def read_samples(
    source: Any,
    role: str = "real",
    *,
    count: int = SAMPLES,
    seed: int = 0,
    of_seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    scaling: Literal["auto", "columns", "none"] | Scaling = "none",
    room: float = math.inf,
) -> Samples:
    """Rows of `source` as numbers.

    Args:
        source: anything `open_data` opens (an array, tensor, .npy or .npz file, folder of images, data set by name); a
            `Dataset` or `DataLoader` of torch's, whose items are tensors, or tuples that begin with one; a run folder
            or model of modecover, or a `GenerativeModel`; a Python function that takes the number of samples (and,
            where it has such a parameter, the `seed`) and returns an array or tensor of so many rows; or the words
            "module:function" or "file.py:function" that name one.
        role: one of `ROLES`, for error messages and so that two draws from one endless source differ.
        count: rows wanted. Of a finite source with more rows a random part is taken, its order kept.
        seed: of that choice, or of the draw.
        of_seed: which of a run's models, where several seeds were trained together.
        options: of `open_data` (`size`, `channels`, `key`, ...).
        scaling: by which points are seen. "columns": every number standardised, and columns of a table weighing alike;
            "auto": so where a table holds more than numbers of similar spread, which is a warning; or that of others.
        room: bytes that the rows may take in memory; if they take more they are kept in a temporary file. What is one
            array already stays where it is.

    Raises:
        UserError: the source cannot be opened, holds NaN or infinity (the first such row is named), or is a function
            that fails or returns fewer rows.
    """
    data = open_samples(source, role, count=count, seed=seed, of_seed=of_seed, options=options)
    return take_samples(data, role, count=count, seed=seed, options=options, scaling=scaling, room=room)


def open_samples(
    source: Any, role: str, *, count: int, seed: int, of_seed: int | None, options: Mapping[str, Any] | None
) -> Dataset:
    """The first half of `read_samples`: what the rows are taken from, before any is."""
    options = dict(options or {})
    require_options(options, role)
    with _of(role):
        return _open(source, count, derive_seed(seed, "audit", role) % 2**31, of_seed, options)


def take_samples(
    data: Dataset,
    role: str,
    *,
    count: int,
    seed: int,
    options: Mapping[str, Any] | None,
    scaling: Literal["auto", "columns", "none"] | Scaling,
    room: float,
) -> Samples:
    """The second half of `read_samples`."""
    progress = (options or {}).get("progress") or silent
    with _of(role):
        return _taken(data, count, derive_seed(seed, "audit", role), progress, _scaling(data, scaling), room)


@contextmanager
def _of(role: str) -> Iterator[None]:
    """A `UserError` in the block says which samples it is about, and names options of `open_data` as an audit does."""
    side = "fake" if role in MADE else "real"
    try:
        yield
    except UserError as error:
        said = _NAMED.sub(lambda found: f"{side}_options={{'{found[1]}': {found[2] or '...'}}}", str(error))
        raise UserError(f"The {ROLES[role]} samples cannot be used: {said}") from error


def require_options(options: Iterable[str], role: str) -> None:
    """Raise `UserError` where `open_data` has none of that name."""
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise UserError(f"open_data has no option {unknown[0]!r} for {ROLES[role]} samples: {', '.join(_OPTIONS)}.")


def require_alike(real: Dataset, data: Dataset, role: str) -> None:
    """Raise `UserError` where samples of another role differ from the real ones in shape, or in what pixels mean."""
    low, high = data.source_range or (-1.0, 1.0)
    if getattr(data, "read_as", None) == getattr(real, "read_as", None) == SIGNED and low >= 0:
        raise UserError(
            f"The {ROLES[role]} samples ({data.name}) have pixels from {low:g} to {high:g}, none below 0, and the "
            f"real ones ({real.name}) run through [-1, 1]: give both in one range, as 2 * x - 1 does."
        )
    if data.shape == real.shape:
        return
    shapes = real.shape, data.shape
    of_real, of_data = ("x".join(map(str, shape)) + " numbers" * (len(shape) == 1) for shape in shapes)
    cure = "give both as images, or both as points"
    if len(real.shape) == len(data.shape) == 1:
        tables = (real.encoding is None) == (data.encoding is None)
        cure = "give both with as many columns" if tables else "give both alike, a table beside a table"
    elif len(real.shape) == len(data.shape):
        alike: dict[str, int] = {}
        if real.shape[1:] != data.shape[1:]:
            # A generator's square images are of the side at which it saw the real ones.
            height, width = data.shape[1:]
            seen = role in MADE and height == width
            alike["size"] = height if seen else min(side for shape in shapes for side in shape[1:])
        if real.shape[0] != data.shape[0]:
            alike["channels"] = 1
        cure = f"say real_options=fake_options={alike}"
    raise UserError(f"The real samples are {of_real}, the {ROLES[role]} ones {of_data}: {cure}.")


def _scaling(data: Dataset, asked: str | Scaling) -> Scaling | None:
    if isinstance(asked, Scaling) and data.shape != (len(asked.center),):
        raise UserError(
            f"{data.name} has samples of shape {data.shape}, and the real ones have {len(asked.center)} coordinates: "
            "give both alike, a table beside a table with the same columns."
        )
    if isinstance(asked, Scaling) or asked == "none":
        return asked if isinstance(asked, Scaling) else None
    if asked == "auto":
        if data.encoding is None or not (mixed := _mixed(data.encoding)):
            return None
        warnings.warn(
            f"{data.name}: columns are compared standardised, so that they weigh alike, as {mixed} (scaling='none' "
            "compares the numbers as they are)",
            stacklevel=2,
        )
    if data.encoding is not None:
        return data.encoding.scaling
    if data.size is None or not data.own_units:
        raise UserError(
            f"{data.name} has no units of its own: scaling='columns' is for tables and points; leave it out."
        )
    return Scaling.of(data.exact(torch.arange(data.size)))


def _mixed(encoding: Encoding) -> str:
    """In words, why distances between rows as they are would mean little; "" where they may mean something."""
    for column in encoding.columns:
        if column.kind != NUMBER or column.gaps:
            return f"{column.name!r} holds {column.kind}" + (" and empty cells" if column.gaps else "")
    spreads = dict(zip(encoding.coordinates, encoding.scaling.scale, strict=True))
    low, high = (pick(spreads, key=lambda name: spreads[name]) for pick in (min, max))
    if spreads[high] <= APART * spreads[low]:
        return ""
    return f"standard deviations run from {spreads[low]:.3g} ({low!r}) to {spreads[high]:.3g} ({high!r})"


def _open(source: Any, count: int, seed: int, of_seed: int | None, options: dict[str, Any]) -> Dataset:
    """`source` as a data set; of a model or function, one with `count` fresh samples."""
    # Words may name a trained model or a function; what else they name is for `open_data` to find out.
    maker, name, trained = source, getattr(source, "__name__", "function"), False
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        place = Path(name).expanduser()
        if not (isinstance(source, str) and name.partition(":")[0] in (*NAMES, "hf")):
            trained = (place / "run.json").is_file() or (place / "model.safetensors").is_file()
            if not place.exists() and (match := _FUNCTION.fullmatch(name)):
                maker = _imported(match["module"], match["name"])

    # What makes samples makes them; all else is opened as it is.
    rows = maker
    if trained or isinstance(maker, torch.nn.Module):
        from modecover.runs.model import GenerativeModel, load

        model = load(place, seed=of_seed) if trained else maker
        if not isinstance(model, GenerativeModel):
            raise UserError(
                f"a {type(model).__name__} is a network, and what its input is only you know; give a function of the "
                "number of samples, such as lambda n: network(torch.randn(n, 64))."
            )
        if isinstance(source, torch.nn.Module):
            name = f"{model.method.get('name')} on {model.data.get('name')}"
        name += f", seed {model.training_facts['seed']}" if "seed" in model.training_facts else ""
        # Images are in [-1, 1] by construction: as pixels no rule has to find that out.
        images = len(model.shape) == 3
        if model.columns is not None and "encoding" in options:  # rows of a table are held against rows of a table
            rows = model.sample_table(count, seed)
            options = {"encoding": options["encoding"]}
        else:
            rows = model.sample_images(count, seed) if images else model.sample(count, seed)
            options = {key: value for key, value in options.items() if key in ("size", "channels") and images}
            options |= {"layout": "NCHW"} if images else {}
    elif isinstance(maker, Dataset):
        options.pop("value_range", None)
        encoding = options.pop("encoding", None)
        if encoding is not None and maker.encoding is not None and maker.encoding.columns != encoding.columns:
            from modecover.runs.rows import frame_of

            assert maker.size is not None, "tables end"
            rows, name = frame_of(maker.encoding.columns, maker.exact(torch.arange(maker.size))), maker.name
            options = {"encoding": encoding}
    elif is_loader(maker):
        name = name_of(maker)
        with _guarded(f"reading {name}", "Give all samples as one array instead."):
            rows, classes = rows_of(maker, options.get("progress") or silent, count, seed)
        options = {key: value for key, value in options.items() if key in _OF_ARRAYS}
        if classes is not None:
            options["labels"] = classes
    elif callable(maker):
        # One call for all rows: a function that seeds itself would repeat its rows in batches.
        try:
            own_seed = {"seed": seed} if "seed" in inspect.signature(maker).parameters else {}
        except (TypeError, ValueError):  # some built-in functions do not tell
            own_seed = {}
        cure = "It is called with the number of samples wanted, and returns an array or tensor of so many rows."
        with _guarded(f"{name}({count})", cure), torch.no_grad():
            rows = maker(count, **own_seed)
        if inspect.iscoroutine(rows):
            rows.close()  # it would warn that nobody awaited it
        if not isinstance(rows, np.ndarray | torch.Tensor | list | tuple) and not hasattr(rows, "iloc"):
            given = type(rows).__name__
            raise UserError(f"{name}({count}) returned a {given}; it must return an array or a tensor.")
        options = {key: value for key, value in options.items() if key in _OF_ARRAYS}
    made = rows is not maker
    if isinstance(rows, np.ndarray | torch.Tensor) and rows.ndim == 1:
        rows = rows[:, None]  # numbers are samples of one feature
    data = open_data(rows, **{"stream": True, **options})  # pictures are read once, and only those that are wanted
    loaded = isinstance(maker, Dataset) or is_loader(maker)
    if made and not loaded and data.size is not None and data.size < count:
        raise UserError(
            f"{name}({count}) returned {data.size} rows: return as many as asked, or ask for fewer samples."
        )
    if made:
        data.name = name
    return data


def _imported(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of a module, which may be named by its import path or its file.

    Functions of Python's own library make no samples, and some of them end the process: they are not called.
    """
    words = f"{module}:{name}"
    refusal = UserError(f"{words} is of Python's own library and makes no samples; name a function of yours.")
    if module.partition(".")[0] in _PYTHONS:
        raise refusal
    with _guarded(f"there is no file, folder or module {module}, or importing it", "Check its name and what is in it."):
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module).stem, Path(module).expanduser())
            assert spec is not None and spec.loader is not None, "the name ends in .py"
            found: Any = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(spec.name, found)
            spec.loader.exec_module(found)
        else:
            found = importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UserError(f"{module} has no {name}; name a function in it, as in module:function.")
        found = getattr(found, part)
    if not callable(found) or isinstance(found, type):
        raise UserError(f"{words} is no function; name one that takes the number of samples.")
    if str(getattr(found, "__module__", None)).partition(".")[0] in _PYTHONS:
        raise refusal
    return found


@contextmanager
def _guarded(what: str, cure: str) -> Iterator[None]:
    """The user's code runs in the block: it finds modules of the working folder, as with `python -m`, and may leave for
    another one; whatever it raises is told in a sentence."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    except (KeyboardInterrupt, UserError):
        raise
    except BaseException as error:  # sys.exit(0) in there would end an audit as if all thresholds had been kept
        name, said = type(error).__name__, first_line(error)
        raise UserError(f"{what} raised {name if said == name else f'{name}: {said}'}. {cure}") from error
    finally:
        sys.path.remove(here)
        os.chdir(here)


def _taken(data: Dataset, count: int, seed: int, progress: Progress, scaling: Scaling | None, room: float) -> Samples:
    """`count` rows of `data`, or all where it has no more: read block by block, and told as they are."""
    if data.size is None:
        keys = data.draw(count, torch.Generator(data.device).manual_seed(seed))
    elif data.size <= count:
        keys = torch.arange(data.size)
    else:
        keys = torch.randperm(data.size, generator=torch.Generator().manual_seed(seed))[:count].sort().values
    labels = data.labels_of(keys)
    kept = kept_rows(data, keys, progress, scaling, room)
    # The `digest` of the samples as one tensor, which never is in memory.
    fingerprint = hashlib.sha256(f"{'audited'!r}\0{torch.float32}{kept.shape}".encode())
    for _, block in blocks(kept):
        fingerprint.update(raw(block))
    return Samples(
        kept=kept,
        name=printable(data.name),
        fingerprint=fingerprint.hexdigest(),
        index=np.arange(len(keys)) if data.size is None else keys.numpy(),
        of=data.size,
        labels=None if labels is None else labels.cpu().numpy(),
        dataset=data,
        scaling=scaling,
    )
