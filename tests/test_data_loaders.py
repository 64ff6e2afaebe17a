"""Data sets and loaders of torch's: read once, as what they hold; training from them is training from the array."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import modecover
from modecover import limits
from modecover.data import open_data
from modecover.errors import UserError

IMAGES = torch.randint(256, (70, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float() / 127.5 - 1
CLASSES = torch.arange(70) % 3


class Stream(IterableDataset[Any]):
    """Rows in order, of which nobody knows how many."""

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return iter([(image, int(label)) for image, label in zip(IMAGES, CLASSES, strict=True)])


class Items(Dataset[Any]):
    def __init__(self, *items: Any):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Any:
        item = self.items[place]
        if isinstance(item, Exception):
            raise item
        return item


def doubled(batch: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    x, labels = zip(*batch, strict=True)
    return torch.stack(x).flip(3), torch.stack(labels) + 5


SOURCES = {
    "data set": lambda: TensorDataset(IMAGES, CLASSES),
    "loader": lambda: DataLoader(TensorDataset(IMAGES, CLASSES), batch_size=8, shuffle=True, drop_last=True),
    "stream": Stream,
    "loader of a stream": lambda: DataLoader(Stream(), batch_size=16),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_row_is_there_once_in_order_with_its_class(name: str) -> None:
    before, told = torch.random.get_rng_state(), []
    data = open_data(SOURCES[name](), progress=lambda *given: told.append(given))
    assert torch.equal(data.fetch(torch.arange(70)), open_data(IMAGES).fetch(torch.arange(70)))
    assert data.labels is not None and torch.equal(data.labels, CLASSES)
    assert data.name == ("Stream" if "stream" in name else "TensorDataset")
    assert torch.equal(torch.random.get_rng_state(), before) and (f"rows of {data.name}", 70, 70) in told


def test_a_loaders_own_collation_is_applied_and_classes_may_be_given() -> None:
    source = DataLoader(TensorDataset(IMAGES, CLASSES), collate_fn=doubled)
    data = open_data(source)
    assert torch.equal(data.fetch(torch.arange(70)), open_data(IMAGES.flip(3)).fetch(torch.arange(70)))
    assert data.labels is not None and torch.equal(data.labels, CLASSES + 5)
    own = open_data(source, labels=CLASSES.flip(0))
    assert own.labels is not None and torch.equal(own.labels, CLASSES.flip(0))
    assert open_data(source, labels="none").labels is None
    assert open_data(TensorDataset(IMAGES, torch.rand(70))).labels is None


def test_training_from_a_loader_is_training_from_the_array_and_resumes(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"batch": 8, "width": 4, "evaluate_every": 0, "sample_every": 0}
    found = [
        modecover.train("gan", source, out, steps=2, **settings).sample(4, seed=1)
        for source, out in ((IMAGES, tmp_path / "a"), (SOURCES["loader"](), tmp_path / "b"))
    ]
    assert torch.equal(*found)
    assert modecover.train("gan", SOURCES["loader"](), tmp_path / "b", steps=3, **settings).step == 3


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Items(), "has no samples"),
        (Items("a", "b"), "a sample begins with a str"),
        (Items(IMAGES[0], OSError("the disk is gone")), "reading Items raised OSError: the disk is gone"),
        (Items(*IMAGES[:256], *(IMAGES[:1, :, :8].expand(256, -1, -1, -1))), "shapes|equal size"),
    ],
)
def test_what_cannot_be_read_is_told(source: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(source)


def test_a_stream_without_end_is_stopped_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Tensor]:
            while True:
                yield torch.zeros(1000)

    monkeypatch.setattr(limits, "free_memory", lambda device=None: 5e6)
    with pytest.raises(UserError, match=r"The rows of Endless do not fit into memory: .*; take a part of it"):
        open_data(Endless())
