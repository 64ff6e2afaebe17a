"""The tables of IVAAE."""

from __future__ import annotations

from modecover.experiments.declared import Arm, Experiment, Table
from modecover.experiments.measures import scores

ARMS = (
    Arm("WAE-MMD", "wae-mmd", published="67 / 0.05"),
    Arm("WAE-GAN", "wae-gan", published="53 / 5.5"),
    Arm("IVAAE-bw", "ivaae-bw", published="49 / 0.2"),
    Arm("IVAAE-rad", "ivaae-rad", published="50 / 0.07"),
    Arm("IVAAE-svgd", "ivaae-svgd", published="49 / 5.7"),
)
"""With the paper's distances on MNIST, of samples (Table 1) and of codes (Table 2)."""

EXPERIMENT = Experiment(
    name="ivaae",
    question=(
        "IVAAE's Tables 1 and 2: do bridges between the codes and the prior bring an adversarial auto-encoder's codes "
        "nearer to it, and its samples nearer to the data?"
    ),
    tables=(
        Table(
            name="MNIST",
            data="mnist",
            settings={
                **{"size": 64, "networks": "ivaae-mnist", "latent": 16, "batch": 64, "seeds": 5},
                **{"lr": 1e-4, "lr_E": 5e-5, "lr_D": 1e-4, "sample_every": 0, "evaluate_every": 0},
            },
            arms=ARMS,
            scales={
                "smoke": {"steps": 2, "batch": 4, "seeds": 1},
                "cpu": {"steps": 4_690, "seeds": 3, "lr_schedule": "0:1,0.333333:0.5,0.666667:0.25"},
                "full": {"steps": 281_250, "lr_schedule": "0:1,0.333333:0.5,0.666667:0.25", "capture": True},
            },
            apart=True,
            measure=scores,
            stand_in="digits",
            minutes={"smoke": 0.3, "cpu": 8, "full": 10},
            reduced=(
                "On a CPU 5 epochs instead of 300, with the same halvings of the rates, and three seeds. The same "
                "rates for all methods. Published: Frechet distance / Frechet latent distance, in its own features."
            ),
        ),
    ),
    value=4.0,
)
