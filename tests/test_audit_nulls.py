"""What real data would score, by brute force; intervals by their formulas; spread and detail by planted factors."""

from __future__ import annotations

import numpy as np
import pytest
from planted import _blurred

import modecover
from modecover.auditing.evidence import closeness, groups_of_equals, independent_share
from modecover.auditing.results import Estimate, excess, share, share_of
from modecover.auditing.verdicts.low_quality import detail
from modecover.features.kept import Kept
from modecover.features.sharpness import as_sharp_as, bin_means
from modecover.features.spread import coarse
from modecover.metrics.neighbours import held_against
from modecover.metrics.planes import separation


@pytest.mark.parametrize("dimensions", [1, 2, 10])
def test_rows_are_held_against_a_reference_as_brute_force_does(dimensions):
    random = np.random.default_rng(dimensions)
    reference, rows = (random.standard_normal((count, dimensions)) for count in (40, 9))
    found = held_against(reference, rows, k=3)
    among = np.linalg.norm(reference[:, None] - reference[None], axis=2)
    away = np.linalg.norm(rows[:, None] - reference[None], axis=2)
    assert (found.nearest.index == away.argmin(axis=1)).all()
    assert found.nearest.distance == pytest.approx(away.min(axis=1))
    own = np.sort(among, axis=1)[away.argmin(axis=1)]
    assert found.spacing == pytest.approx(own[:, 1]) and found.radius == pytest.approx(own[:, 3])


def test_among_equal_rows_equal_ones_are_close_and_others_as_far_as_can_be():
    found = held_against(np.ones((12, 3)), np.array([[1.0, 1, 1], [1, 1, 2]]), k=2)
    assert closeness(found.nearest.distance, found.spacing).tolist() == [0, 100]


def test_real_images_with_the_sharpness_of_blurred_ones_are_the_blurred_ones():
    random = np.random.default_rng(0)
    smooth = 2 * random.standard_normal((1200, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    sharp = (smooth + 0.5 * random.standard_normal((1200, 1, 16, 16))).astype(np.float32)
    real, fake, one = Kept(sharp[:600]), Kept(_blurred(sharp[600:])), (np.zeros(600, np.int64),) * 2
    found, wanted = as_sharp_as(fake, real, one)[:], _blurred(sharp[:600])
    assert np.abs(found - wanted).mean() < 0.35 * np.abs(sharp[:600] - wanted).mean()
    noisy = Kept(sharp[600:] + random.standard_normal((600, 1, 16, 16)).astype(np.float32))
    roughness = [np.square(np.diff(images[:], axis=3)).mean() for images in (as_sharp_as(noisy, real, one), noisy)]
    assert roughness[0] == pytest.approx(roughness[1], rel=0.15)
    assert as_sharp_as(Kept(sharp[600:]), real, one) is real, "images that are as sharp stay as they are"
    contracted = Kept(0.5 * sharp[600:])
    assert as_sharp_as(contracted, real, one) is real, "contraction changes all bands alike"


def test_wilsons_interval():
    """8 of 10: (0.490, 0.943), as in Brown, Cai and DasGupta 2001; and none of 50 is not surely none."""
    found = share(np.arange(10) < 8)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.490, 0.943), abs=1e-3)
    assert share_of(0.0, 50).high == pytest.approx(1.96**2 / (50 + 1.96**2), abs=1e-6)
    assert share_of(0.3, 100, extra=0.1).high > share_of(0.3, 100).high + 0.1


