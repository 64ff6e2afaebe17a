"""What an experiment is: arms that differ in what is compared and share everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modecover.errors import UserError


@dataclass(frozen=True)
class Arm:
    """One row of a table: a method with the settings that are its own.

    Attributes:
        label: names it within its group.
        method: what it trains with.
        settings: before those that all arms share.
        group: the heading of its table, where an experiment has several.
    """

    label: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Experiment:
    """A comparison.

    Attributes:
        name: what `modecover reproduce` calls it, and the file of its results.
        question: what it asks, in a sentence or two.
        data: as `open_data` takes it.
        settings: shared by all arms (`protocol` included); an arm's own go before them.
        arms: what is compared.
    """

    name: str
    question: str
    data: str
    settings: Mapping[str, Any]
    arms: tuple[Arm, ...]


DEMO = Experiment(
    name="demo",
    question="Eight Gaussians on a ring: which of them do a plain GAN and an Intervention GAN find?",
    data="ring",
    settings={"seeds": 4, "steps": 3000},
    arms=(Arm("GAN", "gan"), Arm("IVGAN", "ivdcgan", {"cap": True})),
)

RING = Experiment(
    name="ring-ldmgan",
    question=(
        "The ring of 8 with LDMGAN's small networks (D has one hidden layer of 64): its paper reports 1 mode for a "
        "plain GAN and 8 for LDMGAN."
    ),
    data="ring-ldmgan",
    settings={"protocol": "ldmgan", "seeds": 8, "steps": 8_000, "lr_schedule": "0.5:1,1~0"},
    arms=(
        Arm("GAN", "gan"),
        Arm("LDMGAN", "ldmgan"),
        Arm("Reg-GAN", "reg-gan"),
        Arm("IVDCGAN", "ivdcgan", {"cap": True}),
        Arm("IVLSGAN", "ivlsgan", {"cap": True}),
    ),
)

CIRCLE = Experiment(
    name="circle-mdgan",
    question=(
        "The circle of 6 of MDGAN's Appendix C, where a plain GAN recovers single modes at a time. Beside its learning "
        "rate of 1e-4, one that all methods share; and beside its uniform prior noise, normal noise for all methods."
    ),
    data="circle-mdgan",
    settings={"protocol": "mdgan", "seeds": 8, "steps": 8_000, "lr": 1e-3, "lr_E": 1e-3, "lr_schedule": "0.5:1,1~0"},
    arms=tuple(
        Arm(label, method, {**settings, "prior": prior}, group)
        for prior, group in (("uniform01", "Prior U[0, 1]^3, as in the paper"), ("normal", "Prior N(0, I)"))
        for label, method, settings in (
            ("WGAN-GP", "wgan-gp", {}),
            ("GAN, lr 1e-4", "gan", {"lr": 1e-4, "lr_schedule": "1"}),
            ("GAN", "gan", {}),
            ("Reg-GAN", "reg-gan", {"lambda_1": 0.2, "lambda_2": 0.4}),
            ("IVDCGAN", "ivdcgan", {"cap": True}),
            ("MDGAN", "mdgan", {}),
        )
    ),
)

EXPERIMENTS: dict[str, Experiment] = {experiment.name: experiment for experiment in (DEMO, RING, CIRCLE)}


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        UserError: there is none.
    """
    if name not in EXPERIMENTS:
        raise UserError(f"There is no experiment {name!r}: choose one of {', '.join([*EXPERIMENTS, '2d'])}.")
    return EXPERIMENTS[name]
