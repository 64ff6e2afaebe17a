"""Regions of a table in words: "married = widowed and age > 60", where rows that an audit has found are to be told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from modecover.auditing.inputs import Samples
from modecover.auditing.results import Flags, number
from modecover.data.columns import NUMBER, WORDS, Column
from modecover.errors import printable
from modecover.metrics.arrays import Floats

GOOD = 0.7
"""Precision and recall that words need, to be said of rows."""

FAIR = 0.4
"""Precision, where it is borne out by samples that are lacking: cells are coarse, and do not end where these do."""

SIMPLER = 1.05
"""A second condition must make the score so many times as good."""

LIMITS, MOST_LIMITS, MOST = 40, 1000, 400
"""Limits that are tried to either side of a number, and of all numbers; and conditions that are tried in pairs."""

BEYOND = 0.5
"""Standard deviations beyond flagged rows, where limits are looked for, too."""

DEAR = 3.0
"""A sample in a missed region weighs as much as so many real rows."""

CELLS = 8
"""Of a row that is told, at most."""

DIGITS = 2
"""Of a standard deviation, to which limits are rounded."""

MISSED = 1 / 9
"""Of the real rows' share: where samples have no more, they are missing (see `modecover.metrics.regions.MISSED`)."""


@dataclass(frozen=True)
class Condition:
    """One condition on rows of coordinates: sign * (coordinate - limit) > 0."""

    words: str
    coordinate: int
    limit: float = 0.5
    sign: int = 1
    numeric: bool = False
    gap: int | None = None
    """The coordinate that says that the cell is empty, where it may be: such rows fulfil no other condition."""

    def holds(self, rows: Floats) -> Flags:
        """For each row, (n,)."""
        found = self.sign * (rows[:, self.coordinate] - self.limit) > 0
        return found if self.gap is None else found & (rows[:, self.gap] <= 0.5)


@dataclass(frozen=True)
class Named:
    """A region in words."""

    words: str
    inside: Flags
    """The real rows in it, (n,)."""
    of_real: float
    """Their share."""
    fakes: int
    """Samples in it."""
    of_fake: float
    """Their share."""


def named(real: Samples, fake: Samples, flags: Flags, *, missed: bool = False) -> Named | None:
    """The one condition, or the two, that tell flagged real rows (n,) from all others best, by F1.

    Args:
        missed: the rows are those that samples miss. Then the most real rows count with the fewest samples among them,
            which puts limits where samples end and not where the flags do.

    Returns:
        None where columns have no names, or no conditions tell the rows with good precision and recall.
    """
    if real.dataset is None or real.dataset.encoding is None or not flags.any():
        return None
    rows, samples = _coordinates(real), _coordinates(fake)
    # Of two conditions neither may leave out more of the flagged rows than both may.
    found: list[tuple[float, Condition, Flags]] = []
    for condition in _conditions(real.dataset.encoding.columns, rows, flags):
        holds = condition.holds(rows)
        if (caught := (holds & flags).sum()) >= GOOD * flags.sum():
            found.append((caught / (holds.sum() + flags.sum()), condition, holds))
    if not found:
        return None
    found = sorted(found, key=lambda each: -each[0])[:MOST]
    held = np.array([holds for _, _, holds in found], np.float32)
    made = np.array([condition.holds(samples) for _, condition, _ in found], np.float32)
    both, right = held @ held.T, (held * flags) @ held.T
    of_real, of_fake = both / len(rows), made @ made.T / len(samples)
    sound = (right >= (FAIR if missed else GOOD) * np.maximum(both, 1)) & (right >= GOOD * flags.sum())
    score = 2 * right / (both + flags.sum())
    if missed:
        sound &= of_fake <= MISSED * of_real
        score = of_real - DEAR * of_fake
    score = np.where(sound, score, 0.0)
    single = int(score.diagonal().argmax())
    one, other = divmod(int(score.argmax()), len(score))
    if score[one, other] < SIMPLER * score[single, single]:
        one = other = single
    if score[one, other] <= 0:
        return None
    chosen = [found[place][1] for place in {one, other}]
    chosen.sort(key=lambda condition: (condition.numeric, condition.coordinate, -condition.sign))
    inside = (held[one] * held[other]) > 0
    return Named(
        " and ".join(condition.words for condition in chosen),
        inside,
        float(inside.mean()),
        round(float(of_fake[one, other]) * len(samples)),
        float(of_fake[one, other]),
    )


