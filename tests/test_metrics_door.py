"""What is given to a metric in the place of arrays and numbers: refused in one sentence, by every metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modecover.errors import UserError
from modecover.metrics import (
    DigitClassifier,
    compare_bins,
    draw_mixture,
    equal_rows,
    expected_coverage,
    expected_floor,
    fit_bins,
    frechet_distance,
    holm,
    kernel_distance,
    label_modes,
    mixture_modes,
    neighbour_statistics,
    stacked_law,
    stacked_modes,
    vendi_score,
    wasserstein,
)

ROWS = np.random.default_rng(0).normal(size=(40, 2))

OF_ROWS = [
    lambda rows: frechet_distance(rows, ROWS),
    lambda rows: frechet_distance(ROWS, rows),
    lambda rows: kernel_distance(rows, ROWS),
    lambda rows: neighbour_statistics(ROWS, rows),
    lambda rows: wasserstein(rows, ROWS),
    lambda rows: mixture_modes(rows, np.eye(2), 0.1),
    lambda rows: draw_mixture(rows, 0.1),
    fit_bins,
    vendi_score,
    equal_rows,
]

NO_ROWS = {
    "nothing": None,
    "text": "rows",
    "a function": lambda: ROWS,
    "words": np.full((40, 2), "a"),
    "dates": np.full((40, 2), np.datetime64("2020-01-01")),
    "objects": np.array([[None, 1.0]] * 40),
    "complex numbers": np.ones((40, 2), complex),
    "rows of different lengths": [[1.0], [1.0, 2.0]],
    "masked": np.ma.masked_array(ROWS, mask=ROWS > 0),
    "a tensor without numbers": torch.ones(40, 2, device="meta"),
    "a sparse tensor": torch.eye(40, 2).to_sparse(),
    "a quantised tensor": torch.quantize_per_tensor(torch.ones(40, 2), 0.1, 0, torch.qint8),
}


@pytest.mark.parametrize("metric", OF_ROWS)
@pytest.mark.parametrize("rows", NO_ROWS.values(), ids=NO_ROWS)
def test_what_is_no_array_of_numbers_is_refused(metric, rows):
    with pytest.raises(UserError) as refused:
        metric(rows)
    assert "\n" not in str(refused.value)


LABELS = np.arange(40) % 4

OUT_OF_RANGE = [
    (lambda: label_modes(LABELS, None), "modes"),
    (lambda: label_modes(LABELS, 4.5), "modes"),
    (lambda: label_modes(LABELS, 0), "modes"),
    (lambda: label_modes(LABELS, 10**13), "memory"),
    (lambda: stacked_law(LABELS, 0), "stack"),
    (lambda: stacked_law(LABELS, 40), "memory"),
    (lambda: expected_floor(0, 4), "samples"),
    (lambda: expected_floor(10, 4, repeats=1), "repeats"),
    (lambda: expected_floor(10**30, 4), "samples"),
    (lambda: expected_coverage("ten", 10, 5), "real_count"),
    (lambda: fit_bins(ROWS, bins=1.5), "bins"),
    (lambda: fit_bins(ROWS, seed=None), "seed"),
    (lambda: compare_bins(LABELS, LABELS, 4, level="low"), "level"),
    (lambda: mixture_modes(ROWS, np.eye(2), None), "std"),
    (lambda: mixture_modes(ROWS, np.eye(2), 0.1, "even"), "array of numbers"),
    (lambda: draw_mixture(np.eye(2), 0.1, count=10**13), "memory"),
    (lambda: wasserstein(ROWS, ROWS, seed=-1), "seed"),
    (lambda: neighbour_statistics(ROWS, ROWS, k="five"), "k is"),
    (lambda: stacked_modes(ROWS, None), "classifier"),
    (lambda: DigitClassifier.load(None), "no digit classifier"),
    (lambda: frechet_distance(ROWS * 1e155, ROWS), "real has numbers of up to .*e.15"),
    (lambda: neighbour_statistics(ROWS, ROWS * 1e300), "fake has numbers of up to"),
    (lambda: holm([0.1, np.nan]), "p-values"),
    (lambda: holm([[0.1]]), "p-values"),
    (lambda: holm([2.0]), "p-values"),
]


@pytest.mark.parametrize(("call", "named"), OUT_OF_RANGE)
def test_numbers_of_another_kind_are_named(call, named):
    with pytest.raises(UserError, match=named):
        call()


def test_numbers_of_numpy_and_tensors_of_any_type_are_taken():
    plain = frechet_distance(ROWS.astype(np.float32), ROWS[::-1])
    assert frechet_distance(torch.tensor(ROWS, requires_grad=True).float(), ROWS[::-1]) == pytest.approx(
        plain, abs=1e-12
    )
    assert label_modes(LABELS.astype(np.uint8), np.int64(4)).modes_any == 4
    assert mixture_modes(ROWS, np.eye(2).tolist(), np.float32(0.5)).modes == 2
