"""Files: what is written as npy, npz, idx, parquet, pictures or a Hub data set is what `open_data` gives back."""

import gzip
import io
import struct
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modecover.data import Feed, Images, StackedDigits, StreamedImages, check, open_data
from modecover.errors import UserError

rng = np.random.default_rng(1)
GREY = rng.integers(0, 256, (12, 6, 5), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def same(data, pixels, labels=None):
    """Whether the set holds these images, (N, H, W) or (N, H, W, 3), bit by bit, and these labels."""
    expected = torch.from_numpy((pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)).copy())
    levels = ((data.fetch(torch.arange(data.size)) + 1) * 127.5).round().to(torch.uint8)
    if labels is not None:
        assert data.labels is not None and data.labels.tolist() == list(labels)
    return torch.equal(levels, expected)


def write_idx(path, array, *, cut=0):
    header = struct.pack(">HBB", 0, {"u1": 8, "i4": 12, "f4": 13}[array.dtype.str[1:]], array.ndim)
    content = (
        header + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )
    content = content[: len(content) - cut]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_mnist(folder, ending="", separator="-"):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, shift in (("train", 0), ("t10k", 1)):
        write_idx(folder / f"{stem}-images{separator}idx3-ubyte{ending}", np.roll(GREY, shift, axis=0))
        write_idx(folder / f"{stem}-labels{separator}idx1-ubyte{ending}", np.roll(LABELS, shift).astype(np.uint8))
    return folder


def encoded(image, form="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form)
    return buffer.getvalue()


def write_folder(folder, images, names):
    for image, name in zip(images, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def write_parquet(path, columns):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_npy(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    assert same(open_data(tmp_path / "x.npy"), COLOUR)
    assert same(open_data(str(tmp_path / "x.npy"), labels=LABELS), COLOUR, LABELS)


@pytest.mark.parametrize(("data_key", "label_key"), [("images", "labels"), ("x", "y"), ("x_train", "y_train")])
def test_npz_finds_data_and_labels(tmp_path, data_key, label_key):
    arrays: dict[str, Any] = {label_key: LABELS[:, None], data_key: GREY}
    np.savez(tmp_path / "x.npz", **arrays)
    assert same(open_data(tmp_path / "x.npz"), GREY, LABELS)


def test_npz_keys_and_splits_are_chosen(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=GREY, y_train=LABELS, x_test=GREY[::-1], y_test=LABELS[::-1])
    assert same(open_data(tmp_path / "x.npz", split="test"), GREY[::-1], LABELS[::-1])
    assert same(open_data(tmp_path / "x.npz", key="x_test", labels="y_test"), GREY[::-1], LABELS[::-1])


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("separator", "-.")
def test_idx_with_the_labels_beside_it(tmp_path, ending, separator):
    folder = write_mnist(tmp_path, ending, separator)
    assert same(open_data(folder / f"train-images{separator}idx3-ubyte{ending}"), GREY, LABELS)
    assert same(open_data(folder), GREY, LABELS)
    assert same(open_data(folder, split="test"), np.roll(GREY, 1, axis=0), np.roll(LABELS, 1))


def test_idx_of_big_endian_floats(tmp_path):
    points = rng.normal(size=(4, 3)).astype(np.float32)
    data = open_data(write_idx(tmp_path / "points.idx", points))
    assert torch.equal(data.fetch(torch.arange(4)), torch.from_numpy(points))


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
def test_mnist_by_name(tmp_path, place):
    write_mnist(tmp_path / place, ".gz")
    data = open_data("mnist", data_dir=tmp_path)
    assert same(data, GREY, LABELS) and data.modes == 10
    of_mnist, of_digits = (
        open_data(name, data_dir=tmp_path) for name in ("stacked-mnist:count=5", "stacked-mnist:base=digits")
    )
    assert isinstance(of_mnist, StackedDigits) and isinstance(of_digits, StackedDigits)
    assert of_mnist.base.fingerprint == data.fingerprint and of_digits.base.size == 5000


def test_parquet_as_the_hub_stores_it(tmp_path):
    rows = [{"bytes": encoded(image), "path": "x.png"} for image in COLOUR]
    path = write_parquet(tmp_path / "cifar10" / "train-0.parquet", {"img": rows, "label": LABELS})
    write_parquet(tmp_path / "cifar10" / "test-0.parquet", {"img": rows[:4], "label": LABELS[:4]})
    assert same(open_data(path), COLOUR, LABELS)
    assert same(open_data(path.parent), COLOUR, LABELS)
    assert same(open_data("cifar10", data_dir=tmp_path, split="test"), COLOUR[:4], LABELS[:4])


def test_parquet_of_bytes_numbers_and_lists(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"image": [encoded(image) for image in GREY], "y": list("abc" * 4)})
    assert same(open_data(path), GREY, LABELS)
    points = rng.normal(size=(12, 2))
    expected = torch.from_numpy(points).float()
    path = write_parquet(tmp_path / "b.parquet", {"a": points[:, 0], "b": points[:, 1], "label": LABELS})
    data = open_data(path)
    assert torch.equal(data.fetch(torch.arange(12)), expected)
    assert data.labels is not None and data.labels.tolist() == LABELS.tolist()
    path = write_parquet(tmp_path / "c.parquet", {"v": points.tolist(), "kind": LABELS})
    data = open_data(path, labels="kind")
    assert torch.equal(data.fetch(torch.arange(12)), expected)
    assert data.labels is not None and data.labels.tolist() == LABELS.tolist()


def test_hub_data_set_and_name(monkeypatch):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list("xyz"))})
    rows = {"image": [{"bytes": encoded(image), "path": None} for image in COLOUR], "label": LABELS.tolist()}
    table = datasets.Dataset.from_dict(rows, features=features)
    assert same(open_data(table), COLOUR, LABELS)
    assert same(open_data(table, memory_limit=0), COLOUR, LABELS)
    monkeypatch.setattr("modecover.data.hub.hub_answers", lambda name: True)
    asked = []

    def load(name, split):
        asked.append((name, split))
        return table

    monkeypatch.setattr(datasets, "load_dataset", load)
    for source in ("someone/pictures", "hf:someone/pictures:test", "hf:mnist"):
        assert same(open_data(source), COLOUR, LABELS)
    assert asked == [("someone/pictures", "train"), ("someone/pictures", "test"), ("mnist", "train")]
    numbers = datasets.Dataset.from_dict({"v": [[1.0, 2.0], [3.0, 4.5]], "label": [1, 0]})
    assert open_data(numbers).fetch(torch.tensor([1])).tolist() == [[3.0, 4.5]]


