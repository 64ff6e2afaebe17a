"""Folders: every image is a sample, or is counted among what is left out; nothing in a folder is waited for."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, features

from modecover.cli import main
from modecover.data import StreamedImages, open_data
from modecover.errors import UserError

rng = np.random.default_rng(5)
COLOUR = rng.integers(0, 256, (10, 8, 6, 3), dtype=np.uint8)

pytestmark = pytest.mark.filterwarnings("ignore:.*(left out|is a sample|no classes|first alone|read as its split)")


def write(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_frames(path: Path, frames: Sequence[NDArray[np.uint8]], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, **options)
    return path


def expected(frames: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(frames.transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1


def test_a_class_folder_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "data" / "day" / "0.png", COLOUR[0])
    write(tmp_path / "store" / "night" / "0.png", COLOUR[1])
    (tmp_path / "data" / "night").symlink_to(tmp_path / "store" / "night")
    (tmp_path / "data" / "day" / "1.png").symlink_to(tmp_path / "store" / "night" / "0.png")
    data = open_data(tmp_path / "data")
    assert data.labels is not None and data.labels.tolist() == [0, 0, 1]
    assert torch.equal(data.fetch(torch.arange(3)), expected(COLOUR[[0, 1, 1]]))
    assert data.notes == ()


def test_links_in_circles_and_to_nowhere_are_counted_and_end(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "data"
    write(folder / "a" / "0.png", COLOUR[0])
    write(tmp_path / "above" / "not-mine.png", COLOUR[1])
    (folder / "a" / "again").symlink_to(folder)
    (folder / "up").symlink_to(tmp_path / "above")
    (folder / "lost.png").symlink_to(tmp_path / "nowhere.png")
    data = open_data(folder)
    assert data.size == 1
    assert data.notes == (f"left out of {folder}: 1 link that leads nowhere, 2 links to folders above or read already",)


def test_what_is_no_image_is_counted_by_its_ending(tmp_path: Path) -> None:
    write(tmp_path / "0.png", COLOUR[0])
    for name in ("a.txt", "b.txt", "c.heic", "README", ".hidden.png", ".DS_Store"):
        (tmp_path / name).write_text("no image")
    (note,) = open_data(tmp_path).notes
    counts = "1 .heic file, 2 .txt files, 1 hidden entry, 1 unnamed file"
    assert note == f"left out of {tmp_path}: {counts}"
    with pytest.warns(UserWarning, match="1 .heic file, 2 .txt files"):
        open_data(tmp_path)


@pytest.mark.parametrize("ending", ["tga", "jfif", "qoi", "pcx", "avif", "jp2", "TIF"])
def test_every_ending_that_pillow_reads_is_an_image(tmp_path: Path, ending: str) -> None:
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    if ending == "jp2" and not features.check("jpg_2000"):
        pytest.skip("this Pillow reads no JPEG 2000")
    write(tmp_path / f"0.{ending}", np.full((8, 6, 3), 200, np.uint8))
    data = open_data(tmp_path)
    assert (data.size, data.shape, data.notes) == (1, (3, 8, 6), ())
    assert (data.fetch(torch.arange(1)) - (200 / 127.5 - 1)).abs().max() < 0.03, "jpeg rounds"


def test_a_file_that_another_program_would_open_is_no_image(tmp_path: Path) -> None:
    """Pillow hands EPS to Ghostscript, whatever the file's name says."""
    (tmp_path / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match="no image that Pillow knows"):
        open_data(tmp_path)


