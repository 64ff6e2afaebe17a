"""The tables of LDMGAN."""

from __future__ import annotations

from modecover.experiments.declared import CELEBA, DISTANCE, FACES, SMOKE, SMOKE_OF_IMAGES, Arm, Experiment, Table
from modecover.experiments.measures import scores_and_ways
from modecover.experiments.stacked import LDMGAN, NARROW

RING = Experiment(
    name="ring-ldmgan",
    question=(
        "The ring of 8 with LDMGAN's small networks (D has one hidden layer of 64): its paper reports 1 mode for a "
        "plain GAN and 8 for LDMGAN."
    ),
    tables=(
        Table(
            name="",
            data="ring-ldmgan",
            settings={"protocol": "ldmgan", "seeds": 8, "steps": 8_000, "lr_schedule": "0.5:1,1~0"},
            scales={"smoke": SMOKE},
            arms=(
                Arm("GAN", "gan"),
                Arm("LDMGAN", "ldmgan"),
                Arm("Reg-GAN", "reg-gan"),
                Arm("IVDCGAN", "ivdcgan", {"cap": True}),
                Arm("IVLSGAN", "ivlsgan", {"cap": True}),
            ),
        ),
    ),
)

PRINTED = {
    "DCGAN": ("51.19 / 51.79", "14.28 / 14.82"),
    "VAEGAN": ("49.50 / 50.82", "13.88 / 14.98"),
    "LDMGAN": ("44.87 / 47.02", "12.79 / 13.32"),
}
FULL = {"evaluate_every": 5_000, "evaluate_samples": 10_000}


def _distances(place: int, name: str, data: str, steps: int, brought: str = "") -> Table:
    """Table 4 on one data set, with so many steps at full scale."""
    methods = {"DCGAN": "gan", "VAEGAN": "vaegan", "LDMGAN": "ldmgan"}
    arms = [Arm(label, methods[label], published=printed[place]) for label, printed in PRINTED.items()]
    opening = FACES if brought else {}
    return Table(
        name=name,
        data=data,
        settings={**DISTANCE, "sample_every": 0, "seeds": 5, "batch": 64, "latent": 100},
        arms=(*arms, Arm("LDMGAN, d a sum", "ldmgan", LDMGAN)),
        scales={
            "smoke": {"size": 32, "channels": 3, **SMOKE_OF_IMAGES},
            "cpu": {**NARROW, "size": 32, "steps": 2_000, "seeds": 2, **opening},
            "full": {"size": 64, "steps": steps, "precision": "bf16", **FULL, **opening},
        },
        apart=True,
        measure=scores_and_ways,
        most={"smoke": 1},
        stand_in="digits",
        brought=brought,
        minutes={"smoke": 0.4, "cpu": 4, "full": 8},
        reduced=(
            "On a CPU 32x32, networks of a quarter of the width at one rate for all, 2,000 steps, two seeds, 5,000 "
            "samples. Published: the best and the mean of five runs, in features of its own."
        ),
    )


DISTANCES = Experiment(
    name="ldmgan-frechet",
    question="LDMGAN's Table 4: are its samples nearer to photographs than those of DCGAN and VAEGAN?",
    tables=(
        _distances(0, "CIFAR-10", "cifar10", 50 * 781),
        _distances(1, "CelebA", "celeba", 30 * 2_543, CELEBA),
    ),
    curve="frechet",
    value=2.6,
)

EXPERIMENTS = (RING, DISTANCES)
