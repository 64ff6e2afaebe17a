"""Tables: what each column is taken for, and every form in which parquet and `datasets` hold images and vectors."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modecover.cli import main
from modecover.data import Dataset, Images, Points, open_data
from modecover.data.hub import hub_answers
from modecover.errors import UserError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

rng = np.random.default_rng(7)
GREY = rng.integers(0, 256, (12, 8, 8), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
POINTS = rng.normal(size=(12, 3)).astype(np.float32)
WORDS = ["low", "high", "low"] * 4
FLAGS = [True, False, False, True] * 3
WHEN = pa.array(range(12), pa.timestamp("s"))


def quiet(source: Any, **options: Any) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return open_data(source, **options)


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def rows(data: Dataset) -> torch.Tensor:
    assert data.size is not None
    return data.fetch(torch.arange(data.size))


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [float, int])
def test_x_and_y_are_coordinates(tmp_path: Path, kind: type) -> None:
    values = rng.integers(0, 9, (2, 12)).astype(kind)
    data = quiet(write(tmp_path / "t.parquet", {"x": values[0], "y": values[1]}))
    assert data.labels is None and data.columns == ("x", "y")
    assert torch.equal(rows(data), torch.from_numpy(values.T).float())
    said = quiet(tmp_path / "t.parquet", labels="y") if kind is int else None
    assert said is None or (said.labels is not None and said.labels.tolist() == values[1].tolist())


def test_a_column_taken_as_classes_by_its_name_is_told_and_can_be_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "b": POINTS[:, 1], "y": [0, 1, 2] * 4})
    with pytest.warns(UserWarning, match="'y' is taken as classes .labels='none' learns it like the others"):
        data = open_data(path)
    assert data.labels is not None and data.columns == ("a", "b")
    data = quiet(path, labels="none")
    assert data.labels is None and data.columns == ("a", "b", "y")
    assert quiet(path, labels="NONE", key="a").columns == ("a",)


def test_a_target_that_is_no_class_is_learned(tmp_path: Path) -> None:
    data = quiet(write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "target": POINTS[:, 1]}))
    assert data.columns == ("a", "target") and data.labels is None


@pytest.mark.parametrize(
    "column", [[0.5, 1.0] * 6, [[0, 1]] * 12, [0.0, np.inf] * 6], ids=["halves", "lists", "infinite"]
)
def test_a_column_called_label_that_holds_no_classes_is_refused(tmp_path: Path, column: list[Any]) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "label": column})
    with pytest.raises(UserError, match=r"the column 'label' holds (numbers|arrays) that are no classes"):
        open_data(path)
    with pytest.raises(UserError, match="cannot be learned and hold the classes too"):
        open_data(path, key="a", labels="a")
    assert quiet(path, key="a").shape == (1,)


def test_truth_values_and_words_are_learned_and_named(tmp_path: Path) -> None:
    coded = pa.array(["I", "II"] * 6).dictionary_encode()
    columns = {"age": POINTS[:, 0], "smoker": FLAGS, "drink": WORDS, "stage": coded}
    data = quiet(write(tmp_path / "t.parquet", columns))
    assert data.columns == ("age", "smoker", "drink=high", "drink=low", "stage=I", "stage=II")
    low = np.array(WORDS) == "low"
    expected = [POINTS[:, 0], FLAGS, ~low, low, [True, False] * 6, [False, True] * 6]
    assert np.array_equal(rows(data).numpy(), np.stack(expected, axis=1).astype(np.float32))
    assert data.roles == {
        "age": "learned (numbers)",
        "smoker": "learned (truth values)",
        "drink": "learned (words)",
        "stage": "learned (words)",
    }


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "when": WHEN, "more": [{"b": 1}] * 12})
    data = quiet(path)
    assert data.columns == ("a",)
    assert "columns that are not used: when (timestamp[ms]), more (records)" in data.notes[0]
    with pytest.raises(UserError, match=r"'when' holds timestamp\[ms\], which cannot be learned"):
        open_data(path, key="when")
    with pytest.raises(UserError, match="no column of pictures or numbers"):
        open_data(write(tmp_path / "u.parquet", {"when": WHEN}))


def test_columns_beside_arrays_and_pictures_are_named_and_can_be_learned(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"v": POINTS.tolist(), "age": np.arange(12.0), "label": WORDS})
    data = quiet(path)
    assert data.shape == (3,) and "age (numbers)" in data.notes[0]
    assert data.labels is not None and data.labels.tolist() == [1, 0, 1] * 4
    both = quiet(path, key=["v", "age"])
    assert both.columns == ("v[0]", "v[1]", "v[2]", "age")
    assert torch.equal(rows(both), torch.cat([torch.from_numpy(POINTS), torch.arange(12.0)[:, None]], dim=1))
    assert quiet(path, key="v,age").fingerprint == both.fingerprint
    assert both.opened is not None
    assert quiet(**json.loads(json.dumps(both.opened))).fingerprint == both.fingerprint


def test_a_column_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    assert quiet(write(tmp_path / "t.parquet", {"a,b": POINTS[:, 0], "c": FLAGS}), key="a,b").columns == ("a,b",)


def test_words_that_are_no_kinds_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "name": [f"person {n}" for n in range(12)]})
    with pytest.raises(UserError, match="'name' holds 12 different words in 12 rows"):
        open_data(path)
    assert quiet(path, key="a").shape == (1,)


@pytest.mark.parametrize("column", [[1.0, None, 2.0] * 4, ["a", None, "b"] * 4, [True, None, False] * 4])
def test_empty_cells_have_a_coordinate_and_are_no_classes(tmp_path: Path, column: list[Any]) -> None:
    path = write(tmp_path / "t.parquet", {"a": column, "b": POINTS[:, 0]})
    data = quiet(path)
    assert data.columns is not None and "a is missing" in data.columns
    assert rows(data)[:, data.columns.index("a is missing")].tolist() == [0, 1, 0] * 4
    with pytest.raises(UserError, match=r"'a' is empty in 4 rows .row 1 is the first"):
        open_data(path, labels="a")


FORMS = {
    "lists": lambda array, kind: pa.array(array.tolist(), pa.list_(pa.list_(kind))),
    "large lists": lambda array, kind: pa.array(array.tolist(), pa.large_list(pa.large_list(kind))),
    "fixed lists": lambda array, kind: pa.array(array.tolist(), pa.list_(pa.list_(kind, 8), 8)),
    "tensors": lambda array, kind: pa.FixedShapeTensorArray.from_numpy_ndarray(array),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_nested_lists_keep_their_bytes(tmp_path: Path, form: str) -> None:
    data = quiet(write(tmp_path / "t.parquet", {"x": FORMS[form](GREY, pa.uint8())}, row_group_size=5))
    assert isinstance(data, Images) and data.notes == ()
    assert np.array_equal(data.pixels[:, 0].numpy(), GREY)


def test_vectors_of_every_list_and_whole_numbers_as_pixels(tmp_path: Path) -> None:
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)):
        data = quiet(write(tmp_path / "t.parquet", {"x": pa.array(POINTS.tolist(), kind)}))
        assert isinstance(data, Points) and torch.equal(data.points, torch.from_numpy(POINTS))
    data = quiet(write(tmp_path / "t.parquet", {"x": GREY.tolist()}))  # Arrow makes them int64
    assert isinstance(data, Images) and np.array_equal(data.pixels[:, 0].numpy(), GREY)
    assert "read as pixels" in data.notes[0]


def test_a_process_that_has_imported_nothing_reads_coded_and_nested_columns(tmp_path: Path) -> None:
    coded = pa.array(["I", "II"] * 6).dictionary_encode()
    path = write(tmp_path / "t.parquet", {"v": POINTS.tolist(), "stage": coded})
    code = f"from modecover.data import open_data; print(open_data({str(path)!r}, key='v,stage').shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(5,)\n"


def test_columns_of_names_written_as_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "id": np.arange(12) + 2**60})
    with pytest.raises(UserError, match=r"column 'id': whole numbers .* beyond 2\^53"):
        open_data(path)


@pytest.mark.parametrize("content", [1, "text"])
def test_numbers_and_words_are_no_pictures(tmp_path: Path, content: Any) -> None:
    path = write(tmp_path / "t.parquet", {"image": [{"bytes": content, "path": "x"}] * 3})
    with pytest.raises(UserError, match="no column of pictures"):
        open_data(path)


@pytest.mark.parametrize(
    "columns",
    [
        {"a": np.zeros(10**6)},
        {"a": pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array([b"x" * 5000]))},
        {"a": [b"x" * 5000] * 2000},
    ],
    ids=["numbers", "dictionary", "bytes"],
)
def test_tables_that_unfold_to_too_much_are_refused(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = write(tmp_path / "t.parquet", columns)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match=r"unfolds from .* more than the [45]\S* MB that memory_limit allows"):
        open_data(path, memory_limit="5MB")


def test_flipped_bytes_end_in_a_sentence_or_in_data(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "v": WORDS})
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 29):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            quiet(path)
        except UserError:
            refused += 1
    assert refused > 5


def test_files_of_two_layouts_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"a": [1.0]})
    write(tmp_path / "b.parquet", {"b": [1.0]})
    with pytest.raises(UserError, match="give files of one layout"):
        open_data(tmp_path)


# ---------------------------------------------------------------- the package datasets


def hugging_face(feature: Any, values: Any, **columns: Any) -> Any:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"x": list(values)}, features=datasets.Features({"x": feature}))
    for name, column in columns.items():
        table = table.add_column(name, column)
    return table


def test_array_features_keep_their_types_in_memory_and_in_parquet(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    signed = rng.uniform(-1, 1, (12, 3, 8, 8)).astype(np.float32)
    grey = hugging_face(datasets.Array2D((8, 8), "uint8"), GREY, label=[0, 1] * 6)
    colour = hugging_face(datasets.Array3D((8, 8, 3), "uint8"), COLOUR)
    floats = hugging_face(datasets.Array3D((3, 8, 8), "float32"), signed)
    for number, (table, array) in enumerate([(grey, GREY), (colour, COLOUR), (floats, signed)]):
        table.to_parquet(tmp_path / f"{number}.parquet")
        wanted = open_data(array)
        assert isinstance(wanted, Images)
        for source in (table, table.with_format("torch"), tmp_path / f"{number}.parquet"):
            data = quiet(source)
            assert isinstance(data, Images) and torch.equal(data.pixels, wanted.pixels)
    chosen = quiet(grey.select([5, 3, 8]))
    assert isinstance(chosen, Images) and np.array_equal(chosen.pixels[:, 0].numpy(), GREY[[5, 3, 8]])
    assert chosen.labels is not None and chosen.labels.tolist() == [1, 1, 0]


def images_of(pixels: np.ndarray) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b"])})
    columns = {"image": [Image.fromarray(image) for image in pixels], "kind": [0, 1] * 6}
    return datasets.Dataset.from_dict(columns, features=features)


def test_the_only_declared_classes_are_the_classes() -> None:
    data = quiet(images_of(COLOUR))
    assert data.labels is not None and data.labels.tolist() == [0, 1] * 6
    assert data.roles == {"image": "learned (pictures)", "kind": "classes (classes)"}
    assert quiet(images_of(COLOUR), labels="none").labels is None


def test_a_transform_of_the_user_is_applied() -> None:
    def mirrored(batch: dict[str, list[Any]]) -> dict[str, Any]:
        return {"pixel": [np.asarray(x)[:, ::-1] for x in batch["image"]], "label": batch["kind"]}

    def tensors(batch: dict[str, list[Any]]) -> dict[str, Any]:
        arrays = [torch.from_numpy(np.array(x)).permute(2, 0, 1) for x in batch["image"]]
        return {"pixel_values": torch.stack(arrays) / 127.5 - 1}

    def pictures(batch: dict[str, list[Any]]) -> dict[str, Any]:
        return {"image": [x.transpose(Image.Transpose.ROTATE_90) for x in batch["image"]]}

    wanted = [COLOUR[:, :, ::-1], COLOUR, np.rot90(COLOUR, axes=(1, 2))]
    for transform, pixels in zip((mirrored, tensors, pictures), wanted, strict=True):
        data = quiet(images_of(COLOUR).with_transform(transform))
        assert isinstance(data, Images)
        assert np.array_equal(data.pixels.permute(0, 2, 3, 1).numpy(), pixels)
        assert "transform is applied to each row once" in data.notes[0]
    labels = quiet(images_of(COLOUR).with_transform(mirrored)).labels
    assert labels is not None and labels.tolist() == [0, 1] * 6


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (lambda batch: 1 / 0, "its transform failed on rows 0 to 11 .division by zero"),
        (lambda batch: {"x": [0.5]}, "one cell for each row"),
        (lambda batch: {"x": [np.zeros(n + 1) for n in range(len(batch["kind"]))]}, "have shapes"),
    ],
)
def test_transforms_that_fail_are_told(transform: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        quiet(images_of(COLOUR).with_transform(transform))


def test_a_split_of_a_dictionary_of_data_sets() -> None:
    datasets = pytest.importorskip("datasets")
    both = datasets.DatasetDict(train=images_of(COLOUR), test=images_of(COLOUR).select(range(5)))
    assert quiet(both, split="test").size == 5
    with pytest.raises(UserError, match="no split 'val'; it has train, test"):
        open_data(both, split="val")
    streams = datasets.IterableDatasetDict({name: part.to_iterable_dataset() for name, part in both.items()})
    assert quiet(streams, split="test").size == 5


def test_a_stream_is_read_to_its_end_and_is_what_is_stored() -> None:
    stored, told = images_of(COLOUR), []
    whole = quiet(stored)
    stream = quiet(stored.to_iterable_dataset(), progress=lambda *given: told.append(given))
    rows = torch.arange(whole.size)
    assert torch.equal(stream.fetch(rows), whole.fetch(rows)) and torch.equal(stream.labels, whole.labels)
    assert ("rows of the data set", whole.size, whole.size) in told
    assert quiet(stored.to_iterable_dataset()).fingerprint == stream.fingerprint
    other = quiet(stored.to_iterable_dataset().take(5))
    assert other.size == 5 and other.fingerprint != stream.fingerprint
    with pytest.raises(UserError, match="is empty"):
        open_data(stored.to_iterable_dataset().take(0))


def test_a_stream_without_end_is_stopped_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    from modecover import limits

    def rows() -> Any:
        while True:
            yield {"x": np.zeros(1000)}

    monkeypatch.setattr(limits, "free_memory", lambda device=None: 2e6)
    with pytest.raises(UserError, match=r"do not fit into memory: .* are free; take a part of it"):
        open_data(datasets.IterableDataset.from_generator(rows))


@pytest.mark.parametrize(
    "name", ["../..", "a/../b", "/etc/passwd", "csv", "imagefolder", "a b", "x/y/z", "-a/b", "a\nb", "x:no split"]
)
def test_names_that_no_data_set_has_are_refused_unasked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*words: Any, **options: Any) -> Any:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("modecover.data.hub.hub_answers", load)
    with pytest.raises(UserError, match=r"is no name of a (Hugging Face data set|split)"):
        open_data(f"hf:{name}")


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets, constants = pytest.importorskip("datasets"), pytest.importorskip("huggingface_hub.constants")
    seen = []

    def load(name: str, split: str) -> Any:
        seen.append((constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        raise ConnectionError("not in the cache")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("modecover.data.hub.hub_answers", lambda name: False)
    before = constants.HF_HUB_OFFLINE
    with pytest.raises(UserError, match=r"gave \(not in the cache\); check the path, or the connection: the Hub"):
        open_data("hf:someone/pictures")
    assert seen == [(True, True)] and before == constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("silent", ["look-up", "server"])
def test_asking_the_hub_ends_in_time(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the system looks up for ever, and a server that takes what it is asked and says nothing."""
    hub, constants = pytest.importorskip("huggingface_hub"), pytest.importorskip("huggingface_hub.constants")
    stopped = threading.Event()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("modecover.data.hub.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        if silent == "look-up":
            monkeypatch.setattr(hub.HfApi, "dataset_info", lambda *_, **__: stopped.wait(300))
        start = time.perf_counter()
        assert hub_answers("someone/pictures") is False
        assert time.perf_counter() - start < 100
    stopped.set()


# ---------------------------------------------------------------- data check


def test_data_check_tells_roles_and_ranges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"pay": np.linspace(1e4, 9e4, 12), "smoker": FLAGS, "label": WORDS, "when": WHEN}
    path = write(tmp_path / "t.parquet", columns)
    assert main(["data", "check", str(path)]) == 0
    said = capsys.readouterr()
    lines = [line.split(maxsplit=1) for line in said.out.splitlines()]
    assert [text for name, text in lines if name == "column"] == [
        "pay: learned (numbers)",
        "smoker: learned (truth values)",
        "label: classes (words)",
        "when: not used (timestamp[ms])",
    ]
    coordinates = [text for name, text in lines if name == "coordinate"]
    assert coordinates[0].startswith("pay: 1e+04 to 9e+04, mean 5e+04")
    assert coordinates[1].startswith("smoker: 0 to 1, mean 0.5, std 0.5")
    notes = [text for name, text in lines if name == "note"]
    assert any("--labels none learns it" in note for note in notes) and any("when (timestamp" in note for note in notes)
    assert said.err == ""


def test_notes_reach_whoever_trains_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "t.parquet", {"a": POINTS[:, 0], "b": POINTS[:, 1], "label": [0, 1] * 6})
    words = ["train", "gan", "--data", str(path), "--steps", "1", "--batch", "4", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert "'label' is taken as classes (--labels none learns it like the others)" in capsys.readouterr().err
