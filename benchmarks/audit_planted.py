"""The planted-failure matrix of docs/audit.md: every verdict on every planted failure, as a Markdown table.

python benchmarks/audit_planted.py mixture-2d mixture-16d digits stacked-digits
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from planted import EXPECTED, World, digit_world, mixture_world, stacked_world

from modecover.auditing.run import Audit, audit
from modecover.auditing.verdicts import NAMES

WORLDS = {
    "mixture-2d": lambda: mixture_world(2, 2500),
    "mixture-16d": lambda: mixture_world(16, 2500),
    "digits": digit_world,
    "stacked-digits": lambda: stacked_world(4000),
}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or list(WORLDS):
        world: World = WORLDS[name]()
        print(f"\n### {name}: {len(world.real)} real samples, of which the drops miss {world.missing:.1%}\n")
        print(f"| planted | {' | '.join(NAMES)} | as expected | CPU s |")
        print("|---|" + "---|" * (len(NAMES) + 2))
        for failure, fake in world.fakes.items():
            start = time.process_time()
            found = audit(world.real, fake, features=world.features)
            print(row(failure, found, time.process_time() - start), flush=True)


def row(failure: str, found: Audit, seconds: float) -> str:
    """One row of the table; verdicts that fire are bold."""
    cells = []
    for verdict in found.verdicts:
        number = f"{verdict.effect.value:.2f}" if verdict.name == "shrink" else f"{verdict.effect.value:.1%}"
        null = f"{verdict.null.value:.2f}" if verdict.name == "shrink" else f"{verdict.null.value:.1%}"
        cells.append(f"**{number}** ({null})" if verdict.fires else f"{number} ({null})")
    right = {verdict.name for verdict in found.firing} == EXPECTED[failure]
    return f"| {failure} | {' | '.join(cells)} | {'yes' if right else 'NO'} | {seconds:.0f} |"


if __name__ == "__main__":
    main(sys.argv[1:])
