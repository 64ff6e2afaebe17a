"""A survey of encoded pictures: their sizes, whether they are grey, and their frames, from the headers alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.data.base import Progress, silent
from modecover.data.encoded import Pictures, damaged, mixed_sizes, open_picture
from modecover.data.pixels import is_grey, on_its_side
from modecover.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

MOST_AT_ONCE = 32
"""Pictures that a thread takes at a time: with one at a time threads would stand in each other's way."""
ONE_PICTURE = {"MPO": "previews or partners of a stereo pair", "PSD": "layers"}
"""Formats whose further frames are no samples of their own, and what these are."""
SAME_THROUGHOUT = {"PNG", "WEBP", "AVIF"}
"""Formats whose frames all have the size and mode of the first."""


@dataclass(frozen=True)
class _Look:
    """What the header of one picture tells."""

    size: tuple[int, int]
    """(height, width), upright."""
    grey: bool
    frames: int
    other_size: tuple[int, int] | None
    """Of the first frame that is not of the size of the first."""
    more: str = ""
    """What further images in the file are, where they are no samples."""


@dataclass(frozen=True)
class Survey:
    """What the headers of all pictures tell."""

    ends: NDArray[np.int64]
    """Of each picture, the number of samples up to and with its last frame."""
    size: tuple[int, int]
    """(height, width) of the first that can be read."""
    grey: bool
    """Whether all are."""
    broken: tuple[tuple[int, UserError], ...]
    """Which cannot be read, and why."""
    mixed: UserError | None
    """Names two that differ in size, where some do."""
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Samples in all."""
        return int(self.ends[-1])

    def place(self, index: int) -> tuple[int, int]:
        """The picture in which sample `index` is, and its frame there."""
        picture = int(np.searchsorted(self.ends, index, side="right"))
        return picture, index - (int(self.ends[picture - 1]) if picture else 0)

    def repeated(self, labels: Tensor | None) -> Tensor | None:
        """Labels of samples, from those of pictures."""
        if labels is None or len(labels) == self.count:
            return labels
        return labels.repeat_interleave(torch.from_numpy(np.diff(self.ends, prepend=0)))


def surveyed(pictures: Pictures, progress: Progress = silent) -> Survey:
    """What the headers of all pictures tell; those that cannot be read are kept for a message."""

    def look(index: int) -> _Look | UserError:
        try:
            with open_picture(pictures, index) as picture:
                return _look(picture)
        except UserError as error:
            return error
        except Exception as error:  # Pillow's readers raise whatever a scrambled file makes of them
            return damaged(pictures, index, error)

    looks = in_threads(look, len(pictures), "survey of the pictures", progress)
    whole = [(index, found) for index, found in enumerate(looks) if isinstance(found, _Look)]
    mixed, size = None, (0, 0)
    if whole:
        first, size = whole[0][0], whole[0][1].size
        for index, found in whole:
            if found.size != size or found.other_size is not None:
                later = found.other_size if found.size == size else None
                name = pictures.name(index) if later is None else f"{pictures.name(index)} (a later frame)"
                mixed = mixed_sizes(pictures.name(first), size, name, later or found.size)
                break
    return Survey(
        ends=np.cumsum([found.frames if isinstance(found, _Look) else 1 for found in looks], dtype=np.int64),
        size=size,
        grey=all(found.grey for _, found in whole),
        broken=tuple((index, found) for index, found in enumerate(looks) if isinstance(found, UserError)),
        mixed=mixed,
        notes=tuple(_notes([found for _, found in whole])),
    )


def _notes(looks: Sequence[_Look]) -> Iterator[str]:
    several = [found.frames for found in looks if found.frames > 1]
    if several:
        have = "file has" if len(several) == 1 else "files have"
        yield f"{len(several):,} {have} several frames or pages: each of these {sum(several):,} is a sample"
    for what in sorted({found.more for found in looks if found.more}):
        count = sum(found.more == what for found in looks)
        yield f"{count:,} {'file has' if count == 1 else 'files have'} further images ({what}): the first alone is read"


def _look(picture: Image.Image) -> _Look:
    size, grey = _upright(picture), is_grey(picture.mode)
    frames = int(getattr(picture, "n_frames", 1))
    if frames == 1 or picture.format in ONE_PICTURE:
        return _Look(size, grey, 1, None, ONE_PICTURE.get(picture.format or "", "") if frames > 1 else "")
    other = None
    if picture.format not in SAME_THROUGHOUT:
        for frame in range(1, frames):
            picture.seek(frame)
            grey = grey and (is_grey(picture.mode) or _without_colour(picture))
            if other is None and _upright(picture) != size:
                other = _upright(picture)
    return _Look(size, grey, frames, other)


def _upright(picture: Image.Image) -> tuple[int, int]:
    width, height = picture.size
    return (width, height) if on_its_side(picture) else (height, width)


def _without_colour(picture: Image.Image) -> bool:
    """Whether all pixels of a picture in colour are grey, as Pillow gives the later frames of a grey GIF."""
    red, green, blue = (np.asarray(channel) for channel in picture.convert("RGB").split())
    return bool((red == green).all() and (green == blue).all())


def in_threads(work: Callable[[int], T], count: int, what: str, progress: Progress) -> list[T]:
    """`work` of 0 .. count - 1, by as many threads as there are cores."""
    threads = min(16, os.cpu_count() or 1)
    several = max(1, min(MOST_AT_ONCE, count // (4 * threads)))
    results: list[T] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for part in pool.map(
            lambda start: [work(index) for index in range(start, min(start + several, count))],
            range(0, count, several),
        ):
            results += part
            progress(what, len(results), count)
    finally:
        pool.shutdown(cancel_futures=True)
    return results
