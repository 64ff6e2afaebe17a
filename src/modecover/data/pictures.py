"""Encoded pictures (PNG, JPEG, ...) in a folder or in a table: decoded once into memory, or streamed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modecover.data.arrays import Images
from modecover.data.base import Dataset, Progress, digest, silent
from modecover.data.folders import picture_formats
from modecover.data.pixels import Bytes, decoded, is_grey, on_its_side, picture_pixels, resized, with_channels
from modecover.data.places import printable, require_openable
from modecover.data.room import require_memory
from modecover.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

MOST_AT_ONCE = 32
"""Pictures that a thread takes at a time: with one at a time threads would stand in each other's way."""
NAMED = 3
"""Broken pictures that a message names."""
ONE_PICTURE = {"MPO": "previews or partners of a stereo pair", "PSD": "layers"}
"""Formats whose further frames are no samples of their own, and what these are."""
SAME_THROUGHOUT = {"PNG", "WEBP", "AVIF"}
"""Formats whose frames all have the size and mode of the first."""


class Pictures(Protocol):
    """A sequence of encoded pictures, each of one frame or of several."""

    labels: Tensor | None
    """Of each picture."""
    notes: tuple[str, ...]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What to call picture `index` in a message."""

    def content(self, index: int) -> Path | io.BytesIO | Image.Image:
        """The encoded picture; or an open one."""

    def identity(self) -> str:
        """A text that changes when the pictures do, found without decoding them."""


class Column(Protocol):
    """Cells by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TablePictures:
    """A column of encoded pictures: each row holds bytes, or a mapping with "bytes" and "path" as the Hub stores it.

    Args:
        column: rows by index; an open Pillow image may stand for its bytes.
        origin: the file or data set they come from; relative paths in the rows start at its folder.
        identity: a text that changes when the pictures do.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, column: Column, labels: Tensor | None, origin: str, identity: str):
        self.column, self.labels, self.origin, self._identity = column, labels, origin, identity

    def __len__(self) -> int:
        return len(self.column)

    def name(self, index: int) -> str:
        return f"row {index} of {printable(self.origin)}"

    def content(self, index: int) -> Path | io.BytesIO | Image.Image:
        row: Any = self.column[index]
        row = row.as_py() if hasattr(row, "as_py") else row  # a cell of pyarrow's
        content: Any = row.get("bytes") if isinstance(row, dict) else row
        if hasattr(content, "getexif"):
            return content
        if isinstance(content, bytes | bytearray | memoryview):
            return io.BytesIO(content)
        if content is None and isinstance(row, dict) and isinstance(row.get("path"), str) and row["path"]:
            return Path(self.origin).parent / row["path"]
        if content is None:
            raise UserError(f"{self.name(index)} holds no picture; remove the row.")
        raise UserError(f"{self.name(index)} holds {type(content).__name__} where a picture's bytes belong; repair it.")

    def identity(self) -> str:
        return self._identity


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


class StreamedImages(Dataset):
    """Images that are read and decoded whenever they are fetched, for sets larger than memory.

    `read` gives the bytes, in whatever process it is called; `fetch` decodes them on `device`.
    """

    value_range = (-1.0, 1.0)

    def __init__(self, pictures: Pictures, survey: Survey, channels: int, size: int | None, name: str):
        self.pictures, self.survey, self.channels, self.side = pictures, survey, channels, size
        self.name, self.shape, self.size = (
            name,
            (channels, *(survey.size if size is None else (size, size))),
            survey.count,
        )
        self.labels = survey.repeated(pictures.labels)
        form = (channels, size) if self.size == len(pictures) else (channels, size, self.size)
        self.fingerprint = digest("pictures", pictures.identity(), repr(form), self.labels)
        self.notes = (*pictures.notes, *survey.notes)

    def read(self, keys: Tensor) -> Tensor:
        """The images of these indices, uint8 of shape (n, C, H, W), on the CPU."""
        pixels = np.empty((len(keys), *self.shape), dtype=np.uint8)
        for row, index in enumerate(keys.tolist()):
            picture, frame = self.survey.place(index)
            pixels[row] = next(self._frames(picture, frame))
        return torch.from_numpy(pixels)

    def fetch(self, keys: Tensor) -> Tensor:
        return decoded(self.read(keys).to(self.device))

    def all(self, progress: Progress = silent) -> Tensor:
        """Every image, read by as many threads as there are cores.

        Raises:
            UserError: some cannot be read: how many, and the first of them by name.
        """
        pixels = np.empty((self.survey.count, *self.shape), dtype=np.uint8)
        self._decode(pixels, progress)
        return torch.from_numpy(pixels)

    def require_readable(self, progress: Progress = silent) -> None:
        """Read every image and keep none. Raises `UserError` that counts those that cannot be read."""
        self._decode(None, progress)

    def _decode(self, pixels: Bytes | None, progress: Progress) -> None:
        known = dict(self.survey.broken)

        def put(picture: int) -> UserError | None:
            if picture in known:
                return known[picture]
            start = int(self.survey.ends[picture - 1]) if picture else 0
            try:
                for number, image in enumerate(self._frames(picture)):
                    if pixels is not None:
                        pixels[start + number] = image
            except UserError as error:
                return error
            return None

        errors = _in_threads(put, len(self.pictures), "pictures", progress)
        require_whole([error for error in errors if error is not None], len(self.pictures))

    def _frames(self, picture: int, first: int = 0) -> Iterator[Bytes]:
        """The frames of a picture from the `first` on, each uint8 (C, H, W) as the set has it."""
        last = int(self.survey.ends[picture]) - (int(self.survey.ends[picture - 1]) if picture else 0)
        for frame, image in enumerate(read_frames(self.pictures, picture, first, last), first):
            pixels = with_channels(image, self.channels)
            pixels = pixels if self.side is None else resized(pixels, self.side)
            if pixels.shape != self.shape:
                name = self.pictures.name(picture) + (f" (frame {frame})" if last > 1 else "")
                raise _mixed(self.pictures.name(0), self.shape[1:], name, pixels.shape[1:])
            yield pixels


def open_pictures(
    pictures: Pictures,
    name: str,
    size: int | None,
    channels: int | None,
    memory_limit: int,
    *,
    survey: Survey | None = None,
    progress: Progress = silent,
) -> Images | StreamedImages:
    """The pictures as one data set: in memory where they take at most `memory_limit` bytes decoded, else streamed.

    Without `channels` the images are grey where all of them are, else colour. Without `size` all must be of one
    size. `survey`: of these pictures, where it was made before. Raises `UserError` where sizes differ, or where
    pictures cannot be read: how many, and the first of them by name.
    """
    if not len(pictures):
        raise UserError(f"{name} is empty: give at least one picture.")
    survey = survey or surveyed(pictures, progress)
    errors = [error for _, error in survey.broken]
    if len(errors) == len(pictures):
        require_whole(errors, len(pictures))
    if size is None and survey.mixed is not None:
        raise survey.mixed
    streamed = StreamedImages(pictures, survey, channels or (1 if survey.grey else 3), size, name)
    sample = int(np.prod(streamed.shape))
    require_memory(16 * sample, f"a picture of {streamed.shape[2]}x{streamed.shape[1]} pixels", "say a smaller size=")
    if survey.count * sample > memory_limit:
        if errors:
            streamed.require_readable(progress)  # a message counts all that are broken
        return streamed
    require_memory(survey.count * sample, name, "lower memory_limit, so that its pictures are streamed")
    data = Images(streamed.all(progress), streamed.labels, name)
    data.source_range = (float(data.pixels.min()), float(data.pixels.max()))
    data.notes = streamed.notes
    return data


def surveyed(pictures: Pictures, progress: Progress = silent) -> Survey:
    """What the headers of all pictures tell; those that cannot be read are kept for a message."""

    def look(index: int) -> _Look | UserError:
        try:
            with _open(pictures, index) as picture:
                return _look(picture)
        except UserError as error:
            return error
        except Exception as error:  # Pillow's readers raise whatever a scrambled file makes of them
            return _damaged(pictures, index, error)

    looks = _in_threads(look, len(pictures), "survey of the pictures", progress)
    whole = [(index, found) for index, found in enumerate(looks) if isinstance(found, _Look)]
    mixed, size = None, (0, 0)
    if whole:
        first, size = whole[0][0], whole[0][1].size
        for index, found in whole:
            if found.size != size or found.other_size is not None:
                later = found.other_size if found.size == size else None
                name = pictures.name(index) if later is None else f"{pictures.name(index)} (a later frame)"
                mixed = _mixed(pictures.name(first), size, name, later or found.size)
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


def _open(pictures: Pictures, index: int) -> Image.Image:
    from PIL import Image

    content = pictures.content(index)
    if isinstance(content, Image.Image):
        return content.copy()
    if isinstance(content, Path):
        require_openable(content)
    try:
        return Image.open(content, formats=picture_formats())
    except Exception as error:
        raise _damaged(pictures, index, error) from error


def read_frames(pictures: Pictures, index: int, first: int, last: int) -> Iterator[Bytes]:
    """The frames `first` .. `last` - 1 of picture `index`, each uint8 (C, H, W).

    Raises:
        UserError: with the picture's name, where it is cut short or no image.
    """
    with _open(pictures, index) as picture:
        for frame in range(first, last):
            try:
                if last > 1:
                    picture.seek(frame)
                pixels = picture_pixels(picture)
            except Exception as error:
                raise _damaged(pictures, index, error) from error
            yield pixels


def _in_threads(work: Callable[[int], T], count: int, what: str, progress: Progress) -> list[T]:
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


def require_whole(errors: Sequence[UserError], count: int) -> None:
    """Raise one `UserError` for those of `count` pictures that cannot be read."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        named = " ".join(str(error) for error in errors[:NAMED])
        more = f" {len(errors) - NAMED:,} more are like these." if len(errors) > NAMED else ""
        raise UserError(f"{len(errors):,} of {count:,} pictures cannot be used: {named}{more}")


def _damaged(pictures: Pictures, index: int, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if type(error).__name__ == "UnidentifiedImageError":
        reason = "no image that Pillow knows"
    return UserError(f"{pictures.name(index)} cannot be read ({printable(reason)}); repair or remove it.")


def _mixed(one: str, size: Iterable[int], other: str, other_size: Iterable[int]) -> UserError:
    (height, width), (other_height, other_width) = size, other_size
    return UserError(
        f"images differ in size: {one} is {width}x{height}, {other} is {other_width}x{other_height}; give a size (for "
        "example size=32) to which all are resized and cropped."
    )
