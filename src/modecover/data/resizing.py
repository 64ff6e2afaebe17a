"""Another side for images that are open already, so that nothing is read or decoded twice."""

from __future__ import annotations

from modecover.data.arrays import Images, own_tensor
from modecover.data.asked import byte_limit
from modecover.data.base import Dataset, Progress, silent
from modecover.data.pictures import StreamedImages, open_pictures
from modecover.data.pixels import images_resized
from modecover.data.room import MEMORY_LIMIT
from modecover.data.stacked import StackedDigits
from modecover.errors import UserError


def resized_to(
    side: int, data: Dataset, memory_limit: int | str = MEMORY_LIMIT, progress: Progress = silent
) -> Dataset:
    """What `open_data(..., size=side)` would have opened in the place of `data`, an open set of images on the CPU.

    Raises:
        UserError: the set is of a kind that cannot be resized.
    """
    made: Dataset
    if isinstance(data, Images):
        made = Images(
            own_tensor(images_resized(data.pixels.numpy(), side, progress)), data.labels, data.name, data.modes
        )
    elif isinstance(data, StackedDigits):
        base = resized_to(side, data.base, progress=progress)
        assert isinstance(base, Images)
        made = StackedDigits(base, data.k, data.size, data.seed)
    elif isinstance(data, StreamedImages):
        limit = byte_limit(memory_limit)
        made = open_pictures(
            data.pictures, data.name, side, data.channels, limit, survey=data.survey, progress=progress
        )
        made.modes = data.modes
    else:
        raise UserError(f"{data.name} of shape {data.shape} cannot be resized: give images of {side}x{side} pixels.")
    made.source_range = data.source_range or made.source_range
    made.notes, made.roles = data.notes, data.roles
    if data.opened is not None:
        made.opened = {**data.opened, "size": side}
    return made
