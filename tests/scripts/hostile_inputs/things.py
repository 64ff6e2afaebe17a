"""What inputs are made of: good arrays and pictures, and runs trained once and copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

SMALL = "--steps 2 --batch 8 --width 4"

RUNS = {
    "run": f"train gan --data points.npy {SMALL}",
    "images-run": f"train gan --data images.npy {SMALL} --networks mlp",
    "two-run": f"train gan --data points.npy {SMALL} --seeds 2",
    "ring-run": f"train gan --data ring {SMALL} --evaluate-samples 50",
    "encoder-run": f"train aae --data points.npy {SMALL} --networks mlp",
}
"""Name: what trains it, in a folder with `arrays()` in it."""


def place_of_runs() -> Path:
    """Where the runs above have been trained by whoever uses them."""
    return Path(os.environ["HOSTILE_RUNS"])


def arrays() -> None:
    """points.npy (100, 2), images.npy (20, 16, 16), and three pictures in `pictures`."""
    draw = np.random.default_rng(0)
    np.save("points.npy", draw.normal(size=(100, 2)))
    np.save("fake.npy", draw.normal(size=(100, 2)))
    np.save("images.npy", draw.random((20, 16, 16)))


def pictures(folder: str = "pictures", count: int = 20, side: int = 16, suffix: str = "png", **saving: object) -> None:
    """`count` colour pictures in `folder`."""
    from PIL import Image

    Path(folder).mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(1)
    for number in range(count):
        pixels = draw.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{folder}/{number:02}.{suffix}", **saving)  # type: ignore[arg-type]


def copied(*names: str) -> Callable[[], None]:
    """Runs of `RUNS` in the working folder, with the arrays that they were trained on."""

    def make() -> None:
        arrays()
        for name in names:
            shutil.copytree(place_of_runs() / name, name)

    return make


def both(*makes: Callable[[], None] | None) -> Callable[[], None]:
    """One after the other."""

    def make() -> None:
        for one in makes:
            if one is not None:
                one()

    return make


def written(path: str, content: bytes | str) -> Callable[[], None]:
    """A file of this content, its folders made."""

    def make() -> None:
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def saved(path: str, array: Callable[[], object], **more: Callable[[], object]) -> Callable[[], None]:
    """A .npy file of an array; or a .npz file of several."""

    def make() -> None:
        if path.endswith(".npz"):
            np.savez(path, data=array(), **{name: value() for name, value in more.items()})  # type: ignore[arg-type]
        else:
            np.save(path, array())  # type: ignore[arg-type]

    return make
