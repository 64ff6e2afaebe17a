"""The demo: a plain GAN and an Intervention GAN side by side on data whose modes can be counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from modecover.data import open_data
from modecover.experiments.declared import DEMO
from modecover.experiments.runner import Result, run_experiment
from modecover.pictures.images import save_png_atomic
from modecover.pictures.saving import landmarks_of
from modecover.pictures.scatters import comparison_picture
from modecover.runs.listener import Listener
from modecover.runs.model import load

POINTS = 1000

FIRST_IMAGES = "train lsgan --data digits --size 32 --width 16 --lr 1e-3 --minutes 2 --out runs/digits"
"""Digits that can be recognised after two minutes on two cores."""


@dataclass(frozen=True)
class Demo:
    """What the demo leaves.

    Attributes:
        results: of each arm.
        picture: target, plain GAN and IVGAN, every seed.
        next_command: what to try next, the words behind `modecover`.
    """

    results: list[Result]
    picture: Path
    next_command: str


def demo(out: Path, listener: Listener) -> Demo:
    """Run the demo's experiment below `out`, or what is missing of it, and draw the picture."""
    results = run_experiment(DEMO, out, listener)
    dataset = open_data(DEMO.data)
    seeds = results[0].summary["seeds"]
    samples = {r.arm.label: [load(r.folder, seed=seed).sample(POINTS) for seed in seeds] for r in results}
    modes = results[0].summary["evaluation"]["modes"]
    captions = {
        r.arm.label: [f"{row['modes_many']:.0f} of {modes} modes" for row in r.summary["last"]] for r in results
    }
    picture = comparison_picture(
        dataset.sample(POINTS, torch.Generator().manual_seed(0)),
        samples,
        landmarks_of(dataset),
        captions,
        seeds=seeds,
        title=DEMO.question,
    )
    path = save_png_atomic(picture, out / "demo.png")
    return Demo(results, path, FIRST_IMAGES)
