"""Pictures as data sets: decoded once into memory, or streamed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from modecover.data.arrays import Images
from modecover.data.base import Dataset, Progress, digest, silent
from modecover.data.encoded import Pictures, mixed_sizes, read_frames, require_whole
from modecover.data.pixels import Bytes, decoded, resized, with_channels
from modecover.data.room import require_memory
from modecover.data.survey import Survey, in_threads, surveyed
from modecover.errors import UserError


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

        errors = in_threads(put, len(self.pictures), "pictures", progress)
        require_whole([error for error in errors if error is not None], len(self.pictures))

    def _frames(self, picture: int, first: int = 0) -> Iterator[Bytes]:
        """The frames of a picture from the `first` on, each uint8 (C, H, W) as the set has it."""
        last = int(self.survey.ends[picture]) - (int(self.survey.ends[picture - 1]) if picture else 0)
        for frame, image in enumerate(read_frames(self.pictures, picture, first, last), first):
            pixels = with_channels(image, self.channels)
            pixels = pixels if self.side is None else resized(pixels, self.side)
            if pixels.shape != self.shape:
                name = self.pictures.name(picture) + (f" (frame {frame})" if last > 1 else "")
                raise mixed_sizes(self.pictures.name(0), self.shape[1:], name, pixels.shape[1:])
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
