"""Losses and divergences against formulas worked out apart from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from modecover import random
from modecover.losses import (
    ADVERSARIAL,
    DISTANCES,
    IMQ_SCALES,
    gaussian_kl,
    gradient_penalty,
    imq_mmd,
    moment_kl,
    multi_jensen_shannon,
    relativistic,
    squared_error,
    zero_centred_penalty,
)
from modecover.random import Streams, active

SCORES = np.array([-2.0, -0.3, 0.0, 0.7, 3.0])


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


WRITTEN = {
    # Goodfellow et al. 2014, eq. 1 and section 3; D(x) = sigmoid(score).
    "bce": (lambda s: -np.log(sigmoid(s)), lambda s: -np.log(1 - sigmoid(s)), lambda s: -np.log(sigmoid(s))),
    "minimax": (lambda s: -np.log(sigmoid(s)), lambda s: -np.log(1 - sigmoid(s)), lambda s: np.log(1 - sigmoid(s))),
    # Mao et al. 2017, eq. 8.
    "ls": (lambda s: (s - 1) ** 2 / 2, lambda s: (s + 1) ** 2 / 2, lambda s: s**2 / 2),
    # Arjovsky et al. 2017, eq. 2.
    "wasserstein": (lambda s: -s, lambda s: s, lambda s: -s),
    # Miyato et al. 2018, eq. 16-17.
    "hinge": (lambda s: -np.minimum(0, s - 1), lambda s: -np.minimum(0, -s - 1), lambda s: -s),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_losses_are_the_papers_means(name):
    loss = ADVERSARIAL[name]
    for piece, written in zip((loss.real, loss.fake, loss.generator), WRITTEN[name], strict=True):
        assert piece(torch.tensor(SCORES)).item() == pytest.approx(written(SCORES).mean(), rel=1e-12)


@pytest.mark.parametrize("name", ["bce", "minimax"])
def test_confident_scores_neither_overflow_nor_lose_their_gradient(name):
    """float32: log sigmoid(-200) is -200, not -inf."""
    loss = ADVERSARIAL[name]
    for piece, at, value, slope in ((loss.real, -200.0, 200.0, -1.0), (loss.fake, 200.0, 200.0, 1.0)):
        score = torch.tensor([at], requires_grad=True)
        out = piece(score)
        assert out.item() == pytest.approx(value)
        assert torch.autograd.grad(out, score)[0].item() == pytest.approx(slope)


def test_the_relativistic_loss_is_the_mean_over_pairs_and_falls_as_the_first_rises():
    """R3GAN, section 2, with f(t) = -log(1 + exp(-t)): f'(higher - lower) is the sigmoid of the margin's opposite."""
    higher, lower = torch.tensor(SCORES, requires_grad=True), torch.tensor(SCORES[::-1].copy(), requires_grad=True)
    margin = SCORES - SCORES[::-1]
    loss = relativistic(higher, lower)
    assert loss.item() == pytest.approx(np.log(1 + np.exp(-margin)).mean(), rel=1e-12)
    up, down = torch.autograd.grad(loss, (higher, lower))
    np.testing.assert_allclose(up, -sigmoid(-margin) / len(SCORES), rtol=1e-12)
    np.testing.assert_allclose(down, sigmoid(-margin) / len(SCORES), rtol=1e-12)


def test_only_differences_of_paired_scores_count():
    scores = torch.tensor(SCORES)
    for constant in (-50.0, 50.0):
        assert relativistic(scores + constant, constant - scores) == pytest.approx(relativistic(scores, -scores).item())
    assert relativistic(scores, scores[[1, 2, 3, 4, 0]]) != pytest.approx(relativistic(scores, scores).item())
    assert relativistic(torch.tensor([-300.0]), torch.tensor([300.0])).item() == pytest.approx(600)


def test_the_zero_centred_penalty_of_a_quadratic_is_its_squared_slope():
    """D(t) = c |t|^2 / 2 has gradient c t: the penalty is c^2 E |t|^2 with slope 2 c E |t|^2, rows being constants."""
    rows = np.random.default_rng(0).normal(size=(4, 1, 2, 3))
    c, t = torch.tensor(0.8, dtype=torch.float64, requires_grad=True), torch.tensor(rows, requires_grad=True)
    penalty = zero_centred_penalty(lambda x: c * x.flatten(1).square().sum(1) / 2, t)
    square = (rows**2).sum(axis=(1, 2, 3)).mean()
    assert penalty.item() == pytest.approx(0.64 * square)
    found, through_rows = torch.autograd.grad(penalty, (c, t), allow_unused=True)
    assert found.item() == pytest.approx(1.6 * square)
    assert through_rows is None


# ---------------------------------------------------------------------------------------------- gradient penalty


@pytest.mark.parametrize("w", [[0.3, -0.4], [3.0, 4.0], [-1.0, 0.0]])
def test_the_penalty_of_a_linear_critic(w):
    """D(x) = w . x + v has slope w everywhere: (|w| - 1)^2, with gradient 2 (|w| - 1) w / |w| and none for v."""
    weight, bias = torch.tensor(w, requires_grad=True), torch.tensor(0.7, requires_grad=True)
    x, y = torch.randn(6, 2), torch.randn(6, 2)
    penalty = gradient_penalty(lambda t: t @ weight + bias, x, y)
    size = math.hypot(*w)
    assert penalty.item() == pytest.approx((size - 1) ** 2, abs=1e-6)
    found, of_bias = torch.autograd.grad(penalty, (weight, bias), allow_unused=True)
    assert found.numpy() == pytest.approx(2 * (size - 1) * np.array(w) / size, abs=1e-6)
    assert of_bias is None or of_bias == 0


def test_the_penalty_of_a_one_dimensional_critic_pulls_its_slope_to_one():
    for w in (-2.0, -0.5, 0.5, 2.0):
        weight = torch.tensor(w, requires_grad=True)
        penalty = gradient_penalty(lambda t: t[:, 0] * weight, torch.randn(4, 1), torch.randn(4, 1))  # noqa: B023
        (found,) = torch.autograd.grad(penalty, weight)
        assert penalty.item() == pytest.approx((abs(w) - 1) ** 2)
        assert found.item() == pytest.approx(2 * (abs(w) - 1) * np.sign(w))


def test_the_penalty_is_taken_on_the_lines_between_pairs(monkeypatch):
    """D(t) = c |t|^2 / 2 has gradient norm c |t|; t_b = u_b x_b + (1 - u_b) y_b with one u for a whole row."""
    g = np.random.default_rng(0)
    x, y, u, c = g.normal(size=(4, 1, 2, 3)), g.normal(size=(4, 1, 2, 3)), g.uniform(size=(4, 1)), 0.8
    monkeypatch.setattr(random, "uniform_like", lambda like: torch.tensor(u).reshape(like.shape))
    slope = torch.tensor(c, dtype=torch.float64, requires_grad=True)
    real = torch.tensor(x, requires_grad=True)
    penalty = gradient_penalty(lambda t: slope * t.flatten(1).square().sum(1) / 2, real, torch.tensor(y))
    t = u[:, :, None, None] * x + (1 - u[:, :, None, None]) * y
    norms = np.linalg.norm(t.reshape(4, -1), axis=1)
    assert penalty.item() == pytest.approx(((c * norms - 1) ** 2).mean())
    found, through_samples = torch.autograd.grad(penalty, (slope, real), allow_unused=True)
    assert found.item() == pytest.approx((2 * (c * norms - 1) * norms).mean())
    assert through_samples is None


# ------------------------------------------------------------------------------------------------- the moments' KL


def test_moment_kl_is_the_kl_of_the_fitted_gaussians():
    """Against the integral of q log(q / p), coordinate by coordinate."""
    codes = np.random.default_rng(1).normal([0.5, -2.0, 0.0], [0.3, 2.0, 1.0], size=(40, 3))
    total = 0.0
    for coordinate in codes.T:
        q, p = stats.norm(coordinate.mean(), coordinate.std()), stats.norm()
        low, high = q.ppf([1e-12, 1 - 1e-12])
        total += integrate.quad(lambda t, q=q, p=p: q.pdf(t) * (q.logpdf(t) - p.logpdf(t)), low, high)[0]
    assert moment_kl(torch.tensor(codes)).item() == pytest.approx(total, rel=1e-6)


def test_moment_kl_vanishes_exactly_for_moments_zero_and_one():
    assert moment_kl(torch.tensor([[1.0, -1.0], [-1.0, 1.0]])).item() == pytest.approx(0, abs=1e-7)
    assert moment_kl(torch.tensor([[3.0], [1.0]])).item() == pytest.approx(2.0)  # mean 2, variance 1: 2^2 / 2
    assert moment_kl(torch.tensor([[2.0], [-2.0]])).item() == pytest.approx((4 - math.log(4) - 1) / 2)


def test_moment_kl_of_collapsed_codes_is_large_and_finite():
    codes = torch.full((8, 2), 0.5, requires_grad=True)
    kl = moment_kl(codes)
    assert 17 < kl.item() < math.inf  # 2 (-log 1e-8 - 1) / 2 and the mean
    assert torch.autograd.grad(kl, codes)[0].isfinite().all()


@pytest.mark.parametrize("std", [0.0, 1e-12, 1e-6, 1e-4, 1e-2])
def test_moment_kl_has_no_steep_gradient_where_codes_nearly_agree(std):
    """-std/(std^2 + 1e-8) for a row one std above the mean: at most 5e3, where 1/std has no bound."""
    codes = torch.tensor([[-1.0], [1.0]], dtype=torch.float64) * std
    codes.requires_grad_()
    (gradient,) = torch.autograd.grad(moment_kl(codes), codes)
    assert 2 * gradient[1].item() == pytest.approx(std - std / (std**2 + 1e-8), rel=1e-6)
    assert gradient.abs().max() <= 2.5e3


def test_moment_kl_of_stacked_seeds_is_the_mean_of_each_seeds_own():
    codes = torch.randn(3, 10, 2, dtype=torch.float64) * torch.tensor([0.5, 1, 3])[:, None, None]
    apart = [moment_kl(one).item() for one in codes]
    with active(Streams([0, 1, 2])):
        stacked = moment_kl(codes.flatten(0, 1)).item()
    assert stacked == pytest.approx(np.mean(apart), rel=1e-12)
    assert abs(moment_kl(codes.flatten(0, 1)).item() - stacked) > 0.1  # one Gaussian for all rows is another number


# ------------------------------------------------------------------------------------------------- Jensen-Shannon


def test_multi_jensen_shannon_is_the_mean_kl_to_the_mixture():
    """JS = mean_i KL(p_i || mean p), another formula than the entropies' difference, on four discrete laws."""
    p = np.random.default_rng(2).dirichlet(np.full(7, 0.5), size=4)
    p[0, 3:] = 0
    p[0] /= p[0].sum()
    mixture = p.mean(0)
    kl = [sum(a * math.log(a / b) for a, b in zip(row, mixture, strict=True) if a > 0) for row in p]
    assert multi_jensen_shannon(torch.tensor(p)).item() == pytest.approx(np.mean(kl), rel=1e-12)


