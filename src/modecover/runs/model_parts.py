"""What a model is made of, held to what it must be: each part is that part, or the sentence that says what is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modecover.engine.prior import LAWS, Prior
from modecover.errors import UserError
from modecover.kinds import LARGEST_WHOLE, checked, first_line, shown
from modecover.limits import explained

_KINDS: dict[str, dict[str, Any]] = {
    "data": {
        "name": str,
        "shape": Sequence[int],
        "value_range": Sequence[float] | None,
        "fingerprint": str | None,
        "opened": dict | None,
    },
    "method": {"name": str, "settings": dict},
    "training": {"seed": int | None},
}
"""What entries of a model's facts are, where they are given."""


def as_networks(networks: Mapping[str, nn.Module]) -> Mapping[str, nn.Module]:
    """`networks` where they are modules by names that an attribute can have."""
    if not isinstance(networks, Mapping):
        raise UserError(f"networks is {shown(networks)}: give modules by name, as in networks={{'G': MyG()}}.")
    for name, network in networks.items():
        require_name(name)
        if not isinstance(network, nn.Module):
            raise UserError(f"The network {name} is {shown(network)}: give an instance of torch.nn.Module.")
    return networks


def require_name(name: str) -> None:
    """Raise unless a network can have this name, which becomes an attribute."""
    if not isinstance(name, str) or not name.isidentifier() or hasattr(nn.ModuleDict(), name):
        raise UserError(f"{shown(name)} is no name for a network: use letters and digits, as in G or E2.")


def as_prior(prior: Prior | Mapping[str, Any]) -> Prior:
    """`prior`, or what it describes."""
    given = asdict(prior) if isinstance(prior, Prior) else prior
    law: Any = given.get("law") if isinstance(given, Mapping) else given
    dimension: Any = given.get("dimension") if isinstance(given, Mapping) else None
    whole = isinstance(dimension, int) and not isinstance(dimension, bool)
    if law not in LAWS or not whole or not 1 <= dimension <= LARGEST_WHOLE:
        raise UserError(
            f"The prior is given as law {shown(law)} and dimension {shown(dimension)}; the law must be normal, uniform "
            "or uniform01, and the dimension a whole number of at least 1."
        )
    return Prior(dimension=dimension, law=law)


def as_facts(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts `name` ("data", "method" or "training"), the entries that are relied on being of their kinds."""
    if not isinstance(facts, Mapping):
        raise UserError(f"{name} is {shown(facts)}: give facts by name.")
    for key, kind in _KINDS[name].items():
        if key in facts:
            checked(f"{name}.{key}", facts[key], kind)
    if name == "data" and (not facts.get("shape") or min(facts["shape"]) < 1):
        raise UserError(f"data.shape is {shown(facts.get('shape'))}: give that of one sample, as in [2].")
    return dict(facts)


def as_path(path: Path | str) -> Path:
    """`path` where it can be that of a file."""
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{shown(path)} is no path: give the folder of a model or of a run, or owner/name.")
    try:
        if "\0" not in os.fspath(path) and os.fspath(path).encode():
            return Path(path)
    except (TypeError, AttributeError, UnicodeEncodeError):
        pass
    raise UserError(f"{shown(path)} can be the name of no folder: give the folder of a model or of a run.")


def at_least(name: str, value: int, least: int) -> int:
    """`value` where it is a whole number of at least `least`."""
    value = checked(name, value, int)
    if value < least:
        raise UserError(f"{name} is {value}: it must be at least {least}.")
    return value


def made_by(network: nn.Module, name: str, rows: Tensor, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
    """What `network` makes of the rows, each of one of the `shapes`, of which a sentence names the first."""
    cure = "use the network that belongs to this model"
    try:
        made = network(rows)
    except Exception as error:
        if explained(error) is not None:
            raise
        taken = tuple(rows.shape[1:])
        raise UserError(f"{name} cannot take rows of shape {taken} ({first_line(error)}): {cure}.") from error
    if not isinstance(made, Tensor):
        raise UserError(f"{name} made a {type(made).__name__}, which is no tensor: {cure}.")
    if made.is_complex() or made.shape[:1] != rows.shape[:1] or tuple(made.shape[1:]) not in shapes:
        wanted = (len(rows), *shapes[0])
        raise UserError(f"{name} made {made.dtype} of shape {tuple(made.shape)}, where {wanted} belongs: {cure}.")
    return made
