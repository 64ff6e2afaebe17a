"""The 2-D mixtures: centres by hand, moments against theory, names and their parameters."""

import math

import pytest
import torch

from modecover.data import open_data
from modecover.data.mixtures import PRESETS, Mixture, MixtureData, grid, ring
from modecover.errors import UserError


def drawn(mixture, count=200_000, seed=0):
    return mixture.draw(count, torch.Generator().manual_seed(seed))


def test_ring_of_four_has_the_four_points_of_the_compass():
    expected = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
    torch.testing.assert_close(ring(4, 2.0, 0.1).centres, expected, rtol=0, atol=1e-6)


def test_grid_is_every_pair_of_its_ticks():
    ticks = (-4.0, -2.0, 0.0, 2.0, 4.0)
    assert {tuple(c) for c in grid().centres.tolist()} == {(x, y) for x in ticks for y in ticks}


@pytest.mark.parametrize(
    ("name", "modes", "std", "radius"),
    [
        ("ring", 8, 0.01, 1.0),
        ("ring-pacgan", 8, 0.01, 1.0),
        ("ring-veegan", 8, 0.01, 1.0),
        ("ring-ldmgan", 8, 0.01, 1.0),
        ("ring-unrolled", 8, 0.02, 2.0),
        ("circle", 6, 0.1, 5.0),
        ("circle-mdgan", 6, 0.1, 5.0),
        ("grid", 25, 0.05, None),
        ("grid-veegan", 25, 0.05, None),
        ("grid-pacgan", 25, 0.05, None),
        ("grid-ldmgan", 25, 0.05, None),
        ("ring:modes=5,radius=3,std=0.25", 5, 0.25, 3.0),
        ("grid:side=3,std=0.25", 9, 0.25, None),
    ],
)
def test_presets_have_the_papers_numbers(name, modes, std, radius):
    data = open_data(name)
    mixture = data.mixture
    assert mixture is not None
    assert (data.modes, len(mixture), mixture.std) == (modes, modes, std)
    if radius is not None:
        torch.testing.assert_close(mixture.centres.norm(dim=1), torch.full((modes,), radius))
    gaps = torch.pdist(mixture.centres)
    assert gaps.min() > 4 * std, "two centres coincide or components overlap"


def test_every_preset_is_listed_above_or_here():
    assert all(open_data(name).size is None for name in PRESETS)


def test_samples_have_the_moments_of_the_mixture():
    """Of 200,000 samples each frequency, mean and variance lies within 5 standard errors of theory."""
    mixture = ring(8, 2.0, 0.3)
    samples, components = drawn(mixture)
    for k in range(8):
        own = samples[components == k]
        n = len(own)
        assert abs(n - 25_000) < 5 * math.sqrt(200_000 / 8 * 7 / 8)
        assert (own.mean(0) - mixture.centres[k]).abs().max() < 5 * 0.3 / math.sqrt(n)
        assert (own.var(0) - 0.09).abs().max() < 5 * 0.09 * math.sqrt(2 / n)
        assert abs(float(torch.corrcoef(own.T)[0, 1])) < 5 / math.sqrt(n)


def test_share_within_three_sigma_is_that_of_an_ideal_sampler():
    """HQ = 1 - exp(-9/2) = 98.89%, within 5 standard errors."""
    samples, _ = drawn(grid())
    near = torch.cdist(samples, grid().centres).min(dim=1).values <= 3 * 0.05
    share = 1 - math.exp(-4.5)
    assert abs(float(near.float().mean()) - share) < 5 * math.sqrt(share * (1 - share) / 200_000)


def test_weights_are_followed():
    mixture = Mixture(torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]]), 0.1, torch.tensor([1.0, 2.0, 5.0]))
    torch.testing.assert_close(mixture.weights, torch.tensor([0.125, 0.25, 0.625]))
    _, components = drawn(mixture)
    for k, weight in enumerate((0.125, 0.25, 0.625)):
        share = float((components == k).float().mean())
        assert abs(share - weight) < 5 * math.sqrt(weight * (1 - weight) / 200_000)


def test_samples_work_in_any_dimension_and_from_one_generator_state():
    mixture = Mixture.even(torch.eye(5), 0.1)
    first, second = (mixture.sample(7, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (7, 5) and torch.equal(first, second)


def test_components_are_the_nearest_centres_of_well_separated_samples():
    samples, components = drawn(grid(), 1000)
    assert torch.equal(torch.cdist(samples, grid().centres).argmin(dim=1), components)
    assert torch.equal(MixtureData(grid()).sample(1000, torch.Generator().manual_seed(0)), samples)


def test_fingerprint_is_of_the_definition():
    assert open_data("ring").fingerprint == open_data("ring-pacgan").fingerprint
    others = {open_data(n).fingerprint for n in ("ring", "ring:std=0.02", "ring:modes=9", "ring:radius=2", "grid")}
    assert len(others) == 5


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("ring:mode=3", "did you mean 'modes'"),
        ("ring:modes=many", "must be a whole number"),
        ("ring:std=0", "std is 0.0: give at least 1e-12"),
        ("ring:modes=0", "modes is 0: give at least 1"),
        ("ring:radius=nan", "radius is nan"),
        ("grid:side=0", "side is 0: give at least 1"),
    ],
)
def test_bad_parameters_are_named(source, words):
    with pytest.raises(UserError, match=words):
        open_data(source)


def test_equal_centres_and_bad_weights_are_refused():
    with pytest.raises(UserError, match="are equal"):
        Mixture.even(torch.zeros(2, 2), 0.1)
    with pytest.raises(UserError, match="positive weights"):
        Mixture(torch.eye(2), 0.1, torch.tensor([1.0, 0.0]))
    with pytest.raises(UserError, match="K weights"):
        Mixture(torch.eye(2), 0.1, torch.ones(3))


@pytest.mark.parametrize("option", [{"size": 8}, {"channels": 1}])
def test_points_have_no_pixels(option):
    with pytest.raises(UserError, match="leave out size, crop and channels"):
        open_data("ring", **option)
