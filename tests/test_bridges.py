"""Bridges from the codes' law to the prior: their ends, what lies between, and SVGD against NumPy.

Distances between laws are energy distances of two samples: 2 E|X - Y| - E|X - X'| - E|Y - Y'|, which is 0 exactly where
the laws agree (Szekely and Rizzo 2013).
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, pdist
from test_interventions import changed, normal

from modecover.errors import UserError
from modecover.interventions import (
    INTERVENTIONS,
    CumulativeSubstitution,
    RadialSubstitution,
    SteinBridge,
    stein_direction,
)
from modecover.random import Streams, active

ROWS, D, T = 40_000, 4, 4
EXACT = {"cumulative": CumulativeSubstitution, "radial": RadialSubstitution}
BRIDGES = {name: INTERVENTIONS[name] for name in ("cumulative", "radial", "svgd")}


def at(bridge, i, code, noise):
    return bridge(code, torch.full((len(code),), i), noise)


def energy_distance(a, b):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    within = pdist(a).mean() + pdist(b).mean()
    return 2 * cdist(a, b).mean() - within


# ------------------------------------------------------------------------------------------------ ends and closed forms


@pytest.mark.parametrize("name", BRIDGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_map_is_the_identity_and_the_last_the_prior_to_the_bit(name, dtype):
    code, noise = 1e6 * normal(50, D, seed=1).to(dtype), normal(50, D, seed=2).to(dtype)
    for t in range(1, 9):
        if name != "cumulative" or D % t == 0:
            bridge = BRIDGES[name](t + 1)
            assert torch.equal(at(bridge, 0, code, noise), code)
            assert torch.equal(at(bridge, t, code, noise), noise)


def test_cumulative_substitution_replaces_the_first_blocks():
    """d = 12, t = 4: T_i replaces the first 3 i coordinates, row by row."""
    code, noise = normal(5, 12, seed=7), normal(5, 12, seed=8)
    out = CumulativeSubstitution(5)(code, torch.arange(5), noise)
    for i in range(5):
        assert torch.equal(out[i, : 3 * i], noise[i, : 3 * i])
        assert torch.equal(out[i, 3 * i :], code[i, 3 * i :])


def test_radial_substitution_at_known_angles():
    """t = 3: 0, 30, 60, 90 degrees, cosines 1, sqrt(3)/2, 1/2, 0."""
    code, noise = normal(4, D, seed=7).double(), normal(4, D, seed=8).double()
    out = RadialSubstitution(4)(code, torch.arange(4), noise)
    cosines, sines = [1, 3**0.5 / 2, 0.5, 0], [0, 0.5, 3**0.5 / 2, 1]
    for i in range(4):
        torch.testing.assert_close(out[i], cosines[i] * code[i] + sines[i] * noise[i])


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("i", range(T + 1))
def test_the_prior_is_left_unchanged(name, i):
    out = at(EXACT[name](T + 1), i, normal(ROWS, D, seed=0), normal(ROWS, D, seed=1))
    assert not changed(out, normal(ROWS, D, seed=2))


@pytest.mark.parametrize(("name", "i"), [("cumulative", 3), ("radial", 2), ("radial", 3)])
def test_and_another_law_is_not(name, i):
    code = normal(ROWS, D, seed=4) * 1.5 + 0.5
    out = at(EXACT[name](T + 1), i, code, normal(ROWS, D, seed=5))
    assert changed(out, normal(ROWS, D, seed=6))
    assert changed(out, code)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_every_map_at_once_is_each_map_by_itself(name):
    bridge = INTERVENTIONS[name](3)
    if name == "svgd":
        bridge = SteinBridge(3, jitter=0.0)
    code, noise = normal(6, 6, seed=3), normal(6, 6, seed=4)
    out, index = bridge.every(code, noise)
    assert index.tolist() == 6 * [0, 1, 2]
    for i in range(3):
        assert torch.equal(out[i::3], at(bridge, i, code, noise))


# -------------------------------------------------------------------------------------------------------------- between


def far_codes(count, seed):
    """Far from N(0, I) in mean, in scale and in shape: two lumps, correlated."""
    z = normal(count, D, seed=seed)
    lumps = torch.where(normal(count, 1, seed=seed + 1000) > 0, 2.0, -1.0)
    return 0.4 * z + 0.3 * z[:, :1] + lumps * torch.tensor([1.0, 1.0, 0.5, 0.0]) + torch.tensor([0.0, 0.5, 1.0, 1.5])


@pytest.mark.parametrize("name", BRIDGES)
def test_intermediate_laws_lie_between(name):
    """From map to map the codes' law is left behind and the prior comes nearer."""
    bridge, n = BRIDGES[name](T + 1), 600
    code = far_codes(n, seed=1)
    laws = [at(bridge, i, far_codes(n, seed=2), normal(n, D, seed=3)) for i in range(T + 1)]
    prior = normal(n, D, seed=4)
    left, toward = ([energy_distance(law, other) for law in laws] for other in (code, prior))
    assert all(a < b for a, b in itertools.pairwise(left)), left
    assert all(a > b for a, b in itertools.pairwise(toward)), toward
    assert left[0] < 0.05 and toward[-1] < 0.05 < toward[-2]


