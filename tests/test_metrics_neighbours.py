"""The pass over all pairs against plain loops, the prdc package, definitions and simulation."""

from __future__ import annotations

import contextlib
import io
import itertools

import numpy as np
import pytest
import torch

from modecover.errors import UserError
from modecover.metrics import expected_coverage, kernel_distance, neighbour_statistics, pairwise
from modecover.metrics import neighbours as module
from modecover.metrics.neighbours import held_against


@pytest.fixture(params=["float64", "float32"])
def precision(request, monkeypatch):
    """Small sets are otherwise computed in float64, and float32 with its bounds would go untested."""
    if request.param == "float32":
        monkeypatch.setattr(pairwise, "FEW_DIMENSIONS", 0)
        monkeypatch.setattr(pairwise, "LITTLE_WORK", 0)
    return request.param


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_BLOCK", 64)


def distances(x, y):
    """By differences, in float64."""
    return np.sqrt(np.square(x[:, None].astype(np.float64) - y[None].astype(np.float64)).sum(axis=2))


def by_loops(x, y, k):
    """Every number of the four by its definition."""
    within_x, within_y, between = distances(x, x), distances(y, y), distances(x, y)
    radius_x, radius_y = np.sort(within_x)[:, k], np.sort(within_y)[:, k]
    in_x, in_y = between < radius_x[:, None], between < radius_y[None]
    return {
        "precision": in_x.any(axis=0).mean(),
        "recall": in_y.any(axis=1).mean(),
        "density": in_x.sum() / (k * len(y)),
        "coverage": in_x.any(axis=1).mean(),
    }


def four(found):
    return {name: getattr(found, name) for name in ("precision", "recall", "density", "coverage")}


def clouds(n, m, d, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, d)), 0.8 * random.standard_normal((m, d)) + 0.2


CLUSTERS = np.random.default_rng(5).standard_normal((12, 8)) * 50


def clusters(count, seed):
    random = np.random.default_rng(seed)
    return CLUSTERS[random.integers(0, 12, count)] + 0.003 * random.standard_normal((count, 8))


CASES = {
    "plane": clouds(150, 230, 2),
    "line": clouds(90, 70, 1),
    "many dimensions": clouds(120, 200, 300),
    "tight far clusters": (clusters(300, 0), clusters(210, 1)),
    "far from the origin": tuple(1e5 + 1e-2 * points for points in clouds(130, 100, 5)),
    "huge": tuple(1e150 * points for points in clouds(60, 70, 5)),
    "tiny": tuple(1e-30 * points for points in clouds(60, 70, 5)),
    "an outlier": (np.concatenate([clouds(100, 1, 3)[0], [[1e7, 0, 0]]]), clouds(1, 120, 3)[1]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 5])
def test_the_four_numbers_are_their_definitions(case, k, precision, small_blocks):
    x, y = CASES[case]
    assert four(neighbour_statistics(x, y, k=k)) == pytest.approx(by_loops(x, y, k), rel=1e-14)


@pytest.mark.parametrize(("n", "m", "d", "k"), [(400, 400, 20, 5), (700, 300, 64, 3), (200, 500, 150, 7)])
def test_the_four_numbers_are_those_of_prdc(n, m, d, k, precision):
    prdc = pytest.importorskip("prdc", reason="the package prdc is not installed")
    x, y = (points.astype(np.float32) for points in clouds(n, m, d, seed=n))
    with contextlib.redirect_stdout(io.StringIO()):
        expected = prdc.compute_prdc(x, y, k)
    assert expected["precision"] > 0 and expected["recall"] < 1
    assert four(neighbour_statistics(x, y, k=k)) == pytest.approx(expected, rel=1e-14)


def test_whole_numbers_have_ties_and_repeats_which_no_rounding_decides(precision, small_blocks):
    """On a lattice many distances equal radii, and a distance equal to the radius is outside."""
    random = np.random.default_rng(2)
    x, y = random.integers(0, 6, (200, 3)), random.integers(0, 6, (150, 3))
    assert four(neighbour_statistics(x, y, k=3)) == pytest.approx(by_loops(x, y, 3), rel=1e-14)
    centred = np.concatenate([x, 5 - x]), np.concatenate([y, 5 - y])
    assert four(neighbour_statistics(*centred, k=3)) == pytest.approx(by_loops(*centred, 3), rel=1e-14)


