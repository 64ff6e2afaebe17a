"""What every test may rely on: one thread, no display, no network, and torch's global generator at a fixed state."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"

import pytest


@pytest.fixture(autouse=True)
def _fixed_global_generator() -> None:
    """A test that draws without a seed of its own draws the same on every run, alone or among others."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(20_170)
