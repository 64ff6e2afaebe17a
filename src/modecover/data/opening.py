"""`open_data`: one door for everything that samples can come from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from modecover.data import digits, files, mixtures
from modecover.data.arrays import as_array, class_labels, from_array
from modecover.data.asked import Asked, asked, usable_device
from modecover.data.base import Dataset, Progress
from modecover.data.encoded import Pictures, TablePictures
from modecover.data.folders import FolderPictures, beside, picture_suffixes
from modecover.data.hub import load_hub, read_hub
from modecover.data.layouts import POINTS
from modecover.data.options import Value, nearest, parse_options
from modecover.data.pictures import open_pictures
from modecover.data.places import exists, names_in, require_name, require_openable, user_path
from modecover.data.room import MEMORY_LIMIT
from modecover.data.stacked import DEFAULT_COUNT, StackedDigits
from modecover.data.survey import surveyed
from modecover.data.tables import Content, read_parquet, tables_of_split
from modecover.errors import UserError, printable
from modecover.limits import within_limits

Source = Any
"""A name, a path, a NumPy array, a tensor, a `datasets.Dataset`, or a `Dataset` of ours."""

NAMES: dict[str, str] = {
    **dict.fromkeys(mixtures.PRESETS, "2-D mixture of Gaussians"),
    "digits": "5,000 real digits, 28x28, that come with pip",
    "mnist": "MNIST from files under the data folder",
    "cifar10": "CIFAR-10 from parquet files under the data folder",
    "stacked-mnist": "k digits as channels, 10^k modes",
}
"""The names `open_data` knows, each with what it stands for."""


@within_limits()
def open_data(
    source: Source,
    *,
    size: int | None = None,
    channels: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    split: str = "train",
    key: str | Sequence[str] | None = None,
    labels: ArrayLike | str | None = None,
    layout: str | None = None,
    value_range: str | None = None,
    memory_limit: int | str = MEMORY_LIMIT,
    progress: Progress | None = None,
    **unknown: Any,
) -> Dataset:
    """Open samples from wherever they are.

    What was guessed or left out stands in the set's `notes`, and each note is a warning.

    Args:
        source: one of

            - a name: a 2-D mixture (`ring`, `grid`, `circle` and the papers' variants, see `mixtures`), with
              parameters as in `ring:modes=8,radius=2,std=0.05`; `digits`; `mnist`, `cifar10` (with `data_dir`);
              `stacked-mnist`, as in `stacked-mnist:k=3,count=128000,seed=0`, `stacked-mnist:fresh` or
              `stacked-mnist:base=mnist` (without it: MNIST where `data_dir` has it, else `digits`);
            - an array or tensor, or a .npy, .npz, idx or parquet file: points (N, d) of any float type, or images
              (N, H, W), (N, H, W, C), (N, C, H, W), C one of 1, 3, 4, as uint8 or as floats in [0, 1] or [-1, 1]
              (see `value_range`), which are rounded to 256 levels;
            - a folder: images, flat or in one subfolder for each class, MNIST's four files, or parquet files. Links are
              followed; each frame of an animation and each page of a document is a sample;
            - a Hugging Face data set: `hf:NAME`, `hf:NAME:SPLIT`, a plain NAME with a slash, or the object itself.

            A name above goes before a path of the same name; write `./ring` for the path.
        size: side of the square to which images are resized (short side, bicubic, antialiased) and centre-cropped.
        channels: 1 for grey, 3 for colour; without it as the source has it. Transparency is shown on white.
        data_dir: the folder in which `mnist` and `cifar10` are looked for, itself and its subfolders of that name.
        device: where rows are given out, and where sets that fit in memory live.
        split: "train" or "test" (or as the source calls it), where the source has several.
        key: the array of an .npz file or the column of a table to learn; of a table also several columns, "a,b" or
            ["a", "b"]. Truth values are learned as 0 and 1, words as a coordinate for each of them.
        labels: the classes, as an array; or the name of the array or column that holds them; or "none" for no classes.
        layout: how an array is read: "NHWC" or "NCHW" where its shape can be read in both ways, "NHW" for grey images
            of floats that are no squares, "points" to learn the numbers of each row as they are.
        value_range: what float pixels run through, "0..1" or "-1..1"; without it the second where some are below -0.5.
        memory_limit: encoded pictures that take more bytes than this decoded are streamed instead of kept, and a
            compressed file may unfold to so many; a number, or words such as "1GB".
        progress: is told what is being prepared, how much of it is done, and of how much.

    Raises:
        UserError: where the source is unknown, empty, damaged or of no known form, would not fit into memory, or an
            option cannot be; the sentence says what to do.
    """
    if unknown:
        name = next(iter(unknown))
        raise UserError(f"open_data has no option {name!r}{nearest(name, OPTIONS)}; it has {', '.join(OPTIONS)}.")
    options = asked(
        size=size,
        channels=channels,
        data_dir=data_dir,
        split=split,
        key=key,
        labels=labels,
        layout=layout,
        value_range=value_range,
        memory_limit=memory_limit,
        progress=progress,
    )
    place = usable_device(device)
    if isinstance(source, Dataset):
        if any(option is not None for option in (size, channels, key, labels, layout, value_range)) or split != "train":
            raise UserError(
                f"{source.name} is open already; give size, channels, split, key, labels, layout and value_range "
                "where it is first opened."
            )
        return source.to(place)
    data = _Opening(options).open(source)
    for note in data.notes:
        warnings.warn(note, stacklevel=1)
    data = data.to(place)
    data.opened = _again(source, options)
    return data


OPTIONS = (
    "size",
    "channels",
    "data_dir",
    "device",
    "split",
    "key",
    "labels",
    "layout",
    "value_range",
    "memory_limit",
    "progress",
)


def _again(source: Source, options: Asked) -> dict[str, Any] | None:
    """What `Dataset.opened` says: `source` and the options that are not the default, paths made absolute."""
    text = os.fspath(source) if isinstance(source, os.PathLike) else source
    if not isinstance(text, str) or not isinstance(options.labels, str | None):
        return None
    named = isinstance(source, str) and text.partition(":")[0] in (*NAMES, "hf")
    path = user_path(text)
    return {"source": str(path.absolute()) if not named and exists(path) else text, **options.recorded()}


@dataclass(frozen=True)
class _Opening:
    """Opens sources of every kind under the same options."""

    asked: Asked

    def open(self, source: Source) -> Dataset:
        if isinstance(source, str | os.PathLike):
            return self.named(source)
        if type(source).__module__.partition(".")[0] == "datasets":
            asked = self.asked
            return self.content(
                read_hub(source, asked.key, asked.label_key, "data set", split=asked.split, progress=asked.progress),
                "data set",
            )
        if isinstance(source, torch.Tensor | np.ndarray | list | tuple):
            name = "tensor" if isinstance(source, torch.Tensor) else "array"
            self.require_nameless(name)
            return self.array(as_array(source, name), None, name)
        raise UserError(f"cannot open a {type(source).__name__}; give a name, a path, an array or a tensor.")

    def named(self, source: str | os.PathLike[str]) -> Dataset:
        text = os.fspath(source)
        if not isinstance(text, str):
            raise UserError(f"a path of bytes cannot be opened; give text: {os.fsdecode(text)!r}.")
        require_name(text)
        if isinstance(source, os.PathLike):
            return self.path(Path(text))
        name, _, options = text.partition(":")
        if name in NAMES:
            return self.built_in(name, options)
        return self.hub(options) if name == "hf" else self.path_or_hub(text)

    def require_nameless(self, name: str, of_split: bool = False) -> None:
        """Raise `UserError` where a column, or an unusual split, was named of a source that has none."""
        asked = self.asked
        if asked.split != "train" and not of_split:
            raise UserError(f"{name} has no split {asked.split!r}, nor any other; leave out split.")
        named = asked.key[0] if asked.key else None if asked.no_labels else asked.label_key
        if named is not None:
            raise UserError(f"{name} has no names for its parts, so there is no {named!r} in it; leave it out.")

    def built_in(self, name: str, options: str) -> Dataset:
        asked = self.asked
        if asked.layout == POINTS and name not in mixtures.PRESETS:
            raise UserError(f"{name} holds images, which are no points; leave out layout.")
        if asked.key is not None or (asked.labels is not None and not (asked.no_labels and name in _LABELLED)):
            raise UserError(f"{name} has labels of its own; leave out key and labels.")
        if name in mixtures.PRESETS:
            if asked.size is not None or asked.channels is not None:
                raise UserError(f"{name} is points in the plane, not images; leave out size and channels.")
            return mixtures.MixtureData(mixtures.preset(name, options), f"{name}:{options}" if options else name)
        if name == "stacked-mnist":
            return self.stacked(name, options)
        parse_options(name, options, {})
        if name == "digits" and asked.split != "train":
            raise UserError(f"digits has no split {asked.split!r}; leave out split, or use mnist.")
        return digits.benchmark(name, asked)

    def stacked(self, name: str, options: str) -> Dataset:
        defaults: dict[str, Value] = {"k": 3, "count": DEFAULT_COUNT, "fresh": False, "seed": 0, "base": ""}
        chosen = parse_options(name, options, defaults)
        if self.asked.channels is not None:
            raise UserError(f"the channels of {name} are its k digits; leave out channels and give {name}:k=...")
        base = str(chosen["base"]) or ("mnist" if digits.has_mnist(self.asked.data_dir) else "digits")
        if base not in ("digits", "mnist"):
            raise UserError(f"{name} stacks base=digits or base=mnist, not {base!r}.")
        count = None if chosen["fresh"] else int(chosen["count"])
        k, seed = int(chosen["k"]), int(chosen["seed"])
        StackedDigits.require_possible(k, count, seed)
        return StackedDigits(digits.to_be_stacked(base, self.asked), k, count, seed)

    def path_or_hub(self, text: str) -> Dataset:
        path = user_path(text)
        if exists(path):
            return self.path(path)
        owner, slash, name = text.partition("/")
        if slash and owner not in ("", ".", "..") and owner[0] != "~" and name and "/" not in name and not path.suffix:
            return self.hub(text)
        if slash or path.suffix:
            near = nearest(path.name, names_in(path.parent))
            raise UserError(f"there is no file or folder {printable(text)}{near}; check the path.")
        known = ", ".join(NAMES)
        raise UserError(f"unknown data {printable(text)!r}{nearest(text, NAMES)}; give a path or one of: {known}.")

    def hub(self, text: str) -> Dataset:
        name, _, split = text.partition(":")
        if not name:
            raise UserError("hf: needs the name of a data set, as in hf:ylecun/mnist or hf:ylecun/mnist:test.")
        asked = self.asked
        content = load_hub(name, split or asked.split, asked.key, asked.label_key, asked.progress)
        return self.content(content, f"hf:{name}")

    def path(self, path: Path) -> Dataset:
        path, asked = user_path(path), self.asked
        require_openable(path)
        if path.is_dir():
            return self.folder(path)
        if path.suffix == ".parquet":
            return self.parquet([path], printable(path))
        if path.suffix in (".npy", ".npz") or files.is_idx(path):
            if asked.key is not None and len(asked.key) > 1:
                raise UserError(f"{printable(path)} is learned from one array; give one name as key=.")
            key = None if asked.key is None else asked.key[0]
            if path.suffix == ".npy":
                self.require_nameless(printable(path))
            array, found = files.read_array_file(path, key, asked.label_key, asked.split, asked.memory_limit)
            return self.array(array, found, printable(path))
        one = path.suffix.lower() in picture_suffixes()
        kind = "one image; give the folder it lies in" if one else "of no known kind"
        raise UserError(f"{printable(path)} is {kind} (known: .npy, .npz, idx, .parquet, a folder of images).")

    def folder(self, folder: Path) -> Dataset:
        images = files.find_mnist(folder, self.asked.split)
        if images is not None:
            return self.path(images)
        tables = sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))
        if tables:
            chosen = tables_of_split(tables, self.asked.split, folder)
            data = self.parquet(chosen, printable(folder))
            data.notes = (*beside(tables[0].parent, set(chosen)), *data.notes)
            return data
        self.asked.progress("list of the files", 0, 1)
        pictures = FolderPictures(folder, self.asked.split)
        self.require_nameless(printable(folder), of_split=True)
        return self.pictures(pictures, printable(folder))

    def parquet(self, paths: Sequence[Path], name: str) -> Dataset:
        asked = self.asked
        content = read_parquet(paths, asked.key, asked.label_key, asked.memory_limit, asked.progress)
        return self.content(content, name)

    def content(self, content: Content, name: str) -> Dataset:
        if isinstance(content.data, TablePictures):
            data = self.pictures(content.data, name)
        else:
            data = self.array(content.data, content.labels, name)
        data.columns, data.roles = content.columns, content.roles.told
        data.notes = (*content.roles.notes, *data.notes)
        return data

    def pictures(self, pictures: Pictures, name: str) -> Dataset:
        asked = self.asked
        if asked.layout == POINTS:
            raise UserError(f"{name} holds pictures, which are no points; leave out layout.")
        survey = surveyed(pictures, asked.progress)
        if asked.labels is not None and not isinstance(asked.labels, str):
            given = as_array(asked.labels, "labels")
            each_frame = len(given.shape) > 0 and len(given) == survey.count
            pictures.labels = class_labels(given, survey.count if each_frame else len(pictures), name)
        elif asked.no_labels:
            pictures.labels = None
        return open_pictures(
            pictures, name, asked.size, asked.channels, asked.memory_limit, survey=survey, progress=asked.progress
        )

    def array(self, array: files.Array, found: files.Array | None, name: str) -> Dataset:
        asked = self.asked
        if asked.labels is not None and not isinstance(asked.labels, str):
            found = as_array(asked.labels, "labels")
        elif asked.no_labels:
            found = None
        return from_array(
            array,
            found,
            name=name,
            size=asked.size,
            channels=asked.channels,
            layout=asked.layout,
            value_range=asked.value_range,
            progress=asked.progress,
        )


_LABELLED = ("digits", "mnist", "cifar10")
"""Built-in sets whose labels are beside the point of them, and can be left out."""
