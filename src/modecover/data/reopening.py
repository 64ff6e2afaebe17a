"""`reopen`: the data that a run was trained on, from what it has recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modecover.data.base import Dataset
from modecover.data.opening import open_data
from modecover.errors import UserError


def reopen(recorded: Mapping[str, Any], **options: Any) -> Dataset:
    """The data of a run, opened as they were then but for `options`.

    Their content may have changed since: `fingerprint` tells.

    Args:
        recorded: their `name` and how they were `opened`, as a model's `data` has them.
        options: of `open_data`.

    Raises:
        UserError: they came from memory, or can no longer be opened.
    """
    name, opened = recorded.get("name", "data"), recorded.get("opened")
    refused = f"The run's data {name!r} cannot be opened again: say what it is (--data, data=...)."
    if not isinstance(opened, Mapping):
        raise UserError(f"{refused} It came from memory, not from a name or a path.")
    try:
        return open_data(**{**opened, **options})
    except TypeError as error:  # options that no version of ours has written
        raise UserError(refused) from error
    except UserError as error:
        raise UserError(f"{refused} {error}") from None
