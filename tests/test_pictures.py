"""Pictures: grids are checked pixel by pixel, plots by what they draw and where."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from modecover.errors import UserError
from modecover.pictures.charts import scale_by_logarithm
from modecover.pictures.curves import _draw_curves, _panels, curves_picture
from modecover.pictures.images import GOOD, QUIET, STRAY, drawn, empty_figure, image_grid, save_png_atomic, to_pixels
from modecover.pictures.saving import Landmarks, _figure, _scatter, comparison_picture, limits_about, points_picture

CENTRES = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def share_of(image: Image.Image, colour: str, tolerance: int = 40) -> float:
    """Share of the picture's pixels that are nearly of this colour."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return float((np.abs(pixels(image).astype(int) - wanted).max(axis=2) < tolerance).mean())


def without_legend(image: Image.Image, inches: float = 0.7) -> Image.Image:
    """The panels of a picture of points: all but the legend beneath them."""
    return image.crop((0, 0, image.width, image.height - round(inches * 110)))


def test_values_become_the_nearest_pixels() -> None:
    values = torch.tensor([-1.0, -0.5, 0.0, 1.0, 9.0, -9.0, math.nan, math.inf])
    assert to_pixels(values).tolist() == [0, 64, 128, 255, 255, 0, 0, 255]


def test_grey_grid_pixel_by_pixel() -> None:
    images = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]).reshape(3, 1, 1, 2)
    grid = image_grid(images, columns=2, scale=1)
    w = 255  # the gap
    assert grid.mode == "L"
    assert pixels(grid).tolist() == [
        [0, 255, w, w, 255, 0],
        [w, w, w, w, w, w],
        [w, w, w, w, w, w],
        [0, 0, w, w, w, w],
    ]


def test_enlarging_repeats_pixels_and_not_the_gap() -> None:
    images = torch.tensor([-1.0, 0.0]).reshape(2, 1, 1, 1)
    assert pixels(image_grid(images, columns=2, scale=3)).tolist() == [[0, 0, 0, 255, 255, 128, 128, 128]] * 3


def test_three_channels_are_colour() -> None:
    image = torch.tensor([1.0, -1.0, 0.0]).reshape(1, 3, 1, 1)
    grid = image_grid(image, scale=1)
    assert grid.mode == "RGB" and pixels(grid).tolist() == [[[255, 0, 128]]]


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_panels_side_by_side(channels: int) -> None:
    values = torch.linspace(-1, 1, channels)
    images = values.reshape(1, channels, 1, 1).expand(1, channels, 2, 3)
    expected = [int(value) for value in to_pixels(values) for _ in range(3)]
    assert pixels(image_grid(images, scale=1)).tolist() == [expected] * 2


def test_default_layout_is_nearly_square_and_bounded() -> None:
    assert image_grid(torch.zeros(64, 1, 28, 28)).size == (8 * 28 * 3 + 7 * 2, 8 * 28 * 3 + 7 * 2)
    assert image_grid(torch.zeros(1, 3, 16, 16)).size == (128, 128)
    assert image_grid(torch.zeros(2, 3, 500, 500)).size == (500, 1002)
    assert image_grid(torch.zeros(3, 1, 8, 8), columns=99, scale=1).size == (28, 8)


def test_grids_take_arrays_and_refuse_other_shapes() -> None:
    assert image_grid(np.ones((1, 1, 2, 2), np.float32), scale=1).getpixel((0, 0)) == 255
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(0, 1, 8, 8), torch.zeros(4, 2)):
        with pytest.raises(UserError, match=r"\(N, C, H, W\)"):
            image_grid(wrong)


def test_png_round_trip_and_atomic_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (image_grid(torch.full((1, 1, 4, 4), value), scale=1) for value in (-1.0, 1.0))
    path = save_png_atomic(first, tmp_path / "new" / "a.png")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_png_atomic(second, path)
    assert [item.name for item in path.parent.iterdir()] == ["a.png"]
    with Image.open(path) as read:
        assert pixels(read).max() == 0
    save_png_atomic(second, path)
    with Image.open(path) as read:
        assert read.format == "PNG" and pixels(read).min() == 255


def test_an_unwritable_picture_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_png_atomic(image_grid(torch.zeros(1, 1, 1, 1)), tmp_path / "file" / "a.png")


