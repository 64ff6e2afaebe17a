"""Columns of a table as coordinates of points, and the way back.

A number is a coordinate, a truth value 0 or 1, and a word 1 in the coordinate that it has among those of its column.
An empty cell is 1 in a further coordinate; its number is the column's mean there. A data set holds these coordinates.

What takes distances, and networks, see them by a `Scaling` that lets columns weigh alike: two independent rows differ
by as much, on average, in a column of words as in a standardised number, whose variance is 1. Columns whose rows are
nearly all the same are spread less, so that a word of one row in a hundred is no outlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from modecover.data.arrays import require_exact
from modecover.data.pixels import Array
from modecover.data.scaling import Scaling
from modecover.errors import UserError, about
from modecover.kinds import counted

NUMBER, SWITCH, WORDS = "numbers", "truth values", "words"

MOST_WORDS = 100
"""Different words in a column that is learned, one coordinate for each."""

LEAST_SPREAD = 0.25
"""Of a column of words, the chance that two rows differ: those below are not spread as far as a number."""

MOST_DECIMALS = 6
"""Numbers that are all written with so many decimals, or fewer, are given back with as many."""


@dataclass(frozen=True, eq=False)
class Cells:
    """One column of n single values."""

    values: Array
    """(n,): numbers, truth values, or words as objects; anything where the cell is empty."""
    empty: NDArray[np.bool_]
    """(n,)"""

    @property
    def kind(self) -> str:
        return {"b": SWITCH, "O": WORDS}.get(self.values.dtype.kind, NUMBER)


@dataclass(frozen=True)
class Column:
    """How one column becomes coordinates."""

    name: str
    kind: str
    words: tuple[str, ...] = ()
    """Of a column of words, in sorted order."""
    gaps: bool = False
    """Whether it has empty cells."""
    decimals: int | None = None
    """Of numbers: with how many they are written; None where with more than `MOST_DECIMALS`."""

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Their names: `age`, `drink=low`, `drink=high`, `age is missing`."""
        own = tuple(f"{self.name}={word}" for word in self.words) if self.kind == WORDS else (self.name,)
        return (*own, f"{self.name} is missing") if self.gaps else own

    def encode(self, cells: Cells, centre: float) -> tuple[Array, str]:
        """The coordinates of n cells, (n, d), and a note on what has none; an empty one's number is `centre`. Raises
        `UserError` where cells are of another kind, or empty where none was."""
        block, note = np.zeros((len(cells.values), len(self.coordinates))), ""
        if self.kind == WORDS:
            place: dict[str | None, int] = {word: number for number, word in enumerate(self.words)}
            place |= {None: len(self.words)} if self.gaps else {}
            texts = [None if empty else _text(value) for value, empty in zip(cells.values, cells.empty, strict=True)]
            places = np.array([place.get(text, -1) for text in texts])
            block[np.flatnonzero(places >= 0), places[places >= 0]] = 1
            if unknown := sorted({"empty cells" if text is None else text for text in texts if text not in place}):
                rows = int((places < 0).sum())
                note = f"{rows:,} rows hold what the column has nowhere else ({counted(unknown, 5)}), and stand apart"
            return block, note
        if cells.empty.any() and not self.gaps:
            row, count = int(cells.empty.argmax()), int(cells.empty.sum())
            raise UserError(f"it is empty in {count:,} rows (row {row} is the first), and was never; fill them.")
        there = cells.values[~cells.empty]
        if len(there) and cells.kind == WORDS:
            raise UserError(f"it holds words, such as {str(there[0])!r:.100}, where {self.kind} belong; mend that.")
        if self.kind == SWITCH and not np.isin(there, (0, 1)).all():
            raise UserError("it holds numbers beside 0 and 1 where truth values belong; mend that.")
        require_exact(there)
        block[:, 0] = centre
        block[~cells.empty, 0] = there
        block[:, 1:] = cells.empty[:, None]
        return block, note

    def decode(self, block: Array) -> Cells:
        """The cells that coordinates (n, d) are, or are nearest to."""
        if self.kind == WORDS:
            words = np.array([*self.words, *([""] if self.gaps else [])], dtype=object)
            place = block.argmax(axis=1)
            return Cells(words[place], (place == len(self.words)) | ~block.any(axis=1))
        empty = block[:, -1] > 0.5 if self.gaps else np.zeros(len(block), bool)
        if self.kind == SWITCH:
            return Cells(block[:, 0] > 0.5, empty)
        values = block[:, 0].astype(np.float64)
        return Cells(values if self.decimals is None else np.round(values, self.decimals), empty)


