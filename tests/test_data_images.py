"""Pixels: exact decoding, the forms arrays come in, channels, sizes, stacks and summaries, on images made by hand."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from modecover.data import Images, Points, StackedDigits, check, open_data
from modecover.data.pixels import picture_pixels, resized, with_channels
from modecover.errors import UserError

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (6, 5, 7), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)


def rows(data):
    return data.fetch(torch.arange(data.size))


def decoded(levels):
    """The definition, in NumPy: level / 127.5 - 1."""
    return torch.from_numpy(levels.astype(np.float32) / np.float32(127.5) - np.float32(1))


def test_every_level_decodes_to_its_place_in_minus_one_to_one():
    data = open_data(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    got = rows(data).flatten().double()
    torch.testing.assert_close(got, torch.linspace(-1, 1, 256, dtype=torch.float64), rtol=0, atol=2e-7)
    assert got[0] == -1 and got[255] == 1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[:, None]),
        (GREY[..., None], GREY[:, None]),
        (GREY[:, None], GREY[:, None]),
        (COLOUR, COLOUR.transpose(0, 3, 1, 2)),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2)),
    ],
    ids=["NHW", "NHW1", "N1HW", "NHWC", "NCHW"],
)
@pytest.mark.parametrize("form", ["uint8", "unit floats", "signed floats", "tensor"])
def test_arrays_of_every_form_give_the_same_images(array, expected, form):
    source = {
        "uint8": lambda: array,
        "unit floats": lambda: array / 255,
        "signed floats": lambda: (array / 127.5 - 1).astype(np.float32),
        "tensor": lambda: torch.from_numpy(array.copy()),
    }[form]()
    data = open_data(source)
    assert isinstance(data, Images) and data.pixels.dtype == torch.uint8
    assert torch.equal(rows(data), decoded(expected))
    assert data.source_range == (float(source.min()), float(source.max()))


def test_square_images_decide_between_two_readings_and_layout_overrules():
    small = rng.integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    assert open_data(small).shape == (3, 4, 4)
    assert open_data(small, layout="NHWC", channels=3).shape == (3, 3, 4)
    cube = rng.integers(0, 256, (2, 3, 3, 3), dtype=np.uint8)
    with pytest.raises(UserError, match="two ways"):
        open_data(cube)
    assert torch.equal(rows(open_data(cube, layout="NHWC")), decoded(cube.transpose(0, 3, 1, 2)))


def test_booleans_are_black_and_white():
    data = open_data(np.eye(4, dtype=bool)[None])
    assert torch.equal(rows(data)[0, 0], 2 * torch.eye(4) - 1)


def test_the_set_has_memory_of_its_own():
    array = GREY.copy()
    data = open_data(array)
    before = rows(data)
    array[:] = 0
    assert torch.equal(rows(data), before)


def test_grey_and_colour_as_pillow_turns_them():
    grey = with_channels(COLOUR.transpose(0, 3, 1, 2), 1)
    pillow = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in COLOUR])
    assert np.array_equal(grey[:, 0], pillow)
    assert torch.equal(rows(open_data(COLOUR, channels=1)), decoded(pillow[:, None]))
    assert torch.equal(rows(open_data(GREY, channels=3)), decoded(GREY[:, None].repeat(3, axis=1)))


def test_transparency_is_shown_on_white():
    image = np.zeros((1, 1, 3, 4), np.uint8)
    image[0, 0, :, 0] = 200
    image[0, 0, :, 3] = 0, 255, 51  # a fifth of 200 and four fifths of 255 are 244; 0 and 255 give 204
    expected = np.array([[[255, 200, 244]], [[255, 0, 204]], [[255, 0, 204]]], np.uint8)
    assert torch.equal(rows(open_data(image, layout="NHWC"))[0], decoded(expected))


@pytest.mark.parametrize(("mode", "expected"), [("L", 100), ("LA", 100), ("1", 255), ("I;16", 100), ("I", 100)])
def test_grey_pictures_of_every_depth(mode, expected):
    deep = mode.startswith("I")
    colours: dict[str, Any] = {"1": 255, "LA": (100, 255)}
    picture = Image.new(mode, (2, 2), colours.get(mode, 257 * 100 if deep else 100))
    assert (with_channels(picture_pixels(picture), 1) == expected).all()


def test_palette_and_cmyk_pictures_have_their_colours():
    colour = (200, 30, 90)
    picture = Image.new("RGB", (2, 2), colour)
    for converted in (picture.convert("P", palette=Image.Palette.ADAPTIVE), picture.convert("CMYK")):
        assert picture_pixels(converted)[:, 0, 0].tolist() == list(colour)


def test_pictures_are_turned_upright():
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=exif)
    upright = picture_pixels(Image.open(buffer))[0]
    assert np.array_equal(upright, np.rot90(np.asarray(picture), -1))


def test_size_fits_the_short_side_and_cuts_the_centre():
    wide = np.zeros((1, 4, 10), np.uint8)
    wide[:, :, 3:7] = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(resized(wide, 4)[0], np.arange(16).reshape(4, 4)), "a pure crop changes no pixel"
    assert np.array_equal(resized(wide.transpose(0, 2, 1), 4)[0], np.arange(16).reshape(4, 4).T)
    assert (resized(np.full((3, 9, 13), 77, np.uint8), 6) == 77).all()


def test_resizing_is_antialiased():
    stripes = np.zeros((1, 64, 64), np.uint8)
    stripes[:, :, ::2] = 255
    assert abs(resized(stripes, 16)[:, :, 2:-2].astype(int) - 127).max() <= 2


def test_resizing_keeps_each_image_its_own():
    data = open_data(COLOUR, size=9)
    assert data.shape == (3, 9, 9)
    alone = rows(open_data(COLOUR[3:4], size=9))[0]
    assert torch.equal(rows(data)[3], alone)


def test_points_stay_as_they_are():
    points = rng.normal(size=(9, 3))
    data = open_data(points, labels=["b", "a", "b"] * 3)
    assert isinstance(data, Points) and data.value_range is None
    assert torch.equal(rows(data), torch.from_numpy(points).float())
    assert data.labels is not None and data.labels.tolist() == [1, 0, 1] * 3


def test_sampling_with_replacement_follows_the_generator():
    data = open_data(GREY)
    keys = data.draw(600, torch.Generator().manual_seed(5))
    assert torch.equal(data.sample(600, torch.Generator().manual_seed(5)), data.fetch(keys))
    counts = keys.bincount(minlength=6)
    assert (counts - 100).abs().max() < 5 * (600 * 5 / 36) ** 0.5  # five standard deviations of a binomial count


def test_digits_are_real_and_even():
    data = open_data("digits")
    assert (data.shape, data.size, data.modes) == ((1, 28, 28), 5000, 10)
    assert data.labels is not None and data.labels.bincount().tolist() == [500] * 10
    zeros, ones = (rows(data)[data.labels == n].mean(0)[0] for n in (0, 1))
    assert zeros[14, 14] < -0.8 and ones[14, 14] > 0.3, "a nought is empty in the middle, a one is not"


def test_fingerprint_follows_content_labels_and_form():
    changed = GREY.copy()
    changed[0, 0, 0] ^= 1
    sets = [open_data(GREY), open_data(changed), open_data(GREY, labels=range(6)), open_data(GREY, size=5)]
    assert len({data.fingerprint for data in sets}) == 4
    assert open_data(GREY.copy()).fingerprint == open_data(GREY / 255).fingerprint


def stack(**options):
    base = open_data(GREY, labels=[3, 1, 4, 1, 5, 9])
    assert isinstance(base, Images)
    return base, StackedDigits(base, **options)


@pytest.mark.parametrize("count", [50, None])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_stacks_are_their_digits_and_say_so(k, count):
    base, data = stack(k=k, count=count)
    keys = data.draw(20, torch.Generator().manual_seed(1))
    images, labels = data.fetch(keys), data.labels_of(keys)
    assert data.modes == 10**k and images.shape == (20, k, 5, 7)
    for image, label in zip(images, labels.tolist(), strict=True):
        for channel, digit in zip(image, f"{label:0{k}}", strict=True):
            same = [n for n in range(6) if torch.equal(rows(base)[n, 0], channel)]
            assert len(same) == 1 and base.labels[same[0]] == int(digit)


def test_fixed_stacks_belong_to_their_seed():
    _, first = stack(count=50, seed=1)
    _, again = stack(count=50, seed=1)
    _, other = stack(count=50, seed=2)
    assert torch.equal(rows(first), rows(again)) and first.fingerprint == again.fingerprint
    assert not torch.equal(rows(first), rows(other)) and first.fingerprint != other.fingerprint
    assert torch.equal(first.labels, first.labels_of(torch.arange(50)))


def test_stacked_mnist_by_name():
    data = open_data("stacked-mnist")
    assert (data.size, data.shape, data.modes) == (128_000, (3, 28, 28), 1000)
    assert data.labels is not None and len(data.labels.unique()) == 1000
    assert data.memory < 20e6, "stacks are not materialised"
    assert open_data("stacked-mnist:fresh,k=4", size=16).shape == (4, 16, 16)
    assert open_data("stacked-mnist:count=10").size == 10


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("stacked-mnist:k=0", {}, "k is 0: give at least 1 and at most 9"),
        ("stacked-mnist:count=0", {}, "count is 0: give at least 1"),
        ("stacked-mnist:fresh=maybe", {}, "must be a switch"),
        ("stacked-mnist:base=letters", {}, "base=digits or base=mnist"),
        ("stacked-mnist", {"channels": 1}, "leave out channels"),
    ],
)
def test_bad_stacks_are_refused(source, options, words):
    with pytest.raises(UserError, match=words):
        open_data(source, **options)


def test_only_grey_digits_are_stacked():
    for data in (open_data(GREY), open_data(COLOUR, labels=[0] * 6), open_data(GREY, labels=[10] * 6)):
        assert isinstance(data, Images)
        with pytest.raises(UserError, match="cannot be stacked"):
            StackedDigits(data)


def test_check_agrees_with_numpy():
    summary = check(open_data(COLOUR, labels=[0, 0, 0, 1, 1, 7]), samples=4)
    values = (COLOUR / 127.5 - 1).astype(np.float32)
    assert summary.mean == pytest.approx(values.mean((0, 1, 2)), abs=1e-6)
    assert summary.std == pytest.approx(values.std((0, 1, 2)), abs=1e-6)
    assert summary.range == (float(values.min()), float(values.max()))
    assert summary.source_range == (float(COLOUR.min()), float(COLOUR.max()))
    assert (summary.classes, summary.class_sizes) == (3, (1, 3))
    assert (summary.count, summary.examined, summary.streamed) == (6, 6, False)
    assert summary.memory == COLOUR.size + 6 * 8
    assert torch.equal(summary.samples, rows(open_data(COLOUR))[[0, 1, 3, 4]])


def test_check_of_an_endless_set_leaves_random_state_alone():
    before = torch.get_rng_state()
    summary = check(open_data("grid"))
    assert torch.equal(torch.get_rng_state(), before)
    assert summary.count is None and summary.modes == 25
    assert summary.std == pytest.approx([8**0.5] * 2, rel=0.05)  # the ticks' variance is 8


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((0, 4, 4), np.uint8), "is empty"),
        (np.array([[1.0, 2.0], [np.nan, 0.0], [np.inf, 0.0]]), "row 1 is the first of 2 with NaN or infinity"),
        (np.full((2, 4, 4), np.nan), "row 0 is the first of 2"),
        (np.array([{}, {}]), "type object"),
        (np.array([["a", "b"]]), "holds no numbers"),
        (np.zeros((2, 4, 4), np.int64), "convert them to uint8"),
        (np.full((2, 4, 4), 255.0), r"\[0, 1\] or \[-1, 1\], but run from 255 to 255"),
        (np.full((2, 4, 4), -1.5), "but run from -1.5"),
        (np.zeros((2, 784), np.uint8), "flattened images"),
        (np.zeros(5), "neither points"),
        (np.zeros((2, 8, 8, 2)), "no batch of images"),
        (np.zeros((8, 8, 3), np.uint8), "looks like one colour image"),
        (np.full((2, 2), 1e300), "too large for float32"),
        ([[1.0], [1.0, 2.0]], "differ in length"),
    ],
)
def test_bad_arrays_are_refused_in_a_sentence(array, words):
    with pytest.raises(UserError, match=words) as caught:
        open_data(array)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": [1, 2]}, "6 samples need labels"),
        ({"labels": [0.5] * 6}, "whole numbers or words"),
        ({"size": 0}, "at least 1"),
        ({"channels": 2}, "channels is 2: choose 1 or 3"),
        ({"layout": "HWC"}, "layout is 'HWC': choose NHWC, NCHW, NHW or points"),
        ({"device": "abacus"}, "device 'abacus' is not usable"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        open_data(COLOUR, **options)


def test_an_open_set_is_taken_as_it_is():
    data = open_data(GREY)
    assert open_data(data).fingerprint == data.fingerprint
    with pytest.raises(UserError, match="open already"):
        open_data(data, size=3)
