"""Columns of Arrow tables (parquet files, Hugging Face data sets): what each holds, its role, and its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modecover.data.arrays import require_exact
from modecover.data.base import NO_LABELS, needs
from modecover.data.files import LABEL_KEYS
from modecover.data.names import counted
from modecover.data.pixels import Array
from modecover.errors import UserError, about

PICTURE, LIST, NUMBER, SWITCH, WORDS, CLASSES = "pictures", "arrays", "numbers", "truth values", "words", "classes"
"""What a column can hold and be learned from: see `choose_roles`."""
USABLE = (PICTURE, LIST, NUMBER, SWITCH, WORDS, CLASSES)
_SINGLE = (NUMBER, SWITCH, WORDS, CLASSES)
_PLAINLY_LABELS = ("labels", "label", "classes", "class")
"""Of `LABEL_KEYS` those that mean nothing else; a `target` or a `y` may be a number of any kind."""

MOST_WORDS = 100
"""Different words in a column that is learned, one coordinate for each."""

# ---------------------------------------------------------------- what a column holds


def kinds_of(schema: Any) -> dict[str, str]:
    """What each column of an Arrow schema holds: one of `USABLE`, or a description of what cannot be used."""
    try:  # the Hugging Face feature that each column was declared as, where the table keeps a note of it
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        declared = {name: str(feature["_type"]) for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        declared = {}
    return {field.name: holds(field.type, declared.get(field.name, "")) for field in schema}


def holds(kind: Any, declared: str = "") -> str:
    """What a column of an Arrow type holds, `declared` as a feature of Hugging Face or as none."""
    kind = _storage(kind)
    kind = kind.value_type if _is(kind, "dictionary") else kind
    if declared == "ClassLabel" and _is(kind, "integer"):
        return CLASSES
    if _is(kind, "struct"):
        holds_bytes = any(child.name == "bytes" and holds(child.type) == PICTURE for child in kind)
        return PICTURE if holds_bytes and declared in ("", "Image") else declared.lower() or "records"
    if _is_list(kind):
        leaf = kind
        while _is_list(leaf):
            leaf = _storage(leaf.value_type)
        return LIST if _is(leaf, "boolean", "integer", "floating") else f"lists of {leaf}"
    for meaning, types in (
        (PICTURE, ("binary", "large_binary", "fixed_size_binary", "binary_view")),
        (SWITCH, ("boolean",)),
        (NUMBER, ("integer", "floating", "decimal")),
        (WORDS, ("string", "large_string", "string_view")),
    ):
        if _is(kind, *types):
            return meaning
    return str(kind)


def _is(kind: Any, *names: str) -> bool:
    types = needs("pyarrow", "reading tables").types
    return any(getattr(types, f"is_{name}", lambda kind: False)(kind) for name in names)  # views came with Arrow 16


def _is_list(kind: Any) -> bool:
    return _is(kind, "list", "large_list", "fixed_size_list")


def _storage(kind: Any) -> Any:
    """The type in which an extension type is kept; any other type as it is."""
    while hasattr(kind, "storage_type"):
        kind = kind.storage_type
    return kind


# ---------------------------------------------------------------- which columns are learned, and which are classes


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


def choose_roles(
    kinds: Mapping[str, str],
    key: Sequence[str] | None,
    label_key: str | None,
    are_classes: Callable[[str], bool],
) -> Roles:
    """The roles of a table's columns.

    What is learned are the columns `key`, or else the only column of pictures, or else the only one of arrays, or else
    all columns of numbers, truth values, words and classes, side by side. Classes are the column `label_key`, or one
    named like one of `LABEL_KEYS` that holds whole numbers or words, or the only one declared to hold classes. A `y`
    beside an `x` of numbers is a coordinate.

    Args:
        kinds: column to what it holds; a kind that is not in `USABLE` is a description.
        key: the columns to learn, one name for each, or one text with commas; None: they are chosen.
        label_key: the column of classes; `NO_LABELS`: there is none; None: it is chosen.
        are_classes: whether a column's values are whole numbers or words.

    Raises:
        UserError: where a named column is not there or cannot be used, or the choice is the user's.
    """
    if key is not None and len(key) == 1 and key[0] not in kinds:
        key = key[0].split(",")
    for name in (*(key or ()), *([] if label_key in (None, NO_LABELS) else [str(label_key)])):
        if name not in kinds:
            raise UserError(f"it has no column {name!r}; it has {counted(kinds)}.")
    if key is not None and label_key in key:
        raise UserError(f"the column {label_key!r} cannot be learned and hold the classes too; say another.")
    guessed = label_key is None
    label = None if label_key == NO_LABELS else label_key
    if guessed:
        label = _guessed_label(kinds, key, are_classes)
    columns = _learned(kinds, key, label)
    told = {name: "learned" if name in columns else "classes" if name == label else "not used" for name in kinds}
    notes = []
    table = all(kinds[name] in _SINGLE for name in columns)
    if guessed and label is not None and table:
        notes.append(f"the column {label!r} is taken as classes (labels='none' learns it like the others)")
    if guessed and key is None and table:
        notes += [
            f"the column {name!r} is learned like the others (labels={name!r} takes it as classes)"
            for name in columns
            if name.lower() in LABEL_KEYS and are_classes(name)
        ]
    unused = [f"{name} ({kinds[name]})" for name in kinds if told[name] == "not used"]
    if unused and key is None:
        notes.append(f"columns that are not used: {counted(unused)} (key= names those to learn)")
    return Roles(columns, label, {name: f"{role} ({kinds[name]})" for name, role in told.items()}, tuple(notes))


def _guessed_label(
    kinds: Mapping[str, str], key: Sequence[str] | None, are_classes: Callable[[str], bool]
) -> str | None:
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
    for name in candidates:
        if name.lower() in LABEL_KEYS and not (name.lower() == "y" and plane) and are_classes(name):
            return name
    declared = [name for name in candidates if kinds[name] == CLASSES]
    return declared[0] if len(declared) == 1 else None


def _learned(kinds: Mapping[str, str], key: Sequence[str] | None, label: str | None) -> tuple[str, ...]:
    if key is not None:
        for name in key:
            if kinds[name] not in USABLE:
                raise UserError(f"the column {name!r} holds {kinds[name]}, which cannot be learned.")
            if kinds[name] == PICTURE and len(key) > 1:
                raise UserError("a column of pictures is learned alone; give one name as key=.")
        return tuple(dict.fromkeys(key))
    for wanted in (PICTURE, LIST):
        found = [name for name, kind in kinds.items() if kind == wanted and name != label]
        if len(found) > 1:
            raise UserError(f"it has several columns of data ({counted(found)}): say key={found[0]!r}.")
        if found:
            return tuple(found)
    single = tuple(name for name, kind in kinds.items() if kind in _SINGLE and name != label)
    if not single:
        kept = counted(f"{name} ({kind})" for name, kind in kinds.items())
        raise UserError(f"it has no column of pictures or numbers to learn; it has {kept}.")
    return single


# ---------------------------------------------------------------- the numbers in a column


def side_by_side(columns: Mapping[str, Any], kinds: Mapping[str, str]) -> tuple[Array, tuple[str, ...] | None]:
    """Columns as one array, and the names of its coordinates.

    A single column of arrays keeps their shape and type, (N, ...), and has no names. Several columns become (N, d):
    numbers as they are, truth values as 0 and 1, words and classes as one coordinate for each of them, which is 1 where
    the row holds it (`drink=low`, `drink=high`), one-dimensional arrays as their coordinates (`v[0]`, `v[1]`).

    Raises:
        UserError: where cells are empty, rows of a column of arrays differ in length, or words are too many.
    """
    blocks: list[Array] = []
    names: list[str] = []
    for name, column in columns.items():
        with about(f"the column {name!r}"):
            if kinds[name] == LIST:
                rows = array_of(column)
                if len(columns) == 1:
                    return rows, None
                if rows.ndim != 2:
                    raise UserError(f"it holds arrays of shape {rows.shape[1:]}; learn it alone.")
                blocks.append(rows)
                names += [f"{name}[{place}]" for place in range(rows.shape[1])]
            elif kinds[name] in (NUMBER, SWITCH):
                values = values_of(column)
                require_exact(values)
                blocks.append(values[:, None])
                names.append(name)
            else:
                values = values_of(column)
                words = np.unique(values)
                if len(words) > MOST_WORDS or 2 * len(words) > len(values):
                    raise UserError(
                        f"it holds {len(words):,} different words in {len(values):,} rows, too many for a coordinate "
                        "each; name the columns to learn with key=, as in key='a,b'."
                    )
                blocks.append(values[:, None] == words)
                names += [f"{name}={word}" for word in words]
    return np.concatenate([block.astype(np.float64) for block in blocks], axis=1), tuple(names)


def values_of(column: Any) -> Array:
    """A column of single values as an array (N,): numbers, truth values, or words as NumPy's text.

    Raises:
        UserError: where cells are empty.
    """
    column = _flat(column)
    if column.null_count:
        first = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise UserError(
            f"it is empty in {column.null_count:,} rows (row {first} is the first); fill them, or name the columns to "
            "learn with key=."
        )
    if _is(column.type, "decimal"):
        column = column.cast(needs("pyarrow", "reading tables").float64())
    values: Array = column.to_numpy(zero_copy_only=False)
    return values.astype(str) if values.dtype == object else values


def array_of(column: Any) -> Array:
    """A column of arrays, however they are nested, as one array (N, ...) of their own type.

    Raises:
        UserError: where rows differ in length, or one is empty.
    """
    if isinstance(column, np.ndarray):
        return column
    compute = needs("pyarrow.compute", "reading tables")
    array = _flat(column)
    shape = [len(array)]
    while _is_list(array.type):
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
