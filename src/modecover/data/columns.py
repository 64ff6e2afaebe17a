"""Columns of Arrow tables, in which parquet files and Hugging Face data sets hold theirs, as arrays of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modecover.data.arrays import require_exact
from modecover.data.base import needs
from modecover.data.roles import CLASSES, LIST, NUMBER, PICTURE, SWITCH, WORDS
from modecover.errors import UserError

Array = NDArray[Any]

MOST_WORDS = 100
"""Different words in a column that is learned, one coordinate for each."""


def kinds_of(schema: Any) -> dict[str, str]:
    """What each column of an Arrow schema holds: one of `roles.USABLE`, or a description of what cannot be used."""
    declared = _declared(schema.metadata)
    return {field.name: _kind(field.type, declared.get(field.name, "")) for field in schema}


def _declared(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """The Hugging Face feature that each column was declared as, where a table keeps a note of it."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {str(name): str(feature["_type"]) for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _kind(kind: Any, declared: str) -> str:
    types = needs("pyarrow", "reading tables").types
    kind = _storage(kind)
    if types.is_dictionary(kind):
        kind = kind.value_type
    if declared == "ClassLabel" and types.is_integer(kind):
        return CLASSES
    if types.is_struct(kind):
        children = {child.name: child.type for child in kind}
        holds_bytes = "bytes" in children and _is_bytes(children["bytes"])
        return PICTURE if holds_bytes and declared in ("", "Image") else declared.lower() or "records"
    if _is_bytes(kind):
        return PICTURE
    if types.is_boolean(kind):
        return SWITCH
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return NUMBER
    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return WORDS
    if _is_list(kind):
        leaf = kind
        while _is_list(leaf):
            leaf = _storage(leaf.value_type)
        numeric = types.is_boolean(leaf) or types.is_integer(leaf) or types.is_floating(leaf)
        return LIST if numeric else f"lists of {leaf}"
    return str(kind)


def _storage(kind: Any) -> Any:
    """The type in which an extension type is kept; any other type as it is."""
    while hasattr(kind, "storage_type"):
        kind = kind.storage_type
    return kind


def _is_bytes(kind: Any) -> bool:
    types = needs("pyarrow", "reading tables").types
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or str(kind) == "binary_view"
    )


def _is_list(kind: Any) -> bool:
    types = needs("pyarrow", "reading tables").types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def side_by_side(
    columns: Mapping[str, Any], kinds: Mapping[str, str], origin: str
) -> tuple[Array, tuple[str, ...] | None]:
    """Columns as one array, and the names of its coordinates.

    A single column of arrays keeps their shape and type, (N, ...), and has no names. Several columns become (N, d):
    numbers as they are, truth values as 0 and 1, words and classes as one coordinate for each of them, which is 1 where
    the row holds it (`drink=low`, `drink=high`), one-dimensional arrays as their coordinates (`v[0]`, `v[1]`).

    Raises:
        UserError: where cells are empty, rows of a column of arrays differ in length, or words are too many.
    """
    if len(columns) == 1 and kinds[name := next(iter(columns))] == LIST:
        return array_of(columns[name], name, origin), None
    blocks, names = [], []
    for name, column in columns.items():
        block, own = _block(column, name, kinds[name], origin)
        blocks.append(block)
        names += own
    return np.concatenate(blocks, axis=1), tuple(names)


def _block(column: Any, name: str, kind: str, origin: str) -> tuple[Array, list[str]]:
    """One column as (N, k) floats, with the names of its k coordinates."""
    if kind == LIST:
        rows = array_of(column, name, origin)
        if rows.ndim != 2:
            raise UserError(f"{origin}: the column {name!r} holds arrays of shape {rows.shape[1:]}; learn it alone.")
        return rows.astype(np.float64), [f"{name}[{place}]" for place in range(rows.shape[1])]
    values = values_of(column, name, origin)
    if kind in (NUMBER, SWITCH):
        if values.size:
            require_exact(values.dtype, (float(values.min()), float(values.max())), f"{origin}, column {name!r}")
        return values.astype(np.float64)[:, None], [name]
    words, places = np.unique(values, return_inverse=True)
    if len(words) > MOST_WORDS or 2 * len(words) > len(values):
        raise UserError(
            f"{origin}: the column {name!r} holds {len(words):,} different words in {len(values):,} rows, too many for "
            "a coordinate each; name the columns to learn with key=, as in key='a,b'."
        )
    hot = np.zeros((len(values), len(words)))
    hot[np.arange(len(values)), places.reshape(-1)] = 1
    return hot, [f"{name}={word}" for word in words]


def values_of(column: Any, name: str, origin: str) -> Array:
    """A column of single values as an array (N,): numbers, truth values, or words as NumPy's text.

    Raises:
        UserError: where cells are empty.
    """
    arrow = needs("pyarrow", "reading tables")
    column = _flat(column)
    if column.null_count:
        first = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise UserError(
            f"{origin}: the column {name!r} is empty in {column.null_count:,} rows (row {first} is the first); fill "
            "them, or name the columns to learn with key=."
        )
    if arrow.types.is_decimal(column.type):
        column = column.cast(arrow.float64())
    values: Array = column.to_numpy(zero_copy_only=False)
    return values.astype(str) if values.dtype == object else values


def array_of(column: Any, name: str, origin: str) -> Array:
    """A column of arrays, however they are nested, as one array (N, ...) of their own type.

    Raises:
        UserError: where rows differ in length, or one is empty.
    """
    arrow, compute = (needs(name, "reading tables", "pyarrow") for name in ("pyarrow", "pyarrow.compute"))
    array, shape, given = _flat(column), [], getattr(column.type, "shape", None)
    shape.append(len(array))
    while _is_list(array.type):
        if array.null_count:
            raise UserError(f"{origin}: some rows of the column {name!r} hold no array; remove them.")
        if arrow.types.is_fixed_size_list(array.type):
            length = array.type.list_size
        else:
            lengths = np.unique(compute.list_value_length(array).to_numpy(zero_copy_only=False))
            if len(lengths) > 1:
                raise UserError(
                    f"{origin}: the arrays of the column {name!r} differ in length ({lengths[0]} to {lengths[-1]}); "
                    "give arrays of one shape."
                )
            length = int(lengths[0]) if len(lengths) else 0
        shape.append(length)
        array = array.flatten()
        array = array.storage if hasattr(array, "storage") else array
    if array.null_count:
        raise UserError(f"{origin}: some arrays of the column {name!r} have empty places; fill them.")
    values: Array = array.to_numpy(zero_copy_only=False)
    if len(shape) == 2 and given and hasattr(column.type, "permutation"):  # Arrow's own tensors, kept flat
        return _permuted(values, shape[0], given, column.type.permutation)
    return values.reshape(shape)


def _permuted(values: Array, count: int, shape: Sequence[int], permutation: Sequence[int] | None) -> Array:
    rows = values.reshape(count, *shape)
    return rows if permutation is None else rows.transpose(0, *(1 + axis for axis in permutation))


def _flat(column: Any) -> Any:
    """A column as one Arrow array, neither in chunks, nor of an extension type, nor coded by a dictionary."""
    arrow = needs("pyarrow", "reading tables")
    if isinstance(column, arrow.ChunkedArray):
        chunks = column.chunks
        column = (
            chunks[0] if len(chunks) == 1 else arrow.concat_arrays(chunks) if chunks else arrow.array([], column.type)
        )
    while hasattr(column, "storage"):
        column = column.storage
    if arrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column
