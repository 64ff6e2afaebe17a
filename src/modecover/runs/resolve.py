"""From what the user said to a method and its training settings, each layer over the one before.

the settings' own defaults < the method's < the protocol's < the method's preset < the user's
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from modecover.errors import UserError
from modecover.kinds import checked, fields_of, joined
from modecover.methods import registry
from modecover.methods.base import Method
from modecover.runs.protocols import settings_of
from modecover.runs.settings import Settings


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
    own = fields_of(method_class)
    shared = fields_of(Settings)
    chosen = dict(chosen or {})
    _refuse_unknown(name, chosen, {**own, **shared})
    if protocol is None:
        protocol = "points" if len(shape) == 1 else "none"
    layers = [method_class.defaults, settings_of(protocol), _preset(method_class, name, preset), chosen]
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


def _preset(method: type[Method], name: str, preset: str | None) -> Mapping[str, Any]:
    if preset is None:
        return {}
    if preset not in method.presets:
        has = f"choose {joined(list(method.presets))}" if method.presets else "it has none"
        raise UserError(f"{name} has no preset {preset!r}: {has}.")
    return method.presets[preset]


def _refuse_unknown(method: str, chosen: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"`modecover describe {method}` lists its settings."
            raise UserError(f"{method} has no setting {name!r}: {hint}")
