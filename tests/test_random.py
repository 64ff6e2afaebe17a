"""Draws are pure functions of (seed, keys) and of the row, however many seeds or parts share a program."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from modecover.random import (
    Streams,
    active,
    by_seed,
    derive_seed,
    gaussian,
    integers,
    normal_like,
    stacked_seeds,
    uniform_like,
)

DRAWS = {
    "normal": normal_like,
    "uniform": uniform_like,
    "integers": lambda x: integers(1000, x),
    "shared integers": lambda x: integers(1000, x, shared=True),
}


def drawn(seeds, rows, *keys, part=0, parts=1, draw=normal_like, times=2):
    """`times` draws in a row, of `rows` rows for each seed and part."""
    with active(Streams(seeds, part=part, parts=parts).at(*keys)):
        return [draw(torch.empty(len(seeds) * rows, 3)) for _ in range(times)]


def equal(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_gaussian_draw_is_its_mean_plus_its_deviation_times_a_normal_one():
    moments = torch.tensor([[1.0, -2.0, 0.0, 2 * np.log(3.0)]] * 2, dtype=torch.float64, requires_grad=True)
    with active(Streams([5]).at("step", 0)):
        drawn = gaussian(moments)
    with active(Streams([5]).at("step", 0)):
        noise = normal_like(torch.empty(2, 2, dtype=torch.float64))
    np.testing.assert_allclose(drawn.detach(), [1, -2] + noise.numpy() * [1, 3], rtol=1e-12)
    (slope,) = torch.autograd.grad(drawn.sum(), moments)
    np.testing.assert_allclose(slope, np.hstack([np.ones((2, 2)), noise.numpy() * [0.5, 1.5]]), rtol=1e-12)


# --------------------------------------------------------------------------------------------------- derived seeds


def test_a_derived_seed_is_a_function_of_its_keys_alone():
    assert derive_seed(3, "step", 7) == derive_seed(3, "step", 7)
    assert (
        derive_seed(3, "step", 7) == 2122405572403563004
    )  # a change here changes every run, and last year's would not resume
    assert 0 <= derive_seed(0) < 2**63


def test_different_keys_give_different_seeds():
    keys = [(0,), (1,), ("0",), (0, 1), (1, 0), ("01",), ("0", "1"), (0, "step", 1), (0, "step", 11), (0, "step1", 1)]
    assert len({derive_seed(*key) for key in keys}) == len(keys)
    # torch's CPU generator reads the low 32 bits of a seed: they too must differ.
    low = {derive_seed(seed, "step", step) % 2**32 for seed in range(10) for step in range(200)}
    assert len(low) == 2000


# ---------------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_streams_are_pure_functions_of_seed_and_keys(draw):
    first = drawn([5], 4, "step", 2, draw=draw)
    streams = Streams([5])
    with active(streams):
        streams.at("step", 1)
        draw(torch.empty(9, 2))  # what was drawn before does not matter
        streams.at("step", 2)
        torch.manual_seed(99)  # nor does torch's global generator
        again = [draw(torch.empty(4, 3)) for _ in range(2)]
    assert equal(first, again)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_different_seeds_steps_and_draws_differ(draw):
    seen = [
        drawn(seeds, 20, "step", step, draw=draw)[n]
        for seeds, step, n in [([5], 2, 0), ([5], 2, 1), ([5], 3, 0), ([6], 2, 0)]
    ]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_stacked_rows_are_the_rows_of_separate_runs_to_the_bit(draw):
    seeds, rows = [3, 11, 4], 6
    stacked = drawn(seeds, rows, "step", 0, draw=draw)
    apart = [drawn([seed], rows, "step", 0, draw=draw) for seed in seeds]
    assert equal(stacked, [torch.cat(row) for row in zip(*apart, strict=True)])


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_put_together_are_the_whole_batch(draw, parts):
    seeds, rows = [3, 11], 8
    whole = drawn(seeds, rows, "step", 0, draw=draw)
    each = [drawn(seeds, rows // parts, "step", 0, part=p, parts=parts, draw=draw) for p in range(parts)]
    for n, wanted in enumerate(whole):
        by_part = [one[n].unflatten(0, (len(seeds), -1)) for one in each]
        assert torch.equal(torch.cat(by_part, dim=1).flatten(0, 1), wanted)


def test_a_shared_integer_is_one_for_each_seed():
    (index,) = drawn([0, 1, 2], 50, "step", 4, draw=lambda x: integers(10**6, x, shared=True), times=1)
    rows = index.unflatten(0, (3, 50))
    assert (rows == rows[:, :1]).all()
    assert len(rows[:, 0].unique()) == 3


def test_rows_that_seeds_cannot_share_are_refused():
    with active(Streams([0, 1])), pytest.raises(ValueError, match="3 rows cannot be shared by 2"):
        normal_like(torch.empty(3, 1))
    with pytest.raises(ValueError, match="at least one seed"):
        Streams([])
    with pytest.raises(ValueError, match="part 2 is not one of 2"):
        Streams([0], part=2, parts=2)


def test_the_laws_of_the_draws():
    """100,000 rows: means within 5 standard errors; every integer in [0, high), as often as the next."""
    rows = 100_000
    with active(Streams([0]).at("laws")):
        x = torch.empty(rows, 1, dtype=torch.float64)
        n, u, i = normal_like(x), uniform_like(x), integers(5, x)
    assert n.dtype == u.dtype == torch.float64 and i.dtype == torch.int64 and i.shape == (rows,)
    assert abs(n.mean()) < 5 / rows**0.5 and abs(n.var() - 1) < 5 * (2 / rows) ** 0.5
    assert abs(u.mean() - 0.5) < 5 / (12 * rows) ** 0.5 and abs(u.var() - 1 / 12) < 0.002
    assert u.min() >= 0 and u.max() < 1
    assert np.bincount(i.numpy(), minlength=6).tolist()[5] == 0
    assert np.bincount(i.numpy())[:5] == pytest.approx(rows / 5, abs=5 * (rows * 0.16) ** 0.5)


# ----------------------------------------------------------------------------------------------- outside the engine


def test_outside_the_engine_torchs_global_generator_is_used():
    x = torch.empty(4, 3)
    torch.manual_seed(1)
    found = [normal_like(x), uniform_like(x), integers(9, x)]
    torch.manual_seed(1)
    assert equal(found, [torch.randn(4, 3), torch.rand(4, 3), torch.randint(9, (4,))])
    shared = integers(10**6, x, shared=True)
    assert shared.shape == (4,) and (shared == shared[0]).all()


def test_streams_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    for draw in DRAWS.values():
        drawn([0, 1], 4, "step", 0, draw=draw)
    assert torch.equal(torch.get_rng_state(), before)


def test_by_seed_sees_rows_seed_after_seed_and_ends_with_the_block():
    x = torch.arange(12.0).reshape(6, 2)
    with active(Streams([7, 8, 9])):
        assert stacked_seeds() == 3
        assert torch.equal(by_seed(x)[1], x[2:4])
        with active(None):
            assert stacked_seeds() == 1
        assert stacked_seeds() == 3
    assert stacked_seeds() == 1
    assert by_seed(x).shape == (1, 6, 2)
