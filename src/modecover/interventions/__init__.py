"""Interventions: maps of the latent space that leave the prior N(0, I) unchanged (IVGAN, Definition 1).

A family holds `count` of them. `O(code, index, noise)` applies intervention number `index[b]` to row b, with fresh
standard normal `noise` of the code's shape for the family to use. Bridges (cumulative, radial, svgd) begin with the
identity and end at the prior. Add a family by subclassing `Intervention` and entering it in `INTERVENTIONS`.
"""

from __future__ import annotations

from modecover.errors import UserError
from modecover.interventions.families import (
    BlockSubstitution,
    CumulativeSubstitution,
    Identity,
    Intervention,
    RadialSubstitution,
    SteinBridge,
    stein_direction,
)
from modecover.interventions.loss import Intervened, InterventionLoss
from modecover.kinds import joined

INTERVENTIONS: dict[str, type[Intervention]] = {
    "block": BlockSubstitution,
    "cumulative": CumulativeSubstitution,
    "radial": RadialSubstitution,
    "svgd": SteinBridge,
    "identity": Identity,
}


def family_named(name: str, count: int) -> Intervention:
    """`count` interventions of the family of that name; `UserError` where there is none."""
    if name not in INTERVENTIONS:
        raise UserError(f"intervention is {name!r}: choose {joined([repr(family) for family in INTERVENTIONS])}.")
    return INTERVENTIONS[name](count)


__all__ = [
    "INTERVENTIONS",
    "BlockSubstitution",
    "CumulativeSubstitution",
    "Identity",
    "Intervened",
    "Intervention",
    "InterventionLoss",
    "RadialSubstitution",
    "SteinBridge",
    "family_named",
    "stein_direction",
]
