"""The tables of MDGAN and Reg-GAN (Che et al. 2017)."""

from __future__ import annotations

from modecover.experiments.declared import SMOKE, Arm, Experiment, Table
from modecover.experiments.measures import scores

SETTINGS = {"protocol": "mdgan", "seeds": 8, "steps": 8_000, "lr": 1e-3, "lr_E": 1e-3, "lr_schedule": "0.5:1,1~0"}
PRIORS = {"uniform01": "Prior U[0, 1]^3, as in the paper", "normal": "Prior N(0, I)"}

METHODS = (
    Arm("WGAN-GP", "wgan-gp"),
    Arm("GAN, lr 1e-4", "gan", {"lr": 1e-4, "lr_schedule": "1"}),
    Arm("GAN", "gan"),
    Arm("Reg-GAN", "reg-gan", {"lambda_1": 0.2, "lambda_2": 0.4}),
    Arm("IVDCGAN", "ivdcgan", {"cap": True}),
    Arm("MDGAN", "mdgan"),
)

CIRCLE = Experiment(
    name="circle-mdgan",
    question=(
        "The circle of 6 of MDGAN's Appendix C, where a plain GAN recovers single modes at a time. Beside its learning "
        "rate of 1e-4, one that all methods share; and beside its uniform prior noise, normal noise for all methods."
    ),
    tables=tuple(
        Table(
            name=title,
            data="circle-mdgan",
            settings=SETTINGS,
            scales={"smoke": SMOKE},
            arms=tuple(Arm(arm.label, arm.method, {**arm.settings, "prior": prior}) for arm in METHODS),
        )
        for prior, title in PRIORS.items()
    ),
)

SWEPT = (0.0, 0.005, 0.02, 0.1, 0.2, 0.5, 1.0)

SWEEP = Experiment(
    name="reg-gan-coefficients",
    question=(
        "MDGAN's Figure 4: how do the two coefficients of Reg-GAN, set alike, change what it makes of MNIST? At 0 it "
        "is a plain GAN whose encoder learns nothing."
    ),
    tables=(
        Table(
            name="MNIST",
            data="mnist",
            settings={"size": 32, "batch": 64, "seeds": 3, "sample_every": 0, "evaluate_every": 0},
            arms=tuple(Arm(f"{each:g}", "reg-gan", {"lambda_1": each, "lambda_2": each}) for each in SWEPT),
            scales={
                "smoke": {"width": 4, "steps": 2, "batch": 4, "seeds": 1},
                "cpu": {"width": 16, "steps": 2_000},
                "full": {"steps": 25_000, "precision": "bf16", "capture": True, "seeds": 5},
            },
            apart=True,
            measure=scores,
            stand_in="digits",
            minutes={"smoke": 0.3, "cpu": 4, "full": 5},
            reduced="On a CPU DCGAN networks of a quarter of the width, and 2,000 steps.",
        ),
    ),
    value=3.0,
)

EXPERIMENTS = (CIRCLE, SWEEP)
