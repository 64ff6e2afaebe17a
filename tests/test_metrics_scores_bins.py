"""Classifier scores against plain loops and identities; bins against hand-made partitions and error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from modecover.errors import UserError
from modecover.metrics import compare_bins, fit_bins, holm, inception_score, mode_scores


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def opinions(count=50, classes=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), count)


def test_scores_are_their_definitions():
    rows, law = opinions(), np.array([0.1, 0.2, 0.3, 0.4])
    mean = rows.mean(axis=0)
    inception = np.mean([divergence(row, mean) for row in rows])
    against = np.mean([divergence(row, law) for row in rows])
    assert inception_score(rows) == pytest.approx(math.exp(inception), rel=1e-12)
    found = mode_scores(rows, 7 * law)
    assert found.as_printed == pytest.approx(math.exp(against - divergence(mean, law)), rel=1e-12)
    assert found.penalised == pytest.approx(math.exp(inception - divergence(mean, law)), rel=1e-12)


def test_scores_of_known_samples():
    """Sure and even over 5 classes: 5. All of one class: 1. Against an even law of 5, missing 4: 1 and 1/5."""
    assert inception_score(np.repeat(np.eye(5), 3, axis=0)) == pytest.approx(5)
    collapsed = np.tile([0, 1, 0, 0, 0], (8, 1))
    assert inception_score(collapsed) == pytest.approx(1)
    found = mode_scores(collapsed, np.ones(5))
    assert (found.as_printed, found.penalised) == pytest.approx((1, 0.2))


def test_the_printed_mode_score_is_the_inception_score_for_any_law():
    rows = opinions(seed=3)
    for weights in ([1, 1, 1, 1], [5, 1, 1, 90]):
        assert mode_scores(rows, weights).as_printed == pytest.approx(inception_score(rows), rel=1e-12)


def test_a_law_that_misses_a_class_of_the_samples():
    found = mode_scores(opinions(), [1, 1, 1, 0])
    assert found.penalised == 0
    assert math.isnan(found.as_printed)


def test_scores_name_what_is_wrong():
    with pytest.raises(UserError, match="softmax"):
        inception_score([[2.0, 3.0]])
    with pytest.raises(UserError, match="shape"):
        inception_score([0.5, 0.5])
    with pytest.raises(UserError, match="4 modes"):
        mode_scores(opinions(), [1, 1])


CORNERS = np.array([(x, y, z) for x in (0, 10) for y in (0, 10) for z in (0, 10)], dtype=float)


def corners(weights, count, seed):
    random = np.random.default_rng(seed)
    mode = random.choice(8, count, p=np.asarray(weights) / np.sum(weights))
    return CORNERS[mode] + 0.5 * random.standard_normal((count, 3)), mode


def test_bins_find_separate_clusters():
    rows, mode = corners(np.ones(8), 1600, 0)
    bins = fit_bins(rows, bins=8, seed=1)
    found = bins.of(rows)
    assert len(bins) == 8
    assert {len(set(found[mode == m])) for m in range(8)} == {1}
    middle = rows[mode == 3].mean(axis=0)
    np.testing.assert_allclose(bins.centres[found[mode == 3][0]], middle, rtol=1e-9)


def test_every_row_is_in_the_bin_of_its_nearest_centre():
    rows = np.random.default_rng(0).standard_normal((500, 4)) + 1e4
    bins = fit_bins(rows, bins=20)
    distances = np.square(rows[:, None] - bins.centres.numpy()).sum(axis=2)
    np.testing.assert_array_equal(bins.of(rows), distances.argmin(axis=1))
    assert len(bins) == 20


def test_few_or_equal_rows_make_few_bins():
    assert len(fit_bins(np.random.default_rng(0).standard_normal((50, 2)))) == 2
    assert len(fit_bins(np.ones((500, 2)))) == 1
    assert len(fit_bins(np.repeat([[0.0], [1.0]], 100, axis=0), bins=8)) == 2


def test_dropped_starved_and_crowded_bins_are_told_apart():
    real, _ = corners(np.ones(8), 4000, 0)
    fake, _ = corners([0, 0.3, 1, 1, 1, 1, 1, 2.7], 4000, 1)
    bins = fit_bins(real, bins=8)
    where = bins.of(CORNERS)
    found = compare_bins(bins.of(real), bins.of(fake), 8)
    assert set(found.dropped) == {where[0]}
    assert set(found.starved) == {where[0], where[1]}
    assert set(found.crowded) == {where[7]}
    assert found.different == 3 / 8
    assert found.real.sum() == found.fake.sum() == 4000


def test_the_statistic_is_the_two_proportion_one():
    found = compare_bins([0] * 30 + [1] * 70, [0] * 50 + [1] * 150, 2)
    pooled = 80 / 300
    z = (50 / 200 - 30 / 100) / math.sqrt(pooled * (1 - pooled) * (1 / 100 + 1 / 200))
    np.testing.assert_allclose(found.z, [z, -z], rtol=1e-12)
    np.testing.assert_allclose(found.p_values, 2 * stats.norm.sf(abs(z)), rtol=1e-12)
    # The square of the statistic is Pearson's of the 2 x 2 table.
    table = np.array([[30, 70], [50, 150]])
    assert z**2 == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)


def test_equal_laws_raise_few_false_alarms():
    """At most 5 % of the comparisons may find any bin at all; 10 % of 200 is 3 standard deviations above."""
    random = np.random.default_rng(0)
    alarms = sum(
        compare_bins(random.integers(0, 40, 3000), random.integers(0, 40, 2000), 40).different > 0 for _ in range(200)
    )
    assert alarms / 200 < 0.10


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])


def test_an_empty_bin_differs_from_nothing():
    found = compare_bins([0, 1], [0, 1], 3)
    assert found.z[2] == 0
    assert found.p_values[2] == 1


def test_bins_name_what_is_wrong():
    with pytest.raises(UserError, match="row 1 of real"):
        fit_bins([[0.0], [np.inf]])
    with pytest.raises(UserError, match="2 dimensions and the bins 1"):
        fit_bins(np.ones((5, 1))).of(np.ones((5, 2)))
    with pytest.raises(UserError, match="level"):
        compare_bins([0], [0], 1, level=2)
