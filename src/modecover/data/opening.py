"""`open_data`: one door for everything that samples can come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from modecover.data import digits, files, mixtures
from modecover.data.arrays import Images, class_labels, from_array
from modecover.data.base import Dataset
from modecover.data.options import Value, nearest, parse_options
from modecover.data.pictures import (
    IMAGE_SUFFIXES,
    MEMORY_LIMIT,
    FolderPictures,
    Pictures,
    TablePictures,
    open_pictures,
)
from modecover.data.stacked import DEFAULT_COUNT, StackedDigits
from modecover.data.tables import Content, load_hub, read_hub, read_parquet, tables_of_split
from modecover.errors import UserError
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
    key: str | None = None,
    labels: ArrayLike | str | None = None,
    layout: str | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Dataset:
    """Open samples from wherever they are.

    Args:
        source: one of

            - a name: a 2-D mixture (`ring`, `grid`, `circle` and the papers' variants, see `mixtures`), with
              parameters as in `ring:modes=8,radius=2,std=0.05`; `digits`; `mnist`, `cifar10` (with `data_dir`);
              `stacked-mnist`, as in `stacked-mnist:k=3,count=128000,seed=0`, `stacked-mnist:fresh` or
              `stacked-mnist:base=mnist` (without it: MNIST where `data_dir` has it, else `digits`);
            - an array or tensor, or a .npy, .npz, idx or parquet file: points (N, d) of any float type, or images
              (N, H, W), (N, H, W, C), (N, C, H, W), C one of 1, 3, 4, as uint8 or as floats in [0, 1] or [-1, 1]
              (the second where some are negative), which are rounded to 256 levels;
            - a folder: images, flat or in one subfolder for each class, MNIST's four files, or parquet files;
            - a Hugging Face data set: `hf:NAME`, `hf:NAME:SPLIT`, a plain NAME with a slash, or the object itself.

            A name above goes before a path of the same name; write `./ring` for the path.
        size: side of the square to which images are resized (short side, bicubic, antialiased) and centre-cropped.
        channels: 1 for grey, 3 for colour; without it as the source has it. Transparency is shown on white.
        data_dir: the folder in which `mnist` and `cifar10` are looked for, itself and its subfolders of that name.
        device: where rows are given out, and where sets that fit in memory live.
        split: "train" or "test" (or as the source calls it), where the source has several.
        key: the array of an .npz file or the column of a table to learn.
        labels: the classes, as an array; or the name of the array or column that holds them.
        layout: "NHWC" or "NCHW", for arrays of images whose shape can be read in both ways.
        memory_limit: encoded pictures that take more bytes than this decoded are streamed instead of kept.

    Raises:
        UserError: where the source is unknown, empty, damaged or of no known form; the sentence says what to do.
    """
    _check_options(size, channels)
    if isinstance(source, Dataset):
        if any(option is not None for option in (size, channels, key, labels, layout)) or split != "train":
            raise UserError(
                f"{source.name} is open already; give size, channels, split, key, labels and layout where it is first "
                "opened."
            )
        return source.to(_device(device))
    place = None if data_dir is None else Path(data_dir).expanduser()
    request = _Request(size, channels, place, split, key, labels, layout, memory_limit)
    data = request.open(source).to(_device(device))
    data.opened = request.again(source)
    return data


def _check_options(size: int | None, channels: int | None) -> None:
    if size is not None and size < 1:
        raise UserError(f"size is the side of an image in pixels and must be at least 1; got {size}.")
    if channels not in (None, 1, 3):
        raise UserError(f"channels must be 1 (grey) or 3 (colour); got {channels}.")


def _device(device: torch.device | str) -> torch.device:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {str(device)!r} is not usable here ({str(error).splitlines()[0]}).") from error
    return torch.device(device)


@dataclass(frozen=True)
class _Request:
    """What was asked of `open_data`, beside the source."""

    size: int | None
    channels: int | None
    data_dir: Path | None
    split: str
    key: str | None
    labels: ArrayLike | str | None
    layout: str | None
    memory_limit: int

    def open(self, source: Source) -> Dataset:
        if isinstance(source, str):
            name, _, options = source.partition(":")
            if name in NAMES:
                return self.built_in(name, options)
            return self.hub(options) if name == "hf" else self.path_or_hub(source)
        if isinstance(source, os.PathLike):
            return self.path(Path(source))
        if type(source).__module__.startswith("datasets."):
            return self.content(read_hub(source, self.key, self.label_key, "data set"), "data set")
        if isinstance(source, torch.Tensor):
            return self.array(source.detach().cpu().numpy(), None, "tensor")
        if isinstance(source, np.ndarray | list | tuple):
            try:
                array = np.asarray(source)
            except ValueError as error:
                raise UserError("the rows of the list differ in length; give an array of one shape.") from error
            return self.array(array, None, "array")
        raise UserError(f"cannot open a {type(source).__name__}; give a name, a path, an array or a tensor.")

    def again(self, source: Source) -> dict[str, Any] | None:
        """What `Dataset.opened` says: `source` and the options that are not the default, paths made absolute."""
        text = os.fspath(source) if isinstance(source, os.PathLike) else source
        if not isinstance(text, str) or not isinstance(self.labels, str | None):
            return None
        named = isinstance(source, str) and text.partition(":")[0] in (*NAMES, "hf")
        path = Path(text).expanduser()
        options = {
            "size": self.size,
            "channels": self.channels,
            "data_dir": None if self.data_dir is None else str(self.data_dir.absolute()),
            "split": None if self.split == "train" else self.split,
            "key": self.key,
            "labels": self.labels,
            "layout": self.layout,
            "memory_limit": None if self.memory_limit == MEMORY_LIMIT else self.memory_limit,
        }
        given = {name: value for name, value in options.items() if value is not None}
        return {"source": str(path.absolute()) if not named and path.exists() else text, **given}

    @property
    def label_key(self) -> str | None:
        return self.labels if isinstance(self.labels, str) else None

    def built_in(self, name: str, options: str) -> Dataset:
        if self.labels is not None or self.key is not None:
            raise UserError(f"{name} has labels of its own; leave out key and labels.")
        if name in mixtures.PRESETS:
            if self.size is not None or self.channels is not None:
                raise UserError(f"{name} is points in the plane, not images; leave out size and channels.")
            return mixtures.MixtureData(mixtures.preset(name, options), f"{name}:{options}" if options else name)
        if name == "stacked-mnist":
            return self.stacked(name, options)
        parse_options(name, options, {})
        if name == "digits":
            return digits.digits(self.size, self.channels)
        opener = digits.mnist if name == "mnist" else digits.cifar10
        return opener(self.data_dir, self.split, self.size, self.channels)

    def stacked(self, name: str, options: str) -> Dataset:
        defaults: dict[str, Value] = {"k": 3, "count": DEFAULT_COUNT, "fresh": False, "seed": 0, "base": ""}
        chosen = parse_options(name, options, defaults)
        if self.channels is not None:
            raise UserError(f"the channels of {name} are its k digits; leave out channels and give {name}:k=...")
        base = str(chosen["base"]) or ("mnist" if digits.has_mnist(self.data_dir) else "digits")
        if base not in ("digits", "mnist"):
            raise UserError(f"{name} stacks base=digits or base=mnist, not {base!r}.")
        single = digits.digits(self.size) if base == "digits" else digits.mnist(self.data_dir, self.split, self.size, 1)
        assert isinstance(single, Images)
        count = None if chosen["fresh"] else int(chosen["count"])
        return StackedDigits(single, int(chosen["k"]), count, int(chosen["seed"]))

    def path_or_hub(self, text: str) -> Dataset:
        path = Path(text).expanduser()
        if path.exists():
            return self.path(path)
        owner, slash, name = text.partition("/")
        if slash and owner not in ("", ".", "..", "~") and name and "/" not in name and not path.suffix:
            return self.hub(text)
        if slash or path.suffix:
            near = nearest(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else ""
            raise UserError(f"there is no file or folder {text}{near}; check the path.")
        raise UserError(f"unknown data {text!r}{nearest(text, NAMES)}; give a path or one of: {', '.join(NAMES)}.")

    def hub(self, text: str) -> Dataset:
        name, _, split = text.partition(":")
        if not name:
            raise UserError("hf: needs the name of a data set, as in hf:ylecun/mnist or hf:ylecun/mnist:test.")
        return self.content(load_hub(name, split or self.split, self.key, self.label_key), f"hf:{name}")

    def path(self, path: Path) -> Dataset:
        path = path.expanduser()
        if not path.exists():
            raise UserError(f"there is no file or folder {path}; check the path.")
        if path.is_dir():
            return self.folder(path)
        if path.suffix == ".parquet":
            return self.content(read_parquet([path], self.key, self.label_key), str(path))
        if path.suffix in (".npy", ".npz") or files.is_idx(path):
            array, found = files.read_array_file(path, self.key, self.label_key, self.split)
            return self.array(array, found, str(path))
        kind = "one image; give the folder it lies in" if path.suffix.lower() in IMAGE_SUFFIXES else "of no known kind"
        raise UserError(f"{path} is {kind} (known: .npy, .npz, idx, .parquet, a folder of images).")

    def folder(self, folder: Path) -> Dataset:
        images = files.find_mnist(folder, self.split)
        if images is not None:
            return self.path(images)
        tables = sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))
        if tables:
            chosen = tables_of_split(tables, self.split, folder)
            return self.content(read_parquet(chosen, self.key, self.label_key), str(folder))
        return self.pictures(FolderPictures(folder, self.split), str(folder))

    def content(self, content: Content, name: str) -> Dataset:
        if isinstance(content, TablePictures):
            return self.pictures(content, name)
        return self.array(*content, name)

    def pictures(self, pictures: Pictures, name: str) -> Dataset:
        if self.labels is not None and not isinstance(self.labels, str):
            pictures.labels = class_labels(np.asarray(self.labels), len(pictures), name)
        return open_pictures(pictures, name, self.size, self.channels, self.memory_limit)

    def array(self, array: files.Array, found: files.Array | None, name: str) -> Dataset:
        if self.labels is not None and not isinstance(self.labels, str):
            found = np.asarray(self.labels)
        return from_array(array, found, name=name, size=self.size, channels=self.channels, layout=self.layout)