def cells_in_words(real: Samples, index: list[int]) -> dict[int, str]:
    """The cells of these rows of a table, by their place in the source; none where it is no table."""
    if real.dataset is None or real.dataset.encoding is None or not index:
        return {}
    rows, start = real.dataset.exact(torch.tensor(index)).cpu().double().numpy(), 0
    told: list[list[str]] = [[] for _ in index]
    for column in real.dataset.encoding.columns[:CELLS]:
        stop = start + len(column.coordinates)
        cells, name = column.decode(rows[:, start:stop]), printable(column.name)[:100]
        for texts, value, empty in zip(told, cells.values, cells.empty, strict=True):
            text = number(float(value)) if cells.kind == NUMBER else printable(value)[:100]
            texts.append(f"{name} {'missing' if empty else text}")
        start = stop
    more = ", ..." if len(real.dataset.encoding.columns) > CELLS else ""
    return {place: ", ".join(texts) + more for place, texts in zip(index, told, strict=True)}


def _coordinates(samples: Samples) -> Floats:
    """The rows in the table's own units, (n, d)."""
    if samples.dataset is not None and samples.dataset.size is not None:
        rows = samples.dataset.exact(torch.from_numpy(samples.index)).cpu()
    else:
        rows = torch.from_numpy(samples.rows)
        rows = rows if samples.scaling is None else samples.scaling.undo(rows)
    return np.asarray(rows.double().numpy())


def _conditions(columns: tuple[Column, ...], rows: Floats, flags: Flags) -> Iterator[Condition]:
    start, most = 0, max(3, min(LIMITS, MOST_LIMITS // len(columns)))
    for column in columns:
        place, gap = start, start + len(column.coordinates) - 1 if column.gaps else None
        start += len(column.coordinates)
        name = printable(column.name)[:100]
        if gap is not None:
            yield Condition(f"{name} is missing", gap)
        if column.kind == WORDS:
            for more, word in enumerate(column.words):
                yield Condition(f"{name} = {printable(word)[:100]}", place + more)
        elif column.kind != NUMBER:
            yield Condition(f"{name} = True", place, gap=gap)
            yield Condition(f"{name} = False", place, sign=-1, gap=gap)
        else:
            there = flags if gap is None else flags & (rows[:, gap] <= 0.5)
            if there.any():
                for sign in (1, -1):
                    for limit in _limits(rows[:, place], there, sign, column.decimals, most):
                        words = f"{limit:,.{_decimals(rows[:, place], column.decimals)}f}"
                        yield Condition(f"{name} {'>' if sign > 0 else '<'} {words}", place, limit, sign, True, gap)


def _limits(values: Floats, flags: Flags, sign: int, decimals: int | None, most: int) -> list[float]:
    """Limits beyond which most of the flagged values lie, and some that leave room around these, rounded."""
    turned = sign * values
    first, last = np.quantile(turned[flags], (0.02, 1 - GOOD))
    found = np.unique(turned[(turned >= first - BEYOND * values.std()) & (turned <= last)])
    chosen = found[np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)]
    digits = _decimals(values, decimals)
    return sorted({float(np.round(sign * value, digits)) for value in chosen})


def _decimals(values: Floats, decimals: int | None) -> int:
    spread = float(values.std()) or 1.0
    wanted = DIGITS - 1 - math.floor(math.log10(spread))
    return max(0, wanted if decimals is None else min(wanted, decimals))
