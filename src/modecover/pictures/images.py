"""Images in a grid, and what every picture is made of: pixels, figures, colours and words.

Colours are those of Okabe and Ito, which people with any common colour vision tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from modecover.errors import UserError
from modecover.files import replacing, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Samples = Tensor | ArrayLike

GOOD, STRAY, QUIET = "#0072B2", "#D55E00", "#8C8C8C"
"""High-quality samples, all others, and what is only there for reference."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

FRAME = "#BBBBBB"

GAP = 2
"""White pixels between the images of a grid."""

SHEET_WIDTH = 400
"""Pixels of a sheet of images that a page shows; other pictures have twice as many."""

_GRID_WIDTH = 720
_DOTS_PER_INCH = 110


def to_pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8 pixels of the same shape: -1 is 0, 1 is 255, the nearest between; NaN is black."""
    return images.float().nan_to_num(nan=-1.0).add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def image_grid(images: Samples, columns: int | None = None, scale: int | None = None) -> Image:
    """The images in rows, the first at the top left. Raises `UserError` where they are of another shape.

    Args:
        images: (N, C, H, W) in [-1, 1], N at least 1. One channel is grey and three are colour; any other number is
            laid out as that many grey panels side by side, without a gap.
        columns: images in a row. Default: what makes the grid nearly square.
        scale: whole factor by which every pixel is enlarged. Default: what makes the grid at most 720 pixels wide.
    """
    from PIL import Image

    tensor = torch.as_tensor(images).detach().cpu()
    if tensor.ndim != 4 or not tensor.numel():
        raise UserError(f"A grid needs images of shape (N, C, H, W); these are of shape {tuple(tensor.shape)}.")
    if tensor.shape[1] not in (1, 3):  # channels are panels
        tensor = tensor.transpose(1, 2).flatten(2)[:, None]
    count, _, height, width = tensor.shape
    tiles = to_pixels(tensor).permute(0, 2, 3, 1).numpy()
    columns = min(count, columns or max(1, round(math.sqrt(count * height / width))))
    scale = scale or max(1, min(8, _GRID_WIDTH // (columns * width)))
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    rows, height, width = math.ceil(count / columns), height * scale + GAP, width * scale + GAP
    page = np.full((rows * columns, height, width, tiles.shape[3]), 255, np.uint8)
    page[:count, :-GAP, :-GAP] = tiles
    lines = page.reshape(rows, columns, height, width, -1).swapaxes(1, 2)
    grid = lines.reshape(rows * height, columns * width, -1)[:-GAP, :-GAP]
    return Image.fromarray(grid[:, :, 0] if grid.shape[2] == 1 else grid)


def save_png_atomic(image: Image, path: Path) -> Path:
    """Write `image` as PNG, whole or not at all (`UserError`); its folder is made if absent. Returns the path."""
    with writing(f"The picture {path}", "free disk space, make its folder writable, or choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            image.save(temporary, format="PNG")
    return path


def small(paths: Sequence[Path], *, of_images: bool) -> Image:
    """Pictures, in this order, below each other, no wider than a page shows them; of a sheet of images its upper
    quarter."""
    from PIL import Image

    parts = []
    for path in paths:
        with Image.open(path) as opened:
            sheet = opened.convert("RGB")
        sheet = sheet.crop((0, 0, sheet.width, sheet.height // 4)) if of_images else sheet
        width = min(sheet.width, SHEET_WIDTH if of_images else 2 * SHEET_WIDTH)
        parts.append(sheet.resize((width, sheet.height * width // sheet.width)))
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def as_points(samples: Samples) -> NDArray[np.float64]:
    """Points of the plane as an array (N, 2). Raises `UserError` where the samples are of another shape."""
    points = torch.as_tensor(samples).detach().cpu().double().numpy()
    if points.ndim != 2 or points.shape[1] != 2:
        raise UserError(f"A scatter needs points of shape (N, 2); these are of shape {points.shape}.")
    return points


def drawable(text: str) -> str:
    """A text as fonts can write it, whatever it is the name of: nothing unprintable, no formula, at most a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:80]).replace("$", r"\$")


def empty_figure(width: float, height: float, gap: float = 0.04) -> Figure:
    """An empty figure, apart from pyplot, whose figures outlive their use. Sizes and the gap of rows in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=gap)
    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout=layout, facecolor="white")


def drawn(figure: Figure) -> Image:
    """The figure as an image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)  # matplotlib is typed in part
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
