"""Pictures as data sets: surveyed by their headers, then decoded once into memory, or streamed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.data.arrays import Images
from modecover.data.base import Asked, Dataset, Progress, digest, no_keys, silent
from modecover.data.encoded import Pictures, mixed_sizes, opened
from modecover.data.pixels import Bytes, decoded, is_grey, middle, picture_pixels, resized, upright_size, with_channels
from modecover.errors import UserError, about
from modecover.limits import require_memory

T = TypeVar("T")

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
    frames: int = 1
    other_size: tuple[int, int] | None = None
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
    some_grey: int
    """How many are, where others are not."""
    sizes: Counter[tuple[int, int]]
    """How many pictures have each (height, width)."""
    broken: dict[int, UserError]
    """Which cannot be read, and why."""
    mixed: UserError | None
    """Names two that differ in size, where some do."""
    notes: tuple[str, ...]

    def changes(self, asked: Asked) -> list[str]:
        """What is done to pictures that are unlike the others, said for whoever has not looked at all of them."""
        found = []
        if len(self.sizes) > 1:
            side = asked.size or asked.crop
            change = "cropped" if asked.size is None else "resized and cropped"
            found.append(f"pictures have {_spread(self.sizes)}: all are {change} to {side}x{side}")
        if self.some_grey and asked.channels is None:
            are = "picture is" if self.some_grey == 1 else "pictures are"
            found.append(f"{self.some_grey:,} {are} grey among coloured ones: their three channels are equal")
        return found

    @property
    def count(self) -> int:
        """Samples in all."""
        return int(self.ends[-1])

    def start(self, picture: int) -> int:
        """The number of samples before those of a picture."""
        return int(self.ends[picture - 1]) if picture else 0


def surveyed(pictures: Pictures, progress: Progress = silent) -> Survey:
    """What the headers of all pictures tell; those that cannot be read are kept for a message."""

    def look(index: int) -> _Look | UserError:
        try:
            with opened(pictures, index) as picture:
                size, grey, other = upright_size(picture), is_grey(picture.mode), None
                frames = int(getattr(picture, "n_frames", 1))
                if frames > 1 and picture.format in ONE_PICTURE:
                    return _Look(size, grey, more=ONE_PICTURE[picture.format])
                for frame in range(1, 1 if picture.format in SAME_THROUGHOUT else frames):
                    picture.seek(frame)
                    if grey and not is_grey(picture.mode):  # as Pillow gives the later frames of a grey GIF
                        grey = not np.ptp(np.asarray(picture.convert("RGB")), axis=2).any()
                    if other is None and upright_size(picture) != size:
                        other = upright_size(picture)
                return _Look(size, grey, frames, other)
        except UserError as error:
            return error

    looks = _in_threads(look, len(pictures), "survey of the pictures", progress)
    whole = {index: found for index, found in enumerate(looks) if isinstance(found, _Look)}
    first = next(iter(whole), 0)
    size = whole[first].size if whole else (0, 0)
    sizes = Counter(found.size for found in whole.values())
    more = f" ({_spread(sizes)}, in all)" if len(sizes) > 2 else ""
    mixed = (
        mixed_sizes(pictures.name(first), size, pictures.name(index) + where, other, more)
        for index, found in whole.items()
        for other, where in ((found.size, ""), (found.other_size, " (a later frame)"))
        if other is not None and other != size
    )
    greys = sum(found.grey for found in whole.values())
    notes = []
    if several := [found.frames for found in whole.values() if found.frames > 1]:
        have = "file has" if len(several) == 1 else "files have"
        notes.append(f"{len(several):,} {have} several frames or pages: each of these {sum(several):,} is a sample")
    for what, count in sorted(Counter(found.more for found in whole.values() if found.more).items()):
        have = "file has" if count == 1 else "files have"
        notes.append(f"{count:,} {have} further images ({what}): the first alone is read")
    return Survey(
        ends=np.cumsum([found.frames if isinstance(found, _Look) else 1 for found in looks], dtype=np.int64),
        size=size,
        grey=greys == len(whole),
        some_grey=greys if greys < len(whole) else 0,
        sizes=sizes,
        broken={index: found for index, found in enumerate(looks) if isinstance(found, UserError)},
        mixed=next(mixed, None),
        notes=tuple(notes),
    )


def _spread(sizes: Counter[tuple[int, int]]) -> str:
    (low, thin), (high, wide) = min(sizes), max(sizes)
    return f"{len(sizes):,} sizes, from {thin}x{low} to {wide}x{high}"


def _in_threads(work: Callable[[int], T], count: int, what: str, progress: Progress) -> list[T]:
    """`work` of 0 .. count - 1, by as many threads as there are cores."""
    threads = min(16, os.cpu_count() or 1)
    several = max(1, min(32, count // (4 * threads)))  # with one at a time threads would stand in each other's way
    parts = [range(start, min(start + several, count)) for start in range(0, count, several)]
    results: list[T] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for part in pool.map(lambda part: [work(index) for index in part], parts):
            results += part
            progress(what, len(results), count)
    finally:
        pool.shutdown(cancel_futures=True)
    return results


class StreamedImages(Dataset):
    """Images that are read and decoded whenever they are fetched, for sets larger than memory: `read` gives the bytes,
    in whatever process it is called; `fetch` decodes them on `device`."""

    value_range = (-1.0, 1.0)
    streamed = True

    def __init__(self, pictures: Pictures, survey: Survey, name: str, asked: Asked):
        self.pictures, self.survey = pictures, survey
        self.asked = replace(asked, progress=silent)  # who is told stays behind when processes read ahead
        channels, size = asked.channels or (1 if survey.grey else 3), asked.size or asked.crop
        self.shape = (channels, *(survey.size if size is None else (size, size)))
        self.name, self.size = name, survey.count
        self.labels, self.class_names = pictures.labels, pictures.class_names
        if self.labels is not None and len(self.labels) != survey.count:  # they are of pictures: each frame has its own
            self.labels = self.labels.repeat_interleave(torch.from_numpy(np.diff(survey.ends, prepend=0)))
        form = (channels, size) if self.size == len(pictures) else (channels, size, self.size)
        cut = () if asked.crop is None else (f"crop {asked.crop}",)
        self.fingerprint = digest("pictures", pictures.identity, repr((*form, *cut)), self.labels)
        self.notes = (*pictures.notes, *survey.notes, *survey.changes(asked))

    def read(self, keys: Tensor | NDArray[Any]) -> Tensor:
        """The images of these indices, uint8 of shape (n, C, H, W), on the CPU."""
        pixels = np.empty((len(keys), *self.shape), dtype=np.uint8)
        for row, index in enumerate(keys.tolist()):
            picture = int(np.searchsorted(self.survey.ends, index, side="right"))
            pixels[row] = next(self._frames(picture, index - self.survey.start(picture)))
        return torch.from_numpy(pixels)

    def fetch(self, keys: Tensor) -> Tensor:
        found = np.asarray(keys)
        if found.ndim != 1 or found.dtype.kind not in "iu" or not ((found >= 0) & (found < self.survey.count)).all():
            raise no_keys(keys, self.survey.count)
        return decoded(self.read(found).to(self.device))

    def decode_all(self, keep: bool, progress: Progress = silent) -> Tensor | None:
        """Read every image, and give them all where they are to be kept. Raises as `open_pictures` does."""
        pixels = np.empty((self.survey.count, *self.shape), dtype=np.uint8) if keep else None

        def put(picture: int) -> UserError | None:
            if picture in self.survey.broken:
                return self.survey.broken[picture]
            try:
                for number, image in enumerate(self._frames(picture), self.survey.start(picture)):
                    if pixels is not None:
                        pixels[number] = image
            except UserError as error:
                return error
            return None

        found = _in_threads(put, len(self.pictures), "pictures", progress)
        errors = [error for error in found if error is not None]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            more = [f"{len(errors) - 3:,} more are like these."] if errors[3:] else []
            named = " ".join([*map(str, errors[:3]), *more])
            raise UserError(f"{len(errors):,} of {len(found):,} pictures cannot be used: {named}")
        return None if pixels is None else torch.from_numpy(pixels)

    def _frames(self, picture: int, first: int = 0) -> Iterator[Bytes]:
        """The frames of a picture from the `first` on, each uint8 (C, H, W) as the set has it."""
        last = int(self.survey.ends[picture]) - self.survey.start(picture)
        with opened(self.pictures, picture) as image:
            for frame in range(first, last):
                if last > 1:
                    image.seek(frame)
                name = self.pictures.name(picture) + (f" (frame {frame})" if last > 1 else "")
                with about(name):
                    pixels = middle(with_channels(picture_pixels(image), self.shape[0]), self.asked.crop)
                pixels = pixels if self.asked.size is None else resized(pixels, self.asked.size)
                if pixels.shape != self.shape:
                    raise mixed_sizes(self.pictures.name(0), self.shape[1:], name, pixels.shape[1:])
                yield pixels

    def _at_side(self, side: int, memory_limit: int, progress: Progress) -> Images | StreamedImages:
        asked = replace(self.asked, size=side, channels=self.shape[0], memory_limit=memory_limit, progress=progress)
        return open_pictures(self.pictures, self.name, asked, self.survey)


def open_pictures(pictures: Pictures, name: str, asked: Asked, survey: Survey) -> Images | StreamedImages:
    """The pictures as one data set: in memory where they take no more than the limit decoded and `asked.stream` is not
    said, else streamed. Raises `UserError` where sizes differ and neither `asked.size` nor `asked.crop` makes them
    alike, or where pictures cannot be read: how many, and which come first."""
    if asked.size is None and asked.crop is None and survey.mixed is not None:
        raise survey.mixed
    streamed = StreamedImages(pictures, survey, name, asked)
    sample = int(np.prod(streamed.shape))
    require_memory(f"Pictures of {streamed.shape[2]}x{streamed.shape[1]} pixels", 16 * sample, "say a smaller size=")
    keep = not asked.stream and survey.count * sample <= asked.memory_limit
    if keep:
        cure = "lower memory_limit, so that they are streamed"
        require_memory(f"The pictures of {name}", survey.count * sample, cure)
    # What is streamed is read once all the same where some is broken: the message counts all that are.
    pixels = streamed.decode_all(keep, asked.progress) if keep or survey.broken else None
    if pixels is None:
        return streamed
    data = Images(pixels, streamed.labels, name)
    data.source_range = (float(pixels.min()), float(pixels.max()))
    data.notes, data.class_names = streamed.notes, streamed.class_names
    return data
