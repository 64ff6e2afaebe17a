"""Tables: parquet files and Hugging Face data sets, of encoded pictures or of plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modecover.data.arrays import class_labels
from modecover.data.base import needs
from modecover.data.files import LABEL_KEYS
from modecover.data.pictures import SPLIT_NAMES, TablePictures
from modecover.errors import UserError

Array = NDArray[Any]
Content = TablePictures | tuple[Array, Array | None]
"""Pictures, or numbers with their labels."""


def read_parquet(paths: Sequence[Path], key: str | None, label_key: str | None) -> Content:
    """The rows of parquet files of one layout.

    The data is the column `key`, or else the only column of pictures (binary, or as the Hub stores them: a struct
    with `bytes`), or else all numeric columns but the labels, side by side. Labels are the column `label_key`, or one
    named like one of `LABEL_KEYS`.
    """
    arrow, parquet = (needs(name, "reading parquet files", "pyarrow") for name in ("pyarrow", "pyarrow.parquet"))
    origin = str(paths[0])
    try:
        table = arrow.concat_tables([parquet.read_table(path) for path in paths])
    except (OSError, arrow.ArrowInvalid) as error:
        raise UserError(f"{origin} is no readable parquet file ({error}); write it again.") from error
    types = arrow.types
    kinds = {}
    for field in table.schema:
        struct = types.is_struct(field.type) and "bytes" in {child.name for child in field.type}
        if struct or types.is_binary(field.type) or types.is_large_binary(field.type):
            kinds[field.name] = "picture"
        elif types.is_integer(field.type) or types.is_floating(field.type):
            kinds[field.name] = "number"
        elif types.is_fixed_size_list(field.type) or types.is_list(field.type):
            kinds[field.name] = "list"
    label_key, columns = choose_columns(kinds, table.column_names, key, label_key, origin)
    labels = None if label_key is None else table[label_key].to_numpy()
    if kinds[columns[0]] == "picture":
        classes = None if labels is None else class_labels(np.asarray(labels), len(table), origin)
        identity = "\n".join(f"{path.name} {path.stat().st_size}" for path in paths)
        return TablePictures(table[columns[0]], classes, origin, identity)
    return _numbers([table[name].to_numpy(zero_copy_only=False) for name in columns], origin), labels


def tables_of_split(paths: Sequence[Path], split: str, folder: Path) -> list[Path]:
    """The files whose names say that they hold `split`; all of them where no name says any split."""
    chosen = [path for path in paths if split in path.stem.lower()]
    if chosen or not any(name in path.stem.lower() for path in paths for name in SPLIT_NAMES):
        return chosen or list(paths)
    names = ", ".join(path.name for path in paths)
    raise UserError(f"no parquet file in {folder} is named after the split {split!r}; there are {names}.")


def choose_columns(
    kinds: Mapping[str, str], names: Sequence[str], key: str | None, label_key: str | None, origin: str
) -> tuple[str | None, list[str]]:
    """The column of labels (None: there is none) and the columns of data; `kinds`: column to what it can hold."""
    for name in (key, label_key):
        if name is not None and name not in names:
            raise UserError(f"{origin} has no column {name!r}; it has {', '.join(names)}.")
    if label_key is None:
        label_key = next((name for name in names if name.lower() in LABEL_KEYS and name != key), None)
    columns = [name for name in kinds if name != label_key]
    if key is not None:
        columns = [name for name in columns if name == key]
    pictures = [name for name in columns if kinds[name] == "picture"]
    lists = [name for name in columns if kinds[name] == "list"]
    if len(pictures) > 1 or (not pictures and len(lists) > 1):
        several = pictures or lists
        raise UserError(f"{origin} has several columns of data ({', '.join(several)}): say key={several[0]!r}.")
    chosen = pictures or lists or columns
    if not chosen:
        raise UserError(f"{origin} has no column of pictures or numbers; it has {', '.join(names)}.")
    return label_key, chosen


def _numbers(columns: Sequence[Array], origin: str) -> Array:
    """Numeric columns side by side, or the one column whose cells are lists, as an array (N, ...)."""
    if columns[0].dtype != object:
        return columns[0] if columns[0].ndim > 1 else np.stack(columns, axis=1)
    try:
        return np.stack([np.asarray(row) for row in columns[0]])
    except (ValueError, TypeError) as error:
        raise UserError(f"{origin}: the rows of its list column differ in length; give rows of one length.") from error


class _Column:
    """One column of a Hugging Face data set, row by row (the set's own columns may be read whole)."""

    def __init__(self, table: Any, name: str):
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Any:
        return self.table[index][self.name]


def load_hub(name: str, split: str, key: str | None, label_key: str | None) -> Content:
    """Split `split` of the Hugging Face data set `name`, downloaded or taken from the Hub's cache."""
    datasets = needs("datasets", f"opening {name!r} from the Hugging Face Hub")
    try:
        table = datasets.load_dataset(name, split=split)
    except Exception as error:  # the Hub's client raises a dozen unrelated types; all say why in their first line
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{name!r} is no file or folder here, and no data set that the Hugging Face Hub gave ({reason}); "
            "check the name and split, or the connection."
        ) from error
    return read_hub(table, key, label_key, f"hf:{name}:{split}")


def read_hub(table: Any, key: str | None, label_key: str | None, origin: str) -> Content:
    """The rows of a `datasets.Dataset`, chosen as `read_parquet` chooses them."""
    datasets = needs("datasets", "opening a Hugging Face data set")
    if not isinstance(table, datasets.Dataset):
        raise UserError(f"{origin}: a {type(table).__name__} cannot be indexed; choose one split and load it whole.")
    kinds = {}
    for name, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            kinds[name] = "picture"
        elif isinstance(feature, datasets.Value) and feature.dtype.startswith(("int", "uint", "float")):
            kinds[name] = "number"
        elif not isinstance(feature, datasets.Value | datasets.ClassLabel | dict):
            kinds[name] = "list"
    label_key, columns = choose_columns(kinds, table.column_names, key, label_key, origin)
    labels = None if label_key is None else np.asarray(table.select_columns([label_key])[:][label_key])
    if kinds[columns[0]] == "picture":
        rows = table.select_columns(columns).cast_column(columns[0], datasets.Image(decode=False))
        classes = None if labels is None else class_labels(labels, len(table), origin)
        return TablePictures(_Column(rows, columns[0]), classes, origin, f"{origin} {table._fingerprint}")
    numbers = table.select_columns(columns).with_format("numpy")[:]
    return _numbers([np.asarray(numbers[name]) for name in columns], origin), labels
