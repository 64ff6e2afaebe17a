"""The tables of IVAAE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modecover.experiments.declared import CELEBA, DISTANCE, FACES, Arm, Experiment, Table
from modecover.experiments.latent import frozen, probe, scores_and_covariance

PRINTED = {
    "wae-mmd": ("67 / 0.05", "36 / 0.34", "87 / 10.9"),
    "wae-gan": ("53 / 5.5", "33 / 1.5", "109 / 15.1"),
    "ivaae-bw": ("49 / 0.2", "34 / 0.22", "117 / 4.0"),
    "ivaae-rad": ("50 / 0.07", "33 / 0.18", "80 / 11.8"),
    "ivaae-svgd": ("49 / 5.7", None, None),
}
"""The paper's distances of samples (Table 1) and of codes (Table 2) on MNIST, CelebA and CIFAR-10."""


def _arms(place: int, wae: Mapping[str, Any], small_wae: Mapping[str, Any] | None = None) -> tuple[Arm, ...]:
    """The paper's methods on a data set, and its own with the loss that it prints, which E ascends.

    Args:
        wae: weights of the Wasserstein auto-encoders, as their authors have them for such images.
        small_wae: those for the images of the scale `cpu`, where they are smaller.
    """
    names = {"wae": "WAE", "ivaae": "IVAAE", "mmd": "MMD", "gan": "GAN"}
    arms = []
    for method, printed in PRINTED.items():
        own, scales = (wae, {"cpu": small_wae or wae}) if method.startswith("wae") else ({}, {})
        label = "-".join(names.get(part, part) for part in method.split("-"))
        if printed[place] is not None:
            arms.append(Arm(label, method, own, published=printed[place], scales=scales))
    ascending = {"encoder_objective": "ascend"}
    arms += [
        replace(arm, label=f"{arm.label}, E ascends", settings=ascending)
        for arm in arms
        if arm.method.startswith("ivaae")
    ]
    return tuple(arms)


WAE_OF_DIGITS, WAE_OF_COLOUR, WAE_OF_SMALL_COLOUR = (
    {"cost": 0.05 * numbers, "lambda_": weight}
    for numbers, weight in ((64 * 64, 10.0), (3 * 64 * 64, 100.0), (3 * 32 * 32, 100.0))
)
"""A Wasserstein auto-encoder's cost is .05 of the sum of squares, here a weight of their mean."""

MNIST: Mapping[str, Any] = {
    **{"size": 64, "networks": "ivaae-mnist", "latent": 16, "batch": 64, "seeds": 5},
    **{"lr": 1e-4, "lr_E": 5e-5, "lr_D": 1e-4, "sample_every": 0},
}
JUDGED: Mapping[str, int] = {"smoke": 64, "full": 60_000}
"""Codes of which the paper takes the latent distance."""
HALVED = "0:1,0.333333:0.5,0.666667:0.25"
TINY: Mapping[str, Any] = {"steps": 2, "batch": 4, "seeds": 1, "evaluate_samples": 64}
FULL: Mapping[str, Any] = {"evaluate_every": 10_000, "evaluate_samples": 20_000}
SMALL: Mapping[str, Any] = {"size": 32, "width": 16, "steps": 1_000, "evaluate_every": 250, "seeds": 2}
STEPPED = "0:1,0.1:0.5,0.166667:0.1,0.333333:0.01"

TABLES = Experiment(
    name="ivaae",
    question=(
        "IVAAE's Tables 1 and 2: do bridges between the codes and the prior bring an adversarial auto-encoder's codes "
        "nearer to it, and its samples nearer to the data? Its encoder ascends D's cross-entropy in the text; here it "
        "descends a loss with a lower bound by default, and the text's stands beside."
    ),
    tables=(
        Table(
            name="MNIST",
            data="mnist",
            settings={**MNIST, **DISTANCE},
            arms=_arms(0, WAE_OF_DIGITS),
            scales={
                "smoke": TINY,
                "cpu": {"steps": 1_876, "seeds": 2, "lr_schedule": HALVED},
                "full": {"steps": 281_250, "lr_schedule": HALVED, **FULL},
            },
            apart=True,
            measure=scores_and_covariance,
            samples=JUDGED,
            most={"smoke": 5},
            stand_in="digits",
            minutes={"smoke": 0.3, "cpu": 4, "full": 10},
            reduced=(
                "On a CPU 2 epochs instead of 300, with the same halvings of the rates, and two seeds; 5,000 samples "
                "and 10,000 codes judged, instead of 20,000 and 60,000. The same rates for all methods. The latent "
                "distance is of the last step, where the paper's is of the step with the least distance of samples. "
                "Published: Frechet distance / Frechet latent distance, in its own features."
            ),
        ),
    ),
    curve="frechet",
    value=4.0,
)


