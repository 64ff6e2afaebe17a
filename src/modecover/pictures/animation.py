"""The pictures of a run one after the other: how samples of the same noise change while it trains."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modecover.errors import UserError
from modecover.files import reason, replacing, writing

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_FRAMES, LARGEST_SIDE, MOST_BYTES = 120, 720, 4 * 2**20
"""Of an animation. More pictures are thinned evenly, the first and the last kept; larger ones made smaller."""

BAND = 18
"""Pixels beneath a picture that hold its step."""

LAST = 2.0
"""Seconds that the last picture stays."""


def step_of(path: Path) -> int | None:
    """The step in the name of a run's picture, `step-000000032.png`; None where it is named otherwise."""
    found = re.fullmatch(r"step-(\d+)\.png", path.name)
    return int(found[1]) if found else None


def animate(
    pictures: Sequence[tuple[int, Path]],
    path: Path,
    *,
    seconds: float = 8.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a GIF that runs for ever, of at most `MOST_BYTES`, and give the number of its frames.

    Args:
        pictures: by step; each is shown equally long, with its step beneath.
        seconds: of one round, without the last picture's stay; less where pictures are few.

    Raises:
        UserError: a picture cannot be read, or `path` not be written.
    """
    count = min(len(pictures), MOST_FRAMES)
    chosen = [pictures[place * (len(pictures) - 1) // max(1, count - 1)] for place in range(count)]
    frames = []
    for number, (step, file) in enumerate(chosen):
        progress(number, count)
        frames.append(_captioned(_opened(file), f"step {step:,}"))
    width, height = frames[-1].size
    frames = [frame if frame.size == (width, height) else frame.resize((width, height)) for frame in frames]
    # Browsers show shorter times than 20 ms as 100 ms; and of few pictures none is waited for longer than a second.
    each = min(1000, max(20, round(1000 * seconds / count)))
    times = [each] * (count - 1) + [each + round(1000 * LAST)]
    scale = 1.0
    while len(content := _gif(frames, times, scale)) > MOST_BYTES and scale * min(width, height) > 32:
        scale *= min(0.9, (MOST_BYTES / len(content)) ** 0.5)
    progress(count, count)
    with writing(path, "choose another place with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return count


def _opened(file: Path) -> Image:
    from PIL import Image

    try:
        with Image.open(file, formats=("PNG",)) as picture:
            picture.load()
            whole = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # as PIL says it of a PNG
        raise UserError(f"{file} is damaged ({reason(error)}): delete it, and the others are shown.") from error
    whole.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return whole


def _captioned(picture: Image, words: str) -> Image:
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (max(picture.width, 110), picture.height + BAND), "white")
    page.paste(picture, ((page.width - picture.width) // 2, 0))
    ImageDraw.Draw(page).text((4, picture.height + 3), words, fill="black")
    return page


def _gif(frames: Sequence[Image], times: Sequence[int], scale: float) -> bytes:
    """The frames, scaled, in the colours of the last one, which shows what all others become."""
    from PIL import Image

    width, height = (max(1, round(scale * side)) for side in frames[0].size)
    scaled = [frame if scale == 1 else frame.resize((width, height), Image.Resampling.LANCZOS) for frame in frames]
    palette = scaled[-1].quantize(256)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in scaled]
    file = io.BytesIO()
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:], duration=list(times), loop=0, optimize=False)
    return file.getvalue()
