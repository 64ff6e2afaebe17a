"""Benchmark protocols of the literature: networks, prior, optimiser and length, by the name results quote.

Where a paper gives no number, the line says so and the number is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modecover.errors import UserError

_PLAIN = {"instance_noise": "0", "weight_decay_E": 0.0, "k": 2, "t": 2, "unrolled_rate": 0.1}


@dataclass(frozen=True)
class Protocol:
    """A named set of training settings.

    Attributes:
        source: where it is from, and which numbers are ours.
        data: data names it is meant for.
        settings: values of training settings, and of a method's fields where the method has them.
    """

    source: str
    data: tuple[str, ...]
    settings: Mapping[str, Any]


PROTOCOLS: dict[str, Protocol] = {
    "points": Protocol(
        "Ours, for points of the plane: 2x128 networks, batch 128, learning rates down to 0 over the second half",
        ("ring", "grid", "circle"),
        {
            **_PLAIN,
            "networks": "mlp",
            "latent": 2,
            "batch": 128,
            "lr": 1e-3,
            "lr_E": 1e-3,
            "lr_schedule": "0.5:1,1~0",
        },
    ),
    "veegan": Protocol(
        "VEEGAN (Srivastava et al. 2017) as its code runs the mixtures",
        ("ring-veegan", "grid-veegan"),
        {
            **_PLAIN,
            "networks": "veegan",
            "latent": 254,
            "batch": 500,
            "lr": 1e-3,
            "lr_E": 1e-3,
            "steps": 100_000,
            "evaluate_samples": 2500,
        },
    ),
    "pacgan": Protocol(
        "PacGAN (Lin et al. 2018), mixtures",
        ("ring-pacgan", "grid-pacgan"),
        {
            **_PLAIN,
            "networks": "pacgan",
            "latent": 2,
            "batch": 100,
            "lr": 1e-4,
            "lr_E": 1e-4,
            "beta1": 0.8,
            "steps": 400_000,
            "evaluate_samples": 2500,
        },
    ),
    "ldmgan": Protocol(
        "LDMGAN, ring and grid: networks, z and evaluation; optimiser, batch and steps are not given and are ours",
        ("ring-ldmgan", "grid-ldmgan"),
        {
            **_PLAIN,
            "networks": "ldmgan",
            "latent": 2,
            "batch": 128,
            "lr": 1e-3,
            "lr_E": 1e-3,
            "steps": 25_000,
            "evaluate_samples": 2048,
        },
    ),
    "mdgan": Protocol(
        "MDGAN (Che et al. 2017), Appendix C; batch, steps and beta1 are not given and are ours",
        ("circle-mdgan",),
        {
            **_PLAIN,
            "networks": "mdgan",
            "latent": 3,
            "prior": "uniform01",
            "batch": 128,
            "lr": 1e-4,
            "lr_E": 1e-4,
            "steps": 25_000,
            "evaluate_samples": 2048,
            "lambda_1": 0.005,
            "lambda_2": 0.005,
            "k": 3,
            "t": 3,
        },
    ),
    "unrolled": Protocol(
        "Unrolled GAN (Metz et al. 2017), ring; its saturating loss is the setting loss=minimax",
        ("ring-unrolled",),
        {
            **_PLAIN,
            "networks": "unrolled",
            "latent": 256,
            "batch": 512,
            "lr": 1e-3,
            "lr_D": 1e-4,
            "lr_E": 1e-3,
            "steps": 25_000,
        },
    ),
}


def settings_of(name: str) -> Mapping[str, Any]:
    """The settings of a protocol; "none" has none.

    Raises:
        UserError: there is no protocol of that name.
    """
    if name == "none":
        return {}
    if name not in PROTOCOLS:
        raise UserError(f"There is no protocol {name!r}: choose none or one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name].settings
