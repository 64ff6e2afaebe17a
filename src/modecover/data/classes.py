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
from modecover.kinds import counted, shown

MOST = 100
"""Of an image each is a channel."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        labels: as the data set numbers them, ascending.
        shares: of the rows, in the same order.
    """

    labels: tuple[int, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, labels: Tensor | None, name: str) -> Classes:
        """The classes of the rows of the data set `name`. Raises `UserError` where it has fewer than 2, or too many."""
        if labels is None:
            raise UserError(f"{name} has no classes to be told: give labels, a folder for each class, or leave it out.")
        found, counts = torch.unique(labels.cpu(), return_counts=True)
        if not 2 <= len(found) <= MOST:
            raise UserError(f"{name} has {len(found)} classes: a conditional model is told 2 to {MOST}.")
        return cls(tuple(found.tolist()), tuple((counts / counts.sum()).tolist()))

    @classmethod
    def from_facts(cls, facts: Any) -> Classes | None:
        """Those of a model's facts. Raises `UserError` for what is none."""
        if facts is None:
            return None
        labels, shares = ([], []) if not isinstance(facts, Mapping) else (facts.get("labels"), facts.get("shares"))
        if isinstance(labels, list | tuple) and isinstance(shares, list | tuple) and len(labels) == len(shares) >= 2:
            whole = all(type(label) is int for label in labels) and all(type(share) is float for share in shares)
            if whole and sorted({*labels}) == [*labels]:
                return cls(tuple(labels), tuple(shares))
        raise UserError(f"data.classes is {shown(facts)}: give labels, ascending, and as many shares.")

    def __len__(self) -> int:
        return len(self.labels)

    def facts(self) -> dict[str, list[Any]]:
        """For the facts of a model."""
        return {"labels": [*self.labels], "shares": [*self.shares]}

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
        """`count` labels from one for all, or one for each. Raises `UserError` for others."""
        try:
            given = torch.as_tensor(labels).cpu()
        except (TypeError, ValueError, RuntimeError):
            given = torch.empty(0)
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool or given.ndim > 1:
            raise UserError(
                f"labels is {shown(labels)}: give one of {counted(map(str, self.labels), 5)}, or one for each row."
            )
        if given.ndim and len(given) != count:
            raise UserError(f"{len(given)} labels were given for {count} rows: give one for each, or one for all.")
        if strangers := sorted({*given.flatten().tolist()} - {*self.labels}):
            raise UserError(f"There is no class {strangers[0]}: the classes are {counted(map(str, self.labels), 12)}.")
        return given.long().expand(count)


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
