"""Rows of a table that a model makes: what its files say of the columns, and the table itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from modecover.data.base import needs
from modecover.data.columns import MOST_DECIMALS, NUMBER, SWITCH, WORDS, Column
from modecover.errors import UserError
from modecover.kinds import checked


def frame_of(columns: Sequence[Column], rows: Tensor) -> Any:
    """The pandas `DataFrame` that coordinates (n, d) stand for, each cell the nearest that its column can have."""
    pandas = needs("pandas", "giving rows of a table")
    numbers, start, made = rows.cpu().numpy(), 0, {}
    for column in columns:
        stop = start + len(column.coordinates)
        cells = column.decode(numbers[:, start:stop])
        start = stop
        kind = {SWITCH: "boolean", WORDS: "object"}.get(column.kind, "Float64")
        if column.kind == NUMBER and column.decimals == 0 and np.abs(cells.values).max(initial=0) < 2**53:
            kind = "Int64"
        if not cells.empty.any():
            kind = {"boolean": "bool", "Int64": "int64", "Float64": "float64"}.get(kind, kind)
        values = cells.values.astype(np.int64) if kind.lower() == "int64" else cells.values
        series = pandas.Series(values).astype(kind)
        made[column.name] = series.mask(cells.empty) if cells.empty.any() else series
    return pandas.DataFrame(made)


def column_facts(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """What `columns_from_facts` reads, in values that JSON can hold."""
    return [{**asdict(column), "words": list(column.words)} for column in columns]


def columns_from_facts(facts: Any, dimension: int) -> tuple[Column, ...] | None:
    """The columns that `facts` described, None for none. Raises `UserError` unless they make `dimension` coordinates
    and every name is there once."""
    if facts is None:
        return None
    kinds = {"name": str, "kind": str, "words": tuple[str, ...], "gaps": bool, "decimals": int | None}
    with contextlib.suppress(UserError, KeyError, TypeError):
        columns = tuple(Column(**{key: checked(key, fact[key], kinds[key]) for key in kinds}) for fact in facts)
        sound = all(
            column.kind in (NUMBER, SWITCH, WORDS)
            and (column.kind == WORDS) == bool(column.words)
            and (column.decimals or 0) in range(MOST_DECIMALS + 1)
            for column in columns
        )
        once = len({column.name for column in columns}) == len(columns)
        if sound and once and sum(len(column.coordinates) for column in columns) == dimension:
            return columns
    raise UserError(f"The model's columns do not describe its {dimension} coordinates: save or download it again.")
