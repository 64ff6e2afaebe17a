"""Classes that a model is told: which there are, how frequent they are, and how rows carry theirs.

Every network of a conditional model but a latent discriminator is given the class of each of its rows, as one number
for each class, 1 for its own and 0 for all others: behind a row of noise or points, and of images as further channels
that are constant (Mirza and Osindero 2014). In a step, row j of whatever is computed has the class of row j of the
minibatch: methods work row by row, so that none of them knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from modecover.errors import UserError
from modecover.kinds import counted, nearest, shown

MOST = 100
"""Of an image each is a channel."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        labels: as the data set numbers them, ascending.
        shares: of the rows, in the same order.
        names: what they are called, in the same order; none: they are numbers alone.
        column: of a table, which they come from.
    """

    labels: tuple[int, ...]
    shares: tuple[float, ...]
    names: tuple[str, ...] = ()
    column: str = ""

    @classmethod
    def of(cls, labels: Tensor | None, name: str, names: Sequence[str] | None = None, column: str = "") -> Classes:
        """The classes of the rows of the data set `name`, of which those numbered 0, 1, ... may be called `names`.
        Raises `UserError` where it has fewer than 2, or too many."""
        if labels is None:
            raise UserError(f"{name} has no classes to be told: give labels, a folder for each class, or leave it out.")
        found, counts = torch.unique(labels.cpu(), return_counts=True)
        if not 2 <= len(found) <= MOST:
            raise UserError(f"{name} has {len(found)} classes: a conditional model is told 2 to {MOST}.")
        own = tuple(found.tolist())
        called = tuple(names[label] for label in own) if names and own[0] >= 0 and own[-1] < len(names) else ()
        return cls(own, tuple((counts / counts.sum()).tolist()), called, column)

    @classmethod
    def from_facts(cls, facts: Any) -> Classes | None:
        """Those of a model's facts. Raises `UserError` for what is none."""
        if facts is None:
            return None
        told = facts if isinstance(facts, Mapping) else {}
        labels, shares, names = (told.get(part, []) for part in ("labels", "shares", "names"))
        lists = all(isinstance(each, list | tuple) for each in (labels, shares, names))
        if lists and len(labels) == len(shares) >= 2 and len(names) in (0, len(labels)):
            kinds = ((labels, int), (shares, float), (names, str), ([told.get("column", "")], str))
            whole = all(type(each) is kind for values, kind in kinds for each in values)
            if whole and sorted({*labels}) == [*labels]:
                return cls(tuple(labels), tuple(shares), tuple(names), told.get("column", ""))
        raise UserError(f"data.classes is {shown(facts)}: give labels, ascending, and as many shares and names.")

    def __len__(self) -> int:
        return len(self.labels)

    def facts(self) -> dict[str, Any]:
        """For the facts of a model."""
        lists = {"labels": [*self.labels], "shares": [*self.shares], "names": [*self.names]}
        return {**lists, "column": self.column}

    def called(self, labels: Tensor) -> list[Any]:
        """What classes (n,) are called: their names, or where they have none their numbers."""
        names = dict(zip(self.labels, self.names or self.labels, strict=True))
        return [names[label] for label in labels.tolist()]

    def rows(self, labels: Tensor) -> Tensor:
        """What rows of these labels (n,) carry: (n, number of classes), float32."""
        known = torch.tensor(self.labels, device=labels.device)
        return one_hot(torch.searchsorted(known, labels.contiguous()), len(self)).float()

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """As many labels (n,) as frequent as in the data."""
        shares = torch.tensor(self.shares, device=generator.device)
        places = torch.multinomial(shares, count, replacement=True, generator=generator)
        return torch.tensor(self.labels, device=generator.device)[places]

    def asked(self, labels: Any, count: int) -> Tensor:
        """`count` labels from one for all, or one for each, each a number or a name. Raises `UserError` for others."""
        there = counted(self.names or map(str, self.labels), 12)
        if getattr(getattr(labels, "dtype", None), "kind", None) in ("O", "U"):  # words of NumPy's or pandas'
            labels = labels.tolist()
        if isinstance(labels, str):
            return self.asked(self._numbered(labels, there), count)
        if isinstance(labels, Sequence) and labels and all(isinstance(each, str) for each in labels):
            return self.asked([self._numbered(each, there) for each in labels], count)
        try:
            given = torch.as_tensor(labels).cpu()
        except (TypeError, ValueError, RuntimeError):
            given = torch.empty(0)
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool or given.ndim > 1:
            raise UserError(f"labels is {shown(labels)}: give one of {there}, or one for each row.")
        if given.ndim and len(given) != count:
            raise UserError(f"{len(given)} labels were given for {count} rows: give one for each, or one for all.")
        if strangers := sorted({*given.flatten().tolist()} - {*self.labels}):
            raise UserError(f"There is no class {strangers[0]}: the classes are {there}.")
        return given.long().expand(count)

    def _numbered(self, name: str, there: str) -> int:
        if name in self.names:
            return self.labels[self.names.index(name)]
        try:
            return int(name)
        except ValueError:
            raise UserError(
                f"There is no class {name!r}{nearest(name, self.names)}: the classes are {there}."
            ) from None


def joined(rows: Tensor, carried: Tensor) -> Tensor:
    """Rows (m * n, ...), m times those of a minibatch, with what each carries (n, classes) behind."""
    carried = carried.repeat(len(rows) // len(carried), 1) if len(rows) != len(carried) else carried
    if rows.ndim == 4:
        carried = carried[:, :, None, None].expand(-1, -1, *rows.shape[2:])
    return torch.cat([rows, carried.to(rows.dtype)], dim=1)


def parted(rows: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The inverse: rows, and what each carries (n, classes)."""
    carried = rows[:, -classes:]
    return rows[:, :-classes], carried[:, :, 0, 0] if rows.ndim == 4 else carried


def wider(shape: Sequence[int], classes: int) -> tuple[int, ...]:
    """The shape of a row with what it carries."""
    return (shape[0] + classes, *shape[1:])