def test_multi_jensen_shannon_of_densities_does_not_depend_on_the_cells():
    """Two exponentials of rates 1 and 3, by a grid and by adaptive integration of the mean KL."""

    def kl_to_mixture(a, b):
        return integrate.quad(lambda t: a(t) * math.log(2 * a(t) / (a(t) + b(t))), 0, 40)[0]

    def slow(t):
        return math.exp(-t)

    def fast(t):
        return 3 * math.exp(-3 * t)

    wanted = (kl_to_mixture(slow, fast) + kl_to_mixture(fast, slow)) / 2
    for cells in (4000, 16000):
        t = (torch.arange(cells, dtype=torch.float64) + 0.5) * (40 / cells)
        found = multi_jensen_shannon(torch.stack([(-t).exp(), 3 * (-3 * t).exp()]), 40 / cells)
        assert found.item() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_multi_jensen_shannon_lies_between_zero_and_log_k(k):
    same = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).repeat(k, 1)
    apart = torch.eye(k, dtype=torch.float64)
    assert multi_jensen_shannon(same).item() == pytest.approx(0, abs=1e-12)
    assert multi_jensen_shannon(apart).item() == pytest.approx(math.log(k), rel=1e-12)
    between = multi_jensen_shannon(0.5 * apart + 0.5 / k).item()
    assert 0.01 < between < math.log(k) - 0.01


