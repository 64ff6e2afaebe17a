"""Samples kept as bytes and read block by block: the same numbers, and the same features, as from whole arrays."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from modecover.data.pixels import decoded
from modecover.features import kept as kept_rows
from modecover.features import pixels
from modecover.features.kept import Kept, blocks

RANDOM = np.random.default_rng(0)
LEVELS = decoded(torch.from_numpy(RANDOM.integers(0, 256, (30, 3, 6, 5), dtype=np.uint8))).numpy()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(kept_rows, "BLOCK_BYTES", 7 * 4 * LEVELS[0].size)


@pytest.mark.parametrize(("samples", "stored"), [(LEVELS, np.uint8), (0.9 * LEVELS, np.float32)])
def test_what_is_kept_comes_back_bit_for_bit(samples, stored):
    kept = Kept.of(iter(np.array_split(samples, 4)), len(samples))
    assert kept.stored.dtype == stored
    assert np.array_equal(kept[:], samples) and np.array_equal(kept[3], samples[3])
    assert np.array_equal(kept.columns(slice(5, 9)), samples.reshape(30, -1)[:, 5:9])
    places = [place for place, _ in blocks(kept)]
    assert [(p.start, p.stop) for p in places] == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]


def test_floats_that_come_late_lose_no_bytes_before_them():
    samples = LEVELS.copy()
    samples[29, 0, 0, 0] = 0.123
    kept = Kept.of(iter(np.array_split(samples, 3)), 30)
    assert kept.stored.dtype == np.float32 and np.array_equal(kept[:], samples)


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
