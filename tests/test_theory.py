"""The theorems, met by trained networks: what an optimal classifier or discriminator leaves of its loss.

Training is to convergence (L-BFGS) on functions rich enough to hold the optimum; divergences are integrated apart.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn

from modecover.losses import ADVERSARIAL, multi_jensen_shannon
from modecover.methods.ivgan import IVGAN
from modecover.random import Streams, active, normal_like


def descend(parameters, loss, rounds=100):
    """Full-batch L-BFGS to convergence; returns the lowest loss."""
    optimizer = torch.optim.LBFGS(
        list(parameters), max_iter=rounds, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    return loss().item()


def quadratic(x: Tensor) -> Tensor:
    """Powers and products up to the second: the log ratio of two Gaussians is linear in them."""
    pairs = [x[:, i] * x[:, j] for i in range(x.shape[1]) for j in range(i + 1)]
    return torch.cat([x, torch.stack(pairs, dim=1)], dim=1)


def js_by_integration(densities, low, high):
    """mean_i KL(p_i || mean p) by adaptive integration: not the formula nor the sums of the package."""

    def integrand(t):
        p = np.array([density(t) for density in densities])
        p = p[p > 1e-300]
        return (p * np.log(p)).sum() - p.sum() * math.log(p.sum() / len(densities))

    points = np.linspace(low, high, 30)[1:-1]
    return integrate.quad(integrand, low, high, points=points, limit=400)[0] / len(densities)


# ---------------------------------------------------------------------------------- V_class = log k - JS (Theorem 3)

GAUSSIANS = {
    "overlapping": [(-1.0, 1.0), (1.0, 1.0)],
    "three of different widths": [(-2.0, 0.5), (0.0, 1.0), (1.5, 2.0)],
    "one inside another": [(0.0, 0.6), (0.0, 1.8)],
    "apart": [(-9.0, 1.0), (0.0, 1.0), (9.0, 1.0), (18.0, 1.0)],
    "equal": [(0.5, 1.3), (0.5, 1.3), (0.5, 1.3)],
}


@pytest.mark.parametrize("laws", GAUSSIANS.values(), ids=GAUSSIANS)
def test_an_optimal_classifier_leaves_log_k_minus_js(laws):
    """Expectations over a fine grid; a softmax of quadratics, which holds f*_i = p_i / sum_j p_j."""
    k, cells = len(laws), 1500
    low, high = min(m - 9 * s for m, s in laws), max(m + 9 * s for m, s in laws)
    width = (high - low) / cells
    t = torch.linspace(low + width / 2, high - width / 2, cells, dtype=torch.float64)
    p = torch.stack([torch.tensor(stats.norm(m, s).pdf(t)) for m, s in laws])
    features = quadratic(t[:, None] / 5)
    classifier = nn.Linear(2, k, dtype=torch.float64)

    def v_class():
        return -(p.T * classifier(features).log_softmax(1)).sum() * width / k

    value = descend(classifier.parameters(), v_class, 2000)
    js = multi_jensen_shannon(p, width).item()
    assert js == pytest.approx(js_by_integration([stats.norm(m, s).pdf for m, s in laws], low, high), abs=1e-5)
    assert value == pytest.approx(math.log(k) - js, rel=0.02, abs=1e-3)
    assert math.log(k) - value == pytest.approx(js, rel=0.02, abs=1e-3)
    optimal = (p / p.sum(0)).T
    weight = p.mean(0)[:, None] * width
    assert ((classifier(features).softmax(1) - optimal).abs() * weight).sum() < 0.01 * k


def test_ivgans_own_classifier_term_reaches_log_k_minus_js():
    """The method's step itself, E and G the identity: x ~ N(0, diag(9, 1/4)) in the plane, O_i renews coordinate i.

    p_1 = N(0, 1) x N(0, 1/4) and p_2 = N(0, 9) x N(0, 1). A sample of 60,000 has a standard error of 0.4% of JS.
    """
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60_000, 2, dtype=torch.float64, generator=g) * torch.tensor([3.0, 0.5])
    classifier = nn.Linear(5, 2, dtype=torch.float64)

    def judge(points, head="adversarial"):
        return classifier(quadratic(points)) if head == "classes" else torch.zeros(len(points), dtype=torch.float64)

    method = IVGAN(k=2, classifier_weight=1.0)

    def step():
        with active(Streams([0]).at("fixed")):
            return next(
                iter(method.step(lambda z, kind="prior": z, lambda x: x, judge, lambda: x, lambda: normal_like(x)))
            )

    value = descend(classifier.parameters(), lambda: step()[1]["classifier"], 60)

    axis = (torch.arange(600, dtype=torch.float64) + 0.5) / 20 - 15
    n = [torch.tensor(stats.norm(0, s).pdf(axis)) for s in (0.5, 1.0, 3.0)]
    p = torch.stack([torch.outer(n[1], n[0]).flatten(), torch.outer(n[2], n[1]).flatten()])
    js = multi_jensen_shannon(p, 1 / 400).item()
    assert 0.2 < js < 0.5
    assert math.log(2) - value == pytest.approx(js, rel=0.02)


def test_no_classifier_does_better():
    """Any other softmax has a larger loss: the optimum is a minimum, its value log k - JS a lower bound."""
    p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
    best = math.log(2) - multi_jensen_shannon(p).item()
    for _ in range(200):
        other = torch.randn(3, 2, dtype=torch.float64).log_softmax(1).T
        assert -(p * other).sum().item() / 2 >= best
    optimal = (p / p.sum(0)).log()
    assert -(p * optimal).sum().item() / 2 == pytest.approx(best, rel=1e-12)


# ------------------------------------------------------------------------------------ the games of two distributions

QUANTILES = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000


def sample_at_quantiles(m, s):
    """Points of equal weight: a mean over them is an expectation under N(m, s^2)."""
    return torch.tensor(stats.norm(m, s).ppf(QUANTILES))[:, None]


@pytest.mark.parametrize(("real", "fake"), [((0, 1), (1, 1)), ((0, 1), (0, 2)), ((-1, 0.7), (1, 1.2))])
def test_an_optimal_discriminator_leaves_log_4_minus_twice_js(real, fake):
    """Goodfellow et al. 2014, Theorem 1: min_D of its loss is log 4 - 2 JS, and D* is the log ratio of densities."""
    x, y = sample_at_quantiles(*real), sample_at_quantiles(*fake)
    D, loss = nn.Linear(2, 1, dtype=torch.float64), ADVERSARIAL["minimax"]

    def score(t):
        return D(quadratic(t)).flatten()

    value = descend(D.parameters(), lambda: loss.real(score(x)) + loss.fake(score(y)))
    js = js_by_integration([stats.norm(*real).pdf, stats.norm(*fake).pdf], -15, 15)
    assert (math.log(4) - value) / 2 == pytest.approx(js, rel=0.02)
    ratio = stats.norm(*real).logpdf(x) - stats.norm(*fake).logpdf(x)
    assert (score(x)[:, None] - torch.tensor(ratio)).abs().mean() < 0.03
    # What the minimax G descends beside D's own part: E log(1 - D*(y)) = KL(q || m) - log 2.
    q, p = stats.norm(*fake).pdf, stats.norm(*real).pdf
    kl = integrate.quad(lambda t: q(t) * math.log(2 * q(t) / (q(t) + p(t))), -12, 12)[0]
    assert loss.generator(score(y)).item() == pytest.approx(kl - math.log(2), rel=0.02)


def test_an_optimal_least_squares_discriminator_gives_pearsons_chi_squared():
    """Mao et al. 2017, eq. 9: with labels 1, -1, 0, E_p D*^2 + E_q D*^2 = integral of (p - q)^2 / (p + q)."""
    p, q = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]], dtype=torch.float64)
    x = torch.arange(3).repeat_interleave((10 * p).round().int())  # ten points of equal weight for each law
    y = torch.arange(3).repeat_interleave((10 * q).round().int())
    table, loss = torch.zeros(3, dtype=torch.float64, requires_grad=True), ADVERSARIAL["ls"]
    descend([table], lambda: loss.real(table[x]) + loss.fake(table[y]))
    assert table.tolist() == pytest.approx(((p - q) / (p + q)).tolist(), abs=1e-6)
    pearson = ((p - q) ** 2 / (p + q)).sum().item()
    assert 2 * (loss.generator(table[x]) + loss.generator(table[y])).item() == pytest.approx(pearson, rel=1e-6)


# ------------------------------------------------------------------------- Example 1 of IVGAN, square fitting, mended

OFFSETS = [0.0, 0.25, 0.5, 1.0]


def corners(a):
    """Lower left corners of the unit squares alpha, beta, gamma_1, gamma_2."""
    return np.array([(-0.5, -0.5), (a - 0.5, 0.5), (-0.5, 0.5), (a - 0.5, -0.5)])


def covering(points, a):
    """How many of the four squares cover each point."""
    inside = (points[:, None] >= corners(a)) & (points[:, None] < corners(a) + 1)
    return inside.all(2).sum(1)


@pytest.mark.parametrize("a", OFFSETS)
def test_square_fitting_in_closed_form(a):
    """Density 1/4 on an area 4a and 1/2 on 2(1 - a): the four-way JS is (1 + a) log 2; a grid agrees, cell by cell."""
    once, twice = 4 * a, 2 * (1 - a)
    assert once / 4 + twice / 2 == pytest.approx(1)
    entropy = once / 4 * math.log(4) + twice / 2 * math.log(2)  # each square's own entropy is log 1 = 0
    assert entropy == pytest.approx((1 + a) * math.log(2))

    axis = (np.arange(80) + 0.5) / 20 - 1.25  # cells of side 1/20, whose edges meet every square's
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    p = torch.tensor(np.stack([((points >= c) & (points < c + 1)).all(1) for c in corners(a)]).astype(float))
    assert (p.sum(1) / 400).tolist() == pytest.approx([1, 1, 1, 1])
    assert (covering(points, a) == 1).sum() / 400 == pytest.approx(once)
    assert (covering(points, a) == 2).sum() / 400 == pytest.approx(twice)
    assert multi_jensen_shannon(p, 1 / 400).item() == pytest.approx((1 + a) * math.log(2), rel=1e-9)
    assert multi_jensen_shannon(p[:2], 1 / 400).item() == pytest.approx(math.log(2), rel=1e-9)  # whatever a is


@pytest.mark.parametrize("a", OFFSETS)
def test_square_fitting_by_monte_carlo(a):
    """-E log(mixture density) over 40,000 points: standard error sqrt(a(1 - a)) log 2 / 200, at most 0.0018."""
    g = np.random.default_rng(5)
    points = corners(a)[g.integers(4, size=40_000)] + g.uniform(size=(40_000, 2))
    surprise = -np.log(covering(points, a) / 4)
    error = surprise.std() / 200
    assert error == pytest.approx(math.sqrt(a * (1 - a)) * math.log(2) / 200, abs=2e-5)
    assert surprise.mean() == pytest.approx((1 + a) * math.log(2), abs=4 * error + 1e-12)


@pytest.mark.parametrize("a", OFFSETS)
def test_square_fitting_by_a_trained_classifier(a):
    """log 4 minus what is left to a classifier trained on the pieces the squares' edges cut out."""
    xs = np.unique([-0.5, 0.5, a - 0.5, a + 0.5])
    cells = [(x0, x1, y0) for x0, x1 in itertools.pairwise(xs) for y0 in (-0.5, 0.5)]
    middles = np.array([((x0 + x1) / 2, y0 + 0.5) for x0, x1, y0 in cells])
    p = np.stack([((middles >= c) & (middles < c + 1)).all(1) for c in corners(a)]) * [x1 - x0 for x0, x1, _ in cells]
    mass, logits = torch.tensor(p), torch.zeros(4, len(cells), dtype=torch.float64, requires_grad=True)
    value = descend([logits], lambda: -(mass * logits.log_softmax(0)).sum() / 4)
    assert math.log(4) - value == pytest.approx((1 + a) * math.log(2), rel=0.02)
