"""Hugging Face data sets: by name from the Hub or its cache, or as the objects of the package `datasets`."""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from modecover.data.arrays import as_array
from modecover.data.base import Progress, needs
from modecover.data.columns import NUMBER, SWITCH, WORDS
from modecover.data.tables import CLASSES, LIST, PICTURE, Table, class_names_of, kinds_of
from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.limits import require_memory

SECONDS = 5.0
"""To wait for the Hub to answer at all, before what its cache holds is taken instead."""
BATCH = 64
"""Rows that go through a data set's own transform at a time."""

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_SPLIT = re.compile(r"[\w.\[\]:%+-]{1,200}", re.ASCII)
_FORMATS = "arrow audiofolder csv hdf5 imagefolder json pandas parquet text videofolder webdataset xml".split()
"""What `datasets` would read from the working folder, instead of a data set of that name."""


def load_hub(name: str, split: str, progress: Progress) -> Table:
    """Split `split` of the Hugging Face data set `name`, downloaded or taken from the Hub's cache. Raises `UserError`
    where no data set can have that name, or the Hub does not give it: offline, unknown, not public."""
    if not _NAME.fullmatch(name) or ".." in name or name in _FORMATS:
        raise UserError(f"hf:{name[:100]!r} is no name of a Hugging Face data set; it looks like hf:ylecun/mnist.")
    if not _SPLIT.fullmatch(split):
        raise UserError(f"{split[:100]!r} is no name of a split of {name}; say for example split='test'.")
    datasets = needs("datasets", f"opening {name!r} from the Hugging Face Hub")
    progress("answer of the Hugging Face Hub", 0, 1)
    answers = hub_answers(name)
    constants = needs("huggingface_hub.constants", "asking the Hugging Face Hub")
    flags = [(module, module.HF_HUB_OFFLINE) for module in (constants, getattr(datasets, "config", None)) if module]
    try:
        for module, before in flags:  # where the Hub is silent its client takes what its cache holds and asks nobody
            module.HF_HUB_OFFLINE = not answers or before
        table = datasets.load_dataset(name, split=split)
    except Exception as error:  # the Hub's client raises a dozen unrelated types; all say why in their first line
        cure = "check the name and split" if answers else "check the path, or the connection: the Hub does not answer"
        raise UserError(
            f"{name!r} is no file or folder here, and no data set that the Hugging Face Hub gave "
            f"({first_line(error)}); {cure}."
        ) from error
    finally:
        for module, before in flags:
            module.HF_HUB_OFFLINE = before
    return hub_table(table, f"hf:{name}:{split}", split, progress)


def hub_answers(name: str) -> bool:
    """Whether the Hub says anything of the data set `name` within `SECONDS`, be it that it knows of none."""
    constants = needs("huggingface_hub.constants", "asking the Hugging Face Hub")
    if constants.HF_HUB_OFFLINE:
        return False
    answered: list[bool] = []

    def ask() -> None:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            HfApi().dataset_info(name, timeout=SECONDS)
        except HfHubHTTPError:
            pass  # an answer too
        except Exception:  # of the library that it asks by: nobody answers, or says what can be understood
            return
        answered.append(True)

    # A thread, since the system looks names up for as long as it pleases.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * SECONDS)
    return bool(answered)


def hub_table(table: Any, origin: str, split: str, progress: Progress) -> Table:
    """A `datasets.Dataset`, or a `DatasetDict`'s `split`, as a table; the transform that a user has set is applied once
    to each row, and what streams is read to its end. Raises `UserError` where there is no row, and where a transform or
    the reading fails."""
    datasets = needs("datasets", "opening a Hugging Face data set")
    if isinstance(table, datasets.DatasetDict | datasets.IterableDatasetDict):
        if split not in table:
            raise UserError(f"{origin} has no split {split!r}; it has {', '.join(table)}.")
        table = table[split]
    if isinstance(table, datasets.IterableDataset):
        stream = _Transformed(table.iter(BATCH), None, origin, origin, progress)
        declared = {} if table.features is None else kinds_of(table.features.arrow_schema)
        stream.class_names = {} if table.features is None else class_names_of(table.features.arrow_schema)
        stream.kinds |= {name: CLASSES for name in stream.kinds if declared.get(name) == CLASSES}
        return stream
    if not isinstance(table, datasets.Dataset):
        raise UserError(f"{origin}: a {type(table).__name__} is no data set of rows; choose one split.")
    if not len(table):
        raise UserError(f"{origin} is empty: give at least one row.")
    if table.format["type"] != "custom":
        return _Stored(table, origin)
    parts = (table[start : start + BATCH] for start in range(0, len(table), BATCH))
    note = f"{origin}: its transform is applied to each row once, when it is opened"
    return _Transformed(parts, len(table), origin, f"{origin} {table._fingerprint}", progress, note)


