"""Data sets and loaders of torch's, read once into an array: minibatches are drawn here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset
from torch.utils.data import Dataset as TorchDataset

from modecover.data.base import Progress
from modecover.errors import UserError
from modecover.kinds import first_line
from modecover.limits import require_memory

ROWS = 256
"""Read at a time."""

Loader = DataLoader[Any] | TorchDataset[Any]


def is_loader(source: object) -> bool:
    """Whether it is one of torch's; a data set of the package `datasets` is none, though it says so."""
    ours = isinstance(source, DataLoader | TorchDataset)
    return ours and type(source).__module__.partition(".")[0] != "datasets"


def name_of(source: Loader) -> str:
    """The class of the data set."""
    return type(source.dataset if isinstance(source, DataLoader) else source).__name__


def rows_of(
    source: Loader, progress: Progress, count: int | None = None, seed: int = 0
) -> tuple[Tensor, Tensor | None]:
    """All samples of a data set, or at most `count`, chosen at random where it tells its length; and their classes, if
    whole numbers come with them.

    Its items are tensors, or tuples that begin with one. A loader's minibatches, its order and its workers are left
    alone; the transforms of a data set act once. Generators of random numbers are left as they were.

    Raises:
        UserError: it has no samples, they begin with no tensor, they take more memory than there is, or reading fails.
    """
    name, collate = name_of(source), source.collate_fn if isinstance(source, DataLoader) else None
    dataset = source.dataset if isinstance(source, DataLoader) else source
    xs: list[Tensor] = []
    classes: list[Tensor | None] = []
    read = taken = 0
    total = None
    try:
        with torch.random.fork_rng(devices=[]):
            if not isinstance(dataset, IterableDataset):
                total = len(dataset)  # type: ignore[arg-type]  # else it is of no use to a loader either
                if count is not None and count < total:
                    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]
                    dataset, total = Subset(dataset, order.sort().values.tolist()), count
            for batch in DataLoader(dataset, batch_size=ROWS, collate_fn=collate):
                x, *more = batch if isinstance(batch, list | tuple) else (batch,)
                if not isinstance(x, Tensor):
                    raise TypeError(f"a sample begins with a {type(x).__name__}, not with a tensor")
                xs.append(x)
                whole = more and isinstance(more[0], Tensor) and more[0].ndim == 1 and not more[0].is_floating_point()
                classes.append(more[0] if whole else None)
                read, taken = read + len(x), taken + x.numel() * x.element_size()
                if count is not None and read >= count:
                    break
                progress(f"rows of {name}", read, total or read + ROWS)  # how many are still to come is not known
                # What is to come, and room for all of it as one array.
                whole_size = taken * (total or read) / max(read, 1)
                require_memory(f"The rows of {name}", 2 * whole_size - taken, "take a part of it")
            progress(f"rows of {name}", read, read)
    except UserError:
        raise
    except Exception as error:  # the user's code
        raise UserError(
            f"reading {name} raised {type(error).__name__}: {first_line(error)}. Give all samples as one array instead."
        ) from error
    if not read:
        raise UserError(f"{name} has no samples: give one that has some.")
    if len(shapes := {tuple(x.shape[1:]) for x in xs}) > 1:
        one, other = sorted(shapes)[:2]
        raise UserError(f"{name} has samples of shapes {one} and {other}: give them one shape, as by a transform.")
    known = [labels for labels in classes if labels is not None]
    return torch.cat(xs)[:count], torch.cat(known)[:count] if len(known) == len(xs) else None