@pytest.mark.parametrize("start", ["narrow", "wide", "lumps"])
def test_svgd_comes_nearer_to_the_prior_with_every_step_on_average(start):
    """IVAAE's own settings (step 1, 100 times the median's bandwidth, noise 0.1); mean over 20 minibatches of 64."""
    laws = {"narrow": lambda s: 0.3 * normal(64, D, seed=s) + 1, "wide": lambda s: 2.5 * normal(64, D, seed=s) - 1}
    laws["lumps"] = lambda s: far_codes(64, s)
    far, bridge, prior = [], SteinBridge(2), normal(400, D, seed=9)
    for s in range(20):
        z = laws[start](100 + s)
        row = [energy_distance(z, prior)]
        for step in range(12):
            z = z + stein_direction(z, bridge.bandwidth) + bridge.jitter * normal(64, D, seed=9000 + 100 * s + step)
            row.append(energy_distance(z, prior))
        far.append(row)
    mean = np.mean(far, axis=0)
    assert all(a > b for a, b in itertools.pairwise(mean)), mean


def test_svgd_converges_to_the_prior_with_a_fitting_bandwidth():
    """Many steps from far away: 60 particles in the plane get mean 0 and covariance near I."""
    z = far_codes(60, seed=5).double()[:, :2] * 2 + 3
    for _ in range(800):
        z = z + 0.5 * stein_direction(z, 1.0)
    assert z.mean(0).abs().max() < 0.02
    assert (torch.cov(z.T) - torch.eye(2)).abs().max() < 0.1


# ------------------------------------------------------------------------------------------------------ SVGD, in NumPy


def by_loops(z, bandwidth):
    """phi of equation 2, particle by particle; h_0 = med^2 / log n over the pairs."""
    n, d = z.shape
    pairs = [np.sqrt(sum((a - b) ** 2)) for a, b in itertools.combinations(z, 2)]
    h = bandwidth * np.median(pairs) ** 2 / np.log(n)
    phi = np.zeros((n, d))
    for i in range(n):
        for j in range(n):
            kernel = np.exp(-((z[j] - z[i]) @ (z[j] - z[i])) / h)
            phi[i] += kernel * -z[j] + kernel * -2 * (z[j] - z[i]) / h
    return phi / n


@pytest.mark.parametrize("n", [2, 5, 8])
@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 100.0])
def test_the_direction_is_equation_2(n, bandwidth):
    z = (2 * normal(n, 3, seed=n) + 5).double()
    found = stein_direction(z, bandwidth)
    np.testing.assert_allclose(found, by_loops(z.numpy(), bandwidth), rtol=1e-9, atol=1e-12)


