"""The Vendi score and the support size against their definitions and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import linalg, stats

from modecover.errors import UserError
from modecover.metrics import equal_rows, support_size, vendi_score


@pytest.mark.parametrize(("n", "d"), [(30, 80), (200, 7), (50, 50), (40, 1)])
def test_vendi_is_the_entropy_of_the_whole_matrix_of_cosines(n, d):
    x = np.random.default_rng(n).standard_normal((n, d))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    shares = linalg.eigvalsh(unit @ unit.T / n)
    shares = shares[shares > 1e-14]
    assert vendi_score(x) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-9)


def test_vendi_of_known_sets():
    assert vendi_score(np.eye(6)) == pytest.approx(6)
    assert vendi_score(np.repeat(np.eye(4), 5, axis=0)) == pytest.approx(4)
    assert vendi_score(np.full((9, 3), 2.0)) == pytest.approx(1)
    assert vendi_score(np.zeros((9, 3))) == pytest.approx(1)
    assert vendi_score(np.concatenate([np.zeros((5, 2)), np.ones((5, 2))])) == pytest.approx(2)
    # Three quarters and one quarter: exp of the entropy of (3/4, 1/4).
    expected = (4 / 3) ** 0.75 * 4**0.25
    assert vendi_score([[1e-200, 0], [1e200, 0], [3, 0], [0, 5]]) == pytest.approx(expected)


def test_equal_rows_are_counted():
    rows = np.array([[1, 2.0], [0.0, 3], [1, 2], [-0.0, 3], [5, 5], [1, 2]])
    for kind in (np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(equal_rows(rows.astype(kind)), [2, 1, 2, 1, 0, 2])


def test_support_of_equal_values_is_their_number():
    random = np.random.default_rng(0)
    found = support_size(equal_rows(random.standard_normal((200, 3))[random.integers(0, 200, 5000)]))
    assert found.value == pytest.approx(200, rel=0.05)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("law", ["even", "uneven", "rare"])
def test_the_interval_covers_the_effective_number(law):
    """95 % of 300 intervals should hold the truth; 91 % is 3 standard deviations below."""
    values = 400 if law != "rare" else 20_000
    weights = np.ones(values) if law != "uneven" else 1 / np.arange(1.0, values + 1)
    weights /= weights.sum()
    truth = 1 / (weights**2).sum()
    random = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        draws = random.choice(values, 300, p=weights)
        found = support_size(np.bincount(draws, minlength=values)[draws] - 1)
        held += found.low <= truth <= found.high
    assert held / 300 > 0.91


def test_no_agreement_bounds_the_support_from_below():
    found = support_size(np.zeros(100, dtype=int))
    assert found.pairs == 0
    assert (found.value, found.high) == (math.inf, math.inf)
    assert found.low == pytest.approx(4950 / (stats.chi2.ppf(0.975, 2) / 2))


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_the_poisson_interval_is_garwoods(count):
    """Of `count` pairs that have no sample in common, which agree no more unevenly than by chance."""
    found = support_size(np.repeat([1, 0], [2 * count, 1000 - 2 * count]))
    assert found.pairs == count
    assert 499_500 / found.low == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2)
    assert 499_500 / found.high == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0)


def test_bad_input_is_named():
    with pytest.raises(UserError, match="at least 2 samples"):
        support_size([0])
    with pytest.raises(UserError, match="row 1 of samples"):
        vendi_score([[0.0], [np.nan]])
