"""Samples kept as bytes and read block by block: the same numbers, and the same features, as from whole arrays."""

from __future__ import annotations

import math
import sys
import tempfile

import numpy as np
import pytest
import torch

from modecover.data.pixels import decoded
from modecover.errors import UserError
from modecover.features import kept as kept_rows
from modecover.features import pixels
from modecover.features.kept import Kept, blocks
from modecover.features.scratch import Scratch
from modecover.metrics.arrays import groups_of_equals

RANDOM = np.random.default_rng(0)
LEVELS = decoded(torch.from_numpy(RANDOM.integers(0, 256, (30, 3, 6, 5), dtype=np.uint8))).numpy()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(kept_rows, "BLOCK_BYTES", 7 * 4 * LEVELS[0].size)


@pytest.mark.parametrize("room", [math.inf, 0])
@pytest.mark.parametrize(("samples", "stored"), [(LEVELS, np.uint8), (0.9 * LEVELS, np.float32)])
def test_what_is_kept_comes_back_bit_for_bit_from_memory_and_from_disk(samples, stored, room):
    kept = Kept.of(iter(np.array_split(samples, 4)), len(samples), room)
    assert isinstance(kept.stored, Scratch) == (room == 0)
    assert kept.stored.dtype == stored
    assert np.array_equal(kept[:], samples) and np.array_equal(kept[3], samples[3])
    chosen = np.array([2, 3, 7, 29, 0])
    assert np.array_equal(kept[chosen], samples[chosen]) and np.array_equal(kept.part(chosen)[1:3], samples[[3, 7]])
    assert np.array_equal(kept.part(chosen).part(np.array([4, 0]))[:], samples[[0, 2]])
    places = [place for place, _ in blocks(kept)]
    assert [(p.start, p.stop) for p in places] == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]


@pytest.mark.parametrize("room", [math.inf, 0])
def test_floats_that_come_late_lose_no_bytes_before_them(room):
    samples = LEVELS.copy()
    samples[29, 0, 0, 0] = 0.123
    kept = Kept.of(iter(np.array_split(samples, 3)), 30, room)
    assert kept.stored.dtype == np.float32 and np.array_equal(kept[:], samples)


def test_changed_rows_are_the_same_wherever_a_block_begins():
    kept = Kept(LEVELS).changed(lambda block, rows: block + rows[:, None, None, None].astype(np.float32))
    wanted = LEVELS + np.arange(30, dtype=np.float32)[:, None, None, None]
    assert np.array_equal(kept[:], wanted) and np.array_equal(kept[5], wanted[5])
    assert np.array_equal(np.concatenate([block for _, block in blocks(kept)]), wanted)
    assert np.array_equal(kept.part(np.array([7, 3]))[1:], wanted[3:4])


def test_rows_on_disk_have_no_name_and_are_refused_where_the_disk_is_too_small(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = Kept.of(iter([LEVELS]), 30, room=0)
    assert np.array_equal(kept[4:6], LEVELS[4:6])
    assert not list(tmp_path.iterdir()), "gone with the process, whatever ends it"
    with pytest.raises(UserError, match=r"on disk, and .* are free .*set TMPDIR"):
        Scratch((10**15, 3, 64, 64), np.uint8)


def test_a_folder_of_temporary_files_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"temporary file \(No such file or directory\): set TMPDIR"):
        Scratch((30, 3), np.float32)


def test_a_disk_that_fills_up_while_samples_are_written_is_told():
    full = Scratch((30, 3), np.float32)
    full._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(UserError, match=r"No space left.*set TMPDIR"), full._file:
        full.append(np.zeros((30, 3)))


def test_equal_rows_have_equal_numbers_whatever_block_they_are_in():
    rows = RANDOM.integers(0, 2, (200, 3)).astype(np.float32)
    rows[rows == 0] = np.where(np.arange((rows == 0).sum()) % 2, 0.0, -0.0)  # of either sign
    wanted = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    found = groups_of_equals(np.array_split(rows, 7))
    assert np.array_equal(found[:, None] == found, wanted[:, None] == wanted)
    assert sorted(set(found.tolist())) == list(range(8))


@pytest.mark.parametrize("count", [30, 200])
def test_axes_are_those_of_the_whole_matrix_however_little_memory_there_is(count, monkeypatch):
    """Few samples go by the products of rows, many by those of columns, and neither table where there is no room."""
    rows = RANDOM.normal(size=(count, 90)) @ np.diag(np.linspace(3, 0.1, 90))
    samples = rows.astype(np.float32).reshape(count, 1, 9, 10)
    centred = samples.reshape(count, -1).astype(np.float64)
    centred = centred - centred.mean(axis=0)
    right = np.linalg.svd(centred, full_matrices=False)[2][: min(64, count // 10)].T
    along = np.abs(centred @ right)
    monkeypatch.setattr(sys.modules["modecover.features.pixels"], "FEW", 5)  # else tables so small are always made
    for memory in (10**9, 1):
        features = pixels(samples, memory=memory)(samples)
        torch.testing.assert_close(
            torch.tensor(np.abs(features[:, :-1])), torch.tensor(along).float(), atol=1e-3, rtol=0
        )
        rest = np.sqrt(np.square(centred).sum(axis=1) - np.square(along).sum(axis=1))
        torch.testing.assert_close(torch.tensor(features[:, -1]), torch.tensor(rest).float(), atol=1e-3, rtol=0)
