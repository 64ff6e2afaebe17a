"""Classes that features tell apart only by and large: how often each is made is read off nevertheless."""

from __future__ import annotations

import numpy as np
import pytest

from modecover.metrics.classes import class_weights, opinions
from modecover.metrics.regions import missed_mass


def overlapping(count, law, random, classes=6, dimensions=8):
    """Gaussians of deviation 1 whose means are about 1.7 from each other: a third of the rows are mistaken."""
    means = 1.2 * np.random.default_rng(5).standard_normal((classes, dimensions)) / np.sqrt(2)
    drawn = random.choice(classes, size=count, p=np.asarray(law) / np.sum(law))
    return drawn, means[drawn] + random.standard_normal((count, dimensions))


def test_the_mixture_that_explains_the_opinions_is_found_by_hand():
    """Class 0 is taken for 0 with .9, class 1 for 1 with .6: opinions of .42 and .58 are of .04 and .96."""
    real = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    fake = np.array([[0.42, 0.58]] * 3)
    assert class_weights(real, np.array([0, 0, 1, 1]), fake) == pytest.approx([0.04 / 0.5, 0.96 / 0.5])
    # Of a class with no row among these nothing is said.
    assert class_weights(np.eye(3)[:2], np.array([0, 1]), np.eye(3)[[0]]) == pytest.approx([2, 0, 1])


def test_opinions_are_those_of_gaussians_and_keep_their_meaning_in_any_unit():
    random = np.random.default_rng(0)
    drawn, rows = overlapping(4000, np.ones(6), random)
    _, others = overlapping(50, np.ones(6), random)
    (found,) = opinions(rows, drawn, 6, others)
    assert found.sum(axis=1) == pytest.approx(np.ones(50))
    means = np.stack([rows[drawn == number].mean(axis=0) for number in range(6)])
    logits = -0.5 * np.square(others[:, None] - means).sum(axis=2) / (1 + 0.3)  # the ridge widens all directions alike
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found == pytest.approx(exact, abs=0.06)
    (large,) = opinions(1e150 * rows, drawn, 6, 1e150 * others)
    (small,) = opinions(1e-150 * rows, drawn, 6, 1e-150 * others)
    assert large == pytest.approx(found, abs=1e-9) and small == pytest.approx(found, abs=1e-9)
    assert opinions(rows[:100], drawn[:100], 6, others) is None, "17 rows of a class are too few"
    assert opinions(rows[drawn > 0], drawn[drawn > 0], 6, others) is None


@pytest.mark.parametrize("seed", [0, 1])
def test_a_class_that_is_never_made_is_missed_though_others_look_like_it(seed):
    random = np.random.default_rng(seed)
    labels, real = overlapping(3000, np.ones(6), random)
    _, perfect = overlapping(3000, np.ones(6), random)
    _, without = overlapping(3000, [1, 1, 0, 1, 1, 1], random)
    _, seldom = overlapping(3000, [1, 1, 0.3, 1, 1, 1], random)
    truth = float((labels == 2).mean())
    found = missed_mass(real, without, labels=labels, seed=seed)
    assert found.low < truth < found.high and found.value == pytest.approx(truth, abs=0.03)
    assert (found.flags == (labels == 2)).mean() > 0.97
    assert missed_mass(real, without, seed=seed).counted < 0.5 * truth, "cells and planes alone do not show it"
    assert missed_mass(real, perfect, labels=labels, seed=seed).value < 0.005
    assert missed_mass(real, seldom, labels=labels, seed=seed).value < 0.02
