"""Tables in parquet files, of encoded pictures or of plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from modecover.data.arrays import are_whole, class_labels
from modecover.data.base import Progress, needs, silent
from modecover.data.columns import kinds_of, side_by_side, values_of
from modecover.data.encoded import TablePictures
from modecover.data.folders import SPLIT_NAMES
from modecover.data.places import counted, require_openable
from modecover.data.roles import CLASSES, PICTURE, Roles, choose_roles
from modecover.data.room import MEMORY_LIMIT, require_unfolded
from modecover.errors import UserError, printable

Array = NDArray[Any]

ROWS, PICTURE_ROWS = 65_536, 256
"""Rows that are unfolded at a time, of plain values and of pictures."""


@dataclass(frozen=True)
class Content:
    """What a table gave."""

    data: TablePictures | Array
    """Pictures with their classes, or numbers (N, ...)."""
    labels: Array | None
    """Of numbers, (N,)."""
    columns: tuple[str, ...] | None
    """Names of the coordinates of numbers (N, d)."""
    roles: Roles


def read_parquet(
    paths: Sequence[Path],
    key: Sequence[str] | None,
    label_key: str | None,
    limit: int = MEMORY_LIMIT,
    progress: Progress = silent,
) -> Content:
    """The rows of parquet files of one layout, their columns chosen by `choose_roles`.

    `limit`: bytes that the columns read may unfold to. Raises `UserError` where a file is damaged, unfolds to more, or
    has other columns than the first.
    """
    files = _Files(paths, limit, progress)
    kinds, origin = kinds_of(files.schema), printable(paths[0])

    @lru_cache(maxsize=8)
    def are_classes(name: str) -> bool:
        return holds_classes(kinds[name], files.read([name])[name], name, origin)

    roles = choose_roles(kinds, key, label_key, origin, are_classes)
    table = files.read([*roles.columns, *([] if roles.label is None else [roles.label])])
    labels = None if roles.label is None else values_of(table[roles.label], roles.label, origin)
    first = roles.columns[0]
    if kinds[first] == PICTURE:
        classes = None if labels is None else class_labels(labels, len(table), origin)
        identity = "\n".join(f"{path.name} {path.stat().st_size}" for path in paths)
        return Content(TablePictures(table[first], classes, origin, identity), None, None, roles)
    numbers, names = side_by_side({name: table[name] for name in roles.columns}, kinds, origin)
    return Content(numbers, labels, names, roles)


def holds_classes(kind: str, column: Any, name: str, origin: str) -> bool:
    """Whether a column of single values holds whole numbers or words."""
    if kind == CLASSES:
        return True
    try:
        values = values_of(column, name, origin)
    except UserError:
        return False
    return values.dtype.kind == "U" or are_whole(values)


def tables_of_split(paths: Sequence[Path], split: str, folder: Path) -> list[Path]:
    """The files whose names say that they hold `split`; all of them where no name says any split."""
    chosen = [path for path in paths if split in path.stem.lower()]
    if chosen or not any(name in path.stem.lower() for path in paths for name in SPLIT_NAMES):
        return chosen or list(paths)
    names = counted(path.name for path in paths)
    raise UserError(f"no parquet file in {printable(folder)} is named after the split {split!r}; there are {names}.")


class _Files:
    """Parquet files of one layout, read a few columns and a few rows at a time."""

    def __init__(self, paths: Sequence[Path], limit: int, progress: Progress):
        self.paths, self.limit, self.progress = paths, limit, progress
        _, parquet = (needs(name, "reading parquet files", "pyarrow") for name in ("pyarrow", "pyarrow.parquet"))
        self.files = []
        for path in paths:
            require_openable(path)
            with _told(path):
                self.files.append(parquet.ParquetFile(path, memory_map=True))
        self.schema = self.files[0].schema_arrow
        for path, file in zip(paths, self.files, strict=True):
            names = file.schema_arrow.names
            if names != self.schema.names:
                raise UserError(
                    f"{printable(path)} has the columns {counted(names)}, and {printable(paths[0])} has "
                    f"{counted(self.schema.names)}; give files of one layout."
                )
            if len(set(names)) < len(names):
                raise UserError(f"{printable(path)} has two columns of one name; rename one.")

    def read(self, names: Sequence[str]) -> Any:
        """These columns of all files as one Arrow table."""
        arrow = needs("pyarrow", "reading parquet files")
        binary = any(kind == PICTURE for name, kind in kinds_of(self.schema).items() if name in names)
        stored, unfolded, done = sum(path.stat().st_size for path in self.paths), 0, 0
        rows = sum(file.metadata.num_rows for file in self.files)
        self._require_room(names, rows, stored)
        batches = []
        for path, file in zip(self.paths, self.files, strict=True):
            with _told(path):
                for batch in file.iter_batches(PICTURE_ROWS if binary else ROWS, columns=list(names)):
                    unfolded += sum(map(_bytes_of, batch.columns))
                    require_unfolded(unfolded, stored, printable(path), self.limit)
                    batches.append(batch)
                    done += len(batch)
                    self.progress("rows of the table", done, rows)
        with _told(self.paths[0]):
            schema = arrow.schema([self.schema.field(name) for name in names])
            return arrow.Table.from_batches([batch.select(names) for batch in batches], schema=schema)

    def _require_room(self, names: Sequence[str], rows: int, stored: int) -> None:
        """Raise `UserError` where the number of rows alone says that columns of numbers unfold to too much."""
        bits = sum(_bits(self.schema.field(name).type) for name in names)
        require_unfolded(rows * bits // 8, stored, printable(self.paths[0]), self.limit)


def _bits(kind: Any) -> int:
    """The bits that one value of an Arrow type takes; 0 where they differ."""
    try:
        return int(kind.bit_width)
    except ValueError:
        return 0


def _bytes_of(column: Any) -> int:
    """The bytes of a column's values; of one that a dictionary codes, as if each were written out."""
    arrow, compute = (needs(name, "reading parquet files", "pyarrow") for name in ("pyarrow", "pyarrow.compute"))
    kind = column.type
    if arrow.types.is_dictionary(kind) and not _bits(kind.value_type):
        lengths = compute.binary_length(column.dictionary)
        return int(compute.sum(lengths.take(column.indices)).as_py() or 0)
    return int(column.nbytes)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Within the block, what a damaged file makes of Arrow is told as one sentence."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # Arrow's own, and whatever Python's file objects raise below it
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{printable(path)} is no readable parquet file ({reason}); write it again.") from error
