"""The files of a model, from whomever they come: everything in them is looked at before it is used.

Nothing they hold is opened, imported or run, and nothing larger than the files themselves is built.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from modecover.errors import UserError
from modecover.kinds import shown
from modecover.limits import require_memory
from modecover.networks import from_config
from modecover.runs.checkpoint import DamagedError, digest, read_tensors
from modecover.runs.fitting import at_most
from modecover.runs.records import read_own

CONFIG, WEIGHTS = "config.json", "model.safetensors"
AGAIN = "save or download the model again"
ANSWER = 8  # seconds that the Hub has for its answer, of which it is asked twice


def find(path: Path | str, seed: int | None = None, **options: Any) -> Path:
    """The folder of the model files in a model folder, in a run folder, or of a model on the Hugging Face Hub.

    Args:
        path: a folder, or owner/name.
        seed: which of a run's seeds, where there are several; the first if None.
        options: of the Hub's download.

    Raises:
        UserError: there is none.
    """
    try:
        place = Path(path)
    except TypeError:
        raise UserError(f"{shown(path)} is no path: give the folder of a model or of a run, or owner/name.") from None
    if not os.path.isdir(place):  # which, unlike Path.is_dir, answers for any text
        return _download(str(path), place, **options)
    for folder in (place, place / "model"):
        if (folder / CONFIG).exists():
            return folder
        named = {inner: re.fullmatch(r"seed-(\d+)", inner.name) for inner in folder.glob("seed-*")}
        seeds = {int(match[1]): inner for inner, match in named.items() if match and (inner / CONFIG).exists()}
        if seeds:
            chosen = seeds.get(min(seeds) if seed is None else seed)
            if chosen is None:
                raise UserError(f"{place} has no seed {seed}: choose one of {', '.join(map(str, sorted(seeds)))}.")
            return chosen
    if (place / "run.json").exists():
        raise UserError(f"The run in {place} has no model yet: let it train on, by the command that began it.")
    raise UserError(f"{place} holds no model: give the folder of a model or of a run.")


def _download(name: str, place: Path, **options: Any) -> Path:
    """The two files of a model on the Hub, in a folder of the Hub's cache."""
    from huggingface_hub import HfApi, snapshot_download

    if os.path.exists(place):
        raise UserError(f"{name} is a file: give the folder of a model or of a run.")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name, re.ASCII) or place.parent.is_dir():
        raise UserError(f"{name} does not exist: give the folder of a model or of a run, or a Hub name (owner/name).")
    options["allow_patterns"] = [CONFIG, WEIGHTS]
    try:
        # The download asks a server that never answers again and again, for minutes.
        HfApi().model_info(name, revision=options.get("revision"), token=options.get("token"), timeout=ANSWER)
        return Path(snapshot_download(name, **options))
    except Exception as error:  # of the library that it asks by, too
        with suppress(Exception):
            return Path(snapshot_download(name, **{**options, "local_files_only": True}))
        raise UserError(
            f"{name} is no folder here and could not be had from the Hugging Face Hub ({type(error).__name__}): check "
            "the name, your network, and for a private model your login."
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's `config.json`: one of modecover's, of this version, with all its parts.

    Raises:
        UserError: it is missing, damaged, not modecover's, or of another format version.
    """
    parts, absent = ("architecture", "prior", "data", "method", "training"), f"{folder / CONFIG} is missing: {AGAIN}."
    return read_own(folder / CONFIG, "library", dict.fromkeys(parts, dict), AGAIN, absent)


def require_names(names: Iterable[object]) -> None:
    """Raise `UserError` unless networks can have these names, which become attributes."""
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or hasattr(nn.ModuleDict(), name):
            raise UserError(f"{shown(name)} is no name for a network: use letters and digits, as in G or E2.")


def rebuilt(
    architecture: Mapping[str, Any], own: Mapping[str, nn.Module], weights: Mapping[str, Tensor]
) -> dict[str, nn.Module]:
    """The networks that `architecture` describes, the user's `own` in place of those it cannot rebuild.

    Raises:
        UserError: a network is missing, cannot be built, or is larger than the `weights` that are to fill it.
    """
    require_names(architecture)
    if unknown := [name for name in own if name not in architecture]:
        raise UserError(f"The model has no network {unknown[0]}; it has {', '.join(architecture)}.")
    networks, numbers = {}, sum(tensor.numel() for tensor in weights.values())
    with at_most(numbers, UserError(f"it is larger than the weights in {WEIGHTS}; {AGAIN}."), len(weights)):
        for name, config in architecture.items():
            if name not in own and isinstance(config, Mapping) and config.get("arguments", ...) is None:
                kind = str(config.get("class"))
                raise UserError(
                    f"The model's {name} is a network of your own, {kind}, which only you can build: pass it as "
                    f'networks={{"{name}": {kind.rpartition(".")[2]}(...)}}.'
                )
            networks[name] = own[name] if name in own else from_config(config)
    return networks


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a model's safetensors file, intact and finite.

    Raises:
        UserError: it is missing or damaged, does not fit into memory, or holds complex numbers, NaN or infinities.
    """
    try:
        if path.is_file():
            require_memory(f"The weights in {path}", path.stat().st_size, "use a machine with more")
        weights, header = read_tensors(path)
        if header.get("sha256") not in (None, digest(weights)):  # other tools, such as converters, keep no digest
            raise DamagedError("it does not match its digest")
    except DamagedError as error:
        raise UserError(f"{path} is damaged ({error}): {AGAIN}.") from error
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
    for name in sorted({*state, *weights}):
        found, wanted = (
            f"{'numbers' if t[name].is_floating_point() else t[name].dtype} of shape {tuple(t[name].shape)}"
            if name in t
            else "nothing"
            for t in (weights, state)
        )
        if found != wanted:
            raise UserError(
                f"The weights in {path} do not fit the networks: {name} is {found}, where {wanted} belongs. "
                f"{AGAIN.capitalize()}, and build networks of your own as they were then."
            )
    networks.load_state_dict(dict(weights))
