"""Pictures of samples and of training: grids of images, scattered points, methods side by side, curves.

Every function returns a Pillow image; `save_png_atomic` stores it. Colours are those of Okabe and Ito, which people
with any common colour vision tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from modecover.errors import UserError
from modecover.files import reason, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

Samples = Tensor | ArrayLike

GOOD, STRAY, QUIET = "#0072B2", "#D55E00", "#8C8C8C"
"""High-quality samples, all others, and what is only there for reference."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

HIGH_QUALITY = 3.0
"""Standard deviations about its nearest centre within which a sample counts as high-quality."""

GAP = 2
"""White pixels between the images of a grid."""

_GRID_WIDTH = 720
_DOTS_PER_INCH = 110
_POINTS_SHOWN = 2500
_IMAGES_SHOWN = 16


@dataclass(frozen=True)
class Landmarks:
    """What a scatter of samples is seen against.

    Attributes:
        centres: (K, 2) centres of the mixture's modes; None where there are none.
        std: of each mode, in every direction.
        points: (M, 2) samples of the data, drawn in grey beneath.
    """

    centres: Samples | None = None
    std: float = 0.0
    points: Samples | None = None


def to_pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8 pixels of the same shape: -1 is 0, 1 is 255, the nearest between; NaN is black."""
    return images.float().nan_to_num(nan=-1.0).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def image_grid(images: Samples, columns: int | None = None, scale: int | None = None) -> Image:
    """The images in rows, the first at the top left.

    Args:
        images: (N, C, H, W) in [-1, 1], N at least 1. One channel is grey and three are colour; any other number is
            laid out as that many grey panels side by side, without a gap.
        columns: images in a row. Default: what makes the grid nearly square.
        scale: whole factor by which every pixel is enlarged. Default: what makes the grid at most 720 pixels wide.

    Raises:
        UserError: the images are of another shape.
    """
    from PIL import Image

    tiles = _tiles(images)
    count, height, width, _ = tiles.shape
    columns = min(count, columns or max(1, round(math.sqrt(count * height / width))))
    scale = scale or max(1, min(8, _GRID_WIDTH // (columns * width)))
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    rows, height, width = math.ceil(count / columns), height * scale, width * scale
    page = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, tiles.shape[3]), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (number // columns) * (height + GAP), (number % columns) * (width + GAP)
        page[top : top + height, left : left + width] = tile
    return Image.fromarray(page[:, :, 0] if page.shape[2] == 1 else page)


def save_png_atomic(image: Image, path: Path | str) -> Path:
    """Write `image` as PNG, whole or not at all; its folder is made if absent. Returns the path.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            image.save(temporary, format="PNG")
    except OSError as error:
        raise UserError(
            f"The picture {path} cannot be written: {reason(error)}. Free disk space, make its folder "
            "writable, or choose another place."
        ) from error
    return path


def points_picture(samples: Samples, landmarks: Landmarks | None = None, title: str = "") -> Image:
    """A scatter of points (N, 2), on limits that `landmarks` fix, so that pictures of one run can be compared.

    Against a mixture's centres, samples within 3 standard deviations of one are blue and all others orange. At most
    2,500 samples are drawn, the first ones.

    Raises:
        UserError: the samples are not points of the plane.
    """
    points = _points(samples)
    landmarks = landmarks or Landmarks()
    figure = _figure(4.2, (4.5 if title else 4.2) + _LINE * len(_signs(landmarks)))
    axes = figure.add_subplot()
    _scatter(axes, points, landmarks, _limits(landmarks, points))
    axes.set_title(_plain(title), fontsize=11)
    _explain(figure, landmarks, columns=1)
    return _drawn(figure)


