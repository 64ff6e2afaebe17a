"""Hugging Face data sets: by name from the Hub or its cache, or as the objects of the package `datasets`."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from modecover.data.arrays import as_array, class_labels
from modecover.data.base import Progress, needs, silent
from modecover.data.columns import kinds_of, side_by_side, values_of
from modecover.data.encoded import TablePictures
from modecover.data.roles import LIST, NUMBER, PICTURE, SWITCH, WORDS, choose_roles
from modecover.data.room import require_memory
from modecover.data.tables import Array, Content, holds_classes
from modecover.errors import UserError

SECONDS = 5.0
"""To wait for the Hub to answer at all, before what its cache holds is taken instead."""
BATCH = 64
"""Rows that go through a data set's own transform at a time."""

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_SPLIT = re.compile(r"[\w.\[\]:%+-]{1,200}", re.ASCII)
_FORMATS = frozenset(
    "arrow audiofolder csv hdf5 imagefolder json pandas parquet text videofolder webdataset xml".split()
)
"""What `datasets` would read from the working folder, instead of a data set of that name."""


def load_hub(
    name: str, split: str, key: Sequence[str] | None, label_key: str | None, progress: Progress = silent
) -> Content:
    """Split `split` of the Hugging Face data set `name`, downloaded or taken from the Hub's cache.

    Raises:
        UserError: where no data set can have that name, or the Hub does not give it: offline, unknown, not public.
    """
    if not _NAME.fullmatch(name) or ".." in name or name in _FORMATS:
        raise UserError(f"hf:{name[:100]!r} is no name of a Hugging Face data set; it looks like hf:ylecun/mnist.")
    if not _SPLIT.fullmatch(split):
        raise UserError(f"{split[:100]!r} is no name of a split of {name}; say for example split='test'.")
    datasets = needs("datasets", f"opening {name!r} from the Hugging Face Hub")
    progress("answer of the Hugging Face Hub", 0, 1)
    answers = hub_answers()
    try:
        with _offline(datasets, not answers):
            table = datasets.load_dataset(name, split=split)
    except Exception as error:  # the Hub's client raises a dozen unrelated types; all say why in their first line
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        cure = "check the name and split" if answers else "the Hub does not answer, so check the connection"
        raise UserError(
            f"{name!r} is no file or folder here, and no data set that the Hugging Face Hub gave ({reason}); {cure}."
        ) from error
    return read_hub(table, key, label_key, f"hf:{name}:{split}", progress=progress)


def hub_answers() -> bool:
    """Whether the Hub takes a connection within `SECONDS`; through a proxy it is believed to."""
    constants = needs("huggingface_hub.constants", "asking the Hugging Face Hub", "huggingface_hub")
    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    place = urlsplit(constants.ENDPOINT)
    answered: list[bool] = []

    def ask() -> None:
        try:
            socket.create_connection((place.hostname or "", place.port or 443), SECONDS).close()
            answered.append(True)
        except OSError:
            pass

    # A thread, since the system looks names up for as long as it pleases.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return bool(answered)


@contextmanager
def _offline(datasets: Any, wanted: bool) -> Iterator[None]:
    """Within the block, where it is `wanted`, the Hub's client takes what its cache holds and asks nobody."""
    constants = needs("huggingface_hub.constants", "asking the Hugging Face Hub", "huggingface_hub")
    flags = [(module, module.HF_HUB_OFFLINE) for module in (constants, getattr(datasets, "config", None)) if module]
    try:
        for module, before in flags:
            module.HF_HUB_OFFLINE = wanted or before
        yield
    finally:
        for module, before in flags:
            module.HF_HUB_OFFLINE = before


class _Column:
    """One column of a Hugging Face data set, row by row (the set's own columns may be read whole)."""

    def __init__(self, table: Any, name: str):
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Any:
        return self.table[index][self.name]


