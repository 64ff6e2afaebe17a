"""Missed regions, counted: by hand, against mixtures whose missing mass is known, and on what is no missing mode."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modecover.errors import UserError
from modecover.metrics.excess import excess_share, odds_of
from modecover.metrics.planes import along_planes, cut_off
from modecover.metrics.regions import Counted, count_missed, fit_regions, halves, missed_mass


def mixture(dimensions, count, weights, seed, width=1.0):
    """Rows of 20 Gaussians: on a grid of the plane ten standard deviations apart, else at random places."""
    places = np.random.default_rng(7)
    if dimensions == 2:
        centres, std = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).reshape(-1, 2), 0.1
    else:
        centres, std = places.standard_normal((20, dimensions)), 0.15
    random = np.random.default_rng(seed)
    modes = random.choice(20, size=count, p=np.asarray(weights) / np.sum(weights))
    return centres[modes] + width * std * random.standard_normal((count, dimensions))


def test_a_cell_is_missed_where_chance_and_a_ninth_of_the_density_do_not_explain_it():
    # 100 judged rows and 1,000 fake ones in four cells: expected are 49, 29, 19 rows of the other judged ones per 99.
    real = np.repeat([0, 1, 2, 3], [50, 30, 19, 1])
    fake = np.repeat([0, 1, 2, 3], [900, 60, 20, 20])
    found = count_missed([Counted(np.arange(100), real, fake, real, np.arange(4))], 100)
    # A ninth of 292.9 is 32.5, of 181.8 it is 20.2: 60 are enough and 20 are not; of one row nothing can be expected.
    assert found.flags.tolist() == [cell == 2 for cell in real]
    assert found.counted == pytest.approx(0.19)
    assert found.lacking[real == 1] == pytest.approx(29 / 99 * 1000 - 60)
    assert found.null == 0
    # Each of the three larger cells, were it left out, would be counted whole.
    assert found.found == 1 and found.value == pytest.approx(0.19)
    assert found.low == pytest.approx(0.125, abs=1e-3) and found.high == pytest.approx(0.278, abs=1e-3)


def test_what_is_found_of_planted_gaps_corrects_the_reading():
    # Groups 0 and 1 share cell 0, so that leaving either out empties nothing; group 2 has cell 1 to itself.
    real = np.repeat([0, 1], [60, 40])
    groups = np.repeat([0, 1, 2], [30, 30, 40])
    fake = np.zeros(1000, np.int64)
    found = count_missed([Counted(np.arange(100), real, fake, groups, np.arange(2))], 100)
    assert found.found == pytest.approx(0.4)
    assert (found.counted, found.value) == pytest.approx((0.4, 1.0))


@pytest.mark.parametrize("width", [1.0, 1.5])
@pytest.mark.parametrize("dimensions", [2, 16])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.2])
def test_the_missed_mass_of_mixtures_is_found_and_blur_is_not_taken_for_it(dimensions, width, share):
    weights = np.full(20, (1 - share) / 19)
    weights[0] = share
    left = np.where(np.arange(20) == 0, 0, weights)
    covered, values = 0, []
    for seed in range(4):
        real = mixture(dimensions, 2000, weights, seed)
        found = missed_mass(real, mixture(dimensions, 2000, left, 100 + seed, width), seed=seed)
        covered += found.low <= share <= found.high
        values.append(found.value)
        assert found.found > 0.9, "cells keep these modes apart"
    assert covered >= 3
    assert np.mean(values) == pytest.approx(share, abs=0.004 + 0.05 * share)


@pytest.mark.parametrize(
    ("dimensions", "count", "fakes"),
    [(1, 500, 5000), (2, 200, 10_000), (2, 5000, 200), (64, 1000, 1000), (2000, 60, 60)],
)
def test_samples_of_the_same_law_miss_nothing(dimensions, count, fakes):
    for seed in range(3):
        random = np.random.default_rng(seed)
        real, fake = (random.standard_normal((rows, dimensions)) for rows in (count, fakes))
        found = missed_mass(real, fake, seed=seed)
        assert found.low < 0.005
        assert found.high >= found.finest > 0, "what is smaller than a cell may be missed unseen"


def test_few_and_equal_rows_say_that_they_can_tell_little():
    for real, fake in ((np.ones((100, 3)), np.ones((100, 3))), (np.arange(8.0).reshape(4, 2), np.zeros((1, 2)))):
        found = missed_mass(real, fake)
        assert found.value == 0 and found.high > 0.1
    assert missed_mass(mixture(2, 400, np.ones(20), 0), np.full((400, 2), 99.0)).value > 0.9


def test_clusters_are_the_modes_where_there_are_modes():
    regions = fit_regions(mixture(16, 2000, np.ones(20), 0), fakes=2000)
    assert regions.count == 20
    cells = regions.cells.of(mixture(16, 500, np.arange(20) == 3, 1))
    assert len(np.unique(regions.clusters[cells])) == 1


def test_each_half_judges_the_other():
    (one, two), (three, four) = halves(11, 1, seed=5)
    assert sorted([*one, *two]) == list(range(11))
    assert (one == four).all() and (two == three).all()


def test_labels_and_counts_are_looked_at():
    with pytest.raises(UserError, match="there are 3 labels for 10 real rows"):
        missed_mass(np.zeros((10, 2)), np.zeros((10, 2)), labels=[0, 1, 0])
    with pytest.raises(UserError, match="real has 3 rows, and 4 are needed"):
        missed_mass(np.zeros((3, 2)), np.zeros((10, 2)))


def test_the_excess_is_what_lies_beyond_the_real_tail():
    """900 of 1,000 like 1,000 real scores and 100 beyond all of them: 10 %, seen best at the highest limit."""
    real = np.arange(1000.0)
    found = excess_share(real, np.concatenate([real[:900], np.full(100, 2000.0)]))
    assert found.value == pytest.approx(0.1, abs=0.006)
    assert 0.06 < found.low < found.value < found.high < 0.14
    same = excess_share(real, real + 0.5)
    assert same.low == 0 and same.value < 0.002 and same.noise < 0.06


def test_the_excess_hardly_ever_appears_where_there_is_none():
    random = np.random.default_rng(0)
    alarms = [excess_share(random.random(400), random.random((2, 300))).low > 0 for _ in range(400)]
    assert np.mean(alarms) < 0.04


def test_kinds_of_rows_count_as_often_as_the_generator_makes_them():
    """Of two equal halves one is odd; a generator that makes three of four odd ones is not odder for it."""
    real, fake = (
        np.concatenate([kind + np.linspace(0, 0.5, count) for kind, count in enumerate(counts)])
        for counts in ((500, 500), (250, 750))
    )
    assert excess_share(real, fake).low > 0.2
    assert excess_share(real, fake, weights=np.repeat([0.5, 1.5], 500)).low == 0


def test_odds_are_the_share_of_real_scores_as_large_and_grow_beyond_them():
    null = np.array([1.0, 2.0, 3.0, 4.0])
    found = odds_of(null, np.array([0.0, 2.0, 4.0, 9.0]))
    assert found[:3] == pytest.approx([0, -math.log(4 / 5), -math.log(2 / 5)])
    assert found[3] > -math.log(1 / 5)


def stacks(count, random, kinds=10):
    """Rows of three kinds each, one-hot with a little noise: 1,000 modes, (count, 3) and (count, 30)."""
    drawn = random.integers(kinds, size=(count, 3))
    return drawn, np.eye(kinds)[drawn].reshape(count, -1) + 0.05 * random.standard_normal((count, 3 * kinds))


def test_what_no_cell_shows_a_plane_cuts_off():
    """More modes than cells, of which those with one of three first kinds are missed: most cells hold others, too."""
    random = np.random.default_rng(0)
    kinds, real = stacks(3000, random)
    made, fake = stacks(5000, random)
    lacks = np.isin(made[:, 0], (2, 5, 7))
    found, truth = missed_mass(real, fake[~lacks]), float(np.isin(kinds[:, 0], (2, 5, 7)).mean())
    assert found.value == pytest.approx(truth, abs=0.02) and found.low < truth < found.high
    assert (found.flags == np.isin(kinds[:, 0], (2, 5, 7))).mean() > 0.97
    assert missed_mass(real, fake).value == 0
    # Made a quarter as often they are not missed.
    assert missed_mass(real, fake[~lacks | (np.arange(5000) % 4 == 0)]).value < 0.02


def test_a_plane_that_parts_real_rows_from_displaced_ones_shows_nothing_missing():
    random = np.random.default_rng(1)
    _, real = stacks(2000, random)
    _, fake = stacks(2000, random)
    displaced = np.concatenate([fake, fake], axis=1)[:, :30] + 0.2
    flags = cut_off(
        real, displaced, np.arange(2000), missed=1 / 9, by_chance=0.005, weight=1.0, random=np.random.default_rng(0)
    )
    assert flags.mean() > 0.9, "the plane is there"
    assert missed_mass(real, displaced).value == 0


def test_rows_that_repeat_each_other_do_not_confirm_what_they_made_look_so():
    random = np.random.default_rng(2)
    real = random.standard_normal((2000, 30))
    fake = random.standard_normal((60, 30))[random.integers(60, size=2000)]
    groups = np.unique(fake, axis=0, return_inverse=True)[1].ravel()
    law = {"missed": 1 / 9, "by_chance": 0.005, "weight": 0.03}
    assert not cut_off(real, fake, groups, **law, random=np.random.default_rng(0)).any()


def test_samples_that_look_otherwise_as_a_whole_lie_beyond_a_plane_and_dropped_modes_do_not():
    random, groups = np.random.default_rng(3), np.arange(3000)
    _, real = stacks(3000, random)
    made, fake = stacks(3000, random)
    fake_places, real_places = {}, {}
    others = {"same": fake, "displaced": fake + 0.1 * np.sign(random.standard_normal(30))}
    others["dropped"] = fake[~np.isin(made[:, 0], (2, 5, 7))]
    for name, rows in others.items():
        found = along_planes(real, rows, groups[: len(rows)], np.random.default_rng(0))
        real_places[name], fake_places[name] = found
    read = {name: excess_share(real_places[name], fake_places[name], shares=(0.01, 0.005)) for name in others}
    assert read["displaced"].low > 0.8
    assert read["same"].low < 0.02 and read["dropped"].low < 0.02
    assert along_planes(np.zeros((5, 2)), np.zeros((5, 2)), np.arange(5), random) is None
