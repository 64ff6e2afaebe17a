"""What the program computed before its rooms were moved: `python tests/frozen.py` writes tests/frozen.json anew.

For every method: its schedule, and after 8 steps of plain descent in float64 two projections of each tensor of its
networks. For the audit: the JSON of one on points and of one on digits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tiny import METHODS, engine_of, weights

import modecover

PLACE = Path(__file__).parent / "frozen.json"
CASES = {"points-1": ((2,), (0,)), "points-8": ((2,), tuple(range(8))), "images-1": ((1, 16, 16), (0,))}


def steps_of(name: str, case: str) -> dict[str, Any]:
    """The schedule of a method, and its networks after 8 steps."""
    shape, seeds = CASES[case]
    engine = engine_of(name, seeds, shape=shape)
    for _ in range(8):
        engine.step()
    return {"schedule": engine.schedule(), "weights": {key: _seen(value) for key, value in weights(engine).items()}}


def _seen(value: torch.Tensor) -> list[float]:
    flat = value.double().flatten()
    return [float(flat.norm()), float(flat @ torch.cos(torch.arange(flat.numel(), dtype=torch.float64)))]


def audit_of(data: str) -> dict[str, Any]:
    """A small audit: a generator that drops modes, or digits."""
    generator = torch.Generator().manual_seed(0)
    if data == "points":
        real = modecover.open_data("ring").sample(600, generator)
        fake = modecover.open_data("ring").sample(1200, generator)
        fake = fake[fake[:, 0] > -0.5][:600]
    else:
        real = modecover.open_data("digits", size=16).sample(500, generator)
        fake = (modecover.open_data("digits", size=16).sample(500, generator) + 0.1).clamp(-1, 1)
    found = modecover.audit(real=real, fake=fake, samples=400, seed=0)
    content: dict[str, Any] = json.loads(found.to_json())
    return {key: value for key, value in content.items() if key != "versions"}


def kernels() -> str:
    """A name of the kernels that this machine computes with: what they make of a few steps of a small network."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(1568, 8)
    )
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    x = torch.randn(64, 1, 16, 16)
    for _ in range(5):
        optimiser.zero_grad()
        torch.log_softmax(network(x), 1)[:, 0].mean().backward()
        optimiser.step()
    return "".join(f"{float(p.detach().double().sum()):.12e};" for p in network.parameters())


def main() -> None:
    frozen: dict[str, Any] = {"kernels": kernels(), "steps": {}, "audits": {}}
    for case in CASES:
        for name in METHODS:
            frozen["steps"][f"{case} {name}"] = steps_of(name, case)
    for data in ("points", "digits"):
        frozen["audits"][data] = audit_of(data)
    PLACE.write_text(json.dumps(frozen, indent=0, allow_nan=True) + "\n")


if __name__ == "__main__":
    main()
