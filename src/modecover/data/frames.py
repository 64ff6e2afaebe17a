"""Tables of pandas: data frames, and text files of comma-separated values."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modecover.data.base import Asked, needs
from modecover.data.columns import NUMBER, SWITCH, WORDS, Cells
from modecover.data.files import undamaged
from modecover.data.tables import NOTHING, Table
from modecover.errors import UserError
from modecover.kinds import counted, read_number
from modecover.limits import require_memory

SUFFIXES = (".csv", ".tsv")

_INFERRED = {"boolean": SWITCH, "string": WORDS, "categorical": WORDS, "empty": NOTHING}
_INFERRED |= dict.fromkeys(("integer", "floating", "mixed-integer-float", "decimal"), NUMBER)
"""What a column of objects holds, by pandas' words for it."""

UNFOLDED = 4
"""Times the bytes of a text file: what its table may take in memory, about."""


class Frame(Table):
    """A pandas `DataFrame`. Raises `UserError` where two columns have one name, or it has no rows."""

    def __init__(self, frame: Any, origin: str):
        self.origin = self.identity = origin
        names = [str(name) for name in frame.columns]
        require_once(names)
        if not len(frame):
            raise UserError("it is empty: give at least one row.")
        self.columns = {name: frame.iloc[:, place] for place, name in enumerate(names)}
        self.kinds = {name: _kind_of(column) for name, column in self.columns.items()}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def read(self, names: Sequence[str]) -> Mapping[str, Any]:
        with undamaged():
            return {name: _cells(self.columns[name], self.kinds[name]) for name in names}


def read_csv(path: Path, asked: Asked) -> Frame:
    """A text file whose first line names the columns, which commas, semicolons, tabs or bars divide. Cells that are
    empty, or say NA, NaN, null or ?, are empty. Raises `UserError` where it is empty, its first line names no columns,
    a name stands there twice, or rows have more cells than there are names."""
    pandas = needs("pandas", "reading CSV files")
    size = path.stat().st_size
    require_memory(f"The table in {path}", UNFOLDED * size, "give a part of it")
    asked.progress("rows of the table", 0, 1)
    with undamaged(), open(path, encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        divider = max(",;\t|", key=first.count)
        names = [name.strip() for name in next(csv.reader(file, delimiter=divider), [])]
    if not any(names):
        raise UserError("it is empty: give a first line of names, and a line for each row.")
    if all(map(_is_number, names)):
        raise UserError("its first line holds numbers, where the names of the columns belong; write them there.")
    named = [name for name in names if name]
    require_once(named)
    with undamaged(), warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # cells beyond the names would be dropped
        options = {"sep": divider, "skipinitialspace": True, "na_values": ["?"], "encoding": "utf-8-sig"}
        try:
            frame = pandas.read_csv(path, index_col=False, low_memory=False, **options)
        except pandas.errors.ParserWarning:
            raise UserError(f"rows have more cells than its {len(names)} names; give every column one.") from None
    frame.columns = names
    table = Frame(frame.loc[:, [bool(name) for name in names]], str(path))
    if len(named) < len(names):  # what pandas calls the index of a frame
        table.notes = (f"{path}: the column without a name is left out",)
    return table


def require_once(names: Sequence[str]) -> None:
    """Raise `UserError` where a name stands there twice."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"it has two columns of one name ({counted(twice)}); rename one.")


def _is_number(text: str) -> bool:
    try:
        read_number(text)
    except ValueError:
        return False
    return True


def _kind_of(column: Any) -> str:
    types = needs("pandas", "opening a data frame").api.types
    kind = column.dtype
    if types.is_bool_dtype(kind) and not isinstance(kind, needs("pandas", "").CategoricalDtype):
        return SWITCH
    if types.is_numeric_dtype(kind):
        return NUMBER if not types.is_complex_dtype(kind) else str(kind)
    inferred = str(types.infer_dtype(column, skipna=True))
    return _INFERRED.get(inferred, inferred)


def _cells(column: Any, kind: str) -> Cells:
    empty = column.isna().to_numpy(dtype=bool)
    there = column[~empty]
    if kind == WORDS:
        values = np.full(len(column), "", dtype=object)
        values[~empty] = [str(value) for value in there]
        return Cells(values, empty)
    plain = there.to_numpy(dtype=bool if kind == SWITCH else float if there.dtype.kind not in "iu" else None)
    values = np.zeros(len(column), plain.dtype)
    values[~empty] = plain
    return Cells(values, empty)