def read_hub(
    table: Any,
    key: Sequence[str] | None,
    label_key: str | None,
    origin: str,
    *,
    split: str = "train",
    progress: Progress = silent,
) -> Content:
    """The rows of a `datasets.Dataset`, or of a `DatasetDict`'s `split`, chosen as `read_parquet` chooses them.

    A transform that the user has set is applied, once to each row. Raises `UserError` for data sets that can only be
    read in order, and where the transform fails.
    """
    datasets = needs("datasets", "opening a Hugging Face data set")
    if isinstance(table, datasets.DatasetDict):
        if split not in table:
            raise UserError(f"{origin} has no split {split!r}; it has {', '.join(table)}.")
        table = table[split]
    if not isinstance(table, datasets.Dataset):
        raise UserError(f"{origin}: a {type(table).__name__} cannot be indexed; choose one split and load it whole.")
    if not len(table):
        raise UserError(f"{origin} is empty: give at least one row.")
    if table.format["type"] == "custom":
        return _transformed(table, key, label_key, origin, progress)
    shown = list(table.format["columns"])
    all_kinds = kinds_of(table.features.arrow_schema)
    kinds = {name: all_kinds[name] for name in shown}
    rows = table.with_format("arrow")

    def column(name: str) -> Any:
        return rows.select_columns([name])[:][name]

    def are_classes(name: str) -> bool:
        return holds_classes(kinds[name], column(name), name, origin)

    roles = choose_roles(kinds, key, label_key, origin, are_classes)
    labels = None if roles.label is None else values_of(column(roles.label), roles.label, origin)
    first = roles.columns[0]
    if kinds[first] == PICTURE:
        encoded = table.with_format(None).select_columns([first])
        if isinstance(table.features[first], datasets.Image):
            encoded = encoded.cast_column(first, datasets.Image(decode=False))
        classes = None if labels is None else class_labels(labels, len(table), origin)
        pictures = TablePictures(_Column(encoded, first), classes, origin, f"{origin} {table._fingerprint}")
        return Content(pictures, None, None, roles)
    numbers, names = side_by_side({name: column(name) for name in roles.columns}, kinds, origin)
    return Content(numbers, labels, names, roles)


def _transformed(
    table: Any, key: Sequence[str] | None, label_key: str | None, origin: str, progress: Progress
) -> Content:
    """The rows as the user's own transform makes them, read once."""
    arrow = needs("pyarrow", "opening a Hugging Face data set")
    values: dict[str, list[Any]] = {}
    for start in range(0, len(table), BATCH):
        stop = min(start + BATCH, len(table))
        for name, cells in _through(table, start, stop, origin).items():
            values.setdefault(name, []).extend(_plain(cells[place]) for place in range(stop - start))
        if start == 0:
            sizes = (_size(cells[0]) for cells in values.values())
            require_memory(len(table) * sum(sizes), f"{origin} through its transform", "take a part of it")
        progress("rows of the data set", stop, len(table))
    kinds = {name: _kind_of(cells[0]) for name, cells in values.items()}

    def column(name: str) -> Any:
        return arrow.array([cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in values[name]])

    def are_classes(name: str) -> bool:
        return holds_classes(kinds[name], column(name), name, origin)

    roles = choose_roles(kinds, key, label_key, origin, are_classes)
    once = f"{origin}: its transform is applied to each row once, when it is opened"
    roles = replace(roles, notes=(*roles.notes, once))
    labels = None if roles.label is None else values_of(column(roles.label), roles.label, origin)
    first = roles.columns[0]
    if kinds[first] == PICTURE:
        classes = None if labels is None else class_labels(labels, len(table), origin)
        return Content(
            TablePictures(values[first], classes, origin, f"{origin} {table._fingerprint}"), None, None, roles
        )
    if roles.columns == (first,) and kinds[first] == LIST:
        return Content(_stacked(values[first], first, origin), labels, None, roles)
    numbers, names = side_by_side({name: column(name) for name in roles.columns}, kinds, origin)
    return Content(numbers, labels, names, roles)


def _through(table: Any, start: int, stop: int, origin: str) -> dict[str, Any]:
    try:
        rows = table[start:stop]
        if not isinstance(rows, dict) or any(len(cells) != stop - start for cells in rows.values()):
            raise TypeError("it must return a dictionary of columns, one cell for each row")
    except Exception as error:
        raise UserError(f"{origin}: its transform failed on rows {start} to {stop - 1} ({error}); mend it.") from error
    return rows


def _plain(cell: Any) -> Any:
    """A cell as a picture, an array, a number, a word or what else it is."""
    if isinstance(cell, torch.Tensor | np.ndarray | list | tuple):
        array = as_array(cell, "a cell of the data set")
        return array.item() if array.ndim == 0 else array
    return cell.item() if isinstance(cell, np.generic) else cell


def _size(cell: Any) -> int:
    """Bytes that a cell takes, roughly."""
    return cell.width * cell.height * len(cell.getbands()) if hasattr(cell, "getbands") else getattr(cell, "nbytes", 8)


def _kind_of(cell: Any) -> str:
    if hasattr(cell, "getexif") or isinstance(cell, bytes) or (isinstance(cell, dict) and "bytes" in cell):
        return PICTURE
    if isinstance(cell, np.ndarray):
        return LIST if cell.dtype.kind in "fiub" else f"lists of {cell.dtype}"
    kinds = ((bool, SWITCH), (int, NUMBER), (float, NUMBER), (str, WORDS))
    return next((kind for cls, kind in kinds if isinstance(cell, cls)), type(cell).__name__)


def _stacked(cells: Sequence[Array], name: str, origin: str) -> Array:
    shapes = sorted({np.shape(cell) for cell in cells})
    if len(shapes) > 1:
        raise UserError(
            f"{origin}: the arrays of the column {name!r} have shapes {shapes[0]} and {shapes[1]}; give one."
        )
    return np.stack(cells)