def _colour(place: int, name: str, data: str, latent: int, batch: int, steps: int, brought: str = "") -> Table:
    """Tables 1 and 2 on photographs, with the convolutional networks of Table 4."""
    opening = FACES if brought else {}
    return Table(
        name=name,
        data=data,
        settings={
            **{"networks": "wae", "latent": latent, "batch": batch, "lr": 1e-3, "lr_E": 1e-3, "lr_D": 5e-4},
            **{**DISTANCE, "sample_every": 0, "seeds": 3},
        },
        arms=_arms(place, WAE_OF_COLOUR, WAE_OF_SMALL_COLOUR),
        scales={
            "smoke": {"size": 32, "channels": 3, "width": 4, **TINY},
            "cpu": {**SMALL, "lr_schedule": STEPPED, **opening},
            "full": {"size": 64, "steps": steps, "lr_schedule": STEPPED, "precision": "bf16", **FULL, **opening},
        },
        apart=True,
        measure=scores_and_covariance,
        samples=JUDGED,
        most={"smoke": 1},
        stand_in="digits",
        brought=brought,
        minutes={"smoke": 0.5, "cpu": 5, "full": 20},
        reduced=(
            "On a CPU 32x32, networks of an eighth of the width, 1,000 steps instead of 300 epochs with the same steps "
            "of the rates, and two seeds; 5,000 samples and 10,000 codes judged. The latent distance is of the last "
            "step. Published: Frechet distance / Frechet latent distance, in its own features."
        ),
    )


COLOUR = Experiment(
    name="ivaae-colour",
    question="IVAAE's Tables 1 and 2 on photographs: are codes nearer to the prior, and samples nearer to the data?",
    tables=(
        _colour(2, "CIFAR-10", "cifar10", 128, 128, 117_187),
        _colour(1, "CelebA", "celeba", 64, 100, 488_310, brought=CELEBA),
    ),
    curve="frechet",
    value=2.2,
)


def _studied(
    name: str,
    arms: tuple[Arm, ...],
    measure: Callable[[Path, str, int], Mapping[str, float]],
    full: Mapping[str, Any],
    reduced: str,
) -> Table:
    """A study of auto-encoders of MNIST after their training, which has these settings at full scale."""
    return Table(
        name=name,
        data="mnist",
        settings={**MNIST, "seeds": 3, "evaluate_every": 0},
        arms=arms,
        scales={
            "smoke": {"steps": 2, "batch": 4, "seeds": 1},
            "cpu": {"steps": 938, "seeds": 2},
            "full": full,
        },
        apart=True,
        measure=measure,
        samples={"smoke": 64, "cpu": 2_000},
        most={"smoke": 1},
        stand_in="digits",
        minutes={"smoke": 0.3, "cpu": 4, "full": 6},
        reduced=reduced,
    )


STUDIES = Experiment(
    name="ivaae-studies",
    question=(
        "IVAAE's figures: can a frozen encoder's codes be told from the prior so surely that nothing is left for it to "
        "learn, with two distributions (t = 1, a plain adversarial auto-encoder) and with five? And do the codes "
        "still say which digit they are of?"
    ),
    tables=(
        _studied(
            "a frozen auto-encoder",
            tuple(
                Arm(f"{label}, d = {latent}", method, {"t": t, "latent": latent})
                for label, method, t in (
                    ("AAE (t = 1)", "ivaae-rad", 1),
                    ("IVAAE-rad", "ivaae-rad", 4),
                    ("IVAAE-bw", "ivaae-bw", 4),
                )
                for latent in (16, 32, 64)
            ),
            frozen,
            {"steps": 46_900},
            "On a CPU an epoch instead of 50, then 1,200 steps of D alone instead of 6,000. The loss is in units of "
            "log(t + 1): at 1 D cannot tell, at 0 it is certain. The encoder's gradient is that of D's cross-entropy "
            "over all distributions; as printed, of -log of the chance that D gives codes to be the prior's.",
        ),
        _studied(
            "a linear probe",
            (
                Arm("WAE-GAN", "wae-gan", WAE_OF_DIGITS),
                Arm("IVAAE-rad", "ivaae-rad"),
                Arm("IVAAE-svgd", "ivaae-svgd"),
            ),
            probe,
            {"steps": 281_250, "lr_schedule": HALVED},
            "On a CPU an epoch instead of 300, then 6,000 iterations of the probe, two layers of 1,000 units, instead "
            "of the paper's 30,000, on codes of 12,000 digits; it errs on 2,000 others; and how far the codes' "
            "covariance is from I.",
        ),
    ),
    value=2.5,
)

EXPERIMENTS = (TABLES, COLOUR, STUDIES)
