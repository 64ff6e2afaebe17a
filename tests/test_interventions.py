"""Block substitution leaves N(0, I) unchanged, changes every other law, and replaces one block and nothing else.

The statistical test compares two samples through 32 moments: powers 1 to 4 of each coordinate, products of pairs and of
their squares, products of triples (d = 4). Each difference of means, over its standard error, is close to N(0, 1) when
the laws agree. `changed` says yes where the largest exceeds 5.2: a false alarm has probability below
32 * 2e-7 < 1e-5. Where a moment of standard deviation one differs by delta, the statistic is delta sqrt(n / 2), so with
n = 40,000 rows any delta of 0.054 is seen with probability 0.99; for a coordinate's scale that is 1.04 for 1.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from modecover.errors import UserError
from modecover.interventions import INTERVENTIONS, BlockSubstitution, Identity

ROWS, D = 40_000, 4
ALARM = 5.2


def moments(x):
    columns = [x[:, j] for j in range(x.shape[1])]
    powers = [c**p for c in columns for p in (1, 2, 3, 4)]
    pairs = [f(a) * f(b) for a, b in itertools.combinations(columns, 2) for f in (np.asarray, np.square)]
    triples = [a * b * c for a, b, c in itertools.combinations(columns, 3)]
    return np.stack(powers + pairs + triples)


def largest_difference(a, b):
    """The largest |difference of means| over its standard error, among the moments."""
    one, two = moments(np.asarray(a, dtype=np.float64)), moments(np.asarray(b, dtype=np.float64))
    error = np.sqrt(one.var(1) / len(a) + two.var(1) / len(b))
    return float(np.abs((one.mean(1) - two.mean(1)) / error).max())


def changed(a, b):
    return largest_difference(a, b) > ALARM


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def apply(i, k, code, noise):
    return BlockSubstitution(k)(code, torch.full((len(code),), i), noise)


# ---------------------------------------------------------------------------------------------- the prior is kept


@pytest.mark.parametrize(("k", "i"), [(2, 0), (2, 1), (4, 0), (4, 3)])
def test_block_substitution_leaves_the_prior_unchanged(k, i):
    assert not changed(apply(i, k, normal(ROWS, D, seed=0), normal(ROWS, D, seed=1)), normal(ROWS, D, seed=2))


def test_a_random_choice_of_blocks_leaves_the_prior_unchanged():
    index = torch.randint(4, (ROWS,), generator=torch.Generator().manual_seed(3))
    out = BlockSubstitution(4)(normal(ROWS, D, seed=0), index, normal(ROWS, D, seed=1))
    assert not changed(out, normal(ROWS, D, seed=2))


WRONG = {
    "noise scaled by 1.1": lambda z, noise: apply(0, 2, z, 1.1 * noise),
    "noise scaled by 1.04": lambda z, noise: apply(0, 2, z, 1.04 * noise),
    "noise added, not put in place": lambda z, noise: apply(0, 2, z, z + noise),
    "the block set to zero": lambda z, noise: apply(0, 2, z, 0 * noise),
    "the other block copied": lambda z, noise: apply(0, 2, z, z.roll(2, dims=1)),
    "one noise for both coordinates": lambda z, noise: apply(0, 2, z, noise[:, :1].expand(-1, D)),
    "one noise for all rows": lambda z, noise: apply(0, 2, z, noise[:1].expand(ROWS, -1)),
    "uniform noise of variance one": lambda z, noise: apply(0, 2, z, (12**0.5) * (torch.rand(ROWS, D) - 0.5)),
    "noise that knows the rest": lambda z, noise: apply(0, 2, z, noise.abs() * z.roll(2, dims=1).sign()),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_statistical_test_sees_wrong_implementations(wrong):
    out = WRONG[wrong](normal(ROWS, D, seed=0), normal(ROWS, D, seed=1))
    assert changed(out, normal(ROWS, D, seed=2))


def test_the_stated_false_alarms_and_power():
    assert 32 * 2 * stats.norm.sf(ALARM) < 1e-5
    assert stats.norm.sf(ALARM - 0.054 * (ROWS / 2) ** 0.5) > 0.99
    delta = (1.04**2 - 1) / 2**0.5  # of (z^2 - 1)/sqrt 2, whose standard deviation is one
    # Scaled noise has var(s^2 z^2) = 2 s^4: the standard error grows a little over sqrt(2 / n).
    shift = delta / ((1 + 1.04**4) / ROWS) ** 0.5
    assert stats.norm.sf(ALARM - shift) > 0.99
    nothing = [largest_difference(normal(4000, D, seed=10 + s), normal(4000, D, seed=500 + s)) for s in range(40)]
    assert 2 < np.median(nothing) < 3.5  # the largest of 32 nearly standard normal numbers
    assert max(nothing) < ALARM


# ----------------------------------------------------------------------------------------- and no other law is kept


def correlated(z, i, j, rho):
    out = z.clone()
    out[:, j] = rho * z[:, i] + (1 - rho**2) ** 0.5 * z[:, j]
    return out


OTHER_LAWS = {
    "correlated across blocks": lambda z: correlated(z, 0, 2, 0.1),
    "correlated within a block": lambda z: correlated(z, 0, 1, 0.1),
    "a mean of 0.1": lambda z: z + torch.tensor([0, 0, 0, 0.1]),
    "a scale of 1.05": lambda z: z * torch.tensor([1, 1.05, 1, 1]),
    "Laplace of variance one": lambda z: torch.tensor(
        stats.laplace.ppf(stats.norm.cdf(z.double()), scale=0.5**0.5)
    ).float(),
    "normal coordinates, uncorrelated, alike in size": lambda z: torch.stack(
        [z[:, 0], z[:, 1], z[:, 2].sign() * z[:, 0].abs(), z[:, 3]], dim=1
    ),
    "normal and independent in pairs, but not in threes": lambda z: torch.cat(
        [z[:, :3], (z[:, 0] * z[:, 2] * z[:, 3].abs()).sign()[:, None] * z[:, 3:].abs()], dim=1
    ),
}


@pytest.mark.parametrize("law", OTHER_LAWS)
def test_some_block_substitution_changes_any_other_law(law):
    """Completeness (IVGAN, Definition 2), on laws of which some have standard normal marginals throughout."""
    make = OTHER_LAWS[law]
    out = [apply(i, 2, make(normal(ROWS, D, seed=4)), normal(ROWS, D, seed=5)) for i in range(2)]
    fresh = make(normal(ROWS, D, seed=6))
    assert any(changed(o, fresh) for o in out)
    assert not changed(make(normal(ROWS, D, seed=4)), fresh)  # without an intervention nothing changes


def test_the_identity_changes_no_law():
    law = OTHER_LAWS["Laplace of variance one"](normal(ROWS, D, seed=4))
    assert Identity(4)(law, torch.zeros(ROWS, dtype=torch.int64), normal(ROWS, D, seed=5)) is law


# -------------------------------------------------------------------------------------------------- which coordinates


@pytest.mark.parametrize("k", [2, 3, 4, 6, 12])
def test_block_i_is_replaced_and_the_rest_kept_to_the_bit(k):
    code, noise = normal(k, 12, seed=7), normal(k, 12, seed=8)
    out = BlockSubstitution(k)(code, torch.arange(k), noise)
    size = 12 // k
    for i in range(k):
        block = slice(i * size, (i + 1) * size)
        assert torch.equal(out[i, block], noise[i, block])
        wanted = code[i].clone()
        wanted[block] = noise[i, block]
        assert torch.equal(out[i], wanted)


def test_gradients_pass_through_the_kept_coordinates_alone():
    code, noise = normal(2, 4, seed=9).requires_grad_(), normal(2, 4, seed=10)
    (found,) = torch.autograd.grad(BlockSubstitution(2)(code, torch.tensor([0, 1]), noise).sum(), code)
    assert found.tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("latent", "k", "fits"), [(8, 3, "2, 4, 8"), (100, 3, "2, 4, 5, 10, 20, 25, 50, 100"), (7, 2, "7")]
)
def test_a_k_that_does_not_divide_is_refused_with_those_that_do(latent, k, fits):
    with pytest.raises(UserError, match=rf"k = {k} .*{latent} .*dimensions: use k = {fits}\.$"):
        BlockSubstitution(k).check(latent)


@pytest.mark.parametrize("family", INTERVENTIONS.values())
@pytest.mark.parametrize("k", [-1, 0, 1])
def test_fewer_than_two_interventions_are_refused(family, k):
    with pytest.raises(UserError, match=f"k is {k}: .* at least two"):
        family(k).check(8)


@pytest.mark.parametrize(("latent", "k"), [(8, 2), (8, 8), (100, 4)])
def test_a_k_that_divides_is_welcome(latent, k):
    BlockSubstitution(k).check(latent)
    Identity(k).check(latent)