def test_radii_and_nearest_rows_are_those_of_the_full_matrix(precision, small_blocks):
    x, y = clouds(170, 140, 9)
    found = neighbour_statistics(x, y, k=4)
    np.testing.assert_allclose(found.real_radius, np.sort(distances(x, x))[:, 4], rtol=1e-12)
    np.testing.assert_allclose(found.fake_radius, np.sort(distances(y, y))[:, 4], rtol=1e-12)
    own = np.diag(np.full(170, np.inf)), np.diag(np.full(140, np.inf))
    pairs = [
        (found.real_to_fake, distances(x, y)),
        (found.fake_to_real, distances(y, x)),
        (found.real_to_real, distances(x, x) + own[0]),
        (found.fake_to_fake, distances(y, y) + own[1]),
    ]
    for neighbours, matrix in pairs:
        np.testing.assert_array_equal(neighbours.index, matrix.argmin(axis=1))
        np.testing.assert_allclose(neighbours.distance, matrix.min(axis=1), rtol=1e-12)
    in_x = distances(x, y) < found.real_radius[:, None]
    np.testing.assert_array_equal(found.covered, in_x.any(axis=1))
    np.testing.assert_array_equal(found.holding_fake, in_x.sum(axis=0))
    np.testing.assert_array_equal(found.holding_real, (distances(x, y) < found.fake_radius).sum(axis=1))


def test_the_kernel_distance_is_its_definition():
    x, y = clouds(130, 90, 30)

    def kernel(a, b):
        return (a @ b / 30 + 1) ** 3

    real = sum(kernel(a, b) for a, b in itertools.permutations(x, 2)) / (130 * 129)
    fake = sum(kernel(a, b) for a, b in itertools.permutations(y, 2)) / (90 * 89)
    both = sum(kernel(a, b) for a in x for b in y) / (130 * 90)
    expected = real + fake - 2 * both
    assert kernel_distance(x, y) == pytest.approx(expected, abs=1e-12)
    assert neighbour_statistics(x, y).kernel.value == pytest.approx(expected, abs=1e-12)


def test_the_kernel_distance_in_float32_is_close(monkeypatch, small_blocks):
    monkeypatch.setattr(pairwise, "LITTLE_WORK", 0)
    x, y = (points + 2 for points in clouds(300, 250, 100))
    largest = ((x**2).sum(axis=1).max() / 100 + 1) ** 3
    found = neighbour_statistics(x, y).kernel
    assert found.value == pytest.approx(kernel_distance(x, y), abs=1e-6 * largest)


def test_subsets_are_kernel_distances_of_random_subsets(precision, small_blocks):
    """Recomputed from the same draws, subset by subset, by the definition."""
    x, y = clouds(100, 140, 12)
    found = neighbour_statistics(x, y, subsets=7, subset_size=30, seed=11).kernel
    random = np.random.default_rng(11)
    of_x = [random.choice(100, 30, replace=False) for _ in range(7)]
    of_y = [random.choice(140, 30, replace=False) for _ in range(7)]
    each = [kernel_distance(x[a], y[b]) for a, b in zip(of_x, of_y, strict=True)]
    assert (found.subsets, found.subset_size) == (7, 30)
    assert found.subset_mean == pytest.approx(np.mean(each), abs=1e-5 if precision == "float32" else 1e-12)
    assert found.subset_std == pytest.approx(np.std(each), abs=1e-5 if precision == "float32" else 1e-12)
    assert neighbour_statistics(x, y).kernel.subset_size == 50


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    random = np.random.default_rng(0)
    repeats = [(random.standard_normal((150, 4)), 1.3 * random.standard_normal((100, 4)) + 0.5) for _ in range(40)]
    found = [neighbour_statistics(x, y, subsets=1).kernel for x, y in repeats]
    spread = np.std([one.value for one in found], ddof=1)
    # 40 repeats know their own spread to about 11 %.
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 1), (30, 60, 3), (60, 25, 5)])
def test_expected_coverage_is_that_of_simulated_equal_laws(n, m, k):
    random = np.random.default_rng(1)
    found = [
        neighbour_statistics(random.standard_normal((n, 2)), random.standard_normal((m, 2)), k=k, subsets=1).coverage
        for _ in range(50)
    ]
    error = np.std(found, ddof=1) / np.sqrt(50)
    assert np.mean(found) == pytest.approx(expected_coverage(n, m, k), abs=4 * error)


def test_expected_coverage_counts_orders():
    """Of the 35 orders of 4 other real and 3 fake rows, those that begin with two real ones miss the row."""
    orders = list(itertools.combinations(range(7), 4))
    missed = sum(0 in real and 1 in real for real in orders)
    assert expected_coverage(5, 3, 2) == pytest.approx(1 - missed / len(orders))
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(1 - 2**-5, abs=1e-3)


