"""What real data would score, by brute force; intervals by their formulas; spread and detail by planted factors."""

from __future__ import annotations

import numpy as np
import pytest
from planted import _blurred

from modecover.auditing.evidence import groups_of_equals, independent_share, left_out
from modecover.auditing.results import Estimate, excess, share, share_of
from modecover.auditing.verdicts.low_quality import bin_means, detail
from modecover.auditing.verdicts.shrink import coarse, spread_ratio
from modecover.metrics.neighbours import neighbour_statistics


@pytest.mark.parametrize("dimensions", [1, 2, 10])
def test_leaving_out_is_what_removing_each_row_gives(dimensions):
    rows = np.random.default_rng(dimensions).standard_normal((40, dimensions)).astype(np.float32)
    near = neighbour_statistics(rows, rows[:9] + 1, k=3)
    inside, closeness = left_out(near)
    for i in range(len(rows)):
        rest = np.delete(rows, i, axis=0).astype(np.float64)
        among = np.linalg.norm(rest[:, None] - rest[None], axis=2)
        np.fill_diagonal(among, np.inf)
        among.sort(axis=1)
        away = np.linalg.norm(rest - rows[i], axis=1)
        assert inside[i] == (away < among[:, 2]).any()
        assert near.real_to_real.distance[i] == pytest.approx(away.min())
        assert closeness[i] == pytest.approx(away.min() / among[away.argmin(), 0])


def test_equal_rows_left_out_are_all_close():
    rows = np.ones((12, 3), np.float32)
    inside, closeness = left_out(neighbour_statistics(rows, rows, k=2))
    assert inside.all() and (closeness == 0).all()


def test_wilsons_interval():
    """8 of 10: (0.490, 0.943), as in Brown, Cai and DasGupta 2001; and none of 50 is not surely none."""
    found = share(np.arange(10) < 8)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.490, 0.943), abs=1e-3)
    assert share_of(0.0, 50).high == pytest.approx(1.96**2 / (50 + 1.96**2), abs=1e-6)
    assert share_of(0.3, 100, extra=0.1).high > share_of(0.3, 100).high + 0.1


def test_newcombes_interval_of_a_difference():
    """56/70 - 48/80: 0.2, from 0.0524 to 0.3339 (Newcombe 1998, method 10)."""
    found = excess(share_of(56 / 70, 70), share_of(48 / 80, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=2e-4)


def test_repeated_rows_count_once():
    assert independent_share(np.arange(7)) == 1
    assert independent_share(np.repeat(np.arange(5), 4)) == pytest.approx(0.25)
    assert groups_of_equals(np.array([[1.0, 2], [0, 1], [1, 2]], np.float32)).tolist() == [1, 0, 1]


def test_the_ratio_of_spreads_is_that_of_the_scales_and_repetition_does_not_change_it():
    random = np.random.default_rng(0)
    cells = random.integers(0, 4, 4000)
    centres = 50 * random.standard_normal((4, 3))
    real, fake = (centres[cells] + scale * random.standard_normal((4000, 3)) for scale in (1.0, 0.4))
    ratio, error = spread_ratio(real.astype(np.float32), fake.astype(np.float32), (cells, cells))
    assert ratio == pytest.approx(0.4, rel=0.03)
    assert error < 0.05
    few = np.concatenate([np.flatnonzero(cells == cell)[:8] for cell in range(4)])
    again = few[random.integers(0, len(few), 4000)]
    repeated, _ = spread_ratio(real.astype(np.float32), real[again].astype(np.float32), (cells, cells[again]))
    plain, _ = spread_ratio(real.astype(np.float32), real[few].astype(np.float32), (cells, cells[few]))
    assert repeated == pytest.approx(plain, rel=0.06), "eight rows repeated vary like the eight rows"


def test_detail_sees_blur_and_not_contraction_and_coarse_content_the_other_way_round():
    random = np.random.default_rng(1)
    images = random.standard_normal((64, 1, 16, 16)).astype(np.float32)
    cells = np.zeros(64, dtype=np.int64)
    means = bin_means(images, cells, 1)
    assert means[0] == pytest.approx(images.mean(axis=0), abs=1e-6)
    sharp = detail(images, means, cells)
    assert detail(means[cells] + 0.5 * (images - means[cells]), means, cells) == pytest.approx(sharp, rel=1e-4)
    soft = detail(_blurred(images), bin_means(_blurred(images), cells, 1), cells)
    assert (soft < 0.6 * sharp).all()
    assert coarse(images).shape == (64, 16)
    assert coarse(images)[:, 0] == pytest.approx(images[:, 0, :4, :4].mean(axis=(1, 2)), abs=1e-6)


def test_too_few_rows_have_no_ratio():
    rows = np.zeros((3, 2), np.float32)
    ratio, error = spread_ratio(rows, rows, (np.zeros(3, np.int64), np.zeros(3, np.int64)))
    assert np.isnan(ratio) and np.isnan(error)
    assert excess(Estimate(0.5, 0.4, 0.6), Estimate(0.0, 0.0, 0.0)).value == 0.5
