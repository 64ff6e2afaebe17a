"""The demo: a plain GAN and an Intervention GAN side by side on data whose modes can be counted."""

from __future__ import annotations

from pathlib import Path

import torch

from modecover.data import open_data
from modecover.errors import UserError
from modecover.experiments.declared import SMOKE, Arm, Experiment, Result, Table
from modecover.experiments.runner import Place, run_jobs
from modecover.experiments.store import Store, jobs
from modecover.pictures.images import save_png_atomic
from modecover.pictures.saving import comparison_picture, landmarks_of
from modecover.runs.listener import Listener
from modecover.runs.model import load

QUESTION = "Eight Gaussians on a ring: which of them do a plain GAN and an Intervention GAN find?"
ARMS = (Arm("GAN", "gan"), Arm("IVGAN", "ivdcgan", {"cap": True}))
EXPERIMENT = Experiment("demo", QUESTION, (Table("", "ring", {"seeds": 4, "steps": 3000}, ARMS, {"smoke": SMOKE}),))

POINTS = 1000  # drawn of each seed
FIRST_IMAGES = "train ivgan --preset r3gan --data digits --size 32 --width 16 --lr 1.6e-3 --minutes 2 --out runs/digits"
"""Digits that can be recognised after two minutes on two cores."""


def demo(out: Path, listener: Listener) -> tuple[list[Result], Path]:
    """Run the experiment below `out`, or what is missing of it, and draw target, GAN and IVGAN, every seed.

    Returns the result of each arm, and the picture's file. Raises `UserError` where an arm was refused, was stopped or
    broke off; the other is kept.
    """
    store, declared = Store(out / "demo.jsonl"), jobs(EXPERIMENT, "cpu")
    if not run_jobs(declared, {EXPERIMENT.name: store}, Place(out), listener):
        raise UserError("The demo was stopped before its end: the same command goes on from there.")
    (results,) = store.results(EXPERIMENT, "cpu")
    folders = {job.arm.label: out / job.folder for job in declared}
    for result in results:
        if result.broken:
            raise UserError(f"{result.arm.label} broke off: {result.broken}")
    dataset = open_data(EXPERIMENT.tables[0].data)
    seeds = results[0].summary["seeds"]
    samples = {label: [load(folder, seed=seed).sample(POINTS) for seed in seeds] for label, folder in folders.items()}
    modes = results[0].summary["evaluation"]["modes"]
    last = {r.arm.label: r.summary["last"] for r in results}
    captions = {arm: [f"{row['modes_many']:.0f} of {modes} modes" for row in rows] for arm, rows in last.items()}
    picture = comparison_picture(
        dataset.sample(POINTS, torch.Generator().manual_seed(0)),
        samples,
        landmarks_of(dataset),
        captions,
        seeds=seeds,
        title=QUESTION,
    )
    return results, save_png_atomic(picture, out / "demo.png")