def test_collisions_are_pairs_within_the_radius(precision, small_blocks):
    random = np.random.default_rng(3)
    x = random.standard_normal((400, 6))
    support = random.standard_normal((20, 6))
    y = support[random.integers(0, 20, 300)]
    found = neighbour_statistics(x, y).collisions
    own = distances(x, x) + np.diag(np.full(400, np.inf))
    assert found.radius == pytest.approx(np.sort(own.min(axis=1))[3], rel=1e-12)
    np.testing.assert_array_equal(found.fake, (distances(y, y) <= found.radius).sum(axis=1) - 1)
    np.testing.assert_array_equal(found.real, (own <= found.radius).sum(axis=1))
    assert found.fake_pairs == sum(n * (n - 1) // 2 for n in np.unique(y, axis=0, return_counts=True)[1])


def test_collapsed_sets_have_numbers_too(precision):
    x = np.random.default_rng(0).standard_normal((50, 3))
    one = np.full((30, 3), 0.1)
    found = neighbour_statistics(x, one)
    assert four(found) == pytest.approx(by_loops(x, one, 5))
    assert np.all(found.fake_radius == 0)
    assert found.collisions.fake_pairs == 30 * 29 // 2
    both = neighbour_statistics(one, one)
    assert four(both) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    assert both.kernel.value == pytest.approx(0, abs=1e-12)


def test_copies_are_at_distance_zero(precision):
    train, fresh = clouds(80, 1, 40)[0], clouds(60, 1, 40, seed=9)[0]
    found = held_against(train, train[[5, 7, 7, 30] * 10], k=1)
    np.testing.assert_array_equal(found.nearest.distance, 0)
    np.testing.assert_array_equal(found.nearest.index, [5, 7, 7, 30] * 10)
    assert held_against(train, fresh, k=1).nearest.distance.min() > 0


def test_number_types_memory_and_devices_change_nothing(monkeypatch):
    x, y = (np.round(points * 16) / 16 for points in clouds(300, 200, 5))
    expected = neighbour_statistics(x, y)
    for kind in (np.float16, np.float32):
        assert four(neighbour_statistics(x.astype(kind), y.astype(kind))) == four(expected)
    assert four(neighbour_statistics(torch.from_numpy(x).requires_grad_(), y[:, ::-1][:, ::-1])) == four(expected)
    ticks = []
    little = neighbour_statistics(x, y, memory=2**20, progress=lambda done, total: ticks.append((done, total)))
    assert four(little) == four(expected)
    assert little.kernel.value == pytest.approx(expected.kernel.value, abs=1e-12)
    assert [done for done, _ in ticks] == list(range(1, ticks[-1][1] + 1))
    assert len(ticks) > 10


def test_lower_precision_products_are_not_trusted(monkeypatch):
    monkeypatch.setattr(pairwise, "FEW_DIMENSIONS", 0)
    monkeypatch.setattr(pairwise, "LITTLE_WORK", 0)
    rows = [torch.randn(50, 70)]
    assert pairwise.Frame.around(rows).dtype == torch.float32
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert pairwise.Frame.around(rows).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_enclose_the_exact_distances(dtype, monkeypatch):
    random = np.random.default_rng(0)
    rows = torch.from_numpy(10 ** random.uniform(-3, 3, (300, 1)) * random.standard_normal((300, 200)))
    rows[100:200] = rows[:100] * (1 + 1e-6 * torch.from_numpy(random.standard_normal((100, 200))))
    around = pairwise.Frame.around([rows])
    points = pairwise.Points(rows, pairwise.Frame(around.centre, around.scale, dtype), keep=True, block=300)
    ((_, _, bounds),) = pairwise.blocks(points, points)
    low = bounds.double()
    exact = torch.from_numpy(distances(rows.numpy(), rows.numpy()) / points.frame.scale) ** 2
    assert (low <= exact).all()
    assert (exact <= low + points.slack[:, None] + points.slack).all()


def test_bad_input_is_named():
    x, y = clouds(20, 20, 3)
    with pytest.raises(UserError, match="k is 20 and the smaller set has 20 rows"):
        neighbour_statistics(x, y, k=20)
    with pytest.raises(UserError, match="row 7 of fake"):
        neighbour_statistics(x, np.where(np.arange(20)[:, None] == 7, np.inf, y))
    with pytest.raises(UserError, match="whose squares have no end"):
        neighbour_statistics(np.where(x > 0, 1.7e308, -1.7e308), y)
    with pytest.raises(UserError, match="subsets"):
        neighbour_statistics(x, y, subsets=0)
    with pytest.raises(UserError, match="memory is 10: give at least 1,048,576"):
        neighbour_statistics(x, y, memory=10)
    with pytest.raises(UserError, match="below the real rows"):
        expected_coverage(5, 5, 5)
