"""Data that is opened again from what was recorded, and data whose side is changed after it was opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from modecover.data import StreamedImages, open_data
from modecover.data.encoded import Pictures
from modecover.errors import UserError


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """Six colour images, 24 wide and 20 high."""
    return np.random.default_rng(0).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)


@pytest.fixture
def folder(pixels: NDArray[np.uint8], tmp_path: Path) -> Path:
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("source", ["digits", "stacked-mnist:count=50,seed=4", "stacked-mnist:k=2,fresh"])
def test_resizing_a_named_set_gives_what_opening_it_at_that_side_gives(source: str) -> None:
    late, early = open_data(source).resized(16), open_data(source, size=16)
    assert late.shape == early.shape == (late.shape[0], 16, 16)
    assert late.fingerprint == early.fingerprint
    assert (late.name, late.size, late.modes, late.opened) == (early.name, early.size, early.modes, early.opened)


@pytest.mark.parametrize("channels", [None, 1])
def test_resizing_arrays_and_folders_gives_what_opening_them_at_that_side_gives(
    channels: int | None, pixels: NDArray[np.uint8], folder: Path
) -> None:
    for source in (pixels, folder):
        late, early = (
            open_data(source, channels=channels).resized(16),
            open_data(source, channels=channels, size=16),
        )
        rows = torch.arange(6)
        assert torch.equal(late.fetch(rows), early.fetch(rows))
        assert late.fingerprint == early.fingerprint


def test_a_streamed_set_stays_streamed_only_where_it_must(folder: Path) -> None:
    streamed = open_data(folder, memory_limit=6 * 3 * 16 * 16)
    assert isinstance(streamed, StreamedImages)
    small, large = (streamed.resized(side, 6 * 3 * 16 * 16) for side in (16, 17))
    assert not isinstance(small, StreamedImages) and isinstance(large, StreamedImages)
    assert torch.equal(small.fetch(torch.arange(6)), open_data(folder, size=16).fetch(torch.arange(6)))
    assert large.fingerprint == open_data(folder, size=17, memory_limit=6 * 3 * 16 * 16).fingerprint


def test_resizing_decodes_no_picture_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(folder)

    def content(self: Pictures, index: int) -> Path:
        raise AssertionError("the picture was opened again")

    monkeypatch.setattr(Pictures, "content", content)
    assert data.resized(16).shape == (3, 16, 16)


def test_points_cannot_be_resized() -> None:
    with pytest.raises(UserError, match=r"ring of shape .* cannot be resized"):
        open_data("ring").resized(16)


def test_what_was_recorded_opens_the_same_data_from_any_folder(
    pixels: NDArray[np.uint8], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(folder / "two.npz", a=pixels, b=pixels[:2], kinds=np.arange(6))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    opened = [
        open_data("two.npz", key="a", labels="kinds", size=8, channels=1),
        open_data(Path("two.npz"), key="b", layout="NHWC"),
        open_data(".", memory_limit=100),
        open_data("ring:modes=5,radius=3"),
        open_data("stacked-mnist:count=10", data_dir="elsewhere"),
    ]
    monkeypatch.chdir("elsewhere")
    for data in opened:
        assert data.opened is not None
        again = open_data(**json.loads(json.dumps(data.opened)))
        assert again.fingerprint == data.fingerprint
        assert again.opened == data.opened
    assert opened[3].opened == {"source": "ring:modes=5,radius=3"}
    assert opened[0].opened == {
        "source": str(folder / "two.npz"),
        **{"key": "a", "labels": "kinds", "size": 8, "channels": 1},
    }


def test_what_came_from_memory_cannot_be_opened_again(pixels: NDArray[np.uint8], folder: Path) -> None:
    assert open_data(pixels).opened is None
    assert open_data(torch.zeros(3, 2)).opened is None
    assert open_data(folder, labels=[0, 1, 2, 0, 1, 2]).opened is None


@pytest.mark.parametrize("options", [{"size": 8}, {"split": "test"}, {"key": "a"}, {"layout": "NHWC"}])
def test_an_open_set_takes_no_more_options(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="ring is open already"):
        open_data(open_data("ring"), **options)  # type: ignore[arg-type]  # one option at a time
