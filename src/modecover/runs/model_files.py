"""The files of a model, from whomever they come: everything in them is looked at before it is used.

Nothing they hold is opened, imported or run, and nothing larger than the files themselves is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.files import reason, require_file
from modecover.kinds import first_line, shown
from modecover.limits import require_memory, within_limits
from modecover.networks import from_config
from modecover.runs.fitting import each_parameter
from modecover.runs.model_parts import require_name
from modecover.runs.tensors import digest

FORMAT = 1
"""The version of `config.json`."""

CONFIG, WEIGHTS = "config.json", "model.safetensors"

LARGEST_CONFIG = 2**26
"""Bytes of a `config.json` at most."""

AGAIN = "save or download the model again"


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's `config.json`: one of modecover's, of this version, with all its parts.

    Raises:
        UserError: it is missing, damaged, not modecover's, or of another format version.
    """
    path = folder / CONFIG
    try:
        require_file(path, AGAIN, LARGEST_CONFIG)
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} holds no {CONFIG}: give the folder of a model or of a run.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({reason(error)}): {AGAIN}.") from error
    if not isinstance(config, dict) or config.get("library") != "modecover":
        raise UserError(f"{folder} holds a model, but not one that modecover saved: load it with the program it is of.")
    if type(config.get("format")) is not int or config["format"] != FORMAT:
        raise UserError(
            f"{folder} holds a model of format version {shown(config.get('format'))}, and this modecover reads version "
            f"{FORMAT}: load it with the modecover that saved it."
        )
    parts = ("architecture", "prior", "data", "method", "training")
    missing = [name for name in parts if not isinstance(config.get(name), dict)]
    if missing:
        raise UserError(f"{path} is damaged (it lacks {', '.join(missing)}): {AGAIN}.")
    return config


def rebuilt(
    architecture: Mapping[str, Any], own: Mapping[str, nn.Module], weights: Mapping[str, Tensor]
) -> dict[str, nn.Module]:
    """The networks that `architecture` describes, the user's `own` in place of those it cannot rebuild.

    Raises:
        UserError: a network is missing, cannot be built, or is larger than the `weights` that are to fill it.
    """
    if unknown := [name for name in own if name not in architecture]:
        raise UserError(f"The model has no network {unknown[0]}; it has {', '.join(map(str, architecture))}.")
    for name in architecture:
        require_name(name)
    return {name: own[name] if name in own else _built(name, config, weights) for name, config in architecture.items()}


def _built(name: str, config: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    if isinstance(config, Mapping) and config.get("arguments", ...) is None:
        kind = config.get("class")
        if not isinstance(kind, str):
            raise UserError(f"The network {shown(name)} is of the class {shown(kind)}, which is no name: {AGAIN}.")
        raise UserError(
            f"The model's {name} is a network of your own, {kind}, which only you can build: pass it as "
            f'networks={{"{name}": {kind.rpartition(".")[2]}(...)}}.'
        )
    left = [len(weights), sum(tensor.numel() for tensor in weights.values())]

    def count(parameter: Tensor) -> None:
        left[0] -= 1
        left[1] -= parameter.numel()
        if min(left) < 0:
            raise UserError(f"it is larger than the weights in {WEIGHTS}; {AGAIN}.")

    with each_parameter(count):
        return from_config(config)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a model's safetensors file, intact and finite.

    Raises:
        UserError: it is missing or damaged, does not fit into memory, or holds complex numbers, NaN or infinities.
    """
    from safetensors import SafetensorError, safe_open

    try:
        require_file(path, AGAIN)
        require_memory(f"The weights in {path}", path.stat().st_size, "use a machine with more")
        with within_limits(), safe_open(path, framework="pt") as file:
            stated = (file.metadata() or {}).get("sha256")
            # A copy: tensors of an open file are views of it, and would change or vanish with it.
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a mapping
            intact = stated in (None, digest(weights))  # other tools, such as converters, keep no digest
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {AGAIN}.") from None
    except UserError:
        raise
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({reason(error)}): {AGAIN}.") from error
    if not intact:
        raise UserError(f"{path} is damaged (it does not match its digest): {AGAIN}.")
    for name, tensor in weights.items():
        if tensor.is_complex():
            raise UserError(f"{path} holds complex numbers in {shown(name)}: weights are real; {AGAIN}.")
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise UserError(f"{path} holds NaN or infinity in {shown(name)}: the model is of no use; train it again.")
    return weights


def fill(networks: nn.ModuleDict, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put the weights that `path` holds into their networks.

    Raises:
        UserError: names, shapes or types are not those of the networks.
    """
    state = networks.state_dict()
    for name, tensor in weights.items():
        if name in state and tensor.is_floating_point() != state[name].is_floating_point():
            raise UserError(
                f"The weights in {path} do not fit the networks: {name} is of type {tensor.dtype}, where "
                f"{state[name].dtype} belongs. {AGAIN.capitalize()}."
            )
    try:
        networks.load_state_dict(dict(weights))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        detail = str(error).splitlines()[1:2] or [first_line(error)]
        raise UserError(
            f"The weights in {path} do not fit the networks: {''.join(detail).strip()} Build your own networks as they "
            f"were when the model was saved."
        ) from error
