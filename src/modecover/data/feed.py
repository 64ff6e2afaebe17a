"""Minibatches by number: a pure function of (seed, position), for any number of stacked seeds and any part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from modecover.arguments import held
from modecover.data.base import Dataset
from modecover.data.classes import Classes, joined
from modecover.data.pictures import StreamedImages
from modecover.data.pixels import decoded
from modecover.data.scaling import Scaling
from modecover.errors import UserError
from modecover.random import derive_seed

BLOCK = 32
"""Minibatches of an endless set whose keys are drawn together: a draw for each would cost more than a small step."""


class Feed:
    """Minibatch number 0, 1, 2, ... of each of several seeds.

    A finite set is run through in epochs, each a permutation that belongs to (seed, epoch); the minibatches run over
    the border of an epoch and drop nothing. The rows of an endless set come from a generator that belongs to (seed,
    position). So a feed can start anywhere, S stacked seeds get what S feeds of one seed get, and the parts of a
    minibatch, laid together, are the minibatch: all of it bitwise.

    Args:
        dataset: what to feed; it is moved to `device`, where the rows are given out.
        batch: rows of a whole minibatch of one seed. Raises `UserError` where the set has fewer samples.
        seeds: those of the runs stacked in this program, in row order.
        workers: processes that read streamed images ahead, for each part that is asked for; other sets need none.
        scaling: of points: rows are given standardised.
        classes: rows carry theirs, see `modecover.data.classes`.
    """

    @held(batch=1, workers=0)
    def __init__(
        self,
        dataset: Dataset,
        batch: int,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        workers: int = 0,
        scaling: Scaling | None = None,
        classes: Classes | None = None,
    ):
        if not seeds:
            raise UserError("a feed needs at least one seed; got none.")
        if (size := dataset.size) is not None and batch > size:
            raise UserError(
                f"{dataset.name} has {size} samples, too few for a batch of {batch}; choose batch={size} or fewer."
            )
        self.dataset = dataset.to(device)
        self.batch_size, self.seeds, self.workers, self.scaling = batch, tuple(seeds), workers, scaling
        self.classes = classes
        self._keys: dict[int, Tensor] = {}
        # Of a part: the next position that the processes come to, and the minibatches that they read.
        self._ahead: dict[tuple[int, int], tuple[int, Iterator[Tensor | UserError]]] = {}

    def batch(self, position: int, part: int = 0, parts: int = 1) -> Tensor:
        """Minibatch number `position`, of each seed's `parts` equal row ranges number `part`: S * batch / parts rows,
        seed after seed, float32 (rows, *shape). Raises `UserError` where the batch does not split into so many."""
        if isinstance(self.dataset, StreamedImages) and self.workers:
            following, ahead = self._ahead.pop((part, parts), (-1, iter(())))
            if position != following:
                loader = DataLoader(
                    _Reading(self.dataset),
                    batch_size=None,
                    sampler=(self.keys(number, part, parts) for number in itertools.count(position)),
                    num_workers=self.workers,
                    pin_memory=self.dataset.device.type == "cuda",
                    generator=torch.Generator(),  # else the loader draws from the global one
                )
                ahead = iter(loader)
            pixels = next(ahead)
            self._ahead[part, parts] = position + 1, ahead
            if isinstance(pixels, UserError):
                raise pixels
            return self._carrying(decoded(pixels.to(self.dataset.device, non_blocking=True)), position, part, parts)
        keys = self.keys(position, part, parts)
        rows = self.dataset.fetch(keys) if self.scaling is None else self.scaling.apply(self.dataset.exact(keys))
        return self._carrying(rows, position, part, parts)

    def _carrying(self, rows: Tensor, *place: int) -> Tensor:
        if self.classes is None:
            return rows
        labels = self.dataset.labels_of(self.keys(*place))
        assert labels is not None, "the data set has the classes"
        return joined(rows, self.classes.rows(labels.to(rows.device)))

    def keys(self, position: int, part: int = 0, parts: int = 1) -> Tensor:
        """The keys of the rows that `batch` gives for the same arguments."""
        rows, rest = divmod(self.batch_size, parts)
        if rest or not 0 <= part < parts:
            raise UserError(f"a batch of {self.batch_size} has no part {part} of {parts} equal ones; change the batch.")
        start = position * self.batch_size + part * rows
        length = self.dataset.size or BLOCK * self.batch_size
        number, offset = divmod(start, length)
        chosen = self._run(number)[:, offset : offset + rows]
        if offset + rows > length:
            chosen = torch.cat([chosen, self._run(number + 1)[:, : offset + rows - length]], dim=1)
        return chosen.flatten(0, 1)

    def close(self) -> None:
        """Stop the processes that read ahead; the next minibatch starts them again."""
        self._ahead.clear()

    def _run(self, number: int) -> Tensor:
        """Keys of each seed's epoch `number`, or of an endless set's block of that number, (S, length, ...)."""
        if number not in self._keys:
            while len(self._keys) > 2:
                del self._keys[next(iter(self._keys))]
            data, runs = self.dataset, []
            for seed in self.seeds:
                if data.size is None:
                    generator = torch.Generator(data.device).manual_seed(derive_seed(seed, "data", number))
                    runs.append(data.draw(BLOCK * self.batch_size, generator))
                else:  # drawn on the CPU, so that the order does not depend on the device
                    generator = torch.Generator().manual_seed(derive_seed(seed, "epoch", number))
                    order = torch.randperm(data.size, generator=generator)
                    runs.append(order.to("cpu" if data.streamed else data.device))
            self._keys[number] = torch.stack(runs)
        return self._keys[number]


class _Reading(TorchDataset[Tensor | UserError]):
    """Reads the rows of given keys. An error is handed over as a value, so that it arrives without a traceback."""

    def __init__(self, dataset: StreamedImages):
        self.dataset = dataset

    def __getitem__(self, keys: Tensor) -> Tensor | UserError:
        try:
            return self.dataset.read(keys)
        except UserError as error:
            return error