def comparison_picture(
    target: Samples,
    rows: Mapping[str, Sequence[Samples]],
    landmarks: Landmarks | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
    *,
    target_caption: str = "",
    seeds: Sequence[int] | None = None,
    title: str = "",
) -> Image:
    """The target beside a table of panels: one row for each method, one column for each seed.

    Args:
        target: samples of the data, (N, 2) points or (N, C, H, W) images in [-1, 1].
        rows: method name to its samples, one entry for each seed, shaped like `target`. 16 images of each are shown.
        landmarks: for points, what they are seen against.
        captions: method name to a few words beneath each panel, such as "8/8 modes".
        target_caption: the words beneath the target.
        seeds: the numbers above the columns. Default: 0, 1, ...

    Raises:
        UserError: there is nothing to compare, or samples are neither points nor images.
    """
    columns = max((len(panels) for panels in rows.values()), default=0)
    if not columns:
        raise UserError("There is nothing to compare: give at least one method with the samples of one seed.")
    words = captions or {}
    room = 2.0 if columns <= 4 else 1.6
    signs = _signs(landmarks) if torch.as_tensor(target).ndim == 2 else []
    lines = math.ceil(len(signs) / (3 if columns >= 3 else 1))
    height = (room + 0.3) * len(rows) + (0.4 if title else 0.1) + _LINE * lines
    figure = _figure(room * (columns + 1) + 0.4, height)
    grid = figure.add_gridspec(len(rows), columns + 1)
    draw = _panel_artist(target, landmarks or Landmarks())
    axes = figure.add_subplot(grid[:, 0])
    draw(axes, target)
    _label(axes, above="target", beneath=target_caption)
    axes.set_anchor("C")
    numbers = list(seeds) if seeds is not None else list(range(columns))
    for row, (method, panels) in enumerate(rows.items()):
        for column, samples in enumerate(panels):
            axes = figure.add_subplot(grid[row, column + 1])
            draw(axes, samples)
            beneath = words.get(method, ())
            _label(
                axes,
                above=f"seed {numbers[column]}" if row == 0 else "",
                beneath=beneath[column] if column < len(beneath) else "",
                beside=method if column == 0 else "",
            )
    figure.suptitle(_plain(title), fontsize=12)
    if signs:
        _explain(figure, landmarks, columns=3 if columns >= 3 else 1)
    return _drawn(figure)


def curves_picture(rows: Iterable[Mapping[str, Any]], title: str = "", seeds: Sequence[int] | None = None) -> Image:
    """The numbers of a log over its steps, as `read_log` returns its rows.

    Numbers under "losses" (or "loss") share a panel where their names agree up to the last "/"; every other number has
    its own. A list is one curve for each seed, told apart by colour and legend. Times and speeds are left out.

    Args:
        rows: of the log.
        title: above all panels.
        seeds: the seeds that lists are of, in order. Default: 0, 1, ...

    Raises:
        UserError: the log holds no numbers yet.
    """
    panels = _panels(rows)
    if not panels:
        raise UserError("There are no curves to draw: the log holds no numbers with a step yet.")
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = _figure(3.4 * columns, 2.4 * lines + (0.4 if title else 0), gap=0.08)
    for number, (name, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(lines, columns, number + 1)
        legend = _draw_curves(axes, curves, seeds)
        _dress(axes, name, legend=legend, steps=number >= len(panels) - columns)
    figure.suptitle(_plain(title), fontsize=12)
    return _drawn(figure)


def _plain(title: str) -> str:
    """A text as fonts can write it, whatever it is the name of: nothing unprintable, no formula, at most a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in title[:80]).replace("$", r"\$")


# Images


def _tiles(images: Samples) -> NDArray[np.uint8]:
    """Images (N, C, H, W) as pixels (N, H, W, 1 or 3), or (N, H, C*W, 1) where channels are panels."""
    tensor = torch.as_tensor(images).detach().cpu()
    if tensor.ndim != 4 or not tensor.numel():
        raise UserError(f"A grid needs images of shape (N, C, H, W); these are of shape {tuple(tensor.shape)}.")
    pixels = to_pixels(tensor).numpy()
    count, channels, height, width = pixels.shape
    if channels in (1, 3):
        return pixels.transpose(0, 2, 3, 1)
    return pixels.transpose(0, 2, 1, 3).reshape(count, height, channels * width, 1)


# Scatters


def _points(samples: Samples) -> NDArray[np.float64]:
    points = torch.as_tensor(samples).detach().cpu().double().numpy()
    if points.ndim != 2 or points.shape[1] != 2:
        raise UserError(f"A scatter needs points of shape (N, 2); these are of shape {points.shape}.")
    return points


def is_high_quality(points: NDArray[np.float64], centres: NDArray[np.float64], std: float) -> NDArray[np.bool_]:
    """Whether each point (N, 2) lies within 3 std (L2) of the nearest centre (K, 2)."""
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
    near: NDArray[np.bool_] = distances <= HIGH_QUALITY * std
    return near


def _limits(landmarks: Landmarks, samples: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a square about the centres, else the reference points, else the samples."""
    margin, shown = 0.0, samples
    if landmarks.centres is not None:
        shown, margin = _points(landmarks.centres), 4 * landmarks.std
    elif landmarks.points is not None:
        shown = _points(landmarks.points)
    shown = shown[np.isfinite(shown).all(axis=1)]
    if not len(shown):
        return -1.0, 1.0, -1.0, 1.0
    low, high = shown.min(axis=0), shown.max(axis=0)
    middle, extent = (low + high) / 2, float((high - low).max()) / 2
    half = max(1.3 * extent, extent + margin) or 1.0
    return middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half


def _scatter(
    axes: Axes, samples: NDArray[np.float64], landmarks: Landmarks, limits: tuple[float, float, float, float]
) -> None:
    """Samples over their landmarks, on a square without ticks; how many lie outside is written in the corner."""
    shown = samples[:_POINTS_SHOWN]
    size = 7 if len(shown) <= 500 else 3.5
    colours: Any = GOOD
    if landmarks.points is not None:
        x, y = _points(landmarks.points)[:_POINTS_SHOWN].T
        axes.scatter(x, y, s=size, c=QUIET, alpha=0.35, linewidths=0)
    if landmarks.centres is not None:
        centres = _points(landmarks.centres)
        colours = np.where(is_high_quality(shown, centres, landmarks.std), GOOD, STRAY)
        x, y = centres.T
        axes.scatter(x, y, s=34, marker="o", facecolors="none", edgecolors=QUIET, linewidths=0.8, zorder=0)
    x, y = shown.T
    axes.scatter(x, y, s=size, c=colours, alpha=0.7, linewidths=0)
    left, right, bottom, top = limits
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    if not inside.all():
        share = float(np.mean(~inside))
        text = f"{share:.0%} outside" if share >= 0.005 else "<1% outside"
        axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=8, color=STRAY)


