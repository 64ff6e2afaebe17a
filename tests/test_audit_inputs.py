"""Rows from everything that can be audited, and what is refused."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import modecover
from modecover.auditing import inputs
from modecover.auditing.inputs import read_samples
from modecover.cli.parser import as_flags
from modecover.errors import UserError

POINTS = np.random.default_rng(0).normal(size=(40, 3))
PIXELS = np.random.default_rng(1).integers(0, 256, size=(12, 5, 5), dtype=np.uint8)
DECODED = (PIXELS[:, None] / 127.5 - 1).astype(np.float32)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a module of functions, which is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "makers.py").write_text(
        "import numpy as np, torch\n"
        "def points(count, seed=0):\n    return np.random.default_rng(seed).normal(size=(count, 2))\n"
        "def fixed(n):\n    return torch.arange(2.0 * n, requires_grad=True).reshape(n, 2)\n"
        "def broken(n):\n    raise RuntimeError('no weights')\n"
        "def empty(n):\n    return np.zeros((0, 2))\n"
        "class Model:\n    def draw(self, n):\n        return np.full((n, 1), 7.0)\n"
        "model = Model()\nnothing = None\n"
    )
    (tmp_path / "faulty.py").write_text("1 / 0\n")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("makers", "faulty"):
            del sys.modules[name]


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize(
    "source",
    [
        POINTS,
        POINTS.tolist(),
        torch.tensor(POINTS, requires_grad=True),
        np.asfortranarray(POINTS),
    ],
)
def test_points_in_memory_are_taken_as_they_are(source):
    samples = read_samples(source)
    np.testing.assert_array_equal(samples.rows, POINTS.astype(np.float32))
    assert samples.index.tolist() == list(range(40))
    assert (samples.shape, samples.of, samples.labels) == ((3,), 40, None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_every_type_of_number_becomes_float32(dtype):
    tensor = torch.tensor([[1.5, -2.0], [3.0, 0.25]]).to(dtype)
    np.testing.assert_array_equal(read_samples(tensor).rows, tensor.float().numpy())


@pytest.mark.parametrize("source", [np.array([1.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, 4.0], dtype=torch.float16)])
def test_a_row_of_numbers_is_samples_of_one_feature(source):
    assert read_samples(source).rows.tolist() == [[1.0], [2.0], [4.0]]


def test_files_of_arrays_and_folders_of_images_hold_the_same_rows(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    np.savez(tmp_path / "b.npz", images=PIXELS, labels=np.arange(12) % 3)
    (tmp_path / "c").mkdir()
    for number, image in enumerate(PIXELS):
        Image.fromarray(image).save(tmp_path / "c" / f"{number:03d}.png")
    read = [read_samples(tmp_path / name) for name in ("a.npy", "b.npz", "c")]
    for samples in (*read, read_samples(PIXELS), read_samples(str(tmp_path / "c"))):
        np.testing.assert_allclose(samples.rows, DECODED, atol=1e-6)
    assert len({samples.fingerprint for samples in read}) == 1
    assert read[1].labels is not None and read[1].labels.tolist() == [0, 1, 2] * 4


def test_options_of_opening_are_passed_on(tmp_path):
    np.savez(tmp_path / "two.npz", a=POINTS, b=PIXELS)
    assert read_samples(tmp_path / "two.npz", options={"key": "a"}).shape == (3,)
    assert read_samples(tmp_path / "two.npz", options={"key": "b", "channels": 3, "size": 4}).shape == (3, 4, 4)


def test_data_sets_by_name_bring_what_is_known_of_them():
    ring = read_samples("ring:modes=5,std=0.02", count=300)
    assert (len(ring), ring.of) == (300, None)
    assert ring.dataset is not None and ring.dataset.mixture is not None
    distances = np.linalg.norm(ring.rows[:, None] - ring.dataset.mixture.centres.numpy(), axis=2).min(axis=1)
    assert distances.max() < 0.02 * 5
    again, other = read_samples("ring:modes=5,std=0.02", count=300), read_samples("ring", "fake", count=300)
    assert again.fingerprint == ring.fingerprint
    assert not np.isin(other.rows[:, 0], ring.rows[:, 0]).any(), "two roles draw different samples of an endless source"


def test_of_a_longer_source_a_random_part_is_taken_and_its_rows_are_known():
    array = np.arange(1000, dtype=np.float64)[:, None]
    samples = read_samples(array, count=50)
    assert samples.rows[:, 0].tolist() == samples.index.tolist()
    assert len(set(samples.index.tolist())) == 50
    assert 300 < samples.index.mean() < 700
    assert samples.index.tolist() == sorted(samples.index)
    assert samples.facts() | {"fingerprint": ""} == {
        "name": "array",
        "count": 50,
        "shape": [1],
        "fingerprint": "",
        "of": 1000,
    }
    assert "of" not in read_samples(array).facts()


# ---------------------------------------------------------------- functions and models


def test_a_function_is_called_once_for_all_rows():
    calls = []

    def generator(n: int) -> np.ndarray:
        calls.append((n, torch.is_grad_enabled()))
        return np.full((n, 2), 3.0)

    samples = read_samples(generator, "fake", count=70)
    assert calls == [(70, False)]
    assert samples.rows.shape == (70, 2)
    assert samples.name == "generator"


@pytest.mark.parametrize("words", ["makers:fixed", "makers.py:fixed", "./makers.py:fixed"])
def test_a_function_can_be_named_by_module_or_file(here, words):
    samples = read_samples(words, "fake", count=3)
    assert samples.rows.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert samples.name == words
    assert str(here) not in sys.path[:1]


def test_a_function_with_a_seed_gets_one_that_follows_from_ours(here):
    first, again, other = (read_samples("makers:points", "fake", count=9, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert read_samples("makers:points", "real", count=9).fingerprint != first.fingerprint


def test_a_method_of_an_object_in_a_module_can_be_named(here):
    assert read_samples("makers:model.draw", count=2).rows.tolist() == [[7.0], [7.0]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ring"
    modecover.train("gan", "ring", folder, steps=2, batch=8, width=8, seeds=2, evaluate_every=0, sample_every=0)
    return folder


def test_runs_and_models_of_ours_are_sampled(trained):
    run = read_samples(trained, "fake", count=30)
    model = read_samples(trained / "model" / "seed-0", "fake", count=30)
    loaded = read_samples(modecover.load(trained), "fake", count=30)
    assert run.rows.tolist() == model.rows.tolist() == loaded.rows.tolist()
    second = read_samples(str(trained), "fake", count=30, of_seed=1)
    assert second.rows.tolist() != run.rows.tolist()
    assert run.name == f"{trained}, seed 0" and loaded.name == "gan on ring, seed 0"


def test_images_of_a_model_are_resized_as_others_are(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, size=(16, 16, 16), dtype=np.uint8)
    kept = {"steps": 1, "batch": 4, "width": 4, "evaluate_every": 0, "sample_every": 0}
    modecover.train("gan", images, tmp_path / "run", **kept)
    assert read_samples(tmp_path / "run", "fake", count=4).shape == (1, 16, 16)
    assert read_samples(tmp_path / "run", "fake", count=4, options={"size": 8, "channels": 3}).shape == (3, 8, 8)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(50, 4), (50, 6, 6), (50,)])
def test_nan_and_infinity_are_refused_with_the_first_row(bad, shape):
    array = np.random.default_rng(0).uniform(size=shape)
    rows = array.reshape(50, -1)
    rows[17, -1] = rows[31, 0] = bad
    for source in (array, torch.tensor(array), torch.tensor(array).half(), lambda n: array):
        with pytest.raises(UserError, match=r"^The generated samples .* row 17 is the first of 2 with NaN or infinity"):
            read_samples(source, "fake")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (np.zeros((0, 2)), "is empty"),
        (np.array([["a", "b"]]), "holds no numbers"),
        (np.zeros((2, 2, 2, 2, 2)), "neither points"),
        (5, "cannot open a int"),
        ("nowhere.npy", "there is no file or folder nowhere.npy"),
        ("rng:modes=3", "unknown data 'rng:modes=3'"),
        ("makers:broken", r"makers:broken\(10000\) raised RuntimeError: no weights"),
        ("makers:nowhere", "makers has no nowhere; name a function in it"),
        ("makers:nothing", "makers:nothing is no function"),
        ("makers:Model", "makers:Model is no function"),
        ("makers:empty", "is empty"),
        ("faulty:f", "module faulty, or importing it raised ZeroDivisionError"),
        ("gone.py:f", r"there is no file, folder or module gone\.py, or importing it raised FileNotFoundError"),
        (lambda n: "rows", r"returned a str; it must return an array or a tensor"),
        (torch.nn.Linear(2, 2), "a Linear is a network, and what its input is only you know"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_sentence(here, source, sentence):
    with pytest.raises(UserError, match=rf"^The generated samples cannot be used: .*{sentence}"):
        read_samples(source, "fake")


@pytest.mark.parametrize(
    ("real", "fake", "sentence"),
    [
        (PIXELS, PIXELS[:, :4], "are 1x5x5, the generated ones 1x4x5: say real_options=fake_options={'size': 4}."),
        (PIXELS[:, :4], PIXELS, "are 1x4x5, the generated ones 1x5x5: say real_options=fake_options={'size': 5}."),
        (np.stack([PIXELS] * 3, -1), PIXELS, "3x5x5, the generated ones 1x5x5: say real_options=fake_options={'chan"),
        (PIXELS, POINTS, "5x5, the generated ones 3 numbers: give both as images, or both as points."),
        (POINTS[:, :1], POINTS, "are 1 numbers, the generated ones 3 numbers: give both with as many columns."),
    ],
)
def test_samples_of_another_shape_are_refused_with_the_cure_before_any_is_read(real, fake, sentence, monkeypatch):
    monkeypatch.setattr(inputs, "_taken", lambda *_: pytest.fail("samples were read"))
    with pytest.raises(UserError, match=re.escape(sentence)) as told:
        modecover.audit(real, fake)
    if "options" in str(told.value):  # the cure cures
        monkeypatch.undo()
        options = eval(str(told.value).partition("fake_options=")[2].rstrip("."))
        sides = [read_samples(rows, role, options=options).shape for rows, role in ((real, "real"), (fake, "fake"))]
        assert sides[0] == sides[1]


@pytest.mark.parametrize(
    ("role", "option", "flag"),
    [("real", "real_options={'key': 'a'}", "--key a"), ("versus", "fake_options={'key': 'a'}", "--fake-key a")],
)
def test_an_option_is_named_as_that_of_its_side(here, role, option, flag):
    np.savez("two.npz", a=POINTS, b=POINTS)
    with pytest.raises(
        UserError, match=re.escape(f"holds several arrays (a, b): say which one with {option}.")
    ) as told:
        read_samples("two.npz", role)
    assert as_flags(str(told.value)).endswith(f"say which one with {flag}.")
    read_samples("two.npz", role, options={"key": "a"})


def test_a_function_may_go_to_another_folder(here):
    (here / "goes.py").write_text(
        "import os, numpy as np\nos.chdir('/')\ndef away(n):\n    os.chdir('/')\n    return np.ones((n, 2))\n"
    )
    assert len(read_samples("goes.py:away", "fake", count=5)) == 5
    assert here.samefile(".")


def test_what_is_no_array_is_told_without_a_word_of_pythons_own(here, recwarn):
    async def later(n):
        return np.ones((n, 2))

    with pytest.raises(UserError, match="returned a coroutine"):
        read_samples(later, "fake", count=5)
    assert not recwarn.list


def test_an_error_that_cannot_be_shown_is_named(here):
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    def fails(n):
        raise Mute

    with pytest.raises(UserError, match=r"fails\(5\) raised Mute\."):
        read_samples(fails, "fake", count=5)


def test_data_sets_and_loaders_of_torch_are_read_with_their_classes():
    x, y = torch.rand(40, 3, 8, 8), torch.arange(40) % 4
    everything = TensorDataset(x, y)
    for source in (everything, DataLoader(everything, batch_size=7, shuffle=True)):
        read = read_samples(source, count=100)
        assert read.name == "TensorDataset"
        assert np.array_equal(read.labels, y)
        assert np.allclose(read.rows, 2 * x.numpy() - 1, atol=1e-2)
    part = read_samples(everything, count=12)
    assert len(part) == 12
    assert len(set(part.labels.tolist())) > 1  # a random part of it, not its beginning


def test_an_iterable_data_set_is_read_from_its_beginning():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(torch.arange(30.0)[:, None].expand(30, 2))

    assert read_samples(Stream(), count=11).rows.tolist() == [[n, n] for n in range(11)]


def test_what_a_loader_cannot_give_is_said_in_a_sentence():
    with pytest.raises(UserError, match="reading list raised TypeError: a sample begins with a dict"):
        read_samples(DataLoader([{"x": torch.zeros(2)}] * 20), count=10)
