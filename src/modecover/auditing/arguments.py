"""The arguments of `audit`, held against what they can be: one sentence that names the argument, at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modecover.data.base import usable_device
from modecover.data.opening import OPTIONS
from modecover.errors import UserError
from modecover.features import Extractor
from modecover.kinds import checked, nearest
from modecover.limits import byte_count

FEWEST = 10
"""Samples of each kind that an audit needs at least."""

LARGEST_SEED = 2**63 - 1

LARGEST_LEVEL = 1e6
"""Of noise, in its unit: far beyond what leaves anything of the data."""


def require_arguments(
    *,
    features: Any,
    encoder: Any,
    noise: Any,
    samples: Any,
    seed: Any,
    of_seed: Any,
    real_options: Any,
    fake_options: Any,
    device: Any,
    progress: Any,
) -> None:
    """Raise `UserError` for the first argument of `audit` that cannot be what it is; sources are seen to later."""
    if checked("samples", samples, int) < FEWEST:
        raise UserError(f"samples is {samples}: an audit needs at least {FEWEST} of each side.")
    for name, value in (("seed", seed), *(() if of_seed is None else (("of_seed", of_seed),))):
        if not 0 <= checked(name, value, int) <= LARGEST_SEED:
            raise UserError(f"{name} is {value}: it must be at least 0, and below 2^63.")
    if not isinstance(features, str | Extractor) and not callable(features):
        raise UserError(f"features must be the name of one, an extractor or a function of samples; got {features!r}.")
    for name, value in (("encoder", encoder), ("progress", progress)):
        if value is not None and not callable(value):
            raise UserError(f"{name} must be a function; got {value!r}.")
    _require_levels(noise)
    for name, options in (("real_options", real_options), ("fake_options", fake_options)):
        if options is not None and not isinstance(options, Mapping):
            raise UserError(f"{name} must be a dictionary of options of open_data; got {options!r}.")
        for option in options or {}:
            if option not in OPTIONS:
                hint = nearest(str(option), OPTIONS)
                raise UserError(f"{name}: open_data has no option {option!r}{hint}; it has {', '.join(OPTIONS)}.")
    usable_device(device)


def memory_in_bytes(memory: Any) -> int:
    """The argument `memory`: a number of bytes, or words such as "1GB". Raises `UserError` where it is neither."""
    if isinstance(memory, str):
        try:
            return byte_count(memory)
        except UserError as error:
            raise UserError(f"memory: {error}") from error
    count = checked("memory", memory, int)
    if count < 1:
        raise UserError(f"memory is {count}: give a positive number of bytes, or words such as '1GB'.")
    return count


def _require_levels(noise: Any) -> None:
    def right(level: Any) -> bool:
        real = isinstance(level, int | float | np.number) and not isinstance(level, bool)
        return bool(real and 0 < level <= LARGEST_LEVEL)

    listed = isinstance(noise, Sequence) and not isinstance(noise, str | bytes)
    if not (listed and noise and all(map(right, noise))):
        raise UserError(
            f"noise must be a sequence of positive numbers, the levels of the sweep, of at most {LARGEST_LEVEL:g}; "
            f"got {noise!r}."
        )