def test_high_quality_is_within_three_std_of_the_nearest_centre() -> None:
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    points = np.array([[1.0, 0.29], [1.0, 0.31], [-1.2, -0.2], [-1.22, -0.22], [math.nan, 0.0]])
    axes = Figure().add_subplot()
    _scatter(axes, points, Landmarks(CENTRES, 0.1), (-2, 2, -2, 2))
    drawn = [to_hex(colour).upper() for colour in axes.collections[-1].get_facecolor()]
    assert drawn == [GOOD, STRAY, GOOD, STRAY, STRAY]


def test_limits_come_from_the_landmarks_and_not_from_the_samples() -> None:
    samples = np.array([[50.0, 50.0]])
    assert limits_about(Landmarks(CENTRES, 0.1), samples) == pytest.approx((-1.4, 1.4, -1.4, 1.4))
    assert limits_about(Landmarks(CENTRES, 0.01), samples) == pytest.approx((-1.3, 1.3, -1.3, 1.3))
    assert limits_about(Landmarks(points=CENTRES + 5), samples) == pytest.approx((3.7, 6.3, 3.7, 6.3))
    wild = np.array([[0.0, 0.0], [2.0, 1.0], [math.inf, 0.0]])
    assert limits_about(Landmarks(), wild) == pytest.approx((-0.3, 2.3, -0.8, 1.8))
    assert limits_about(Landmarks(CENTRES[:1], 0.1), samples) == pytest.approx((0.6, 1.4, -0.4, 0.4))
    assert limits_about(Landmarks(), np.array([[math.nan, 0.0]])) == (-1, 1, -1, 1)


def test_scatter_colours_tell_good_from_stray() -> None:
    near, far = CENTRES.repeat(50, 1), CENTRES.repeat(50, 1) * 0.4
    landmarks = Landmarks(CENTRES, 0.05)
    good, stray = (without_legend(points_picture(points, landmarks)) for points in (near, far))
    assert share_of(good, GOOD) > 0 and share_of(good, STRAY) == 0
    assert share_of(stray, STRAY) > 0 and share_of(stray, GOOD) == 0
    plain = without_legend(points_picture(far, Landmarks()))
    assert share_of(stray, QUIET) > share_of(plain, QUIET)  # the circles about the centres
    assert good.size == stray.size


def test_samples_outside_the_limits_are_told() -> None:
    landmarks = Landmarks(CENTRES, 0.1)
    inside = without_legend(points_picture(CENTRES, landmarks))
    outside = without_legend(points_picture(torch.cat([CENTRES, CENTRES * 99]), landmarks))
    assert share_of(inside, STRAY) == 0 < share_of(outside, STRAY)


@pytest.mark.parametrize("samples", [torch.zeros(1, 2), torch.full((3, 2), math.nan), torch.zeros(0, 2), [[0.0, 1.0]]])
def test_poor_samples_are_drawn_all_the_same(samples: Any) -> None:
    assert points_picture(samples, Landmarks(), "title").height > 100


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(UserError, match=r"\(N, 2\)"):
        points_picture(torch.zeros(5, 3), Landmarks())


def test_comparison_has_a_panel_for_each_method_and_seed() -> None:
    """The target is one colour, the rows others: each row's share grows with its seeds."""
    near, far, landmarks = CENTRES.repeat(80, 1), CENTRES.repeat(80, 1) * 0.4, Landmarks(CENTRES, 0.05)

    def compared(other: Tensor, captions: dict[str, list[str]]) -> Image.Image:
        rows = {"GAN": [far, far], "IVGAN": [other, other]}
        return without_legend(comparison_picture(near, rows, landmarks, captions, seeds=(0, 1)))

    both, stray = compared(near, {"GAN": ["1/2 modes"]}), compared(far, {})
    assert 0 < share_of(both, STRAY) < share_of(stray, STRAY)
    assert share_of(both, GOOD) == pytest.approx(3 * share_of(stray, GOOD), rel=0.25)  # three panels, then one


def test_pictures_of_points_say_what_their_signs_mean() -> None:
    """Beneath the panels: every colour where it is told apart, and only that of samples where nothing is."""

    def legend(image: Image.Image) -> Image.Image:
        return image.crop((0, image.height - 77, *image.size))

    near, landmarks = CENTRES.repeat(50, 1), Landmarks(CENTRES, 0.05)
    for picture in (
        points_picture(near, landmarks),
        comparison_picture(near, {"": [near] * 3}, landmarks, seeds=range(3)),
    ):
        assert share_of(legend(picture), GOOD) > 0 and share_of(legend(picture), STRAY) > 0
    (signs,) = _figure(4, 4, Landmarks(points=near)).legends
    assert [text.get_text() for text in signs.get_texts()] == ["sample", "data"]


