"""Folders of pictures: which files are samples, which subfolders are classes, and what is left out, counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from modecover.data.places import special
from modecover.errors import UserError, printable

SPLIT_NAMES = ("train", "test", "val", "valid", "validation")

_USUAL = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
_NOT_PIXELS = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
"""Formats that Pillow only recognises, or hands to another program."""
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What operating systems leave in every folder: not worth a word."""


@lru_cache(maxsize=1)
def picture_formats() -> tuple[str, ...]:
    """The formats that Pillow can read here, by its names."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.OPEN if name not in _NOT_PIXELS)


@lru_cache(maxsize=1)
def picture_suffixes() -> frozenset[str]:
    """The endings of file names, in small letters, that stand for a format of `picture_formats`."""
    from PIL import Image

    formats = set(picture_formats())
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


class FolderPictures:
    """The image files under a folder, in sorted order, found however deep they lie; links are followed.

    Where no image lies directly in the folder and there are two or more subfolders, these are the classes, numbered
    in sorted order. A folder whose subfolders are named train, test, ... stands for the one named `split`. What is
    left out is counted in `notes`.

    Raises:
        UserError: where there is no image, no such split, or a folder in it may not be read.
    """

    def __init__(self, folder: Path, split: str = "train"):
        notes = []
        subfolders = {entry.name: entry for entry in folder.iterdir() if not _hidden(entry.name) and entry.is_dir()}
        if subfolders and all(name in SPLIT_NAMES for name in subfolders):
            if split not in subfolders:
                raise UserError(f"{printable(folder)} has no split {split!r}; it has {', '.join(sorted(subfolders))}.")
            others = sorted(name for name in subfolders if name != split)
            if others:
                notes.append(
                    f"{printable(folder)} is read as its split {split!r}, without {', '.join(others)} (split=)"
                )
            folder = subfolders[split]
        elif split != "train":
            raise UserError(f"{printable(folder)} has no split {split!r}: it has no subfolder of that name.")
        self.folder = folder
        self.left_out: Counter[str] = Counter()
        # A link to a folder above this one would lead into everything beside it.
        above = {(place.st_dev, place.st_ino) for place in (parent.stat() for parent in folder.resolve().parents)}
        self.paths = sorted(self._walk(folder, above))
        if not self.paths:
            instead = f" (but {_listed(self.left_out)})" if self.left_out else ""
            raise UserError(
                f"{printable(folder)} holds no images{instead}; expected files that end in {', '.join(_USUAL)} or in "
                "another ending that Pillow reads."
            )
        self.labels, mixed = self._classes()
        if mixed:
            notes.append(f"images lie in {printable(folder)} and in its subfolders, so that these are no classes")
        if self.left_out:
            notes.append(f"left out of {printable(folder)}: {_listed(self.left_out)}")
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return printable(self.paths[index])

    def content(self, index: int) -> Path:
        return self.paths[index]

    def identity(self) -> str:
        return "\n".join(f"{path.relative_to(self.folder).as_posix()} {path.stat().st_size}" for path in self.paths)

    def _classes(self) -> tuple[Tensor | None, bool]:
        """The number of each file's class, where subfolders are classes; and whether files beside them forbid it."""
        parents = [path.relative_to(self.folder).parts[:-1] for path in self.paths]
        classes = sorted({parts[0] if parts else "" for parts in parents})
        if len(classes) < 2 or "" in classes:
            return None, len(classes) > 1
        numbers = {name: number for number, name in enumerate(classes)}
        return torch.tensor([numbers[parts[0]] for parts in parents]), False

    def _walk(self, folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
        """The images under `folder`; everything else is counted. `seen`: the folders that were walked already."""
        place = folder.stat()
        seen.add((place.st_dev, place.st_ino))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"{printable(folder)} cannot be read: {error.strerror}. Mend that, or move it away."
            ) from error
        for entry in entries:
            path = Path(entry.path)
            if entry.name in _LITTER:
                continue
            if _hidden(entry.name):
                self.left_out["hidden entry|hidden entries"] += 1
                continue
            try:
                noun = special(path)
            except OSError:
                self.left_out["link that leads nowhere|links that lead nowhere"] += 1
                continue
            if noun is not None:
                noun = noun.removeprefix("a ")
                self.left_out[f"{noun}|{noun}s"] += 1
            elif path.is_dir():
                found = path.stat()
                if (found.st_dev, found.st_ino) in seen:
                    words = "link to a folder above or read already|links to folders above or read already"
                    self.left_out[words] += 1
                else:
                    yield from self._walk(path, seen)
            elif path.suffix.lower() in picture_suffixes():
                yield path
            else:
                kind = printable(path.suffix) if path.suffix else "unnamed"
                self.left_out[f"{kind} file|{kind} files"] += 1


def beside(folder: Path, used: set[Path]) -> tuple[str, ...]:
    """A note of the files and folders directly in `folder` that are not `used`; empty where there are none."""
    rest: Counter[str] = Counter()
    for path in folder.iterdir():
        if path in used or _hidden(path.name) or path.name in _LITTER:
            continue
        kind = "folder" if path.is_dir() else f"{printable(path.suffix)} file".strip()
        rest[f"{kind}|{kind}s"] += 1
    return (f"left out of {printable(folder)}: {_listed(rest)}",) if rest else ()


def _listed(counts: Counter[str]) -> str:
    """Counts of things, each named as "singular|plural"."""
    return ", ".join(f"{count:,} {name.split('|')[count > 1]}" for name, count in sorted(counts.items()))


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))
