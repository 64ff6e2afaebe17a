"""Tables (parquet files, Hugging Face data sets, data frames): what each column holds, its role, and its cells."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from modecover.data.arrays import are_whole
from modecover.data.base import NO_LABELS, Asked, needs
from modecover.data.columns import NUMBER, SWITCH, WORDS, Cells, Encoding
from modecover.data.files import LABEL_KEYS, require_openable, require_unfolded, undamaged
from modecover.data.pixels import Array
from modecover.errors import UserError, about
from modecover.kinds import counted

PICTURE, LIST, CLASSES, NOTHING = "pictures", "arrays", "classes", "nothing"
"""What a column can hold beside numbers, truth values and words, and be learned from: see `Table.roles`."""
_SINGLE = (NUMBER, SWITCH, WORDS, CLASSES)
USABLE = (PICTURE, LIST, *_SINGLE)
_PLAINLY_LABELS = ("labels", "label", "classes", "class")
"""Of `LABEL_KEYS` those that mean nothing else; a `target` or a `y` may be a number of any kind."""
_LISTS = ("list", "large_list", "fixed_size_list")
_TYPES = (
    (PICTURE, ("binary", "large_binary", "fixed_size_binary", "binary_view")),
    (SWITCH, ("boolean",)),
    (NUMBER, ("integer", "floating", "decimal")),
    (WORDS, ("string", "large_string", "string_view")),
    (NOTHING, ("null",)),
)
"""What Arrow's types hold, by the names under which it tells them apart."""

ROWS, PICTURE_ROWS = 65_536, 256
"""Rows that are unfolded at a time, of plain values and of pictures."""


@dataclass(frozen=True)
class Roles:
    """What each column of a table is taken for."""

    columns: tuple[str, ...]
    """What is learned: one column of pictures or arrays, or any number of columns of single values."""
    label: str | None
    """The column of classes."""
    told: Mapping[str, str]
    """Of every column, its role in words."""
    notes: tuple[str, ...]
    """What was guessed or left out, with the way to say otherwise."""


