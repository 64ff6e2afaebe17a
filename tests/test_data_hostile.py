"""Hostile data: what files announce, numbers without bound, arrays that are none, options of the wrong type."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modecover.cli import main
from modecover.data import Images, Points, open_data
from modecover.errors import UserError
from modecover.limits import byte_count, free_memory

rng = np.random.default_rng(3)
POINTS = rng.normal(size=(6, 2)).astype(np.float32)
HUGE = np.broadcast_to(np.float32(1), (10**12, 2))

pytestmark = pytest.mark.filterwarnings("ignore:.*(Sparse CSR|quantize_per_tensor|nested tensors)")


def header(shape: str, descr: str = "<f4", version: tuple[int, int] = (1, 0)) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header("(1000000000000, 2)"), "announces float32 of shape .* and has"),
        (header("(99999999999999999999999999, 2)"), "announces float32 of shape"),
        (header("(2, 2)") + bytes(15), "announces .* write it again"),
        (header("(2, 2)") + bytes(32), "one file holds one array"),
        (header("(-1, 2)"), "announces the shape"),
        (header("(True, 2)") + bytes(8), "announces the shape"),
        (header("(2.5, 2)"), "shape is not valid"),
        (header("(" * 3000), "is damaged"),
        (header("(2, 2)", "|O") + bytes(32), "pickled Python objects"),
        (header("(2, 2)", "no type"), "is damaged"),
        (header("(2, 2)", version=(9, 9)) + bytes(16), "version of the format"),
        (header(str((1,) * 70)) + bytes(4), "is damaged"),
        (header("(2, 2)")[:30], "is damaged"),
        (b"\x93NUMPY\1\0", "is damaged"),
        (b"", "is damaged"),
    ],
)
def test_npy_headers_that_lie(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        open_data(path)


def test_a_file_larger_than_memory_is_refused_unread(tmp_path: Path) -> None:
    """A sparse file: as long as it says, and nothing of it on the disk."""
    rows = int(2 * min(free_memory(), 2.0**46)) // 8
    start = header(f"({rows}, 2)")
    with open(tmp_path / "x.npy", "wb") as file:
        file.write(start)
        try:
            file.truncate(len(start) + 8 * rows)
        except OSError:
            pytest.skip("this disk keeps no sparse files of that length")
    with pytest.raises(UserError, match="do not fit into memory"):
        open_data(tmp_path / "x.npy")


def npz(path: Path, change: Callable[[bytearray], None]) -> Path:
    """A .npz file with its bytes changed."""
    np.savez(path, x=POINTS)
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return path


def _mark(content: bytearray, local: int, central: int, value: int) -> None:
    """Change a byte of the first member's header, where it stands and where the archive lists it."""
    content[local] = value
    content[content.find(b"PK\1\2") + central] = value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: _mark(content, 6, 8, 1), "the array 'x' is encrypted"),
        (lambda content: _mark(content, 8, 10, 77), "is damaged"),
        (lambda content: content.__delitem__(slice(40, None)), "is damaged"),
    ],
    ids=["encrypted", "unknown method", "cut short"],
)
def test_npz_files_that_cannot_be_read(tmp_path: Path, change: Callable[[bytearray], None], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(npz(tmp_path / "x.npz", change))


def test_npz_files_without_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(UserError, match="holds no arrays"):
        open_data(tmp_path / "x.npz")


def test_one_array_is_not_learned_and_classes_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(6)[:, None], y=np.arange(6))
    for options in ({"key": "x", "labels": "x"}, {"labels": "x"}):
        with pytest.raises(UserError, match="'x' cannot be learned and hold the classes too"):
            open_data(tmp_path / "x.npz", **options)  # type: ignore[arg-type]  # names of arrays


@pytest.mark.filterwarnings("error")
def test_half_floats_may_be_labels() -> None:
    labels = open_data(POINTS, labels=np.arange(6).astype(np.float16)).labels
    assert labels is not None and labels.tolist() == [0, 1, 2, 3, 4, 5]


