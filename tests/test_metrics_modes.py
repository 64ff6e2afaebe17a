"""Mode counts, shares and spreads against plain loops, closed forms and ideal samplers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from modecover.errors import UserError
from modecover.metrics import draw_mixture, ideal_sampler_row, mixture_modes, wasserstein
from modecover.metrics.modes import ideal_high_quality, truncated_std

GRID = np.array([(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)], dtype=float)
STD = 0.05


def test_every_number_equals_a_plain_loop() -> None:
    random = np.random.default_rng(1)
    centres = np.array([(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)])
    weights = [1.0, 2.0, 5.0]
    samples = centres[random.integers(0, 2, 400)] + 0.3 * random.standard_normal((400, 2))
    samples[:50] += 1.3
    std = 0.25

    counts, square = [0, 0, 0], 0.0
    for x, y in samples:
        distances = [math.hypot(x - a, y - b) for a, b in centres]
        if min(distances) <= 3 * std:
            counts[distances.index(min(distances))] += 1
            square += min(distances) ** 2
    total = sum(counts)
    forward = sum(c / total * math.log(c / total / (w / 8)) for c, w in zip(counts, weights, strict=True) if c)
    backward = sum(w / 8 * math.log(w / 8 / ((c + 1) / (total + 3))) for c, w in zip(counts, weights, strict=True))
    truncated = math.sqrt((1 - 5.5 * math.exp(-4.5)) / (1 - math.exp(-4.5)))

    result = mixture_modes(samples, centres, std, weights)
    assert 0 < total < 400
    assert result.counts == tuple(counts)
    assert result.modes_any == sum(c > 0 for c in counts)
    assert result.modes_many == sum(c > 20 * 400 / 2048 for c in counts)
    assert result.high_quality == total / 400
    assert result.kl == pytest.approx(forward, rel=1e-12)
    assert result.reverse_kl == pytest.approx(backward, rel=1e-12)
    assert result.std_ratio == pytest.approx(math.sqrt(square / total / 2) / std / truncated, rel=1e-12)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 10])
def test_closed_forms_of_the_chi_square_law(dimensions: int) -> None:
    assert ideal_high_quality(dimensions) == pytest.approx(stats.chi2.cdf(9, dimensions), rel=1e-9)
    within = stats.chi2.expect(lambda r2: r2, args=(dimensions,), ub=9, conditional=True)
    assert truncated_std(dimensions) == pytest.approx(math.sqrt(within / dimensions), rel=1e-6)


def test_ideal_share_in_two_dimensions_is_the_literatures() -> None:
    assert ideal_high_quality(2) == pytest.approx(1 - math.exp(-4.5), rel=1e-12)


def test_ideal_sampler_is_ideal() -> None:
    count = 20_000
    row = ideal_sampler_row(GRID, STD, count=count, seed=3)
    share = 1 - math.exp(-4.5)
    assert row.modes_any == row.modes_many == 25
    assert abs(row.high_quality - share) < 4 * math.sqrt(share * (1 - share) / count)
    assert row.std_ratio == pytest.approx(1, abs=4 / math.sqrt(4 * count))
    # The KL of multinomial frequencies is about chi-square of K - 1 degrees over 2 N.
    assert row.kl < stats.chi2.ppf(0.9999, 24) / (2 * count)


def test_unequal_weights_are_the_target() -> None:
    weights = np.arange(1.0, 26.0)
    fitting = mixture_modes(draw_mixture(GRID, STD, weights, count=20_000), GRID, STD, weights)
    uniform = mixture_modes(draw_mixture(GRID, STD, weights, count=20_000), GRID, STD)
    law = weights / weights.sum()
    assert fitting.kl < 0.002
    assert uniform.kl == pytest.approx(float(np.sum(law * np.log(25 * law))), abs=0.02)


def test_ideal_sampler_is_a_function_of_its_seed() -> None:
    before = torch.get_rng_state()
    assert ideal_sampler_row(GRID, STD, seed=5) == ideal_sampler_row(GRID, STD, seed=5)
    assert ideal_sampler_row(GRID, STD, seed=5) != ideal_sampler_row(GRID, STD, seed=6)
    assert torch.equal(before, torch.get_rng_state())


def test_contraction_is_seen_by_the_ratio_alone() -> None:
    random = np.random.default_rng(2)
    samples = GRID[random.integers(0, 25, 20_000)] + STD / 2 * random.standard_normal((20_000, 2))
    row = mixture_modes(samples, GRID, STD)
    assert row.modes_many == 25
    assert row.high_quality > row.ideal_high_quality
    # Half the spread is cut off nowhere (6 deviations), so the ideal's cut-off remains in the denominator.
    assert row.std_ratio == pytest.approx(0.5 / truncated_std(2), abs=0.01)


def test_the_two_mode_counts_part() -> None:
    samples = np.repeat(GRID[:3], [2000, 21, 20], axis=0)
    samples = np.concatenate([samples, np.full((2048 - len(samples), 2), 1.0)])
    row = mixture_modes(samples, GRID, STD)
    assert (row.modes_any, row.modes_many) == (3, 2)
    # Twice the samples, twice the threshold.
    assert mixture_modes(np.tile(samples, (2, 1)), GRID, STD).modes_many == 2


def test_the_edge_of_high_quality_is_three_deviations() -> None:
    row = mixture_modes([[2.999, 0.0], [3.001, 0.0]], [[0.0, 0.0]], 1.0)
    assert row.counts == (1,)


@pytest.mark.parametrize("samples", [np.full((500, 2), 77.0), [[1.0, 1.0]], np.full((4, 2), 1e30), [[np.nan, 0.0]]])
def test_garbage_covers_nothing(samples: np.ndarray) -> None:
    row = mixture_modes(samples, GRID, STD)
    assert (row.modes_any, row.modes_many, row.high_quality, sum(row.counts)) == (0, 0, 0.0, 0)
    assert all(math.isnan(value) for value in (row.kl, row.reverse_kl, row.std_ratio))


def test_one_point_and_constant_samples() -> None:
    for samples in ([[0.0, 0.0]], np.zeros((300, 2))):
        row = mixture_modes(samples, GRID, STD)
        assert (row.modes_any, row.high_quality, row.std_ratio) == (1, 1.0, 0.0)
        assert row.kl == pytest.approx(math.log(25))


def test_rows_that_are_not_finite_count_as_low_quality() -> None:
    row = mixture_modes([[0.0, 0.0], [np.nan, 0.0], [np.inf, 0.0], [2.0, 2.0]], GRID, STD)
    assert (row.high_quality, row.modes_any) == (0.5, 2)


def test_many_rows_are_taken_in_chunks() -> None:
    samples = draw_mixture(GRID, STD, count=90_000)
    whole = mixture_modes(samples, GRID, STD)
    parts = [mixture_modes(part, GRID, STD).counts for part in np.array_split(samples, 7)]
    assert whole.counts == tuple(np.sum(parts, axis=0))


def test_tensors_read_as_arrays() -> None:
    samples = draw_mixture(GRID, STD, count=300).astype(np.float32)
    tensor = torch.from_numpy(samples).requires_grad_()
    assert mixture_modes(tensor, torch.from_numpy(GRID), STD) == mixture_modes(samples, GRID, STD)
    assert mixture_modes(torch.zeros(3, 2, dtype=torch.bfloat16), GRID, STD).modes_any == 1


@pytest.mark.parametrize(
    ("samples", "centres", "std", "weights", "cause"),
    [
        (np.zeros((0, 2)), GRID, STD, None, "at least one row"),
        (np.zeros((5, 3)), GRID, STD, None, "2 numbers"),
        (np.zeros(5), GRID, STD, None, "2 numbers"),
        (np.zeros((5, 2)), GRID[0], STD, None, "centres"),
        (np.zeros((5, 2)), GRID, 0.0, None, "positive standard deviation"),
        (np.zeros((5, 2)), GRID, STD, np.ones(24), "25 finite weights"),
        (np.zeros((5, 2)), GRID, STD, [-1.0] + [1.0] * 24, "25 finite weights"),
        (np.zeros((5, 2)), GRID, STD, [0.0] + [1.0] * 24, "weight 0"),
    ],
)
def test_bad_input_is_named(samples: object, centres: object, std: float, weights: object, cause: str) -> None:
    with pytest.raises(UserError, match=cause):
        mixture_modes(samples, centres, std, weights)  # type: ignore[arg-type]  # any object a caller may pass


def test_wasserstein_of_a_shift_is_its_length() -> None:
    points = np.random.default_rng(0).standard_normal((200, 2))
    shuffled = np.random.default_rng(1).permutation(points) + np.array([3.0, 4.0])
    assert wasserstein(points, shuffled) == pytest.approx(5)
    assert wasserstein(points, shuffled, order=2) == pytest.approx(5)
    assert wasserstein(points, points[::-1]) == pytest.approx(0, abs=1e-12)


def test_wasserstein_in_one_dimension_equals_the_sorted_form() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((60, 1)), random.exponential(size=(60, 1))
    gaps = np.abs(np.sort(a[:, 0]) - np.sort(b[:, 0]))
    assert wasserstein(a, b) == pytest.approx(gaps.mean())
    assert wasserstein(a, b, order=2) == pytest.approx(math.sqrt((gaps**2).mean()))


def test_wasserstein_sees_a_missing_mode_and_a_contraction() -> None:
    centres = np.array([(-5.0, 0.0), (5.0, 0.0)])
    target = draw_mixture(centres, 1.0, count=600, seed=1)
    again = wasserstein(draw_mixture(centres, 1.0, count=600, seed=2), target)
    missing = wasserstein(draw_mixture(centres[:1], 1.0, count=600, seed=2), target)
    contracted = wasserstein(draw_mixture(centres, 0.1, count=600, seed=2), target)
    assert missing == pytest.approx(5, rel=0.15)
    # Shrinking a round Gaussian by .9 moves its mass by .9 E|z| = .9 sqrt(pi / 2).
    assert contracted == pytest.approx(0.9 * math.sqrt(math.pi / 2), rel=0.25)
    assert again < contracted / 1.5


def test_wasserstein_draws_a_seeded_subset() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 500, 2))
    assert wasserstein(a, b, limit=50) == wasserstein(a, b, limit=50)
    assert wasserstein(a, b, limit=50) != wasserstein(a, b, limit=50, seed=1)
    assert wasserstein(a[:1], b[:1]) == pytest.approx(float(np.linalg.norm(a[0] - b[0])))


@pytest.mark.parametrize(
    ("samples", "reference", "options"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), {}),
        (np.zeros((3, 2)), np.zeros((0, 2)), {}),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), {}),
        (np.zeros((3, 2)), np.zeros((3, 2)), {"order": 3}),
    ],
)
def test_wasserstein_refuses(samples: np.ndarray, reference: np.ndarray, options: dict[str, int]) -> None:
    with pytest.raises(UserError):
        wasserstein(samples, reference, **options)