class Table(ABC):
    """Named columns of equal length, whatever keeps them."""

    origin: str
    """The file or data set they come from."""
    kinds: dict[str, str]
    """What each column holds, see `kinds_of`."""
    identity: str
    """A text that changes when the table does."""
    class_names: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """What the classes 0, 1, ... of columns that were declared to hold classes are called."""
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        """These columns, as Arrow or NumPy has them, or as `Cells`."""

    def pictures(self, name: str) -> Any:
        """A column of pictures, as the cells of `Pictures`."""
        return self.read([name])[name]

    def roles(self, asked: Asked) -> Roles:
        """The roles of the columns.

        What is learned are the columns `key`, or else the only column of pictures, or else the only one of arrays, or
        else all columns of numbers, truth values, words and classes, side by side. Classes are the column `labels`, or
        one named like one of `LABEL_KEYS` that holds whole numbers or words, or the only one declared to hold classes.
        A `y` beside an `x` of numbers is a coordinate. Raises `UserError` where a named column is not there or cannot
        be used, or the choice is the user's. With an `encoding` the columns are those of its table, none for classes.
        """
        if asked.encoding is not None:
            return self._roles_in(asked.encoding)
        kinds, key, named = self.kinds, asked.key, asked.label_key
        if key is not None and len(key) == 1 and key[0] not in kinds:
            key = tuple(key[0].split(","))
        for name in (*(key or ()), *([] if named in (None, NO_LABELS) else [str(named)])):
            if name not in kinds:
                raise UserError(f"it has no column {name!r}; it has {counted(kinds)}.")
        if key is not None and named in key:
            raise UserError(f"the column {named!r} cannot be learned and hold the classes too; say another.")

        @lru_cache(maxsize=8)
        def are_classes(name: str) -> bool:
            if kinds[name] == CLASSES:
                return True
            try:
                values = values_of(self.read([name])[name])
            except UserError:  # empty cells
                return False
            return values.dtype.kind == "U" or bool(are_whole(values).all())

        # The classes: as named; else by the column's name, which must not stand over other values; else as declared.
        label = None if named == NO_LABELS else named
        if named is None:
            usable = [name for name, kind in kinds.items() if kind in USABLE]
            single = [name for name in usable if kinds[name] in _SINGLE and usable != [name]]
            for name in usable if key is None else ():
                if name.lower() in _PLAINLY_LABELS and usable != [name] and not (name in single and are_classes(name)):
                    raise UserError(
                        f"the column {name!r} holds {kinds[name]} that are no classes (whole numbers or words); say "
                        "labels='none' to treat it like the others, or name another column of classes."
                    )
            candidates = [name for name in single if name not in (key or ())]
            plane = any(name.lower() == "x" and kind in _SINGLE for name, kind in kinds.items())
            meant = {*LABEL_KEYS} - ({"y"} if plane else set())
            by_name = [name for name in candidates if name.lower() in meant]
            declared = [name for name in candidates if kinds[name] == CLASSES]
            label = next(filter(are_classes, by_name), declared[0] if len(declared) == 1 else None)
        columns = self._learned(key, label)
        # What there is to tell: of every column its role, and what was guessed.
        role = {name: "learned" if name in columns else "classes" if name == label else "not used" for name in kinds}
        notes = []
        if named is None and all(kinds[name] in _SINGLE for name in columns):
            if label is not None:
                notes.append(f"the column {label!r} is taken as classes (labels='none' learns it like the others)")
            if key is None:
                notes += [
                    f"the column {name!r} is learned like the others (labels={name!r} takes it as classes)"
                    for name in columns
                    if name.lower() in LABEL_KEYS and are_classes(name)
                ]
        unused = [f"{name} ({kinds[name]})" for name in kinds if role[name] == "not used"]
        if unused and key is None:
            notes.append(f"columns that are not used: {counted(unused)} (key= names those to learn)")
        return Roles(columns, label, {name: f"{role[name]} ({kinds[name]})" for name in kinds}, tuple(notes))

    def _roles_in(self, encoding: Encoding) -> Roles:
        """The columns of another table, by its encoding; of a column v of arrays they are v[0], v[1], ..."""
        places = [column.name for column in encoding.columns]
        names = [name if name in self.kinds else name.rpartition("[")[0] for name in places]
        if absent := [place for place, name in zip(places, names, strict=True) if name not in self.kinds]:
            lacks = f"it has no column {counted(map(repr, absent))}, as the table that it is compared with has"
            raise UserError(f"{lacks}; it has {counted(self.kinds)}.")
        for name in names:
            if self.kinds[name] not in (*_SINGLE, LIST, NOTHING):
                raise UserError(f"the column {name!r} holds {self.kinds[name]}, which cannot be compared; convert it.")
        told = {name: f"{'learned' if name in names else 'not used'} ({kind})" for name, kind in self.kinds.items()}
        unused = [name for name in self.kinds if name not in names]
        note = f"columns that the table it is compared with has not are not used: {counted(unused)}"
        return Roles(tuple(dict.fromkeys(names)), None, told, (note,) if unused else ())

    def _learned(self, key: Sequence[str] | None, label: str | None) -> tuple[str, ...]:
        for name in key or ():
            if self.kinds[name] not in USABLE:
                raise UserError(f"the column {name!r} holds {self.kinds[name]}, which cannot be learned.")
            if self.kinds[name] == PICTURE and len(key or ()) > 1:
                raise UserError("a column of pictures is learned alone; give one name as key=.")
        if key is not None:
            return tuple(dict.fromkeys(key))
        for wanted in ((PICTURE,), (LIST,), _SINGLE):
            found = [name for name, kind in self.kinds.items() if kind in wanted and name != label]
            if len(found) > 1 and wanted != _SINGLE:
                raise UserError(f"it has several columns of data ({counted(found)}): say key={found[0]!r}.")
            if found:
                return tuple(found)
        kept = counted(f"{name} ({kind})" for name, kind in self.kinds.items())
        raise UserError(f"it has no column of pictures or numbers to learn; it has {kept}.")


class Parquet(Table):
    """Parquet files of one layout, read a few columns and rows at a time. Raises `UserError` where one is damaged,
    unfolds to more than the limit, or has other columns than the first."""

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
        self.kinds, self.class_names = kinds_of(self.schema), class_names_of(self.schema)

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
    if _holds(values.type) not in (PICTURE, WORDS):  # each as long as any other
        return len(column) * int(values.nbytes) // max(1, len(values))
    return int(compute.sum(compute.binary_length(values).take(column.indices)).as_py() or 0)


# ---------------------------------------------------------------- what a column holds


def kinds_of(schema: Any) -> dict[str, str]:
    """What each column of an Arrow schema holds: one of `USABLE`, or a description of what cannot be used."""
    declared = _features(schema)
    return {field.name: _holds(field.type, str(declared.get(field.name, {}).get("_type", ""))) for field in schema}


