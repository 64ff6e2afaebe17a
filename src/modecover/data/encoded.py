"""Encoded pictures (PNG, JPEG, ...): in folders and in columns of tables, how one is opened, and what is left out."""

from __future__ import annotations

import io
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from modecover.data.files import SPLIT_NAMES, require_openable, special
from modecover.errors import UserError
from modecover.kinds import first_line

if TYPE_CHECKING:
    from PIL import Image


_NOT_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
"""Formats that Pillow only recognises, or hands to another program."""
_USUAL = {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"}
"""Formats that most pictures have, each of which begins with bytes of its own."""
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What operating systems leave in every folder: not worth a word."""


@dataclass
class Pictures:
    """Encoded pictures, each of one frame or of several."""

    cells: Any
    """Has a length, and gives by index a path, the picture's bytes, a mapping with "bytes" and "path" as the Hub stores
    it (these two also as Arrow's, or as a row of a table), or an open Pillow image."""
    origin: str
    """The folder, file or data set they come from; relative paths in mappings start beside it."""
    identity: str
    """A text that changes when the pictures do, found without decoding them."""
    labels: Tensor | None = None
    """Of each picture."""
    class_names: tuple[str, ...] | None = None
    """What the classes 0, 1, ... are called."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cells)

    def name(self, index: int) -> str:
        """What to call picture `index` in a message."""
        cell = self.cells[index]
        return str(cell) if isinstance(cell, Path) else f"row {index} of {self.origin}"

    def content(self, index: int) -> Path | io.BytesIO | Image.Image:
        """The encoded picture; or an open one."""
        cell: Any = self.cells[index]
        cell = cell[0][0] if hasattr(cell, "num_columns") else cell  # a row with one column
        cell = cell.as_py() if hasattr(cell, "as_py") else cell
        content: Any = cell.get("bytes") if isinstance(cell, dict) else cell
        if isinstance(content, Path) or hasattr(content, "getexif"):
            return content
        if isinstance(content, bytes | bytearray | memoryview):
            return io.BytesIO(content)
        if content is None and isinstance(cell, dict) and isinstance(cell.get("path"), str) and cell["path"]:
            return Path(self.origin).parent / cell["path"]
        what = "nothing" if content is None else type(content).__name__
        raise UserError(f"{self.name(index)} holds {what} where a picture's bytes belong; remove it.")


def pictures_in(folder: Path, split: str) -> Pictures:
    """The image files under a folder, in sorted order, found however deep they lie; links are followed.

    Where no image lies directly in the folder and there are two or more subfolders, these are the classes, numbered
    in sorted order. A folder whose subfolders are named train, test, ... stands for the one named `split`. What is
    left out is counted in `notes`. Raises `UserError` where there is no image, no such split, or a folder that may
    not be read.
    """
    notes = []
    subfolders = {entry.name: entry for entry in folder.iterdir() if not _hidden(entry.name) and entry.is_dir()}
    if subfolders and all(name in SPLIT_NAMES for name in subfolders):
        if split not in subfolders:
            raise UserError(f"{folder} has no split {split!r}; it has {', '.join(sorted(subfolders))}.")
        if others := sorted(name for name in subfolders if name != split):
            notes.append(f"{folder} is read as its split {split!r}, without {', '.join(others)} (split=)")
        folder = subfolders[split]
    elif split != "train":
        raise UserError(f"{folder} has no split {split!r}: it has no subfolder of that name.")
    left_out: Counter[str] = Counter()
    # A link to a folder above this one would lead into everything beside it.
    above = {(place.st_dev, place.st_ino) for place in (parent.stat() for parent in folder.resolve().parents)}
    sizes = dict(sorted(_walk(folder, above, left_out)))
    if not sizes:
        instead = f" (but {_listed(left_out)})" if left_out else ""
        raise UserError(f"{folder} holds no images{instead}; expected files that end in .png or as Pillow reads.")
    # Subfolders are classes, unless images lie beside them.
    parents = [(*path.relative_to(folder).parts[:-1], "")[0] for path in sizes]
    classes = {name: number for number, name in enumerate(sorted(set(parents)))}
    known = len(classes) > 1 and "" not in classes
    if len(classes) > 1 and not known:
        notes.append(f"images lie in {folder} and in its subfolders, so that these are no classes")
    return Pictures(
        cells=list(sizes),
        origin=str(folder),
        identity="\n".join(f"{path.relative_to(folder).as_posix()} {size}" for path, size in sizes.items()),
        labels=torch.tensor([classes[name] for name in parents]) if known else None,
        class_names=tuple(classes) if known else None,
        notes=(*notes, *_left_out(folder, left_out)),
    )


def _walk(folder: Path, seen: set[tuple[int, int]], left_out: Counter[str]) -> Iterator[tuple[Path, int]]:
    """The images under `folder` and their sizes; everything else is counted. `seen`: the folders walked already."""
    place = folder.stat()
    seen.add((place.st_dev, place.st_ino))
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}. Mend that, or move it away.") from error
    for name in names:
        path, found = folder / name, None
        with suppress(OSError):
            found = path.stat()
        if name in _LITTER:
            continue
        if _hidden(name):
            left_out["hidden entry|hidden entries"] += 1
        elif found is None:
            left_out["link that leads nowhere|links that lead nowhere"] += 1
        elif (noun := special(found.st_mode)) is not None:
            left_out[f"{noun}|{noun}s"] += 1
        elif stat.S_ISDIR(found.st_mode) and (found.st_dev, found.st_ino) not in seen:
            yield from _walk(path, seen, left_out)
        elif stat.S_ISDIR(found.st_mode):
            left_out["link to a folder above or read already|links to folders above or read already"] += 1
        elif path.suffix.lower() in picture_suffixes():
            yield path, found.st_size
        else:
            left_out[_files_like(path)] += 1


def beside(folder: Path, used: set[Path]) -> tuple[str, ...]:
    """A note of the files and folders directly in `folder` that are not `used`; empty where there are none."""
    rest = (path for path in folder.iterdir() if path not in used and not _hidden(path.name))
    kinds = ("folder|folders" if path.is_dir() else _files_like(path) for path in rest if path.name not in _LITTER)
    return _left_out(folder, Counter(kinds))


def _left_out(folder: Path, counts: Counter[str]) -> tuple[str, ...]:
    return (f"left out of {folder}: {_listed(counts)}",) if counts else ()


def _files_like(path: Path) -> str:
    kind = path.suffix or "unnamed"
    return f"{kind} file|{kind} files"


def _listed(counts: Counter[str]) -> str:
    """Counts of things, each named as "singular|plural"."""
    return ", ".join(f"{count:,} {name.split('|')[count > 1]}" for name, count in sorted(counts.items()))


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


@lru_cache(maxsize=1)
def picture_formats() -> tuple[str, ...]:
    """The formats that Pillow can read here, by its names, in the order in which they are tried: it would ask several
    rare ones, which look into a file before they refuse it, ahead of the usual ones, which know theirs by its start."""
    from PIL import Image

    Image.init()
    names = [name for name in Image.OPEN if name not in _NOT_PIXELS]
    return tuple(sorted(names, key=lambda name: name not in _USUAL))


@lru_cache(maxsize=1)
def picture_suffixes() -> frozenset[str]:
    """The endings of file names, in small letters, that stand for a format of `picture_formats`."""
    from PIL import Image

    formats = set(picture_formats())
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


@contextmanager
def opened(pictures: Pictures, index: int) -> Iterator[Image.Image]:
    """Picture `index`, open within the block; whatever its reader makes of a damaged one is told with its name."""
    from PIL import Image, UnidentifiedImageError

    try:
        content = pictures.content(index)
        if isinstance(content, Path):
            require_openable(content)
        given = content.copy() if isinstance(content, Image.Image) else None
        with given or Image.open(content, formats=picture_formats()) as picture:  # type: ignore[arg-type]
            yield picture
    except UserError:
        raise
    except Exception as error:  # Pillow's readers raise whatever a scrambled file makes of them
        reason = "no image that Pillow knows" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise UserError(f"{pictures.name(index)} cannot be read ({reason}); repair or remove it.") from error


def mixed_sizes(one: str, size: Iterable[int], other: str, other_size: Iterable[int], more: str = "") -> UserError:
    (height, width), (other_height, other_width) = size, other_size
    return UserError(
        f"images differ in size: {one} is {width}x{height}, {other} is {other_width}x{other_height}{more}; give "
        "a size (for example size=32) to which all are resized and cropped, or crop=N, to cut out the middle of each."
    )