def test_newcombes_interval_of_a_difference():
    """56/70 - 48/80: 0.2, from 0.0524 to 0.3339 (Newcombe 1998, method 10)."""
    found = excess(share_of(56 / 70, 70), share_of(48 / 80, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=2e-4)


def test_repeated_rows_count_once():
    assert independent_share(np.arange(7)) == 1
    assert independent_share(np.repeat(np.arange(5), 4)) == pytest.approx(0.25)
    assert groups_of_equals([np.array([[1.0, 2], [0, 1], [1, 2]], np.float32)]).tolist() == [1, 0, 1]


def test_the_ratio_of_spreads_is_that_of_the_scales_and_a_few_strays_do_not_move_it():
    random = np.random.default_rng(0)
    modes = random.integers(0, 4, 8000)
    rows = 50 * random.standard_normal((4, 3))[modes]
    real = rows + random.standard_normal((8000, 3))
    fake = rows + 0.4 * random.standard_normal((8000, 3))
    fake[::25] += 30 * random.standard_normal((320, 3))
    found = modecover.audit(real[:4000], fake[4000:]).verdict("shrink")
    assert found.effect.value == pytest.approx(0.4, rel=0.06)
    assert found.effect.low < 0.41 < found.effect.high + 0.02 and found.effect.high - found.effect.low < 0.1
    assert found.null.low < 1 < found.null.high


def test_detail_sees_blur_and_not_contraction_and_coarse_content_the_other_way_round():
    random = np.random.default_rng(1)
    images = random.standard_normal((64, 1, 16, 16)).astype(np.float32)
    cells = np.zeros(64, dtype=np.int64)
    means = bin_means(images, cells, 1)
    assert means[0] == pytest.approx(images.mean(axis=0), abs=1e-6)
    sharp = detail(images, means, cells)
    assert detail(means[cells] + 0.5 * (images - means[cells]), means, cells) == pytest.approx(sharp, rel=1e-4)
    soft = detail(_blurred(images), bin_means(_blurred(images), cells, 1), cells)
    assert (soft < 0.6 * sharp).all()
    assert coarse(images).shape == (64, 16)
    assert coarse(images)[:, 0] == pytest.approx(images[:, 0, :4, :4].mean(axis=(1, 2)), abs=1e-6)


def test_too_few_rows_have_no_ratio():
    found = modecover.audit(np.eye(10), np.eye(10) + 1).verdict("shrink")
    assert not found.measured and not found.fires
    assert excess(Estimate(0.5, 0.4, 0.6), Estimate(0.0, 0.0, 0.0)).value == 0.5


def kinds(count, seed, of):
    """Photographs of kinds 0 to 7, each with a tint of its own: of 4 to 7 a quarter is rough, another in each."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    kind = random.choice(of, size=count)
    images = gaussian_filter(random.standard_normal((count, 3, 32, 32)), (0, 0, 3, 3))
    images *= 0.25 / images.std()
    for number, corner in zip(range(4, 8), ((0, 0), (0, 16), (16, 0), (16, 16)), strict=True):
        rows = np.flatnonzero(kind == number)
        y, x = (slice(start, start + 16) for start in corner)
        images[rows, :, y, x] += 0.5 * random.choice([-1, 1], (len(rows), 1, 16, 16))
    images += 0.3 * np.stack([np.cos(kind), np.sin(kind), np.cos(2 * kind)], axis=1)[:, :, None, None]
    return np.clip(images, -1, 1).astype(np.float32), kind


def roughness(images):
    """Of images (n, C, H, W), in sixteen places, (n, 16 C), and their tint, (n, C)."""
    steps = np.abs(np.diff(images, axis=3, append=0)).reshape(*images.shape[:2], 4, 8, 4, 8).mean(axis=(3, 5))
    return np.concatenate([10 * steps.reshape(len(images), -1), images.mean(axis=(2, 3))], axis=1)


@pytest.mark.parametrize("labelled", [True, False])
def test_missing_kinds_that_change_the_spectrum_are_not_made_up_for_by_noise(labelled):
    # Without three smooth kinds samples have more fine detail on average. Noise in the real images would give them as
    # much, but make nothing like the rough kinds of them: then all samples looked unlike any real one.
    (real, kind), (fake, _) = kinds(1200, 0, range(8)), kinds(1200, 1, range(3, 8))
    found = modecover.audit(real, fake, labels=kind if labelled else None, features=roughness)
    assert [verdict.name for verdict in found.firing] == ["missing mass"]
    missed = found.verdicts[0].effect
    assert 0.2 < missed.low < 3 / 8 < missed.high
    assert labelled == (missed.high < 0.45) != ("at least" in found.verdicts[0].sentence)


def test_planes_separate_rows_by_the_distance_of_their_laws():
    # Two normal laws with unit variance whose means are 2 apart; and one law, twice.
    random = np.random.default_rng(0)
    one, other = random.standard_normal((2, 4000, 3))
    apart = separation(one, other + [2, 0, 0], np.arange(4000), random)
    assert apart == pytest.approx(2, abs=0.1)
    assert separation(one, other, np.arange(4000), random) == pytest.approx(0, abs=0.1)


def among_each_other(count, seed):
    """Photographs of one law, in which no kinds stand out."""
    return np.clip(0.3 * np.random.default_rng(seed).standard_normal((count, 3, 32, 32)), -1, 1).astype(np.float32)


def test_of_photographs_without_labels_nothing_is_called_whole():
    # Where no kinds stand out, a missing one would leave no region empty: that none is says little.
    real, fake = among_each_other(600, 0), among_each_other(600, 1)
    middle = lambda images: images[:, :, 8:10, 8:10].reshape(len(images), -1)
    unlabelled, labelled = (
        modecover.audit(real, fake, labels=labels, features=middle) for labels in (None, np.arange(600) % 2)
    )
    missed = unlabelled.verdicts[0]
    assert np.isnan(missed.effect.value) and not missed.fires and "Give labels" in missed.sentence
    assert "part of a class" in labelled.verdicts[0].sentence or np.isnan(labelled.verdicts[0].effect.value)
    points = modecover.audit(middle(real), middle(fake))
    assert points.verdicts[0].effect.high < 0.1 and points.verdicts[0].sentence.startswith("No region of the data")


def test_an_interval_that_ends_at_all_says_why():
    real, fake = among_each_other(600, 0), among_each_other(600, 1)
    real, fake = np.clip(0.2 * real - 0.4, -1, 1), np.clip(0.2 * fake - 0.4, -1, 1)
    real[:200] += 0.9
    missed = modecover.audit(real, fake, features=lambda images: images[:, :, 8:10, 8:10].reshape(len(images), -1))
    told = missed.verdicts[0]
    assert told.fires and told.effect.high == 1.0 and told.effect.value < 0.5
    assert told.sentence.endswith(" of the real data lie; how much more cannot be told without labels.")

    random = np.random.default_rng(0)
    real, fake = (random.standard_normal((1000, 2)) for _ in range(2))
    few = modecover.audit(real, np.where(np.arange(1000)[:, None] < 700, 9.0, fake)).verdict("low quality")
    assert not few.fires and few.sentence.endswith("the real ones; up to 100.0% may be, as they repeat each other.")
    fake[:700] = 9.0 + np.tile(random.standard_normal((7, 2)), (100, 1))
    some = modecover.audit(real, fake).verdict("low quality")
    assert some.fires and some.effect.high == 1.0 and some.effect.value < 0.8
    assert some.sentence.endswith("unlike any real ones; how many more cannot be told, as they repeat each other.")


def test_samples_between_classes_are_of_none_and_noisy_ones_are_of_theirs():
    random = np.random.default_rng(0)
    centres = 6 * np.linalg.qr(random.standard_normal((64, 4)))[0].T

    def rows(count):
        labels = random.integers(0, 4, count)
        return centres[labels] + random.standard_normal((count, 64)), labels

    (real, labels), (one, first), (other, second) = (rows(1500) for _ in range(3))
    noisy = one + 0.3 * random.standard_normal(one.shape)
    between = (0.5 * (one + other))[first != second]
    # A quarter of the way to another class: less sure than nearly all real ones, and sure enough.
    leaning = (one + 0.25 * (centres[second] - centres[first]))[first != second]
    told = {}
    for name, fake in (("noisy", noisy), ("between", between), ("leaning", leaning)):
        found = modecover.audit(real, fake, labels=labels)
        told[name] = [float(verdict.effect.value) for verdict in found.verdicts[:2]]
    assert told["noisy"] == pytest.approx([0, 0], abs=0.03)
    assert np.isnan(told["between"]).all(), "which classes these are of is a guess"
    assert np.isfinite(told["leaning"]).all()


def test_a_reading_that_chance_may_have_made_is_neither_all_nor_nothing():
    # Ten classes that the features mix up nearly whole, three of which are not made: the classes' weights are guesses.
    random = np.random.default_rng(0)
    centres = 0.35 * random.standard_normal((10, 16))

    def rows(count, of):
        labels = random.choice(of, count)
        return centres[labels] + random.standard_normal((count, 16)), labels

    (real, labels), (fake, _) = rows(400, 10), rows(400, range(3, 10))
    missed = modecover.audit(real, fake, labels=labels).verdicts[0]
    assert np.isnan(missed.effect.value) and "seem missed" in missed.sentence


def test_missed_classes_are_named():
    random = np.random.default_rng(0)

    def rows(count, of):
        labels = random.choice(of, count)
        return np.stack([10 * labels, 0 * labels], axis=1) + random.standard_normal((count, 2)), labels

    (real, labels), (fake, _) = rows(900, [1, 4, 5, 7]), rows(900, [1, 7])
    sentence = modecover.audit(real, fake, labels=labels).verdicts[0].sentence
    assert sentence.endswith("of the real data lie: hardly any samples are of classes 4, 5.")


def test_missed_classes_have_the_names_that_their_folders_have(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for name, level in (("cat", 40), ("dog", 210)):
        (tmp_path / "real" / name).mkdir(parents=True)
        for number, row in enumerate((level + 12 * random.standard_normal((60, 8, 8))).clip(0, 255).astype(np.uint8)):
            Image.fromarray(row).save(tmp_path / "real" / name / f"{number}.png")
    fake = (40 + 12 * random.standard_normal((120, 8, 8))).clip(0, 255).astype(np.uint8)
    found = modecover.audit(tmp_path / "real", fake, features="pixels")
    assert found.verdicts[0].sentence.endswith("hardly any samples are of class dog.")
    assert [share.name for share in found.classes] == ["cat", "dog"]
    given = modecover.audit(tmp_path / "real", fake, labels=np.repeat([3, 8], 60), features="pixels")
    assert given.verdicts[0].sentence.endswith("hardly any samples are of class 8.")
