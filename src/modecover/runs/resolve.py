"""From what the user said to a method and its training settings, each layer over the one before.

the settings' own defaults < the method's < the protocol's < the method's preset < the user's
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modecover.errors import UserError
from modecover.kinds import checked, fields_of, joined
from modecover.methods import registry
from modecover.methods.base import Method
from modecover.runs.settings import Settings


@dataclass(frozen=True)
class Protocol:
    """A benchmark protocol of the literature: networks, prior, optimiser and length, by the name results quote.

    Attributes:
        source: where it is from, and which numbers are ours.
        data: data names it is meant for.
        settings: values of training settings, and of a method's fields where the method has them.
    """

    source: str
    data: tuple[str, ...]
    settings: Mapping[str, Any]


def _settings(networks: str, latent: int, batch: int, lr: float, **others: Any) -> dict[str, Any]:
    """Those of a protocol: one learning rate, where it names no other, and what methods do by default on points."""
    plain = {"instance_noise": "0", "weight_decay_E": 0.0, "k": 2, "t": 2, "unrolled_rate": 0.1}
    return {**plain, "networks": networks, "latent": latent, "batch": batch, "lr": lr, "lr_E": lr, **others}


PROTOCOLS: dict[str, Protocol] = {
    "points": Protocol(
        "Ours, for points of the plane: 2x128 networks, batch 128, learning rates down to 0 over the second half",
        ("ring", "grid", "circle"),
        _settings("mlp", 2, 128, 1e-3, lr_schedule="0.5:1,1~0"),
    ),
    "veegan": Protocol(
        "VEEGAN (Srivastava et al. 2017) as its code runs the mixtures",
        ("ring-veegan", "grid-veegan"),
        _settings("veegan", 254, 500, 1e-3, steps=100_000, evaluate_samples=2500),
    ),
    "pacgan": Protocol(
        "PacGAN (Lin et al. 2018), mixtures",
        ("ring-pacgan", "grid-pacgan"),
        _settings("pacgan", 2, 100, 1e-4, beta1=0.8, steps=400_000, evaluate_samples=2500),
    ),
    "ldmgan": Protocol(
        "LDMGAN, ring and grid: networks, z and evaluation; optimiser, batch and steps are not given and are ours",
        ("ring-ldmgan", "grid-ldmgan"),
        _settings("ldmgan", 2, 128, 1e-3, steps=25_000, evaluate_samples=2048),
    ),
    "mdgan": Protocol(
        "MDGAN (Che et al. 2017), Appendix C; batch, steps and beta1 are not given and are ours",
        ("circle-mdgan",),
        _settings("mdgan", 3, 128, 1e-4, prior="uniform01", steps=25_000, evaluate_samples=2048)
        | {"lambda_1": 0.005, "lambda_2": 0.005, "k": 3, "t": 3},
    ),
    "unrolled": Protocol(
        "Unrolled GAN (Metz et al. 2017), ring; its saturating loss is the setting loss=minimax",
        ("ring-unrolled",),
        _settings("unrolled", 256, 512, 1e-3, lr_D=1e-4, steps=25_000),
    ),
}
"""Where a paper gives no number, `source` says so and the number is ours."""


def settings_of(protocol: str) -> Mapping[str, Any]:
    """The settings of a protocol; "none" has none.

    Raises:
        UserError: there is no protocol of that name.
    """
    if protocol == "none":
        return {}
    if protocol not in PROTOCOLS:
        raise UserError(f"There is no protocol {protocol!r}: choose none or one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[protocol].settings


def resolve(
    name: str,
    shape: Sequence[int],
    *,
    preset: str | None = None,
    protocol: str | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> tuple[Method, Settings]:
    """The method and settings of a run.

    Args:
        name: of the method.
        shape: of one sample of the data; points get the protocol "points" where none is named.
        preset: one of the method's presets.
        protocol: a name in `PROTOCOLS`, or "none".
        chosen: what the user set, by name: fields of the method or of `Settings`.

    Raises:
        UserError: a name is unknown, a value is of the wrong kind, or the settings do not fit together.
    """
    method_class = registry.get(name)
    preset, protocol = (checked(key, given, str | None) for key, given in (("preset", preset), ("protocol", protocol)))
    own, shared = fields_of(method_class), fields_of(Settings)
    chosen = dict(chosen or {})
    known = {**own, **shared}
    for setting in chosen:
        if setting not in known:
            near = difflib.get_close_matches(setting, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"`modecover describe {name}` lists its settings."
            raise UserError(f"{name} has no setting {setting!r}: {hint}")
    if preset is not None and preset not in method_class.presets:
        has = f"choose {joined(list(method_class.presets))}" if method_class.presets else "it has none"
        raise UserError(f"{name} has no preset {preset!r}: {has}.")
    if protocol is None:
        protocol = "points" if len(shape) == 1 else "none"
    layers = [method_class.defaults, settings_of(protocol), method_class.presets[preset] if preset else {}, chosen]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= {key: value for key, value in layer.items() if key in own or key in shared}
    method = method_class(**{key: value for key, value in merged.items() if key in own})
    settings = Settings(**{key: value for key, value in merged.items() if key in shared})
    latent = settings.latent or (100 if len(shape) == 3 else 2)
    settings = dataclasses.replace(settings, latent=latent, prior=settings.prior or "normal")
    if method.normal_prior and settings.prior != "normal":
        raise UserError(
            f"{name} with these settings is for prior noise from N(0, I), and prior is {settings.prior!r}: "
            "set prior to 'normal'."
        )
    method.check(latent=latent, batch=settings.batch // settings.accumulate)
    return method, settings
