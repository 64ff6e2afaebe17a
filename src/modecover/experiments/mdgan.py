"""The tables of MDGAN and Reg-GAN (Che et al. 2017)."""

from __future__ import annotations

from modecover.experiments.declared import SMOKE, Arm, Experiment, Table

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

EXPERIMENTS = (CIRCLE,)