# ---------------------------------------------------------------------------------------------------- distances


def test_distances_are_means_over_rows_and_coordinates():
    x, y = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    assert DISTANCES["pixel"](None, x, y).item() == pytest.approx((4 + 9) / 4)
    assert DISTANCES["pixel-sum"](None, x, y).item() == pytest.approx((4 + 9) / 2)
    images = torch.arange(48.0).view(2, 2, 3, 4)
    assert DISTANCES["pixel-sum"](None, images, 0 * images).item() == pytest.approx(sum(n * n for n in range(48)) / 2)

    def doubled_sums(t, head):
        assert head == "features"
        return 2 * t.sum(1, keepdim=True)

    assert DISTANCES["feature"](doubled_sums, x, y).item() == pytest.approx((4**2 + 6**2) / 2)


def test_the_features_of_real_rows_are_constants():
    x, y = torch.ones(2, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True)
    value = DISTANCES["feature"](lambda t, head: t, x, y)
    of_x, of_y = torch.autograd.grad(value, (x, y), allow_unused=True)
    assert (of_x is None, of_y.tolist()) == (True, [[-0.5, -0.5], [-0.5, -0.5]])  # 2 (0 - 1) / 4


# ------------------------------------------------------------------------------------------------- auto-encoders


def test_gaussian_kl_is_the_integral_of_the_definition():
    mean, variance = np.array([[0.3, -1.2], [0.0, 2.0], [0.7, 0.1]]), np.array([[0.5, 2.0], [1.0, 0.3], [1.7, 0.9]])
    rows = []
    for m, v in zip(mean.flat, variance.flat, strict=True):
        q, p = stats.norm(m, v**0.5), stats.norm()
        rows.append(integrate.quad(lambda t, q=q, p=p: q.pdf(t) * (q.logpdf(t) - p.logpdf(t)), -12, 12)[0])
    moments = torch.tensor(np.hstack([mean, np.log(variance)]))
    # A sum over the coordinates of a row (two), a mean over rows (three).
    assert gaussian_kl(moments).item() == pytest.approx(sum(rows) / 3, rel=1e-8)
    assert gaussian_kl(torch.zeros(4, 6)).item() == 0


