"""Mode counts and divergences of labels against plain loops, and the published floors of a perfect sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from modecover.errors import UserError
from modecover.metrics import expected_floor, label_law, label_modes, stacked_law


def test_every_number_equals_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 7, 120) ** 2 // 6
    reference = [5.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    counts = [sum(int(label) == mode for label in labels) for mode in range(8)]
    assert 0 in counts

    def divergence(p: list[float], q: list[float]) -> float:
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)

    plain, smooth = [c / 120 for c in counts], [(c + 1) / 128 for c in counts]
    law, uniform = [r / 33 for r in reference], [1 / 8] * 8
    result = label_modes(labels, 8, reference=reference)
    assert (result.samples, result.modes) == (120, 8)
    assert result.modes_any == sum(c >= 1 for c in counts)
    assert result.modes_enough == sum(c >= 5 for c in counts)
    assert result.kl_uniform == pytest.approx(divergence(plain, uniform), rel=1e-12)
    assert result.kl_reference == pytest.approx(divergence(plain, law), rel=1e-12)
    assert result.reverse_kl_uniform == pytest.approx(divergence(uniform, smooth), rel=1e-12)
    assert result.reverse_kl_reference == pytest.approx(divergence(law, smooth), rel=1e-12)


def test_five_samples_are_enough_and_four_are_not() -> None:
    result = label_modes(np.repeat([0, 1, 2], [5, 4, 1]), 4)
    assert (result.modes_any, result.modes_enough) == (3, 1)


def test_scattered_errors_fool_the_first_count_and_not_the_second() -> None:
    random = np.random.default_rng(0)
    truth = random.choice(random.choice(1000, 100, replace=False), 26_000)
    # A classifier that errs on 0.5% of the digits, in any of three places of the number.
    digits = truth[:, None] // np.array([100, 10, 1]) % 10
    wrong = random.random(digits.shape) < 0.005
    digits[wrong] = (digits[wrong] + random.integers(1, 10, wrong.sum())) % 10
    result = label_modes(digits @ np.array([100, 10, 1]), 1000)
    assert result.modes_any > 300
    assert 100 <= result.modes_enough <= 103


def test_uniform_labels_diverge_nowhere_and_one_label_by_the_logarithm() -> None:
    assert label_modes(np.tile(np.arange(50), 9), 50).kl_uniform == pytest.approx(0, abs=1e-12)
    single = label_modes([3] * 49, 50)
    assert single.kl_uniform == pytest.approx(math.log(50))
    assert single.kl_reference is None
    assert single.reverse_kl_reference is None
    # 49 modes at 1/99, one at 50/99, seen from the uniform law.
    assert single.reverse_kl_uniform == pytest.approx(math.log(99 / 50) - math.log(50) / 50)


def test_a_mode_the_reference_lacks_is_infinitely_far_one_way_only() -> None:
    result = label_modes([0, 1, 1], 3, reference=[1.0, 0.0, 1.0])
    assert result.kl_reference == math.inf
    assert result.reverse_kl_reference == pytest.approx(0.5 * math.log(0.5 * 6 / 2) + 0.5 * math.log(0.5 * 6 / 1))


@pytest.mark.parametrize(
    ("samples", "mean", "std"), [(20_000, 0.0251, 9e-4), (26_000, 0.0196, 8e-4), (50_000, 0.0098, 3e-4)]
)
def test_floors_of_a_perfect_sampler(samples: int, mean: float, std: float) -> None:
    floor = expected_floor(samples, 1000)
    assert abs(floor.mean - mean) < 3 * std
    assert 0.5 * std < floor.std < 2 * std
    assert floor.mean == pytest.approx(999 / (2 * samples), rel=0.06)


def test_a_floor_under_another_law_adds_its_own_divergence() -> None:
    law = np.linspace(1, 3, 100)
    law /= law.sum()
    floor = expected_floor(100_000, 100, law)
    assert floor.mean == pytest.approx(float(np.sum(law * np.log(100 * law))) + 99 / 200_000, abs=3e-4)


def test_floor_is_a_function_of_its_seed() -> None:
    assert expected_floor(500, 10, seed=1) == expected_floor(500, 10, seed=1)
    assert expected_floor(500, 10, seed=1) != expected_floor(500, 10, seed=2)


def test_stacked_law_is_the_product_read_as_a_number() -> None:
    digits = np.repeat(np.arange(10), np.arange(1, 11))
    law = stacked_law(digits, 3)
    assert law.sum() == pytest.approx(1)
    for number in (0, 7, 42, 905, 999):
        product = math.prod((int(digit) + 1) / 55 for digit in f"{number:03d}")
        assert law[number] == pytest.approx(product)


def test_label_law_counts() -> None:
    assert label_law(torch.tensor([0, 2, 2, 2]), 4).tolist() == [0.25, 0.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("labels", "reference", "cause"),
    [
        ([], None, "at least one label"),
        ([[1], [2]], None, "at least one label"),
        ([0.5, 1.0], None, "integer type"),
        ([0, 10], None, r"0\.\.9"),
        ([-1, 3], None, r"0\.\.9"),
        ([1], [1.0] * 9, "10 finite weights"),
        ([1], [0.0] * 10, "positive sum"),
    ],
)
def test_bad_input_is_named(labels: list[float], reference: list[float] | None, cause: str) -> None:
    with pytest.raises(UserError, match=cause):
        label_modes(labels, 10, reference=reference)
    with pytest.raises(UserError):
        expected_floor(0, 10)
