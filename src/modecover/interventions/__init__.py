"""Interventions: maps of the latent space that leave the prior N(0, I) unchanged (IVGAN, Definition 1).

A family holds `count` of them. `O(code, index, noise)` applies intervention number `index[b]` to row b, with fresh
standard normal `noise` of the code's shape for the family to use. Bridges (cumulative, radial, svgd) begin with the
identity and end at the prior. Add a family by subclassing `Intervention` and entering it in `INTERVENTIONS`.
"""

from __future__ import annotations

from modecover.errors import UserError
from modecover.interventions.base import Identity, Intervention
from modecover.interventions.blocks import BlockSubstitution, CumulativeSubstitution
from modecover.interventions.loss import Intervened, InterventionLoss
from modecover.interventions.radial import RadialSubstitution
from modecover.interventions.stein import SteinBridge, stein_direction

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
        *most, last = (repr(known) for known in INTERVENTIONS)
        raise UserError(f"intervention is {name!r}: choose {', '.join(most)} or {last}.")
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