def test_a_bridge_takes_two_noisy_steps_from_map_to_map():
    z, noise = normal(7, 3, seed=1).double(), normal(7, 3, seed=2).double()
    bridge = SteinBridge(4, step_size=0.7, bandwidth=2.0, jitter=0.2)
    with active(Streams([5]).at("here")):
        found, _ = bridge.every(z, noise)
    with active(Streams([5]).at("here")):
        from modecover import random

        drawn = [random.normal_like(z).numpy() for _ in range(4)]
    at_step = [z.numpy()]
    for e in drawn:
        at_step.append(at_step[-1] + 0.7 * by_loops(at_step[-1], 2.0) + 0.2 * e)
    for number, wanted in enumerate([at_step[0], at_step[2], at_step[4], noise.numpy()]):
        np.testing.assert_allclose(found[number::4], wanted, rtol=1e-9, atol=1e-12)


def test_gradients_flow_back_through_all_steps_and_not_through_the_bandwidth():
    """Against complex steps of the NumPy formula, the median held fixed: exact to rounding."""
    z, weight = normal(5, 2, seed=1).double().requires_grad_(), normal(5, 2, seed=2).double()
    moved = z
    for _ in range(2):
        moved = moved + stein_direction(moved, 0.7)
    (found,) = torch.autograd.grad((weight * moved.sin()).sum(), z)

    def steps(z, widths=None):
        used = []
        for number in range(2):
            pairs = [np.sqrt(sum((a - b) ** 2)) for a, b in itertools.combinations(z, 2)]
            h = widths[number] if widths else 0.7 * np.median(pairs) ** 2 / np.log(5)
            used.append(h)
            apart = z[:, None] - z[None]
            kernel = np.exp(-(apart**2).sum(2) / h)
            z = z + (2 / h * (kernel[:, :, None] * apart).sum(1) - kernel @ z) / 5
        return (weight.numpy() * np.sin(z)).sum(), used

    value = z.detach().numpy()
    widths = steps(value)[1]
    for place in np.ndindex(5, 2):
        shifted = value.astype(complex)
        shifted[place] += 1e-30j
        assert found[place].item() == pytest.approx(steps(shifted, widths)[0].imag / 1e-30, rel=1e-9)


def test_stacked_seeds_move_their_own_particles():
    z = normal(12, 3, seed=1).double() * torch.tensor([1.0] * 6 + [4.0] * 6)[:, None]
    with active(Streams([0, 1])):
        together = stein_direction(z, 2.0)
    alone = torch.cat([stein_direction(z[:6], 2.0), stein_direction(z[6:], 2.0)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("apart", [0, 1, 2])
def test_particles_at_one_point_stay_finite_with_their_gradients(apart):
    z = torch.ones(6, 2)
    z[:apart] += normal(apart, 2, seed=3)
    z.requires_grad_()
    direction = stein_direction(z, 100.0)
    (gradient,) = torch.autograd.grad(direction.square().sum(), z)
    assert direction.isfinite().all() and gradient.isfinite().all()
    if apart == 0:
        torch.testing.assert_close(direction, -torch.ones(6, 2))  # every kernel is 1: the mean's own pull, alone


# ------------------------------------------------------------------------------------------------------------- refusals


def test_one_particle_alone_is_refused():
    with pytest.raises(UserError, match="batch of at least 2"):
        stein_direction(torch.ones(1, 3))


@pytest.mark.parametrize(
    ("family", "count", "setting", "fewer", "sentence"),
    [
        ("cumulative", 4, "k", 0, "k = 4 makes 3 equal blocks, which do not divide 8 .*: use k = 2, 3, 5, 9."),
        ("cumulative", 4, "t", 1, "t = 3 equal blocks do not divide 8 .*: use t = 1, 2, 4, 8."),
        ("block", 5, "t", 1, "t = 4 makes 5 equal blocks, which do not divide 8 .*: use t = 1, 3, 7."),
        ("radial", 1, "t", 1, "t is 0: .* at least two"),
    ],
)
def test_a_family_that_does_not_fit_says_what_would_in_the_users_own_number(family, count, setting, fewer, sentence):
    with pytest.raises(UserError, match=sentence):
        INTERVENTIONS[family](count).check(8, setting, fewer)


@pytest.mark.parametrize(("family", "count"), [("cumulative", 5), ("cumulative", 2), ("radial", 7), ("svgd", 5)])
def test_a_family_that_fits_is_welcome(family, count):
    INTERVENTIONS[family](count).check(8)