@pytest.mark.parametrize("ending", ["tiff", "gif", "png", "webp"])
def test_every_frame_and_page_is_a_sample(tmp_path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == "webp" else {}
    flat = np.repeat(COLOUR[:, :1, :1], 8, axis=1).repeat(6, axis=2)  # a GIF has 256 colours
    write_frames(tmp_path / "a" / f"0.{ending}", flat[:4], **options)
    write_frames(tmp_path / "b" / f"1.{ending}", flat[4:9], **options)
    write(tmp_path / "b" / "2.png", flat[9])
    data, streamed = open_data(tmp_path), open_data(tmp_path, memory_limit=0)
    assert isinstance(streamed, StreamedImages)
    assert data.labels is not None and data.labels.tolist() == [0] * 4 + [1] * 6
    assert data.notes == ("2 files have several frames or pages: each of these 9 is a sample",)
    for rows in (data.fetch(torch.arange(10)), streamed.fetch(torch.arange(9, -1, -1)).flip(0)):
        assert torch.equal(rows, expected(flat))
    assert data.fingerprint != open_data(tmp_path, labels="none").fingerprint


def test_labels_may_be_given_for_files_or_for_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "0.tiff", COLOUR[:3])
    write(tmp_path / "1.png", COLOUR[3])
    for labels in ([7, 8], [7, 7, 7, 8]):
        data = open_data(tmp_path, labels=labels)
        assert data.labels is not None and data.labels.tolist() == [7, 7, 7, 8]
    with pytest.raises(UserError, match="need labels of shape"):
        open_data(tmp_path, labels=[1, 2, 3])


def test_pages_that_differ_in_size_are_told(tmp_path: Path) -> None:
    write_frames(tmp_path / "0.tiff", [COLOUR[0], COLOUR[1][:4]])
    with pytest.raises(UserError, match=r"0\.tiff is 6x8, .*0\.tiff \(a later frame\) is 6x4; give a size"):
        open_data(tmp_path)
    assert open_data(tmp_path, size=4).size == 2


def test_further_images_that_are_no_samples_are_told(tmp_path: Path) -> None:
    """A camera's file may hold previews beside its picture."""
    write_frames(tmp_path / "0.mpo", COLOUR[:2])
    (tmp_path / "0.mpo").rename(tmp_path / "0.jpg")
    data = open_data(tmp_path)
    assert data.size == 1
    assert "further images (previews" in data.notes[0]


def test_classes_can_be_refused(tmp_path: Path) -> None:
    for name in ("a/0.png", "b/0.png"):
        write(tmp_path / name, COLOUR[0])
    assert open_data(tmp_path).labels is not None
    assert open_data(tmp_path, labels="none").labels is None


def test_images_beside_class_folders_are_told(tmp_path: Path) -> None:
    for name in ("a/0.png", "b/0.png", "2.png"):
        write(tmp_path / name, COLOUR[0])
    data = open_data(tmp_path)
    assert (data.size, data.labels) == (3, None)
    assert "so that these are no classes" in data.notes[0]


def test_the_other_splits_are_named(tmp_path: Path) -> None:
    for name in ("train/0.png", "test/0.png"):
        write(tmp_path / name, COLOUR[0])
    assert "without test" in open_data(tmp_path).notes[0]
    with pytest.raises(UserError, match="no split 'test'"):
        open_data(tmp_path / "train", split="test")


def test_files_beside_a_table_are_counted(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"a": [1.0, 2.0]}), tmp_path / "x.parquet")
    write(tmp_path / "0.png", COLOUR[0])
    assert open_data(tmp_path).notes == (f"left out of {tmp_path}: 1 .png file",)