def mmd_by_loops(a, b, scales=IMQ_SCALES):
    """The U-statistic, pair by pair."""

    def k(u, v):
        return sum(2 * len(u) * s / (2 * len(u) * s + ((u - v) ** 2).sum()) for s in scales)

    n = len(a)
    total = 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += (k(a[i], a[j]) + k(b[i], b[j])) / (n * (n - 1))
            total -= 2 * k(a[i], b[j]) / n**2
    return total


def test_mmd_is_its_definition_pair_by_pair():
    g = np.random.default_rng(0)
    a, b = g.normal(1, 2, (7, 3)), g.normal(size=(7, 3))
    assert imq_mmd(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(mmd_by_loops(a, b), rel=1e-10)
    one = imq_mmd(torch.tensor(a), torch.tensor(b), scales=[0.7]).item()
    assert one == pytest.approx(mmd_by_loops(a, b, [0.7]), rel=1e-10)


def test_mmd_s_gradient_is_the_kernel_s_derivative():
    """dk(a, b)/da = -2 C (a - b) / (C + |a - b|^2)^2, by hand, for a sample of two and one scale."""
    a, b = np.array([[0.5], [-1.0]]), np.array([[0.2], [1.5]])
    size = 2 * 1 * 0.5

    def slope(u, v):
        return -2 * size * (u - v) / (size + (u - v) ** 2) ** 2

    by_hand = [slope(a[0], a[1]) - 2 / 4 * (slope(a[0], b[0]) + slope(a[0], b[1]))]  # 2 pairs / (2 * 1), each once
    by_hand += [slope(a[1], a[0]) - 2 / 4 * (slope(a[1], b[0]) + slope(a[1], b[1]))]
    codes = torch.tensor(a, requires_grad=True)
    (gradient,) = torch.autograd.grad(imq_mmd(codes, torch.tensor(b), scales=[0.5]), codes)
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-10)


def test_mmd_has_no_bias_and_sees_a_shift():
    """Over many small samples of one law the mean is 0 within four standard errors; with codes shifted it is not."""
    g = torch.Generator().manual_seed(0)
    draws = torch.randn(2, 600, 4, 2, generator=g, dtype=torch.float64)
    same = torch.stack([imq_mmd(a, b) for a, b in zip(*draws, strict=True)])
    assert abs(same.mean()) < 4 * same.std() / 600**0.5
    shifted = torch.stack([imq_mmd(a + 1, b) for a, b in zip(*draws[:, :100], strict=True)])
    assert shifted.mean() > 6 * shifted.std() / 100**0.5


def test_mmd_of_stacked_seeds_is_the_mean_of_each_alone():
    g = torch.Generator().manual_seed(0)
    codes, prior = torch.randn(2, 12, 3, generator=g, dtype=torch.float64)
    with active(Streams([5, 6, 7])):
        together = imq_mmd(codes, prior).item()
    alone = [imq_mmd(a, b).item() for a, b in zip(codes.chunk(3), prior.chunk(3), strict=True)]
    assert together == pytest.approx(np.mean(alone), rel=1e-12)


def test_mmd_of_far_and_of_equal_codes_is_finite_in_float32():
    codes = torch.full((8, 16), 1e4, requires_grad=True)
    value = imq_mmd(codes, torch.randn(8, 16))
    (gradient,) = torch.autograd.grad(value, codes)
    assert value.isfinite()
    assert gradient.isfinite().all()
    # Codes all in one point far away: k is 1 for each scale among them and 0 across.
    assert value.item() > len(IMQ_SCALES)


def test_squared_error_sums_coordinates_and_averages_rows():
    y, x = torch.zeros(2, 1, 2, 2), torch.tensor([[[[1.0, 2.0], [0.0, 2.0]]], [[[0.0, 0.0], [3.0, 0.0]]]])
    assert squared_error(y, x).item() == (1 + 4 + 4 + 9) / 2
