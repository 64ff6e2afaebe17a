"""Roles: which columns of a table are learned, which one holds the classes, and what is said of all the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modecover.data.files import LABEL_KEYS, NO_LABELS
from modecover.data.places import counted
from modecover.errors import UserError

PICTURE, LIST, NUMBER, SWITCH, WORDS, CLASSES = "pictures", "arrays", "numbers", "truth values", "words", "classes"
"""What a column can hold and be learned from: see `choose_roles`."""
USABLE = (PICTURE, LIST, NUMBER, SWITCH, WORDS, CLASSES)
_SINGLE = (NUMBER, SWITCH, WORDS, CLASSES)
_PLAINLY_LABELS = ("labels", "label", "classes", "class")
"""Of `LABEL_KEYS` those that mean nothing else; a `target` or a `y` may be a number of any kind."""


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
    origin: str,
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
        origin: the table's name in messages.
        are_classes: whether a column's values are whole numbers or words.

    Raises:
        UserError: where a named column is not there or cannot be used, or the choice is the user's.
    """
    if key is not None and len(key) == 1 and key[0] not in kinds:
        key = key[0].split(",")
    for name in (*(key or ()), *([] if label_key in (None, NO_LABELS) else [str(label_key)])):
        if name not in kinds:
            raise UserError(f"{origin} has no column {name!r}; it has {counted(kinds)}.")
    if key is not None and label_key in key:
        raise UserError(f"{origin}: the column {label_key!r} cannot be learned and hold the classes too; say another.")
    guessed = label_key is None
    if label_key is None:
        if key is None:
            _require_classes(kinds, origin, are_classes)
        label_key = _guessed_label(kinds, key or (), are_classes)
    label = None if label_key == NO_LABELS else label_key
    columns = _learned(kinds, key, label, origin)
    unused = [name for name in kinds if name != label and name not in columns]
    notes = []
    table = all(kinds[name] in _SINGLE for name in columns)
    if guessed and label is not None and table:
        notes.append(f"{origin}: the column {label!r} is taken as classes (labels='none' learns it like the others)")
    named = [name for name in columns if name.lower() in LABEL_KEYS and table and guessed and key is None]
    notes += [
        f"{origin}: the column {name!r} is learned like the others (labels={name!r} takes it as classes)"
        for name in named
        if are_classes(name)
    ]
    if unused and key is None:
        kept = counted(f"{name} ({kinds[name]})" for name in unused)
        notes.append(f"{origin}: columns that are not used: {kept} (key= names those to learn)")
    told = {name: "learned" if name in columns else "classes" if name == label else "not used" for name in kinds}
    return Roles(columns, label, {name: f"{role} ({kinds[name]})" for name, role in told.items()}, tuple(notes))


def _require_classes(kinds: Mapping[str, str], origin: str, are_classes: Callable[[str], bool]) -> None:
    """Raise `UserError` where a column is called `label` or `class` beside others, and holds none."""
    for name, kind in kinds.items():
        others = any(other != name and held in USABLE for other, held in kinds.items())
        if name.lower() not in _PLAINLY_LABELS or kind not in USABLE or not others:
            continue
        if kind not in _SINGLE or not are_classes(name):
            raise UserError(
                f"{origin}: the column {name!r} holds {kind} that are no classes (whole numbers or words); say "
                "labels='none' to treat it like the others, or name another column of classes."
            )


def _guessed_label(kinds: Mapping[str, str], key: Sequence[str], are_classes: Callable[[str], bool]) -> str | None:
    candidates = [name for name, kind in kinds.items() if kind in _SINGLE and name not in key]
    usable = [name for name, kind in kinds.items() if kind in USABLE]
    lower = {name.lower(): name for name in kinds}
    for name in candidates:
        if name.lower() not in LABEL_KEYS or usable == [name]:
            continue
        coordinate = name.lower() == "y" and "x" in lower and kinds[lower["x"]] in _SINGLE
        if not coordinate and are_classes(name):
            return name
    declared = [name for name in candidates if kinds[name] == CLASSES and usable != [name]]
    return declared[0] if len(declared) == 1 else None


def _learned(kinds: Mapping[str, str], key: Sequence[str] | None, label: str | None, origin: str) -> tuple[str, ...]:
    if key is not None:
        unfit = [name for name in key if kinds[name] not in USABLE]
        if unfit:
            raise UserError(f"{origin}: the column {unfit[0]!r} holds {kinds[unfit[0]]}, which cannot be learned.")
        if len(key) > 1 and any(kinds[name] == PICTURE for name in key):
            raise UserError(f"{origin}: a column of pictures is learned alone; give one name as key=.")
        return tuple(dict.fromkeys(key))
    for kind in (PICTURE, LIST):
        found = [name for name, held in kinds.items() if held == kind and name != label]
        if len(found) > 1:
            raise UserError(f"{origin} has several columns of data ({counted(found)}): say key={found[0]!r}.")
        if found:
            return tuple(found)
    single = tuple(name for name, held in kinds.items() if held in _SINGLE and name != label)
    if not single:
        kept = counted(f"{name} ({kind})" for name, kind in kinds.items())
        raise UserError(f"{origin} has no column of pictures or numbers to learn; it has {kept}.")
    return single
