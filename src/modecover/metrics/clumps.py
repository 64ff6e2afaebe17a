"""Groups of points that lie among themselves: nearer to each other than to anything else, and without gaps.

Single linkage joins rows in the order of their distances, each row first at the distance of its nearest neighbour. A
clump is the largest join of one branch that is held together by steps not much longer than its rows' distances to their
neighbours, and most of whose rows are farther from all that is outside.
"""

from __future__ import annotations

import numpy as np

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Integers, as_floats, as_rows

STEP = 5.0
"""Times the median distance to the nearest neighbour that the longest step inside a clump may be. Of a Gaussian's rows
the outermost lie beyond."""

APART, NINE_IN_TEN = 3.0, 0.9
"""Times that distance that rows must be away from all that is outside; and the share of the rows that must."""


@held(fewest=2)
def clumps(rows: ArrayLike, outside: ArrayLike, *, fewest: int) -> list[Integers]:
    """The clumps of rows (k, d), each as ascending row numbers; the largest first. Time and memory go with k squared.

    Args:
        outside: the distance from each row to the nearest point that is not among these, (k,); may be infinite.
        fewest: rows of a clump.
    """
    from scipy.cluster.hierarchy import linkage

    points, away = as_rows(rows, "rows").double().cpu().numpy(), as_floats(outside)
    if away.shape != (len(points),):
        raise UserError(f"outside has shape {away.shape} for {len(points)} rows; give a distance for each")
    if len(points) < fewest:
        return []
    joins = linkage(points, "single")
    spacing = np.empty(len(points))
    for one, other, distance, _ in joins:
        for child in (int(one), int(other)):
            if child < len(points):
                spacing[child] = distance

    # Bottom up: the rows of every node of the tree, and the clumps in it.
    members: list[list[int]] = [[row] for row in range(len(points))]
    found: list[list[list[int]]] = [[] for _ in points]
    for one, other, longest, _ in joins:
        own = members[int(one)] + members[int(other)]
        inside = found[int(one)] + found[int(other)]
        if len(own) >= fewest:
            typical = float(np.median(spacing[own]))
            # Where there are clumps already, what is scattered around them is none of them.
            step = STEP * max((float(np.median(spacing[clump])) for clump in inside), default=typical)
            if longest <= step and np.mean(away[own] >= APART * typical) >= NINE_IN_TEN:
                inside = [own]
            elif longest <= step and len(inside) > 1:  # the thin outskirts of a clump may pass for another one
                inside = [[row for clump in inside for row in clump]]
        members.append(own)
        found.append(inside)
    return [np.array(sorted(clump)) for clump in sorted(found[-1], key=len, reverse=True)]