def test_hub_failure_is_one_sentence(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def fail(name, split):
        raise ConnectionError("no route\nsecond line")

    monkeypatch.setattr("modecover.data.hub.hub_answers", lambda name: True)

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(UserError, match=r"no data set that the Hugging Face Hub gave \(no route\)"):
        open_data("someone/pictures")


def test_flat_folder_in_sorted_order(tmp_path):
    order = [f"{n}.png" for n in (3, 1, 2)]
    write_folder(tmp_path, COLOUR[:3], order)
    (tmp_path / "notes.txt").write_text("not a picture")
    data = open_data(tmp_path)
    assert same(data, COLOUR[[1, 2, 0]]) and data.labels is None


def test_class_folders_are_numbered_in_sorted_order(tmp_path):
    write_folder(tmp_path, GREY[:4], ["cat/1.png", "ant/2.png", "cat/0.png", "bee/x/1.png"])
    assert same(open_data(str(tmp_path)), GREY[[1, 3, 2, 0]], [0, 1, 2, 2])


def test_split_folders(tmp_path):
    write_folder(tmp_path, GREY[:4], ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"])
    assert same(open_data(tmp_path), GREY[:2], [0, 1])
    assert same(open_data(tmp_path, split="test"), GREY[2:4], [0, 1])


def test_a_split_that_is_not_there_is_not_replaced_by_another(tmp_path):
    write_folder(tmp_path / "a", GREY[:2], ["train/1.png", "test/1.png"])
    with pytest.raises(UserError, match="no split 'val'; it has test, train"):
        open_data(tmp_path / "a", split="val")
    write_parquet(tmp_path / "b" / "data" / "train-0.parquet", {"v": [1.0, 2.0]})
    assert open_data(tmp_path / "b").size == 2
    with pytest.raises(UserError, match=r"named after the split 'test'; there are train-0\.parquet"):
        open_data(tmp_path / "b", split="test")


def test_a_folder_is_grey_only_where_all_of_it_is(tmp_path):
    write_folder(tmp_path, [GREY[0], COLOUR[0]], ["0.png", "1.png"])
    assert open_data(tmp_path).shape == (3, 6, 5)
    assert open_data(tmp_path).notes == ("1 picture is grey among coloured ones: their three channels are equal",)
    assert open_data(tmp_path, channels=1).shape == (1, 6, 5) and open_data(tmp_path, channels=1).notes == ()
    assert open_data(tmp_path, size=4).shape == (3, 4, 4)


def test_mixed_sizes_need_a_size_and_the_sentence_names_two_files(tmp_path):
    write_folder(tmp_path, [GREY[0], GREY[1], GREY[2][:4]], ["0.png", "1.png", "2.png"])
    with pytest.raises(UserError, match=r"0\.png is 5x6, .*2\.png is 5x4; give a size"):
        open_data(tmp_path)
    data = open_data(tmp_path, size=4)
    assert data.shape == (1, 4, 4)
    assert data.notes == ("pictures have 2 sizes, from 5x4 to 5x6: all are resized and cropped to 4x4",)
    write_folder(tmp_path, [GREY[0][:, :3]], ["3.png"])
    with pytest.raises(UserError, match=r"2\.png is 5x4 \(3 sizes, from 5x4 to 5x6, in all\); give"):
        open_data(tmp_path)
    assert "3 sizes" in open_data(tmp_path, crop=3, stream=True).notes[0]


def test_streamed_folder_gives_what_the_one_in_memory_gives(tmp_path):
    write_folder(tmp_path, COLOUR, [f"{n:02}.png" for n in range(12)])
    kept, streamed = open_data(tmp_path, size=4), open_data(tmp_path, size=4, memory_limit=12 * 3 * 16 - 1)
    assert isinstance(kept, Images) and isinstance(streamed, StreamedImages)
    assert isinstance(open_data(tmp_path, size=4, memory_limit=12 * 3 * 16), Images)
    for position in range(5):
        assert torch.equal(Feed(kept, 5, [1]).batch(position), Feed(streamed, 5, [1]).batch(position))
    assert streamed.memory == 0 and check(streamed).mean == check(kept).mean and check(streamed).streamed
    before = streamed.fingerprint
    assert open_data(tmp_path, size=4, memory_limit=0).fingerprint == before
    assert open_data(tmp_path, size=5, memory_limit=0).fingerprint != before
    (tmp_path / "11.png").unlink()
    assert open_data(tmp_path, size=4, memory_limit=0).fingerprint != before


@pytest.mark.parametrize("form", ["png", "jpeg"])
@pytest.mark.parametrize("size", [None, 4])
def test_truncated_picture_is_named(tmp_path, form, size):
    noise = rng.integers(0, 256, (64, 64), dtype=np.uint8)
    write_folder(tmp_path, [noise, noise], [f"good.{form}", f"short.{form}"])
    broken = tmp_path / f"short.{form}"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"short\.{form} cannot be read .*; repair or remove it\.") as caught:
        open_data(tmp_path, size=size)
    assert "\n" not in str(caught.value)


def test_picture_in_a_table_is_named_by_its_row(tmp_path):
    rows = [encoded(GREY[0]), b"no picture"]
    with pytest.raises(UserError, match=r"row 1 of .*x\.parquet cannot be read \(no image that Pillow knows\)"):
        open_data(write_parquet(tmp_path / "x.parquet", {"image": rows}))


def bad(name):
    """A maker of a damaged or unfit source, by what is wrong with it."""

    def several(tmp):
        np.savez(tmp / "x.npz", a=GREY, b=GREY)
        return tmp / "x.npz"

    def objects(tmp, suffix):
        save = np.save if suffix == "npy" else np.savez
        save(tmp / f"x.{suffix}", np.array([{}, 1], dtype=object))
        return tmp / f"x.{suffix}"

    def text(tmp, file):
        (tmp / file).write_bytes(b"this is not what the name says")
        return tmp / file

    def folder(tmp):
        (tmp / "empty").mkdir()
        return tmp / "empty"

    return {
        "several arrays": several,
        "pickled npy": lambda tmp: objects(tmp, "npy"),
        "pickled npz": lambda tmp: objects(tmp, "npz"),
        "text as npy": lambda tmp: text(tmp, "x.npy"),
        "text as npz": lambda tmp: text(tmp, "x.npz"),
        "text as idx": lambda tmp: text(tmp, "x.idx"),
        "text as parquet": lambda tmp: text(tmp, "x.parquet"),
        "unknown kind": lambda tmp: text(tmp, "x.xyz"),
        "one picture": lambda tmp: text(tmp, "x.png"),
        "short idx": lambda tmp: write_idx(tmp / "x-images-idx3-ubyte", GREY, cut=1),
        "no files": folder,
        "no path": lambda tmp: tmp / "nothing",
        "two columns": lambda tmp: write_parquet(tmp / "x.parquet", {"a": [b"1"], "b": [b"1"]}),
        "words": lambda tmp: write_parquet(tmp / "x.parquet", {"a": ["one"]}),
        "ragged": lambda tmp: write_parquet(tmp / "x.parquet", {"a": [[1.0], [1.0, 2.0]]}),
    }[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("several arrays", r"several arrays \(a, b\): say which one with key='a'"),
        ("pickled npy", "pickled Python objects, which are never loaded"),
        ("pickled npz", "pickled Python objects, which are never loaded"),
        ("text as npy", r"x\.npy is no .npy file"),
        ("text as npz", r"x\.npz (is damaged|holds pickled)"),
        ("text as idx", "is no idx file"),
        ("text as parquet", r"x\.parquet is damaged or not what its name says"),
        ("unknown kind", "of no known kind"),
        ("one picture", "give the folder it lies in"),
        ("short idx", r"announces uint8 of shape \(12, 6, 5\)"),
        ("no files", "holds no images"),
        ("no path", "no file or folder"),
        ("two columns", "several columns of data"),
        ("words", "too many for a coordinate each"),
        ("ragged", "differ in length"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(tmp_path, name, words):
    with pytest.raises(UserError, match=words) as caught:
        open_data(bad(name)(tmp_path))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("rign", {}, "did you mean 'ring'"),
        ("stacked_mnist", {}, "did you mean 'stacked-mnist'"),
        ("digits:3", {}, "it takes none"),
        ("hf:", {}, "needs the name"),
        ("./nothing/here.npy", {}, "check the path"),
        ("mnist", {}, "say with data_dir="),
        ("mnist", {"data_dir": "nowhere"}, "or use `digits`"),
        ("cifar10", {"data_dir": "nowhere"}, "no parquet files of cifar10's train split"),
        ("digits", {"key": "x"}, "leave out key"),
        (3.5, {}, "cannot open a float"),
    ],
)
def test_bad_names_are_refused(source, options, words):
    with pytest.raises(UserError, match=words):
        open_data(source, **options)


def test_a_path_nearly_right_is_suggested(tmp_path):
    np.save(tmp_path / "faces.npy", GREY)
    with pytest.raises(UserError, match=rf"did you mean '{tmp_path}/faces\.npy'"):
        open_data(f"{tmp_path}/face.npy")
    np.save(tmp_path / "one.npy", GREY)
    with pytest.raises(UserError, match=r"no file or folder [^ ]*wrong\.npy; check the path"):
        open_data(f"{tmp_path}/wrong.npy")
    (tmp_path / "faces.py").touch()  # of files that differ in their ending the nearer one
    with pytest.raises(UserError, match=r"did you mean '[^ ]*/faces\.npy'"):
        open_data(f"{tmp_path}/faces.npz")


def test_a_name_with_a_slash_is_a_path_where_its_folder_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "photos").mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"data/photo \(did you mean 'data/photos'\?\); check the path; .* hf:data/photo\."
    ):
        open_data("data/photo")


def test_missing_keys_and_columns_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", a=GREY)
    with pytest.raises(UserError, match="no array 'b'; it holds a"):
        open_data(tmp_path / "x.npz", key="b")
    path = write_parquet(tmp_path / "x.parquet", {"a": [1.0]})
    with pytest.raises(UserError, match="no column 'b'; it has a"):
        open_data(path, labels="b")


def test_missing_package_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        open_data(tmp_path / "x.parquet")
