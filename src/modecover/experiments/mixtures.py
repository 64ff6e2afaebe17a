"""The table of the 2-D mixtures: every method of the GAN family on the ring, the grid and the circle of 6.

Networks, prior and evaluation are those of a published protocol for each set. Learning rates are in no paper that
uses these sets, or differ, and decide more than the objective: so they are searched, for every method alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modecover.experiments.declared import Arm, Experiment
from modecover.methods import registry

DECAY = "0.5:1,1~0"

LEARNING: tuple[Mapping[str, Any], ...] = (
    {"lr": 3e-3, "lr_D": 1e-2, "lr_E": 3e-3},
    {"lr": 1e-3, "lr_E": 1e-3},
    {"lr": 3e-3, "lr_E": 3e-3},
    {"lr": 1e-3, "lr_D": 3e-3, "lr_E": 1e-3},
)
"""Learning settings in the order they are tried; all decay to 0 over the second half of training."""

BUDGET = len(LEARNING)
"""Candidates for each method and set."""


@dataclass(frozen=True)
class Entry:
    """A method of the table.

    Attributes:
        label, method: as of an `Arm`.
        variants: values of its own weights to choose among; more of them leave fewer learning settings, so that every
            method has `BUDGET` candidates.
        published: "modes / HQ %" by set, with the source.
    """

    label: str
    method: str
    variants: tuple[Mapping[str, Any], ...] = ({},)
    published: Mapping[str, str] | None = None

    def candidates(self) -> tuple[Arm, ...]:
        """What the search compares, `BUDGET` arms labelled a, b, c, ..."""
        settings = [
            {**learning, **variant}
            for learning in LEARNING[: BUDGET // len(self.variants)]
            for variant in self.variants
        ]
        return tuple(Arm("abcdef"[number], self.method, own) for number, own in enumerate(settings))


_INTERVENTION = ({"cap": True}, {"cap": True, "lambda_G": 0.05, "mu_G": 0.1})

ENTRIES: tuple[Entry, ...] = (
    Entry("GAN", "gan", published={"ring": "1 / 99.96 [L]", "grid": "3.4 / 11.1 [L]"}),
    Entry("LSGAN", "lsgan"),
    Entry("WGAN", "wgan"),
    Entry("WGAN-GP", "wgan-gp", ({}, {"penalty": 1.0})),
    Entry("SN-GAN", "sngan"),
    Entry("PacGAN", "pacgan", published={"ring": "7.9 / 95.6 [P]", "grid": "23.8 / 91.3 [P]"}),
    Entry("Unrolled GAN", "unrolled", published={"ring": "7.6 / 35.6 [V]", "grid": "23.6 / 16 [V]"}),
    Entry("R3GAN", "r3gan", ({"gamma": 0.1}, {"gamma": 0.02})),
    Entry("BiGAN", "bigan", published={"ring": "6.9 / 38.1 [L]", "grid": "20.4 / 66.5 [L]"}),
    Entry("ALI", "ali", published={"ring": "2.8 / 0.13 [V]", "grid": "15.8 / 1.6 [V]"}),
    Entry("VEEGAN", "veegan", published={"ring": "8 / 52.9 [V], 1 / 99.9 [L]", "grid": "24.6 / 40 [V], 1 / 99.5 [L]"}),
    Entry("VAEGAN", "vaegan", published={"ring": "1 / 100 [L]", "grid": "8.9 / 98.6 [L]"}),
    Entry("Reg-GAN", "reg-gan", ({"lambda_1": 0.2, "lambda_2": 0.4}, {"lambda_1": 0.005, "lambda_2": 0.005})),
    Entry("MDGAN", "mdgan", ({"lambda_": 0.01}, {"lambda_": 0.1})),
    Entry("LDMGAN", "ldmgan", published={"ring": "8 / 97.9 [L]", "grid": "23.1 / 65.4 [L]"}),
    Entry("IVDCGAN", "ivdcgan", _INTERVENTION),
    Entry("IVLSGAN", "ivlsgan", _INTERVENTION),
    Entry("IV-R3GAN", "ivgan", tuple({**own, "adversarial": "relativistic"} for own in _INTERVENTION)),
)

INTERVENED = (("GAN", "IVDCGAN"), ("LSGAN", "IVLSGAN"), ("R3GAN", "IV-R3GAN"))
"""Labels of a game without and with the intervention loss."""

SOURCES = "[L] LDMGAN's table, [P] PacGAN's, [V] VEEGAN's; each with its own networks, steps and counts."


@dataclass(frozen=True)
class MixtureSet:
    """One of the sets, with the protocol whose networks and evaluation it is run under, and all methods' prior."""

    name: str
    data: str
    protocol: str
    prior: str = "normal"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The methods that can be run: with a uniform prior not those whose KL is to N(0, I)."""
        return tuple(e for e in ENTRIES if self.prior == "normal" or not registry.get(e.method)().normal_prior)


SETS = (
    MixtureSet("ring", "ring-ldmgan", "ldmgan"),
    MixtureSet("grid", "grid-ldmgan", "ldmgan"),
    MixtureSet("circle", "circle-mdgan", "mdgan", "uniform01"),
    MixtureSet("circle, normal prior", "circle-mdgan", "mdgan"),
)

SEARCH: Mapping[str, Any] = {"seeds": 4, "seed": 100, "steps": 2_000}
TABLE: Mapping[str, Any] = {"seeds": 8, "seed": 0, "steps": 8_000}
QUIET: Mapping[str, Any] = {"sample_every": 0, "lr_schedule": DECAY}


LARGER: Mapping[str, Any] = {
    "networks": "mlp-tanh",
    "seed": 16,
    "steps": 12_000,
    "lr_schedule": "0.1:1,1~0",
    **LEARNING[0],
}
"""Twice as wide networks and a discriminator of one layer more, more steps, nine tenths of them with falling rates; the
same for all arms, without a search."""

LARGER_SETS: Mapping[str, tuple[Mapping[str, Any], tuple[Arm, ...]]] = {
    "ring": ({}, (Arm("GAN", "gan"), Arm("R3GAN", "r3gan", {"gamma": 0.015, "beta2": 0.9}))),
    "grid": ({"batch": 512}, (Arm("GAN", "gan"), Arm("R3GAN", "r3gan", {"gamma": 0.1, "beta2": 0.9}))),
}
"""What a set adds to these settings, and the arms: a plain GAN, and the method that loses the fewest modes. Its gamma
goes with the square of the distance between modes."""


def search(mixture: MixtureSet, entry: Entry) -> Experiment:
    """The candidates of a method on a set, on seeds that are not the table's."""
    settings = {"protocol": mixture.protocol, "prior": mixture.prior, **QUIET, **SEARCH, "evaluate_every": 0}
    name = f"{mixture.name}/{entry.label}"
    return Experiment(
        name, f"Settings of {entry.label} on the {mixture.name}", mixture.data, settings, entry.candidates()
    )


def table(mixture: MixtureSet, chosen: Mapping[str, Mapping[str, Any]]) -> Experiment:
    """The table of a set, every method with the settings chosen for it (by label)."""
    settings = {"protocol": mixture.protocol, "prior": mixture.prior, **QUIET, **TABLE}
    arms = tuple(Arm(entry.label, entry.method, chosen[entry.label], mixture.name) for entry in mixture.entries)
    return Experiment(mixture.name, f"The {mixture.name}", mixture.data, settings, arms)


def larger(mixture: MixtureSet) -> Experiment:
    """A few methods with networks that have room for all modes."""
    own, arms = LARGER_SETS[mixture.name]
    settings = {"protocol": mixture.protocol, **QUIET, **TABLE, **LARGER, **own}
    name = f"{mixture.name}-larger"
    arms = tuple(dataclasses.replace(arm, group=name) for arm in arms)
    return Experiment(name, f"The {mixture.name}", mixture.data, settings, arms)