@pytest.mark.parametrize("limit", [2**30, 1], ids=["in memory", "streamed"])
def test_all_broken_pictures_are_counted_and_some_named(
    tmp_path: Path, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for number in range(9):
        write(tmp_path / f"{number}.png", noise)
    content = (tmp_path / "0.png").read_bytes()
    (tmp_path / "7.png").write_bytes(b"no picture")
    for number in (1, 3, 4):
        (tmp_path / f"{number}.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        UserError, match=r"4 of 9 pictures cannot be used: .*1\.png .*3\.png .*4\.png .*1 more are like"
    ):
        open_data(tmp_path, memory_limit=limit)
    (tmp_path / "7.png").write_bytes(content)
    assert main(["data", "check", str(tmp_path), "--memory-limit", f"{limit / 2**30}"]) == 2
    assert "3 of 9 pictures cannot be used" in capsys.readouterr().err


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")


@needs_pipes
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x-images-idx3-ubyte.gz", "x"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="is a pipe, neither file nor folder"):
        open_data(tmp_path / name)


@needs_pipes
def test_what_is_no_file_is_counted_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "0.png", COLOUR[0])
    os.mkfifo(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as plug:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's name is short
        try:
            plug.bind("3.png")
        finally:
            os.chdir(here)
        data = open_data(tmp_path)
    assert data.size == 1
    assert data.notes == (f"left out of {tmp_path}: 1 device, 1 pipe, 1 socket",)
    with pytest.raises(UserError, match="is a device"):
        open_data("/dev/zero")


@needs_pipes
def test_benchmarks_and_tables_do_not_wait_for_pipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(UserError, match="no idx or parquet files of mnist"):
        open_data("mnist", data_dir=tmp_path)
    (tmp_path / "p").mkdir()
    os.mkfifo(tmp_path / "p" / "x.parquet")
    with pytest.raises(UserError, match="is a pipe"):
        open_data(tmp_path / "p")


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_a_line_break_in_a_name_does_not_break_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "a\nb.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a\\nb\.png cannot be read") as caught:
        open_data(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")
def test_names_that_are_no_text_are_read_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write(folder / os.fsdecode(b"\xff.png"), COLOUR[0])
    (folder / os.fsdecode(b"x.\xfe")).touch()
    data = open_data(folder)
    assert data.name.encode().endswith(rb"caf\udce9") and data.notes[0].encode()
    assert main(["data", "check", str(folder)]) == 2  # a word of the command line is text
    assert "caf\\udce9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [("a\0b.npy", "zero byte"), ("\ud800.npy", "cannot be the name"), ("", "name of the data is empty")],
)
def test_names_that_cannot_be_are_refused(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(name)


def test_opening_many_pictures_tells_how_far_it_is(tmp_path: Path) -> None:
    for number in range(40):
        write(tmp_path / f"{number}.png", COLOUR[0])
    told: list[tuple[str, int, int]] = []
    open_data(tmp_path, progress=lambda what, done, total: told.append((what, done, total)))
    for what in ("survey of the pictures", "pictures"):
        steps = [done for name, done, _ in told if name == what]
        assert steps == sorted(set(steps)) and len(steps) > 1 and steps[-1] == 40


@pytest.mark.parametrize("stream", [False, True], ids=["in memory", "streamed"])
def test_the_middle_of_every_picture_is_cut_out_before_it_is_resized(tmp_path: Path, stream: bool) -> None:
    pictures = [np.random.default_rng(k).integers(0, 256, shape, np.uint8) for k, shape in enumerate(SIZES)]
    for number, pixels in enumerate(pictures):
        write(tmp_path / "all" / f"{number}.png", pixels)
    data = open_data(tmp_path / "all", crop=20, stream=stream)
    assert data.shape == (3, 20, 20) and data.streamed is stream
    rows = ((data.fetch(torch.arange(2)) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(rows[0], pictures[0][5:25, 2:22]) and np.array_equal(rows[1], pictures[1][:20, 11:31])

    # As if the middle had been all there was.
    for number, pixels in enumerate(rows):
        write(tmp_path / "middles" / f"{number}.png", pixels)
    small, of_middles = (
        open_data(tmp_path / "all", crop=20, size=16, stream=stream),
        open_data(tmp_path / "middles", size=16),
    )
    assert torch.equal(small.fetch(torch.arange(2)), of_middles.fetch(torch.arange(2)))
    assert (
        len({open_data(tmp_path / "all", size=20, crop=crop, stream=stream).fingerprint for crop in (None, 14, 20)})
        == 3
    )
    assert data.opened is not None and open_data(**data.opened).fingerprint == data.fingerprint


SIZES = ((30, 24, 3), (20, 42, 3))
"""Of pictures, height first."""


def test_a_middle_of_an_array_is_cut_out_and_what_is_too_small_is_named(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 30, 24), np.uint8)
    data = open_data(pixels, crop=8)
    assert np.array_equal(((data.fetch(torch.arange(3)) + 1) * 127.5).round()[:, 0], pixels[:, 11:19, 8:16])
    with pytest.raises(UserError, match=r"24x30 pixels have no 25x25 in their middle: give a smaller crop"):
        open_data(pixels, crop=25)
    for number, side in enumerate((30, 12)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=r"1\.png: 12x12 pixels have no 20x20 in their middle"):
        open_data(tmp_path, crop=20)
    with pytest.raises(UserError, match="size, crop, channels and layout are of images"):
        open_data(np.zeros((4, 2)), crop=1)
