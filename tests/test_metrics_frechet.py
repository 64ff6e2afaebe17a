"""Frechet distances against matrix square roots, closed forms and exact rank arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg

from modecover.errors import UserError
from modecover.metrics import frechet as module
from modecover.metrics import frechet_distance, frechet_from_statistics, frechet_latent_distance, gaussian_statistics


def by_square_root(x, y):
    """The textbook: a square root by eigenvectors of S1, then the eigenvalues of S1^(1/2) S2 S1^(1/2)."""
    first, second = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = linalg.svdvals(root @ linalg.cholesky(second + 0 * np.eye(len(second)), lower=True)).sum()
    shift = x.mean(0) - y.mean(0)
    return shift @ shift + np.trace(first) + np.trace(second) - 2 * cross


def clouds(n, m, d, seed=0):
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((d, d))
    return random.standard_normal((n, d)) @ mixing, 1.3 * random.standard_normal((m, d)) @ mixing.T + 0.4


@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 12), (90, 500, 40), (50, 60, 1)])
def test_full_rank_agrees_with_the_matrix_square_root(n, m, d):
    x, y = clouds(n, m, d)
    expected = by_square_root(x, y)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    covariances = [np.atleast_2d(np.cov(points, rowvar=False)) for points in (x, y)]
    ahead, back = (x.mean(0), covariances[0]), (y.mean(0), covariances[1])
    assert frechet_from_statistics(*ahead, *back) == pytest.approx(expected, rel=1e-9)
    assert frechet_from_statistics(*back, *ahead) == pytest.approx(expected, rel=1e-9)


def test_full_rank_agrees_with_scipys_square_root_of_the_product():
    x, y = clouds(500, 400, 10)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("statistics", [False, True])
def test_a_singular_covariance_is_exact(statistics):
    """Rows of a subspace, rotated: the distance is that of the rows before the rotation."""
    x, y = clouds(300, 200, 6)
    rotation = linalg.qr(np.random.default_rng(1).standard_normal((30, 30)))[0][:6]
    expected = by_square_root(x, y)
    a, b = x @ rotation, y @ rotation
    if statistics:
        found = frechet_from_statistics(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    else:
        found = frechet_distance(a, b)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 15, 60), (20, 300, 60), (300, 20, 60), (60, 60, 60)])
def test_fewer_rows_than_dimensions_are_exact(n, m, d):
    """Axes of the span of all rows hold everything; there the singular values of the centred rows give the trace."""
    x, y = clouds(n, m, d, seed=3)
    centred_x, centred_y = (x - x.mean(0)) / np.sqrt(n - 1), (y - y.mean(0)) / np.sqrt(m - 1)
    shift = x.mean(0) - y.mean(0)
    squares = shift @ shift + (centred_x**2).sum() + (centred_y**2).sum()
    expected = squares - 2 * linalg.svdvals(centred_x @ centred_y.T).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)
    found = frechet_from_statistics(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert found == pytest.approx(expected, rel=1e-6)


def test_repeated_rows_do_not_spoil_small_singular_values():
    """200 copies of 5 rows: of 199 singular values all but 4 vanish, and the roots of rounding would add up."""
    x, y = clouds(200, 200, 400)
    x[:] = x[np.arange(200) % 5]
    y[:] = y[np.arange(200) % 5]
    centred_x, centred_y = (x - x.mean(0)) / np.sqrt(199), (y - y.mean(0)) / np.sqrt(199)
    shift = x.mean(0) - y.mean(0)
    trace = linalg.svdvals(centred_x @ centred_y.T)[:4].sum()
    expected = shift @ shift + (centred_x**2).sum() + (centred_y**2).sum() - 2 * trace
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-11)


def test_a_steep_spectrum_is_right_although_it_is_squared():
    """Standard deviations over seven decades: the roots of eigenvalues of rounding size would be wrong by 1e-9."""
    random = np.random.default_rng(0)
    rotation = torch.from_numpy(linalg.qr(random.standard_normal((300, 300)))[0])
    scale = np.arange(1, 301) ** -3.0
    x, y = ((random.standard_normal((1200, 300)) * scale) @ rotation.numpy() for _ in range(2))
    mean_x, mean_y = x.mean(0), y.mean(0)
    factor_x, factor_y = (x - mean_x) / np.sqrt(1199), (y - mean_y) / np.sqrt(1199)
    trace = linalg.svdvals(linalg.qr(factor_x, mode="r")[0][:300] @ linalg.qr(factor_y, mode="r")[0][:300].T).sum()
    expected = ((mean_x - mean_y) ** 2).sum() + (factor_x**2).sum() + (factor_y**2).sum() - 2 * trace
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.5])
def test_eigenvalues_of_the_product_agree_with_singular_values(power):
    """Regular covariances of every steepness: whichever way is trusted, the sum is that of the rows' singular values,
    up to what is promised (1e-9), and either set may come first."""
    random = np.random.default_rng(5)
    scale = np.arange(1, 201) ** -power
    x = random.standard_normal((900, 200)) * scale
    y = (1.1 * random.standard_normal((700, 200)) * scale) @ linalg.qr(random.standard_normal((200, 200)))[0] + 0.01
    factors = [linalg.qr((rows - rows.mean(0)) / np.sqrt(len(rows) - 1), mode="r")[0][:200] for rows in (x, y)]
    shift = x.mean(0) - y.mean(0)
    trace = linalg.svdvals(factors[0] @ factors[1].T).sum()
    expected = shift @ shift + sum((factor**2).sum() for factor in factors) - 2 * trace
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)


def test_never_negative_and_zero_for_equal_sets():
    for n, d in [(40, 5), (5, 40), (2, 3), (300, 30)]:
        x, _ = clouds(n, 2, d, seed=n)
        assert 0 <= frechet_distance(x, x) < 1e-10 * np.trace(np.cov(x, rowvar=False))


def test_constant_sets_are_as_far_as_their_means():
    assert frechet_distance(np.zeros((5, 3)), np.full((4, 3), 2.0)) == 12
    x = np.random.default_rng(0).standard_normal((50, 3))
    expected = (x.mean(0) ** 2).sum() + np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(x, np.zeros((4, 3))) == pytest.approx(expected, rel=1e-12)


def test_number_types_and_tensors_agree():
    x, y = (np.round(values * 8) / 8 for values in clouds(60, 50, 4))
    expected = frechet_distance(x, y)
    for kind in (np.float16, np.float32):
        assert frechet_distance(x.astype(kind), y.astype(kind)) == expected
    assert frechet_distance(torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)) == expected


def test_latent_distance_is_the_closed_form():
    """|mu|^2 + tr (S + I - 2 S^(1/2)), by eigenvalues and for fewer codes than dimensions."""
    for n, d in [(500, 6), (10, 25)]:
        codes = clouds(n, 2, d)[0]
        values = linalg.eigvalsh(np.cov(codes, rowvar=False)).clip(0)
        values[: max(0, d - n + 1)] = 0
        expected = (codes.mean(0) ** 2).sum() + ((np.sqrt(values) - 1) ** 2).sum()
        assert frechet_latent_distance(codes) == pytest.approx(expected, rel=1e-9)


def test_statistics_are_numpys():
    x, _ = clouds(700, 2, 5)
    mean, covariance = gaussian_statistics(x)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(x, rowvar=False), rtol=1e-10)


def test_pieces_of_any_size_give_the_same(monkeypatch):
    x, y = clouds(100, 90, 5)
    expected = frechet_distance(x, y)
    monkeypatch.setattr("modecover.metrics.arrays._BYTES_AT_A_TIME", 7 * 8 * 5)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_the_pivoted_factor_has_the_rank_of_the_matrix():
    half = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 9)))
    factor = module._factor_of_covariance(half.T @ half)
    assert len(factor) == 4
    torch.testing.assert_close(factor.T @ factor, half.T @ half, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 3), (4, 30)])
@pytest.mark.parametrize("unit", [1e-150, 1e-90, 1e90, 1e150])
def test_the_unit_of_the_features_is_a_factor(shape, unit):
    x = np.random.default_rng(0).normal(size=shape)
    y = 1.1 * x + 0.3
    for first, second in ((x, y), (y, x), (x, x)):
        expected = unit**2 * frechet_distance(first, second)
        assert frechet_distance(unit * first, unit * second) == pytest.approx(expected, rel=1e-9, abs=1e-12 * unit**2)
    assert frechet_latent_distance(1e150 * x) == pytest.approx(1e300 * (x.mean(0) @ x.mean(0) + x.var(0, ddof=1).sum()))


def test_numbers_whose_squares_have_no_end_are_refused():
    x = np.random.default_rng(0).normal(size=(40, 3))
    calls = (frechet_latent_distance, gaussian_statistics, lambda rows: frechet_distance(x, rows))
    for call in (*calls, lambda rows: frechet_from_statistics(rows[0], np.eye(3), x[0], np.eye(3))):
        with pytest.raises(UserError, match="whose squares have no end; rescale all rows"):
            call(1e160 * x)
    with pytest.raises(UserError, match="the second covariance has variances beyond"):
        frechet_from_statistics(x[0], np.eye(3), x[0], 1e305 * np.eye(3))


def test_bad_input_is_named():
    x = np.ones((4, 2))
    with pytest.raises(UserError, match="row 2 of fake"):
        frechet_distance(x, np.array([[0, 0], [1, 1], [np.nan, 0], [np.inf, 0]]))
    with pytest.raises(UserError, match="real has 2 dimensions and fake 3"):
        frechet_distance(x, np.ones((4, 3)))
    with pytest.raises(UserError, match="real has 1 row"):
        frechet_distance(x[:1], x)
    with pytest.raises(UserError, match="samples, dimensions"):
        frechet_distance(np.ones(5), x)
    with pytest.raises(UserError, match="second covariance has shape"):
        frechet_from_statistics(np.zeros(2), np.eye(2), np.zeros(2), np.eye(3))
    with pytest.raises(UserError, match="not symmetric"):
        frechet_from_statistics(np.zeros(2), np.array([[1.0, 1], [0, 1]]), np.zeros(2), np.eye(2))
    with pytest.raises(UserError, match="negative variance"):
        frechet_from_statistics(np.zeros(2), np.diag([1.0, -1]), np.zeros(2), np.eye(2))
