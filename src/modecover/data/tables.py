"""Tables of encoded pictures or of plain values, whatever keeps them; and those in parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from modecover.data.arrays import are_whole, class_labels
from modecover.data.base import MEMORY_LIMIT, Progress, needs, silent
from modecover.data.columns import (
    CLASSES,
    PICTURE,
    WORDS,
    choose_roles,
    holds,
    kinds_of,
    side_by_side,
    values_of,
)
from modecover.data.encoded import SPLIT_NAMES, TablePictures
from modecover.data.files import require_unfolded, told
from modecover.data.names import counted, require_openable
from modecover.errors import UserError, about

Array = NDArray[Any]

ROWS, PICTURE_ROWS = 65_536, 256
"""Rows that are unfolded at a time, of plain values and of pictures."""


class Table(Protocol):
    """Named columns of equal length."""

    origin: str
    """The file or data set they come from."""
    kinds: dict[str, str]
    """What each column holds, see `columns.kinds_of`."""
    identity: str
    """A text that changes when the table does."""
    notes: tuple[str, ...]

    def __len__(self) -> int: ...

    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        """These columns, as Arrow or NumPy has them."""

    def pictures(self, name: str) -> Any:
        """A column of pictures, for `TablePictures`."""


@dataclass(frozen=True)
class Content:
    """What a table gave."""

    data: TablePictures | Array
    """Pictures with their classes, or numbers (N, ...)."""
    labels: Array | None
    """Of numbers, (N,)."""
    columns: tuple[str, ...] | None
    """Names of the coordinates of numbers (N, d)."""
    roles: Mapping[str, str]
    """Of every column, its role in words."""
    notes: tuple[str, ...]
    """What was guessed or left out, with the way to say otherwise."""


def read_table(table: Table, key: Sequence[str] | None, label_key: str | None) -> Content:
    """The rows of a table, its columns chosen by `choose_roles`."""
    kinds = table.kinds

    @lru_cache(maxsize=8)
    def are_classes(name: str) -> bool:
        if kinds[name] == CLASSES:
            return True
        try:
            values = values_of(table.read([name])[name])
        except UserError:  # empty cells
            return False
        return values.dtype.kind == "U" or bool(are_whole(values).all())

    with about(table.origin):
        roles = choose_roles(kinds, key, label_key, are_classes)
        notes = (*(f"{table.origin}: {note}" for note in roles.notes), *table.notes)
        labels = None
        if roles.label is not None:
            with about(f"the column {roles.label!r}"):
                labels = values_of(table.read([roles.label])[roles.label])
        if kinds[first := roles.columns[0]] == PICTURE:
            classes = None if labels is None else class_labels(labels, len(table))
            pictures = TablePictures(table.pictures(first), classes, table.origin, table.identity)
            return Content(pictures, None, None, roles.told, notes)
        numbers, names = side_by_side(table.read(roles.columns), kinds)
        return Content(numbers, labels, names, roles.told, notes)


def tables_of_split(paths: Sequence[Path], split: str, folder: Path) -> list[Path]:
    """The files whose names say that they hold `split`; all of them where no name says any split."""
    chosen = [path for path in paths if split in path.stem.lower()]
    if chosen or not any(name in path.stem.lower() for path in paths for name in SPLIT_NAMES):
        return chosen or list(paths)
    names = counted(path.name for path in paths)
    raise UserError(f"no parquet file in {folder} is named after the split {split!r}; there are {names}.")


class Parquet:
    """Parquet files of one layout, read a few columns and a few rows at a time; a `Table`.

    `limit`: bytes that the columns read may unfold to. Raises `UserError` where a file is damaged, unfolds to more, or
    has other columns than the first.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, paths: Sequence[Path], limit: int = MEMORY_LIMIT, progress: Progress = silent):
        self.paths, self.limit, self.progress = paths, limit, progress
        parquet = needs("pyarrow.parquet", "reading parquet files")
        self.origin = str(paths[0])
        self.identity = "\n".join(f"{path.name} {path.stat().st_size}" for path in paths)
        self.files = []
        for path in paths:
            require_openable(path)
            with about(path), told():
                self.files.append(parquet.ParquetFile(path, memory_map=True))
            names, first = self.files[-1].schema_arrow.names, self.files[0].schema_arrow.names
            if names != first:
                raise UserError(
                    f"{path} has the columns {counted(names)}, and {paths[0]} has {counted(first)}; give files of one "
                    "layout."
                )
            if len(set(names)) < len(names):
                raise UserError(f"{path} has two columns of one name; rename one.")
        self.schema = self.files[0].schema_arrow
        self.kinds = kinds_of(self.schema)

    def __len__(self) -> int:
        return sum(file.metadata.num_rows for file in self.files)

    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        arrow = needs("pyarrow", "reading parquet files")
        at_once = PICTURE_ROWS if any(self.kinds[name] == PICTURE for name in names) else ROWS
        stored, batches, done = sum(path.stat().st_size for path in self.paths), [], 0
        unfolded = 0
        for path, file in zip(self.paths, self.files, strict=True):
            with about(path), told():
                for batch in file.iter_batches(at_once, columns=list(names)):
                    unfolded += sum(map(_bytes_of, batch.columns))
                    require_unfolded(unfolded, stored, self.limit)
                    batches.append(batch.select(names))
                    done += len(batch)
                    self.progress("rows of the table", done, len(self))
        with told():
            schema = arrow.schema([self.schema.field(name) for name in names])
            table = arrow.Table.from_batches(batches, schema=schema)
        return {name: table[name] for name in names}

    def pictures(self, name: str) -> Any:
        return self.read([name])[name]


def _bytes_of(column: Any) -> int:
    """The bytes of a column's values; of one that a dictionary codes, as if each were written out."""
    if not hasattr(column, "dictionary"):
        return int(column.nbytes)
    values, compute = column.dictionary, needs("pyarrow.compute", "reading parquet files")
    if holds(values.type) not in (PICTURE, WORDS):  # each as long as any other
        return len(column) * int(values.nbytes) // max(1, len(values))
    return int(compute.sum(compute.binary_length(values).take(column.indices)).as_py() or 0)
