"""`modecover reconstruct`, `interpolate`, `traverse` and `animate`: the sheets hold what the model makes, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_pictures import pixels, share_of

import modecover
from modecover.cli import main
from modecover.cli.models import open_again
from modecover.errors import UserError
from modecover.pictures import animation, ways
from modecover.pictures.images import GOOD, STRAY, to_pixels
from modecover.pictures.saving import Landmarks

SMALL = ["--steps", "40", "--batch", "8", "--width", "4", "--evaluate-samples", "50"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    train = ["train", "vae", "--data", "digits", "--size", "16", *SMALL, "--seeds", "2", "--sample-every", "10"]
    assert main([*train, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    assert main(["train", "vae", "--data", "ring", *SMALL, "--out", str(folder / "run")]) == 0
    assert main(["train", "gan", "--data", "ring", *SMALL, "--out", str(folder / "plain")]) == 0
    return folder


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words) == 2
    told = capsys.readouterr()
    assert not told.out
    return told.err


def test_rows_that_are_named_are_reconstructed_by_the_seed_that_is_named(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    assert main(["reconstruct", str(images), "--rows", "5,900", "--of-seed", "1", "--out", str(out)]) == 0
    model = modecover.load(images, seed=1)
    x = open_again(model, None, {}).fetch(torch.tensor([5, 900]))
    assert np.array_equal(np.load(out), model.reconstruct(x).numpy())
    assert not np.allclose(np.load(out), modecover.load(images, seed=0).reconstruct(x).numpy())


def test_a_sheet_has_data_above_what_is_made_of_them(images: Path) -> None:
    assert main(["reconstruct", str(images), "--count", "12"]) == 0
    sheet = pixels(Image.open(images / "reconstruct.png"))
    model = modecover.load(images)
    data = open_again(model, None, {})
    assert data.size is not None
    x = data.fetch(torch.arange(12) * data.size // 12)
    lines = [x[:8], model.reconstruct(x)[:8], x[8:], model.reconstruct(x)[8:]]
    scale = (sheet.shape[1] - 2 * 7) // (8 * 16)
    for line, rows in enumerate(lines):
        for column, image in enumerate(rows):
            top, left = line * (16 * scale + 2), column * (16 * scale + 2)
            tile = sheet[top : top + 16 * scale : scale, left : left + 16 * scale : scale]
            assert np.array_equal(tile, to_pixels(image)[0].numpy()), (line, column)
    assert (sheet[2 * (16 * scale + 2) :, 4 * (16 * scale + 2) :] == 255).all()  # the last line is not full


def test_strips_begin_and_end_with_the_data(images: Path, tmp_path: Path) -> None:
    for command, more, columns in (
        ("interpolate", ["--rows", "0,700,3,800"], 10),
        ("traverse", ["--rows", "0,3", "--steps", "4", "--dimension", "3", "--low", "-9"], 5),
    ):
        out = tmp_path / f"{command}.png"
        assert main([command, str(images), *more, "--out", str(out)]) == 0
        sheet = pixels(Image.open(out))
        scale = (sheet.shape[1] - 2 * (columns - 1)) // (columns * 16)
        data = open_again(modecover.load(images), None, {})
        first, last = (to_pixels(data.fetch(torch.tensor([row])))[0, 0].numpy() for row in (3, 800))
        top = 16 * scale + 2
        assert np.array_equal(sheet[top::scale, : 16 * scale : scale], first)
        if command == "interpolate":
            assert np.array_equal(sheet[top::scale, -16 * scale :: scale], last)


def test_points_are_drawn_as_arrows_and_ways(points: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("reconstruct", "interpolate", "traverse"):
        assert main([command, str(points / "run")]) == 0
        assert share_of(Image.open(points / "run" / f"{command}.png"), STRAY) > 1e-4
    assert "of the variance of these 200 rows" in capsys.readouterr().out


def test_an_arrow_goes_from_a_row_to_what_is_made_of_it() -> None:
    landmarks = Landmarks(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), 0.01)
    x, made = torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    picture = ways.ways_picture([x], torch.stack([x, made], dim=1), landmarks, arrows=True)
    warmth = pixels(picture)[..., 0].astype(int) - pixels(picture)[..., 2]
    near = [warmth > 60, warmth < -60]
    panel = picture.height - 100
    (arrow_rows, arrow), (_, dot) = (np.nonzero(colour[:panel]) for colour in near)
    assert arrow.max() - arrow.min() > 8 * (arrow_rows.max() - arrow_rows.min())  # level
    assert abs(arrow.min() - dot.mean()) < 12 and arrow.max() - dot.mean() > 0.5 * picture.width * 0.7
    far = ways.ways_picture([x], torch.stack([x, 100 * made], dim=1), landmarks, arrows=True)
    assert share_of(far, STRAY) > share_of(far, GOOD)  # told in words, too


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reconstruct", "plain"], "no encoder"),
        (["interpolate", "run", "--rows", "1,2"], "endless"),
        (["reconstruct", "run", "--count", "0"], "give 1 to 10,000"),
        (["reconstruct", "run", "--out", "x.jpg"], "ends in .png"),
        (["interpolate", "run", "--steps", "1"], "at least 2"),
        (["traverse", "run", "--dimension", "2"], "0 to 1"),
        (["traverse", "run", "--data", "digits"], "say with --data"),
        (["traverse", "run", "--of-seed", "7"], "seed"),
        (["reconstruct", "nowhere"], "does not exist"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    points: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(points)
    sentence = error_of(words, capsys)
    assert told in sentence and sentence.count("\n") == 1


def test_rows_that_the_data_do_not_have(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has rows 0 to" in error_of(["reconstruct", str(images), "--rows", "0,1000000"], capsys)
    assert "two for each line" in error_of(["interpolate", str(images), "--rows", "0,1,2"], capsys)


# ------------------------------------------------------------------------------------------------ animations


def test_a_finished_run_moves(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["animate", str(images)]) == 0
    assert "4 pictures" in capsys.readouterr().out
    pictures = sorted((images / "samples").glob("*.png"))
    with Image.open(images / "samples.gif") as gif:
        assert gif.n_frames == len(pictures) == 4
        for number, path in enumerate(pictures):
            gif.seek(number)
            shown, expected = gif.convert("L"), Image.open(path).convert("L")
            expected.thumbnail((animation.LARGEST_SIDE,) * 2)
            difference = pixels(shown)[: expected.height, : expected.width].astype(int) - pixels(expected)
            assert np.abs(difference).mean() < 6
        assert gif.info["duration"] > 2000  # the last one stays


def test_an_animation_is_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    pictures = []
    for step in range(140):
        noise = random.integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"step-{step:09d}.png")
        pictures.append((step, tmp_path / f"step-{step:09d}.png"))
    monkeypatch.setattr(animation, "MOST_BYTES", 200_000)
    assert animation.animate(pictures, tmp_path / "a.gif") == animation.MOST_FRAMES
    assert (tmp_path / "a.gif").stat().st_size <= 200_000
    pictures[0][1].write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"step-000000000.png is damaged"):
        animation.animate(pictures, tmp_path / "b.gif")
    assert not (tmp_path / "b.gif").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [(["--out", "x.mp4"], "ends in .gif"), (["--seconds", "0"], "more than 0"), (["--seconds", "nan"], "not a number")],
)
def test_animations_that_are_refused(
    points: Path, capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    assert told in error_of(["animate", str(points / "run"), *more], capsys)


def test_a_folder_without_pictures(points: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no run folder" in error_of(["animate", str(tmp_path)], capsys)
    (tmp_path / "run.json").write_bytes((points / "run" / "run.json").read_bytes())
    assert "needs two" in error_of(["animate", str(tmp_path)], capsys)