_LINE = 0.2
"""Height of a line of the legend, in inches."""


def _signs(landmarks: Landmarks | None) -> list[tuple[str, dict[str, Any]]]:
    """What the signs in a scatter mean, each with how it is drawn."""
    dot = {"marker": "o", "linestyle": "none", "markersize": 5}
    signs: list[tuple[str, dict[str, Any]]] = []
    if landmarks is None or landmarks.centres is None:
        signs.append(("sample", {**dot, "color": GOOD}))
    else:
        signs += [
            (f"sample within {HIGH_QUALITY:g} std of a mode's centre", {**dot, "color": GOOD}),
            ("sample farther off", {**dot, "color": STRAY}),
            ("centre of a mode", {**dot, "markerfacecolor": "none", "markeredgecolor": QUIET}),
        ]
    if landmarks is not None and landmarks.points is not None:
        signs.append(("data", {**dot, "color": QUIET}))
    return signs


def _explain(figure: Figure, landmarks: Landmarks | None, columns: int) -> None:
    """The legend of a figure's scatters, beneath them."""
    from matplotlib.lines import Line2D

    signs = _signs(landmarks)
    handles = [Line2D([], [], label=label, **style) for label, style in signs]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False, handletextpad=0.2
    )


# Panels beside each other


def _panel_artist(target: Samples, landmarks: Landmarks) -> Any:
    """A function (axes, samples) that draws samples of the target's kind, all on the target's limits."""
    if torch.as_tensor(target).ndim == 4:
        return _draw_images
    points = _points(target)
    against = landmarks if landmarks.centres is not None or landmarks.points is not None else Landmarks(points=points)
    limits = _limits(against, points)

    def draw(axes: Axes, samples: Samples) -> None:
        _scatter(axes, _points(samples), landmarks, limits)

    return draw


