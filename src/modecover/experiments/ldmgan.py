"""The tables of LDMGAN."""

from __future__ import annotations

from modecover.experiments.declared import SMOKE, Arm, Experiment, Table

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

EXPERIMENTS = (RING,)
