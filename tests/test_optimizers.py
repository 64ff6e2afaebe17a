"""torch's optimisers without torch's compiler: the same numbers, and the compiler is not loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from modecover.optimizers import eager

KINDS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.Adam, {"lr": 0.1, "betas": (0.5, 0.9), "fused": True}),
    (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
    (torch.optim.RMSprop, {"lr": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
]


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_an_eager_optimiser_takes_the_steps_of_torchs_own(
    kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    ours, theirs = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    optimisers = [eager(kind)([ours], **settings), kind([theirs], **settings)]
    for step in range(4):
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            optimiser.zero_grad()
            (parameter - torch.tensor([0.0, 2.0, 5.0])).square().sum().backward()
            optimiser.step()
        assert torch.equal(ours, theirs)
        if step == 1:  # on from a saved state
            saved = optimisers[0].state_dict()
            optimisers[0] = eager(kind)([ours], **settings)
            optimisers[0].load_state_dict(saved)
    assert isinstance(optimisers[0], kind) and ours.requires_grad and ours.is_leaf


def test_a_run_does_not_load_torchs_compiler(tmp_path: Path) -> None:
    code = (
        "import sys; from modecover import train\n"
        f"train('gan', 'ring', {str(tmp_path / 'run')!r}, steps=8, batch=16, seeds=2)\n"
        f"train('gan', 'ring', {str(tmp_path / 'run')!r}, steps=9, batch=16, seeds=2)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