def bomb(kind: str, path: Path) -> Path:
    """Zeros: 16 million in some 20 kB."""
    if kind == "npz":
        np.savez_compressed(path, x=np.zeros((1000, 4000), np.float32))
        return path
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, 16_000, 32, 32) + bytes(16_000 * 32 * 32))
    return path


@pytest.mark.parametrize("name", ["x.npz", "x.idx.gz"])
def test_what_compressed_files_unfold_to_is_bounded(tmp_path: Path, name: str) -> None:
    path = bomb(name.split(".")[1], tmp_path / name)
    with pytest.raises(UserError, match=r"unfolds from .* more than the 8 MB that memory_limit allows"):
        open_data(path, memory_limit=8_000_000)
    assert main(["data", "check", str(path), "--memory-limit", "8MB"]) == 2
    assert open_data(path, memory_limit="20MB").size == (1000 if name == "x.npz" else 16_000)


def test_a_file_that_is_no_smaller_than_its_content_is_no_bomb(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=POINTS)
    assert open_data(tmp_path / "x.npz", memory_limit=0).size == 6


def test_a_list_of_names_does_not_fill_the_screen(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{f"a{number}": POINTS for number in range(300)})
    with pytest.raises(UserError, match="and 280 more") as caught:
        open_data(tmp_path / "x.npz")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (struct.pack(">HBB", 0, 8, 255), "announces 255 axes"),
        (struct.pack(">HBB", 0, 8, 0), "announces 0 axes"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "announces uint8 of shape|unfolds from"),
        (struct.pack(">HBBI", 0, 8, 3, 1), "is damaged"),
        (struct.pack(">HBBII", 0, 8, 2, 3, 3) + bytes(8), "announces uint8 of shape .* and has"),
        (struct.pack(">HBBII", 0, 8, 2, 3, 3) + bytes(10), "and has (22 .one file holds one array|more)"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_that_lie(tmp_path: Path, start: bytes, words: str, ending: str) -> None:
    path = tmp_path / f"x.idx{ending}"
    path.write_bytes(gzip.compress(start) if ending else start)
    with pytest.raises(UserError, match=words):
        open_data(path)


def test_a_gzipped_file_longer_than_it_says_is_not_read_to_its_end(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb") as file:
        file.write(struct.pack(">HBBII", 0, 8, 2, 3, 3) + bytes(10**7))
    content = bytearray(buffer.getvalue())
    content[-8:] = bytes(8)  # a wrong checksum, which reading to the end would find
    (tmp_path / "x.idx.gz").write_bytes(content)
    with pytest.raises(UserError, match="and has more"):
        open_data(tmp_path / "x.idx.gz")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ring:modes=99999999999999999999", "modes is 9.*at most 18 digits"),
        ("ring:modes=100001", "at least 1 and at most 100,000"),
        ("grid:side=100000", "side is 100000: give at least 1 and at most 316"),
        ("grid:side=" + "9" * 5000, "side must be a whole number"),
        ("ring:std=1e300", "std is 1e.300: give a finite number"),
        ("ring:std=1e-300", "std is 1e-300: give at least 1e-12 and at most 1e.12"),
        ("ring:radius=1e300", "radius is 1e.300: give a finite number"),
        ("ring:radius=1e-300", "radius is 1e-300: give at least 1e-12"),
        ("ring:radius=nan", "radius is nan"),
        ("grid:step=1e30", "step is 1e.30: give at least 1e-12 and at most 1e.12"),
        ("grid:step=1e12", "farthest coordinate is 2000000000000.0"),
        ("stacked-mnist:count=99999999999999", "do not fit into memory"),
        ("stacked-mnist:seed=-1", "seed is -1: give at least 0"),
        ("stacked-mnist:seed=99999999999999999999999", "seed is 9.*at most 18 digits"),
    ],
)
def test_built_in_sets_have_bounds(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        open_data(name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("size", [10**9, 20_000, 10**30])
def test_sizes_have_bounds(size: int) -> None:
    with pytest.raises(UserError, match=r"at most (8,192|18 digits)"):
        open_data("digits", size=size)


def test_images_that_memory_cannot_hold_at_a_size_are_refused() -> None:
    many = np.broadcast_to(np.uint8(1), (10**6, 8, 8))
    with pytest.raises(UserError, match=r"at 8192x8192 do not fit .* say a smaller size"):
        open_data(many, size=8192)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: HUGE, "do not fit into memory: 8 TB"),
        (lambda: torch.zeros(1).expand(10**12, 2), "do not fit into memory: [12] TB"),
        (lambda: torch.zeros(1, dtype=torch.bfloat16).expand(10**12, 2), "do not fit into memory: [12] TB"),
        (lambda: np.ma.masked_less(POINTS, 0), "of its values are masked"),
        (lambda: torch.eye(3).to_sparse(), "sparse; give tensor.to_dense"),
        (lambda: torch.eye(3).to_sparse_csr(), "sparse; give tensor.to_dense"),
        (lambda: torch.quantize_per_tensor(torch.rand(3, 2), 0.1, 0, torch.quint8), "quantised"),
        (lambda: torch.zeros(3, 2, device="meta"), "holds no data"),
        (lambda: torch.zeros(3, 2, dtype=torch.complex64), "complex"),
        (lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), "nested"),
        (lambda: np.zeros((3, 2), complex), "type complex128 holds no numbers"),
        (lambda: np.zeros((3, 2), object), "type object holds no numbers"),
        (lambda: np.zeros(3, dtype=[("a", "f4")]), "holds no numbers"),
        (lambda: [[10**400]], "type object"),
        (lambda: np.zeros(5), r"give \(N, 1\)"),
        (lambda: np.array([[2**63 - 1, -(2**63)]] * 3), r"beyond 2\^53"),
        (lambda: None, "cannot open a NoneType"),
        (lambda: b"ring", "cannot open a bytes"),
        (lambda: {}, "cannot open a dict"),
        (lambda: int, "cannot open a type"),
        (lambda: np.full((2, 2), np.nan, np.float16), "row 0 is the first of 2"),
    ],
)
def test_arrays_that_cannot_be_learned(source: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(source())


def test_arrays_of_every_type_of_number_are_learned() -> None:
    tensor = torch.tensor([[0.5, -2.0], [1.5, 4.0]])
    for source in (
        tensor.bfloat16(),
        tensor.to(torch.float8_e5m2),
        tensor.half(),
        tensor.double().requires_grad_(),
        torch._neg_view(-tensor),
        np.ma.masked_greater(tensor.numpy(), 99),
        np.asmatrix(tensor.numpy()),
        tensor.numpy().astype(np.longdouble),
        [tensor[0], tensor[1]],
    ):
        data = open_data(source)
        assert isinstance(data, Points) and torch.equal(data.points, tensor)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([np.inf] * 6, "such as inf"),
        ([1e300] * 6, r"such as 1e\+300"),
        ([0.0, 0.5, 1, 1, 1, 1], "such as 0.5"),
        (np.full(6, 2**64 - 1, np.uint64), "whole numbers or words"),
        ([1, 2, 3, 4, 5, None], "type object"),
        (np.ma.masked_equal(np.arange(6), 2), "masked"),
        (torch.zeros(6).to_sparse(), "sparse"),
        (np.full(6, 0.5, np.float16), "such as 0.5"),
        (torch.ones(6, dtype=torch.complex64), "labels: the tensor is complex"),
        (5, "need labels of shape"),
        ({}, "need labels of shape"),
        ("kinds", "no names for its parts"),
    ],
)
def test_labels_that_are_none(labels: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(POINTS, labels=labels)


WRONG: dict[str, list[Any]] = {
    "size": ["32", b"1", 32.0, True, 0, -1],
    "channels": ["1", True, 2, 1e9],
    "data_dir": [5, b"x", "a\0b"],
    "device": [None, "abacus", "meta", object()],
    "split": [None, 5, b"x", ""],
    "key": [5, b"a", [1], [], ""],
    "layout": [5, b"NHWC", "zz", ""],
    "memory_limit": [None, "lots", b"1", 1.5, -1, "-1GB", "1e300GB", 10**23, True],
    "progress": [5, "yes"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_options_of_the_wrong_type_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{name}|zero byte") as caught:
        open_data(POINTS, **{name: value})
    assert "\n" not in str(caught.value)


def test_unknown_options_are_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no option 'sizes' \(did you mean 'size'\?\)"):
        open_data(POINTS, sizes=3)


def test_memory_in_words() -> None:
    assert [byte_count(text) for text in ("1GB", "500 mb", "1.5GiB", "2k")] == [10**9, 5 * 10**8, 3 * 2**29, 2000]
    for text in ("", "GB", "1", "1e9GB", "-1GB", "1 GB of memory"):
        with pytest.raises(UserError, match="no amount of memory"):
            byte_count(text)
    images = rng.integers(0, 256, (4, 8, 8), dtype=np.uint8)
    assert open_data(images, memory_limit="1GB").fingerprint == open_data(images).fingerprint


@pytest.mark.parametrize(
    ("word", "code"),
    [("2", 0), ("1GB", 0), ("500MiB", 0), ("1e300", 2), ("9" * 23, 2), ("1XB", 2), ("-1", 2)],
)
def test_memory_limits_of_the_command_line(
    word: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", POINTS)
    assert main(["data", "check", str(tmp_path / "x.npy"), "--memory-limit", word]) == code
    assert code == 0 or "memory" in capsys.readouterr().err


# ---------------------------------------------------------------- layouts that are guessed


def test_series_of_floats_are_not_taken_for_images() -> None:
    series = rng.random((5, 24, 6))
    with pytest.raises(UserError, match=r"may be series of 24 steps or grey images; say layout='points'"):
        open_data(series)
    points, images = open_data(series, layout="points"), open_data(series, layout="nhw")
    assert isinstance(points, Points) and np.array_equal(points.points, series.reshape(5, 144).astype(np.float32))
    assert isinstance(images, Images) and images.shape == (1, 24, 6) and images.notes == ()
    assert open_data((series * 255).astype(np.uint8)).shape == (1, 24, 6), "bytes are pixels"


def test_a_guessed_layout_is_told_with_the_way_to_say_otherwise() -> None:
    with pytest.warns(UserWarning, match=r"read as grey images, 8 high and 6 wide .layout='points' learns each as 48"):
        open_data(rng.random((5, 8, 6)))
    with pytest.warns(UserWarning, match=r"read as NCHW, which makes the images square .or layout='NHWC'"):
        open_data(rng.random((2, 3, 4, 4)))
    with pytest.warns(UserWarning, match=r"rows of 784 floats are read as points .for images: reshape to .N, 28, 28"):
        open_data(rng.random((5, 784)))
    assert open_data(rng.random((5, 8, 8))).notes == ()


@pytest.mark.parametrize("shape", [(4, 2), (4, 5, 6), (4, 5, 6, 3), (4, 2, 5, 6, 3)])
def test_every_array_can_be_learned_as_points(shape: tuple[int, ...]) -> None:
    array = rng.integers(0, 256, shape, dtype=np.uint8)
    data = open_data(array, layout="points")
    assert isinstance(data, Points) and np.array_equal(data.points, array.reshape(4, -1).astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "layout", "words"),
    [
        ((4, 2), "zz", "choose NHWC, NCHW, NHW or points"),
        ((4, 2), "NHWC", "is points; size, crop, channels and layout are of images"),
        ((4, 5, 6), "NCHW", "has 4 axes"),
        ((4, 5, 6, 3), "NHW", "has 3 axes"),
        ((4, 24, 3), None, "layout='points' for series"),
        ((4, 2, 5, 6, 3), None, "layout='points'"),
    ],
)
def test_layouts_that_do_not_fit(shape: tuple[int, ...], layout: str | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_data(rng.random(shape), layout=layout)


@pytest.mark.parametrize("source", ["ring", "digits", "folder"])
def test_an_unknown_layout_is_refused_of_everything(source: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose NHWC, NCHW, NHW or points"):
        open_data(tmp_path if source == "folder" else source, layout="zz")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_split_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    (np.save if name == "x.npy" else np.savez)(tmp_path / name, POINTS)
    assert open_data(tmp_path / name).size == 6
    for source in (tmp_path / name, POINTS, "digits"):
        with pytest.raises(UserError, match="split 'test'"):
            open_data(source, split="test")