@dataclass(frozen=True)
class Encoding:
    """How the rows of a table become points, and how these are seen."""

    columns: tuple[Column, ...]
    scaling: Scaling
    """By which columns weigh alike."""

    @classmethod
    def of(cls, table: Mapping[str, Cells]) -> tuple[Self, tuple[str, ...]]:
        """The encoding of a table of n rows, and notes on what it leaves out. Raises `UserError` where no column holds
        anything, or one holds too many different words."""
        columns: list[Column] = []
        centres: list[float] = []
        spreads: list[float] = []
        notes = []
        for name, cells in table.items():
            there = cells.values[~cells.empty]
            if not len(there):
                notes.append(f"the column {name!r} is empty in every row and left out")
                continue
            with about(f"the column {name!r}"):
                gaps, missing = bool(cells.empty.any()), float(cells.empty.mean())
                if cells.kind == WORDS:
                    found = _words(there, len(cells.values))
                    columns.append(Column(name, WORDS, tuple(found), gaps))
                    shares = [count / len(cells.values) for count in found.values()] + ([missing] if gaps else [])
                    centres += shares
                    spreads += [_spread(shares)] * len(shares)
                    continue
                require_exact(there)
                if cells.kind == SWITCH:
                    columns.append(Column(name, SWITCH, (), gaps))
                    centres.append(float(there.mean()))
                    spreads.append(_spread((centres[-1], 1 - centres[-1])) / math.sqrt(2))
                else:
                    own = Scaling.of(torch.from_numpy(there.astype(np.float64))[:, None])
                    columns.append(Column(name, NUMBER, (), gaps, _decimals(there)))
                    centres += own.center
                    spreads += own.scale
                if gaps:
                    centres.append(missing)
                    spreads.append(_spread((missing, 1 - missing)) / math.sqrt(2))
        if not columns:
            raise UserError("it is empty: no column holds anything; give at least one value.")
        return cls(tuple(columns), Scaling(tuple(centres), tuple(spreads))), tuple(notes)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The names of all coordinates."""
        return tuple(name for column in self.columns for name in column.coordinates)

    def encode(self, table: Mapping[str, Cells]) -> tuple[Array, tuple[str, ...]]:
        """The coordinates of n rows, (n, d), and notes on cells that have none. Raises `UserError` where cells of a
        column are of another kind than those that made the encoding, or empty where none of those was."""
        blocks, notes, start = [], [], 0
        for column in self.columns:
            with about(f"the column {column.name!r}"):
                block, note = column.encode(table[column.name], self.scaling.center[start])
            blocks.append(block)
            start += block.shape[1]
            notes += [f"in the column {column.name!r} {note}"] if note else []
        return np.concatenate(blocks, axis=1), tuple(notes)


def _text(value: Any) -> str:
    """A cell as the word that it is where words are asked for: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _words(values: Array, rows: int) -> dict[str, int]:
    """The different words, sorted, and how many rows hold each."""
    words, counts = np.unique(values.astype(object), return_counts=True)
    if len(words) > MOST_WORDS or 2 * len(words) > rows:
        raise UserError(
            f"it holds {len(words):,} different words in {rows:,} rows, too many for a coordinate each; name the "
            "columns to learn with key=, as in key='a,b'."
        )
    return dict(zip(map(str, words), counts.tolist(), strict=True))


def _spread(shares: Sequence[float]) -> float:
    """The scale at which a column of words with these shares has the variance 1, summed over its coordinates."""
    return math.sqrt(max(1 - sum(share * share for share in shares), LEAST_SPREAD))


def _decimals(values: Array) -> int | None:
    exact = values.astype(np.float64)
    if not np.isfinite(exact).all() or np.abs(exact).max() >= 2**53:
        return None
    return next((n for n in range(MOST_DECIMALS + 1) if np.array_equal(np.round(exact, n), exact)), None)
