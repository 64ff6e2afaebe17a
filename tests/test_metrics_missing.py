"""The missing-mode estimator against laws whose log odds are known, and its two controls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modecover.errors import UserError
from modecover.metrics.missing import missing_modes, noise_unit


def two_modes(count: int, share: float, seed: int) -> np.ndarray:
    """Points about 0 and, a share of them, about 10: standard deviation 1 in two dimensions."""
    random = np.random.default_rng(seed)
    return 10 * (random.random((count, 1)) < share) + random.standard_normal((count, 2))


def test_the_share_of_a_missing_mode_is_read():
    real = two_modes(900, 0.3, 0)
    found = missing_modes(real, two_modes(900, 0.0, 1), levels=[2.0, 1.0], steps=100)
    away = real[:, 0] > 5
    assert found.levels == (1.0, 2.0)
    assert found.missing == pytest.approx(np.full(2, away.mean()), abs=0.01)
    assert ((found.odds > np.log(9)) == away).mean() > 0.99
    assert (found.null == 0).all()
    assert (found.standard_error < 0.03).all()


def test_without_a_difference_nothing_is_missing_and_the_planted_gap_is_found():
    real = two_modes(900, 0.3, 0)
    found = missing_modes(real, two_modes(900, 0.3, 1), levels=[1.0], regions=(real[:, 0] > 5).astype(int), steps=100)
    assert found.missing[0] == 0
    assert found.found[0] > 0.95


def test_too_much_noise_hides_the_planted_gap():
    real = two_modes(900, 0.2, 0)
    regions = (real[:, 0] > 5).astype(int)
    found = missing_modes(real, real[::-1], levels=[1.0, 40.0], regions=regions, steps=60)
    assert found.found[1] < 0.05 < 0.9 < found.found[0]


def test_the_odds_are_those_of_gaussians_a_known_way_apart():
    """N(0, 1) against N(2, 1), noise of variance 3: the log odds of t are (1 - t) / 2, its mean over the noise too."""
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((3000, 1)), 2 + random.standard_normal((3000, 1))
    odds = missing_modes(real, fake, levels=[3**0.5], steps=150).odds[0]
    slope, offset = np.polyfit(real[:, 0], odds, 1)
    assert slope == pytest.approx(-0.5, abs=0.1)
    assert offset == pytest.approx(0.5, abs=0.15)


def test_the_same_seed_gives_the_same_numbers_and_the_global_generator_stays():
    real, fake = two_modes(60, 0.3, 0), two_modes(50, 0.3, 1)
    state = torch.get_rng_state()
    first, again, other = (missing_modes(real, fake, levels=[1.0], steps=3, seed=s).odds for s in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_unit_of_noise_is_the_typical_distance_to_a_neighbour_per_coordinate():
    assert noise_unit(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(1.0)  # 1, 1 and 2
    assert noise_unit(np.array([[0.0, 0], [3, 4], [30, 40]])) == pytest.approx(5 / 2**0.5)
    assert noise_unit(np.ones((20, 3))) == 0
    random = np.random.default_rng(0)
    wide = np.concatenate([100 * k + random.standard_normal((100, 16)) for k in range(10)])
    assert 0.5 < noise_unit(wide) < 2, "about the standard deviation of a mode"


def test_progress_ends_at_the_whole():
    told: list[tuple[int, int]] = []
    rows = two_modes(30, 0.3, 0)
    missing_modes(rows, rows, levels=[1.0], steps=7, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (21, 21)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certain": 0.4}, "between 0.5 and 1"),
        ({"steps": 0}, "steps is 0: give at least 1"),
        ({"levels": [-1.0]}, "at least 0"),
        ({"levels": []}, "noise levels"),
        ({"regions": [0, 1]}, "2 regions for 30 real rows"),
    ],
)
def test_wrong_settings_are_named(options, words):
    rows = two_modes(30, 0.3, 0)
    with pytest.raises(UserError, match=words):
        missing_modes(rows, rows, **options)
