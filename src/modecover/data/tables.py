"""Tables of encoded pictures or of plain values, whatever keeps them; and those in parquet files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from modecover.data.arrays import are_whole
from modecover.data.base import Asked, needs
from modecover.data.columns import CLASSES, PICTURE, WORDS, Roles, choose_roles, holds, kinds_of, values_of
from modecover.data.encoded import SPLIT_NAMES
from modecover.data.files import require_unfolded, undamaged
from modecover.data.names import counted, require_openable
from modecover.errors import UserError, about

ROWS, PICTURE_ROWS = 65_536, 256
"""Rows that are unfolded at a time, of plain values and of pictures."""


class Table(ABC):
    """Named columns of equal length."""

    origin: str
    """The file or data set they come from."""
    kinds: dict[str, str]
    """What each column holds, see `columns.kinds_of`."""
    identity: str
    """A text that changes when the table does."""
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        """These columns, as Arrow or NumPy has them."""

    def pictures(self, name: str) -> Any:
        """A column of pictures, as the cells of `Pictures`."""
        return self.read([name])[name]

    def roles(self, asked: Asked) -> Roles:
        """The roles of the columns, see `choose_roles`."""

        @lru_cache(maxsize=8)
        def are_classes(name: str) -> bool:
            if self.kinds[name] == CLASSES:
                return True
            try:
                values = values_of(self.read([name])[name])
            except UserError:  # empty cells
                return False
            return values.dtype.kind == "U" or bool(are_whole(values).all())

        return choose_roles(self.kinds, asked.key, asked.label_key, are_classes)


def tables_of_split(paths: Sequence[Path], split: str) -> list[Path]:
    """The files whose names say that they hold `split`; all of them where no name says any split."""
    chosen = [path for path in paths if split in path.stem.lower()]
    if chosen or not any(name in path.stem.lower() for path in paths for name in SPLIT_NAMES):
        return chosen or list(paths)
    names = counted(path.name for path in paths)
    raise UserError(f"no parquet file in it is named after the split {split!r}; there are {names}.")


class Parquet(Table):
    """Parquet files of one layout, read a few columns and a few rows at a time.

    Raises `UserError` where a file is damaged, unfolds to more than the limit, or has other columns than the first.
    """

    def __init__(self, paths: Sequence[Path], asked: Asked):
        self.paths, self.asked = paths, asked
        parquet = needs("pyarrow.parquet", "reading parquet files")
        self.origin = str(paths[0])
        self.identity = "\n".join(f"{path.name} {path.stat().st_size}" for path in paths)
        self.files = []
        for path in paths:
            require_openable(path)
            with about(path), undamaged():
                self.files.append(parquet.ParquetFile(path, memory_map=True))
            names, first = self.files[-1].schema_arrow.names, self.files[0].schema_arrow.names
            if names != first:
                columns = f"the columns {counted(names)}, and {paths[0]} has {counted(first)}"
                raise UserError(f"{path} has {columns}; give files of one layout.")
            if len(set(names)) < len(names):
                raise UserError(f"{path} has two columns of one name; rename one.")
        self.schema = self.files[0].schema_arrow
        self.kinds = kinds_of(self.schema)

    def __len__(self) -> int:
        return sum(file.metadata.num_rows for file in self.files)

    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        arrow = needs("pyarrow", "reading parquet files")
        at_once = PICTURE_ROWS if any(self.kinds[name] == PICTURE for name in names) else ROWS
        stored, unfolded, done = sum(path.stat().st_size for path in self.paths), 0, 0
        batches: list[Any] = []
        for path, file in zip(self.paths, self.files, strict=True):
            with about(path), undamaged():
                for batch in file.iter_batches(at_once, columns=list(names)):
                    unfolded += sum(map(_bytes_of, batch.columns))
                    require_unfolded(unfolded, stored, self.asked.memory_limit)
                    batches.append(batch.select(names))
                    done += len(batch)
                    self.asked.progress("rows of the table", done, len(self))
        with undamaged():
            schema = arrow.schema([self.schema.field(name) for name in names])
            table = arrow.Table.from_batches(batches, schema=schema)
        return {name: table[name] for name in names}


def _bytes_of(column: Any) -> int:
    """The bytes of a column's values; of one that a dictionary codes, as if each were written out."""
    if not hasattr(column, "dictionary"):
        return int(column.nbytes)
    values, compute = column.dictionary, needs("pyarrow.compute", "reading parquet files")
    if holds(values.type) not in (PICTURE, WORDS):  # each as long as any other
        return len(column) * int(values.nbytes) // max(1, len(values))
    return int(compute.sum(compute.binary_length(values).take(column.indices)).as_py() or 0)