def class_names_of(schema: Any) -> dict[str, tuple[str, ...]]:
    """What the classes of columns are called that were declared to hold classes, with names."""
    named = {name: feature.get("names") for name, feature in _features(schema).items()}
    return {
        name: tuple(names)
        for name, names in named.items()
        if isinstance(names, list) and all(isinstance(each, str) for each in names)
    }


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """The Hugging Face feature that each column was declared as, where the table keeps a note of it."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _holds(kind: Any, declared: str = "") -> str:
    kind = _storage(kind)
    kind = kind.value_type if _is(kind, "dictionary") else kind
    if declared == "ClassLabel" and _is(kind, "integer"):
        return CLASSES
    if _is(kind, "struct"):
        holds_bytes = any(child.name == "bytes" and _holds(child.type) == PICTURE for child in kind)
        return PICTURE if holds_bytes and declared in ("", "Image") else declared.lower() or "records"
    if _is(kind, *_LISTS):
        leaf = kind
        while _is(leaf, *_LISTS):
            leaf = _storage(leaf.value_type)
        return LIST if _is(leaf, "boolean", "integer", "floating") else f"lists of {leaf}"
    return next((meaning for meaning, types in _TYPES if _is(kind, *types)), str(kind))


def _is(kind: Any, *names: str) -> bool:
    types = needs("pyarrow", "reading tables").types
    return any(getattr(types, f"is_{name}", lambda kind: False)(kind) for name in names)  # views came with Arrow 16


def _storage(kind: Any) -> Any:
    """The type in which an extension type is kept; any other type as it is."""
    while hasattr(kind, "storage_type"):
        kind = kind.storage_type
    return kind


# ---------------------------------------------------------------- the cells of a column


def cells_of_all(columns: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Cells]:
    """Columns as cells; one-dimensional arrays as a column for each of their places (`v[0]`, `v[1]`).
    Raises `UserError` where rows of a column of arrays differ in length, or have more axes."""
    found: dict[str, Cells] = {}
    for name, column in columns.items():
        with about(f"the column {name!r}"):
            if kinds[name] == LIST:
                block = array_of(column)
                if block.ndim != 2:
                    raise UserError(f"it holds arrays of shape {block.shape[1:]}; learn it alone.")
                full = np.zeros(len(block), bool)
                found |= {f"{name}[{place}]": Cells(block[:, place], full) for place in range(block.shape[1])}
                continue
            cells = cells_of(column)
            if kinds[name] == CLASSES:  # names of something, whatever their numbers
                cells = Cells(np.array([str(value) for value in cells.values], dtype=object), cells.empty)
            found[name] = cells
    return found


def cells_of(column: Any) -> Cells:
    """A column of single values; numbers that are NaN are empty cells, too."""
    if isinstance(column, Cells):
        return column
    column = _flat(column)
    empty = column.is_null().to_numpy(zero_copy_only=False)
    if _is(column.type, "null"):
        return Cells(np.zeros(len(column)), np.ones(len(column), bool))
    if _is(column.type, "decimal"):
        column = column.cast(needs("pyarrow", "reading tables").float64())
    if column.null_count:
        words = _holds(column.type) == WORDS
        column = column.fill_null("" if words else False if _is(column.type, "boolean") else 0)
    values: Array = column.to_numpy(zero_copy_only=False)
    return Cells(values, empty | np.isnan(values) if values.dtype.kind == "f" else empty)


def values_of(column: Any) -> Array:
    """A column of single values as an array (N,): numbers, truth values, or words as NumPy's text.
    Raises `UserError` where cells are empty."""
    cells = cells_of(column)
    if cells.empty.any():
        count, first = int(cells.empty.sum()), int(cells.empty.argmax())
        raise UserError(f"it is empty in {count:,} rows (row {first} is the first); fill them.")
    return cells.values.astype(str) if cells.kind == WORDS else cells.values


def array_of(column: Any) -> Array:
    """A column of arrays, however they are nested, as one array (N, ...) of their own type."""
    if isinstance(column, np.ndarray):
        return column
    compute = needs("pyarrow.compute", "reading tables")
    array = _flat(column)
    shape = [len(array)]
    while _is(array.type, *_LISTS):
        if array.null_count:
            raise UserError("some of its rows hold no array; remove them.")
        lengths = [getattr(array.type, "list_size", 0)]
        if not _is(array.type, "fixed_size_list"):
            lengths = np.unique(compute.list_value_length(array).to_numpy(zero_copy_only=False)).tolist()
        if len(lengths) > 1:
            raise UserError(f"its arrays differ in length ({lengths[0]} to {lengths[-1]}); give arrays of one shape.")
        shape.append(int(lengths[0]) if lengths else 0)
        array = _flat(array.flatten())
    if array.null_count:
        raise UserError("some of its arrays have empty places; fill them.")
    values: Array = array.to_numpy(zero_copy_only=False)
    if len(shape) == 2 and hasattr(column.type, "permutation"):  # Arrow's own tensors, kept flat
        order = column.type.permutation or range(len(column.type.shape))
        return values.reshape(shape[0], *column.type.shape).transpose(0, *(1 + axis for axis in order))
    return values.reshape(shape)


def _flat(column: Any) -> Any:
    """A column as one Arrow array, neither in chunks, nor of an extension type, nor coded by a dictionary."""
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    while hasattr(column, "storage"):
        column = column.storage
    return column.dictionary_decode() if _is(column.type, "dictionary") else column