class _Stored(Table):
    """A data set as it is stored."""

    def __init__(self, table: Any, origin: str):
        self.table, self.origin, self.identity = table, origin, f"{origin} {table._fingerprint}"
        schema = table.features.arrow_schema
        kinds, self.class_names = kinds_of(schema), class_names_of(schema)
        self.kinds = {name: kinds[name] for name in table.format["columns"]}

    def __len__(self) -> int:
        return len(self.table)

    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        rows = self.table.with_format("arrow")
        return {name: rows.select_columns([name])[:][name] for name in names}

    def pictures(self, name: str) -> Any:
        return self.table.with_format("arrow").select_columns([name])  # taken row by row


class _Transformed(Table):
    """Rows as the user's own transform makes them, or as they stream in, read once: `parts` of some of each column, and
    how many rows there are, if that is known."""

    def __init__(
        self, parts: Iterable[Any], total: int | None, origin: str, identity: str, progress: Progress, *notes: str
    ):
        self.origin, self.notes = origin, notes
        self.values: dict[str, list[Any]] = {}
        told, taken, read = hashlib.sha256(identity.encode()), 0.0, 0
        waiting = iter(parts)
        while True:
            try:
                rows = next(waiting, None)
                if rows is None:
                    break
                lengths = {len(cells) for cells in rows.values()} if isinstance(rows, dict) else set()
                if len(lengths) != 1 or (total is not None and lengths != {min(BATCH, total - read)}):
                    raise TypeError("it must return a dictionary of columns, one cell for each row")
                if self.values and self.values.keys() != rows.keys():
                    raise TypeError(f"its columns are no longer {', '.join(self.values)}")
            except Exception as error:
                stop = read + BATCH if total is None else min(read + BATCH, total)
                what = "reading" if total is None else "its transform"
                where = f"rows {read} to {stop - 1} ({first_line(error)})"
                raise UserError(f"{origin}: {what} failed on {where}; mend it.") from error
            count = len(next(iter(rows.values())))
            for name, cells in rows.items():
                plain = [_plain(cell) for cell in cells]
                self.values.setdefault(name, []).extend(plain)
                taken += sum(map(_bytes, plain))
                if total is None:
                    for cell in plain:
                        told.update(cell.tobytes() if hasattr(cell, "tobytes") else repr(cell).encode())
            read += count
            whole = taken * (1 if total is None else total / read)
            require_memory(f"The rows of {origin}", 2 * whole - taken, "take a part of it")  # and once more as an array
            progress("rows of the data set", read, total or read + BATCH)
        progress("rows of the data set", read, read)
        if not read:
            raise UserError(f"{origin} is empty: give at least one row.")
        self.identity = identity if total is not None else told.hexdigest()
        self.kinds = {name: _kind_of(cells[0]) for name, cells in self.values.items()}

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        columns: dict[str, Any] = {}
        for name in names:
            cells = self.values[name]
            if self.kinds[name] != LIST:
                columns[name] = needs("pyarrow", "opening a Hugging Face data set").array(cells)
            elif len(shapes := sorted({np.shape(cell) for cell in cells})) > 1:
                raise UserError(f"the arrays of the column {name!r} have shapes {shapes[0]} and {shapes[1]}; give one.")
            else:
                columns[name] = np.stack(cells)
        return columns

    def pictures(self, name: str) -> Any:
        return self.values[name]


def _plain(cell: Any) -> Any:
    """A cell as a picture, an array, a number, a word or what else it is."""
    if isinstance(cell, torch.Tensor | np.ndarray | list | tuple):
        array = as_array(cell)
        return array.item() if array.ndim == 0 else array
    return cell.item() if isinstance(cell, np.generic) else cell


def _bytes(cell: Any) -> float:
    """That a cell takes, a picture decoded."""
    if hasattr(cell, "getbands"):
        return float(math.prod(cell.size) * len(cell.getbands()))
    return float(getattr(cell, "nbytes", 8))


def _kind_of(cell: Any) -> str:
    if hasattr(cell, "getexif") or isinstance(cell, bytes) or (isinstance(cell, dict) and "bytes" in cell):
        return PICTURE
    if isinstance(cell, np.ndarray):
        return LIST if cell.dtype.kind in "fiub" else f"lists of {cell.dtype}"
    kinds = ((bool, SWITCH), (int, NUMBER), (float, NUMBER), (str, WORDS))
    return next((kind for cls, kind in kinds if isinstance(cell, cls)), type(cell).__name__)