def _draw_images(axes: Axes, samples: Samples) -> None:
    grid = image_grid(torch.as_tensor(samples)[:_IMAGES_SHOWN], scale=1)
    axes.imshow(np.asarray(grid), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _label(axes: Axes, *, above: str = "", beneath: str = "", beside: str = "") -> None:
    axes.set_title(_plain(above), fontsize=10, pad=4)
    axes.set_xlabel(beneath, fontsize=9, labelpad=3)
    axes.set_ylabel(beside, fontsize=11, labelpad=6)
    axes.spines[:].set_color("#BBBBBB")


# Curves

Curve = list[tuple[float, float]]
Curves = dict[str, dict[str, dict[str, Curve]]]
"""Panel to label to seed to the points (step, value)."""

_DASHES = ("-", "--", ":", "-.")
"""Of curves beyond the first seven, whose colours come again."""

_NO_CURVES = ("step", "time", "seconds", "steps_per_second", "elapsed")


def _panels(rows: Iterable[Mapping[str, Any]]) -> Curves:
    panels: Curves = {}
    for row in rows:
        step = row.get("step")
        if not isinstance(step, int | float):
            continue
        for names, seed, value in _numbers(row):
            if names[-1] in _NO_CURVES:
                continue
            loss = names[0] in ("loss", "losses") and len(names) > 1
            panel, label = ("/".join(names[:-1]), names[-1]) if loss else (names[-1], names[-1])
            panels.setdefault(panel, {}).setdefault(label, {}).setdefault(seed, []).append((step, value))
    return panels


def _numbers(value: Any, names: tuple[str, ...] = (), seed: str = "") -> Iterator[tuple[tuple[str, ...], str, float]]:
    """(names down to it, place in lists, number) of every number in a row."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, (*names, *str(name).split("/")), seed)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _numbers(item, names, f"{seed}/{place}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield names, seed, float(value) if math.isfinite(value) else math.nan


def _thinned(points: Curve, most: int = 1000) -> tuple[list[float], list[float]]:
    """Steps and values, every n-th only where there are more than can be seen; the last is always there."""
    every = math.ceil(len(points) / most)
    kept = points[::-1][::every][::-1]
    return [step for step, _ in kept], [value for _, value in kept]


def _draw_curves(axes: Axes, curves: Mapping[str, Mapping[str, Curve]], seeds: Sequence[int] | None) -> bool:
    """One colour for each label, or for each seed where there is one label only; whether a legend is needed.

    Of several labels with several seeds each, the seeds' curves share a colour and one entry in the legend.
    """
    by_seed = len(curves) == 1
    for number, (label, of_seeds) in enumerate(curves.items()):
        for position, points in enumerate(of_seeds.values()):
            seed = seeds[position] if seeds is not None and position < len(seeds) else position
            colour = position if by_seed else number
            axes.plot(
                *_thinned(points),
                color=COLOURS[colour % len(COLOURS)],
                linestyle=_DASHES[colour // len(COLOURS) % len(_DASHES)],
                alpha=1.0 if by_seed or len(of_seeds) == 1 else 0.6,
                linewidth=1.2,
                marker="o" if len(points) == 1 else None,
                markersize=3,
                label=f"seed {seed}" if by_seed else _plain(label) if position == 0 else f"_{position}",
            )
    return len(curves) > 1 or any(len(of_seeds) > 1 for of_seeds in curves.values())


def _dress(axes: Axes, name: str, *, legend: bool, steps: bool) -> None:
    axes.set_title(_plain(name.replace("_", " ").removeprefix("losses/")), fontsize=10)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color="#BBBBBB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.locator_params(axis="x", nbins=5)
    if steps:
        axes.set_xlabel("step", fontsize=9)
    if legend:
        columns = math.ceil(len(axes.lines) / 5)
        axes.legend(fontsize=8, frameon=False, labelcolor="linecolor", handlelength=1.2, ncols=columns)


# Figures


def _figure(width: float, height: float, gap: float = 0.04) -> Figure:
    """An empty figure, apart from pyplot, whose figures outlive their use. Sizes and the gap of rows in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=gap)
    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout=layout, facecolor="white")


def _drawn(figure: Figure) -> Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)  # matplotlib is typed in part
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
