"""Encoded pictures (PNG, JPEG, ...): where they come from, how one is opened, and what is said of a broken one."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from modecover.data.folders import picture_formats
from modecover.data.pixels import Bytes, picture_pixels
from modecover.data.places import require_openable
from modecover.errors import UserError, printable

if TYPE_CHECKING:
    from PIL import Image

NAMED = 3
"""Broken pictures that a message names."""


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


def open_picture(pictures: Pictures, index: int) -> Image.Image:
    from PIL import Image

    content = pictures.content(index)
    if isinstance(content, Image.Image):
        return content.copy()
    if isinstance(content, Path):
        require_openable(content)
    try:
        return Image.open(content, formats=picture_formats())
    except Exception as error:
        raise damaged(pictures, index, error) from error


def read_frames(pictures: Pictures, index: int, first: int, last: int) -> Iterator[Bytes]:
    """The frames `first` .. `last` - 1 of picture `index`, each uint8 (C, H, W).

    Raises:
        UserError: with the picture's name, where it is cut short or no image.
    """
    with open_picture(pictures, index) as picture:
        for frame in range(first, last):
            try:
                if last > 1:
                    picture.seek(frame)
                pixels = picture_pixels(picture)
            except Exception as error:
                raise damaged(pictures, index, error) from error
            yield pixels


def require_whole(errors: Sequence[UserError], count: int) -> None:
    """Raise one `UserError` for those of `count` pictures that cannot be read."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        named = " ".join(str(error) for error in errors[:NAMED])
        more = f" {len(errors) - NAMED:,} more are like these." if len(errors) > NAMED else ""
        raise UserError(f"{len(errors):,} of {count:,} pictures cannot be used: {named}{more}")


def damaged(pictures: Pictures, index: int, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    if type(error).__name__ == "UnidentifiedImageError":
        reason = "no image that Pillow knows"
    return UserError(f"{pictures.name(index)} cannot be read ({printable(reason)}); repair or remove it.")


def mixed_sizes(one: str, size: Iterable[int], other: str, other_size: Iterable[int]) -> UserError:
    (height, width), (other_height, other_width) = size, other_size
    return UserError(
        f"images differ in size: {one} is {width}x{height}, {other} is {other_width}x{other_height}; give a size (for "
        "example size=32) to which all are resized and cropped."
    )
