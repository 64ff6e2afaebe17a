"""Data that stay open for all runs of a process: to decode or resize fifty thousand images takes ten seconds and more,
of runs that take minutes and are measured on the same images."""

from __future__ import annotations

import functools
import json
from typing import Any

from modecover.data.base import Dataset
from modecover.data.opening import open_data

OPTIONS = ("size", "crop", "channels", "data_dir", "split")
"""Of `open_data`, that a run has among its settings."""


def open_once(source: str, **options: Any) -> Dataset:
    """`open_data`, in values that JSON can hold; the data last opened by this process are not opened again, nor are
    those before them, which may be the other split."""
    given = {name: value for name, value in options.items() if value is not None}
    return _opened(json.dumps({"source": source, **given}, sort_keys=True))


@functools.lru_cache(maxsize=2)
def _opened(options: str) -> Dataset:
    return open_data(**json.loads(options))