def test_seeds_are_told_apart_where_curves_are_theirs() -> None:
    from matplotlib.figure import Figure

    def labels(curves: Any, seeds: Any = None) -> list[Any]:
        axes = Figure().add_subplot()
        _draw_curves(axes, curves, seeds)
        return [(line.get_label(), line.get_color(), line.get_linestyle()) for line in axes.lines]

    one, two = [(1.0, 2.0)], [(1.0, 3.0)]
    assert labels({"kl": {"/0": one, "/1": two}}, [7, 8]) == [("seed 7", GOOD, "-"), ("seed 8", STRAY, "-")]
    many = labels({"kl": {f"/{place}": one for place in range(9)}})
    assert [name for name, _, _ in many] == [f"seed {place}" for place in range(9)]
    assert len({(colour, dashes) for _, colour, dashes in many}) == 9
    assert [name for name, _, _ in labels({"real": {"": one}, "fake": {"": two}})] == ["real", "fake"]


def test_nothing_to_compare_is_a_sentence() -> None:
    nothing: list[dict[str, list[Tensor]]] = [{}, {"GAN": []}]
    for rows in nothing:
        with pytest.raises(UserError, match="nothing to compare"):
            comparison_picture(CENTRES, rows, Landmarks(), seeds=())


def test_curves_are_sorted_into_panels_by_network_metric_and_seed() -> None:
    rows = [
        {"step": 1, "losses": {"D/adv": 1.0, "D/penalty": 2.0, "G/adv": 3.0}, "steps_per_second": 9.0, "note": "x"},
        {"step": 2, "losses": {"D/adv": math.inf}, "evaluation": [{"kl": 0.5}, {"kl": 0.7}], "done": True},
        {"event": "resumed", "kl": 3.0},
    ]
    panels = _panels(rows)
    assert list(panels) == ["losses/D", "losses/G", "kl"]
    assert list(panels["losses/D"]) == ["adv", "penalty"]
    assert panels["losses/D"]["adv"][""][0] == (1, 1.0) and math.isnan(panels["losses/D"]["adv"][""][1][1])
    assert list(panels["kl"]["kl"].values()) == [[(2, 0.5)], [(2, 0.7)]]
    picture = curves_picture(rows, "title")
    assert share_of(picture, GOOD) > 0 and share_of(picture, STRAY) > 0


def test_long_curves_are_thinned_and_end_at_the_last_step() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    long, one = [(float(step), step / 2) for step in range(10_001)], [(1.0, 2.0)]
    _draw_curves(axes, {"long": {"": long}, "one": {"": one}}, None)
    steps, values = (list(numbers) for numbers in axes.lines[0].get_data())
    assert len(steps) <= 1000 and steps == sorted(steps) and (steps[-1], values[-1]) == (10_000, 5000)
    assert [list(numbers) for numbers in axes.lines[1].get_data()] == [[1.0], [2.0]]


def test_what_is_measured_late_of_an_early_step_stands_at_its_step() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    _draw_curves(axes, {"kl": {"": [(1.0, 5.0), (3.0, 7.0), (2.0, 6.0)]}}, None)
    assert [list(numbers) for numbers in axes.lines[0].get_data()] == [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]]


def test_an_empty_log_is_a_sentence() -> None:
    empty: list[list[dict[str, float]]] = [[], [{"step": 3}], [{"loss": 1.0}]]
    for rows in empty:
        with pytest.raises(UserError, match="no curves"):
            curves_picture(rows)


def test_names_of_losses_are_no_formulas():
    rows = [{"step": step, "losses": {"$\\frac{$": {"$x^$": 1.0, "a\nb": 2.0}}, "$_$": 3.0} for step in (1, 2)]
    assert curves_picture(rows, "$\\sqrt{$").height > 100


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ((0.16, 6.5), ["0.2", "0.5", "1", "2", "5"]),
        ((8.5, 32.0), ["8", "9", "10", "20", "30"]),
        ((0.06, 60.0), ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50"]),
    ],
)
def test_marks_of_a_logarithmic_scale_are_plain_numbers(values: tuple[float, float], marks: list[str]) -> None:
    figure = empty_figure(4, 4)
    axes = figure.add_subplot()
    axes.plot([0, 1], values)
    scale_by_logarithm(axes)
    drawn(figure)
    low, high = axes.get_ylim()
    both = [(axis.get_loc(), axis.label1.get_text()) for axis in [*axes.yaxis.majorTicks, *axes.yaxis.minorTicks]]
    assert [text for place, text in sorted(both) if low <= place <= high and text] == marks
