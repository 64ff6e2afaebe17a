"""The share of the data that a generator misses: the missing-mode estimator of MDGAN (Che et al. 2017, section 3.4).

A third-party discriminator D learns to tell real rows from fake ones, both with Gaussian noise added. At its best
D(t) = p(t) / (p(t) + q(t)), with p and q the densities of the data and of the generator, blurred by the noise. A real
row held out with D(t) near 1 lies where the generator does not go, and the share of such rows estimates the mass of
all missing modes.

Everything hangs on the noise: without it D separates whatever differs, blur included; with too much of it modes melt
together. So it is swept over levels that the data's own nearest-neighbour distances suggest, and at each level two
tasks are set whose answer is known, at the same sample sizes: real rows against real rows (nothing is missing), and
real rows against real rows without some regions (a *planted gap*).

Ours are: each row is judged by its mean log odds over several draws of the noise; the rows are cut into three parts (D
learns from one, is asked about another, and the third stands in for the generator in the two controls); and all
discriminators of a sweep are trained as one stack of small networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from modecover.arguments import held
from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike, Floats, Report, as_labels, as_pair
from modecover.metrics.bins import fit_bins
from modecover.metrics.classifier import descend
from modecover.random import derive_seed

CERTAIN = 0.9
"""A real row is on a missing mode where D exceeds this: the generator has less than a ninth of the data's density."""

PARTS = 3
FEWEST_DIFFERENT = 30
"""Rows that stand in for the generator in the null, at least: a generator of one point is no excuse for missing all."""
LEVELS = (0.4, 0.6, 0.9, 1.35, 2.0)
"""Levels of noise, in units of `noise_unit`."""
GAP = 0.25
"""Of the real mass, what the planted gap takes away, about."""
GAP_REGIONS = 10
WIDTH, BATCH, DECAY = 96, 256, 1e-4
RATE = 12e-3
"""Over the root of the dimension: steps that few coordinates need would in many of them learn the rows by heart."""
DRAWS = 8
"""Draws of the noise over which a row's log odds are averaged."""


@dataclass(frozen=True)
class MissingModes:
    """The estimator at each level of noise. Arrays over levels have shape (levels,)."""

    levels: tuple[float, ...]
    """Standard deviation of the noise, ascending, in the features' units."""
    missing: Floats
    """Share of the real rows judged missing."""
    standard_error: Floats
    """Of `missing`, from the number of rows and the differences between the three discriminators."""
    null: Floats
    """`missing` with real rows in the generator's place, as many different ones (but at least 30 a part)."""
    found: Floats
    """Share of a planted gap that is found: near 1 where the noise leaves modes apart."""
    odds: Floats
    """Shape (levels, n): mean log odds for real of each real row, log(p / q) there."""


@held(most=1, seed=0)
def noise_unit(real: ArrayLike, *, most: int = 2000, seed: int = 0) -> float:
    """A scale for the noise: the median distance to the neighbour that bounds the nearest hundredth of the rows,
    divided by the root of the dimension, as the noise is per coordinate.

    That is the width of a mode that holds a few per cent of the data, where there are modes. 0 for equal rows. At
    `most` so many of the features' rows (n, d) are looked at.
    """
    rows, _ = as_pair(real, real)
    generator = torch.Generator().manual_seed(derive_seed(seed, "noise unit"))
    chosen = rows[torch.randperm(len(rows), generator=generator)[:most].to(rows.device)].double()
    if len(chosen) < 2:
        return 0.0
    distances = torch.cdist(chosen, chosen)
    order = min(len(chosen), 1 + max(1, round(len(chosen) / 100)))
    return float(distances.kthvalue(order, dim=1).values.median()) / math.sqrt(rows.shape[1])


@held(steps=1, seed=0)
def missing_modes(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    levels: Sequence[float] | None = None,
    regions: ArrayLike | None = None,
    certain: float = CERTAIN,
    steps: int = 300,
    seed: int = 0,
    progress: Report | None = None,
) -> MissingModes:
    """Sweep the noise of the missing-mode estimator, with its two controls.

    Args:
        real, fake: features, shapes (n, d) and (m, d), n and m at least 3.
        levels: standard deviations of the noise; None: `LEVELS` times `noise_unit`.
        regions: a region for every real row, whole numbers (n,), of which the planted gap takes some; None: ten
            cells of a k-means clustering.
        certain: the discrimination value above which a row counts as missing, between 0.5 and 1.
        steps: minibatches of 256 that each discriminator learns from.
        seed: of the parts, the gap, the initial weights, the minibatches and the noise. Torch's global generator is
            left alone.
    """
    x, y = (rows.float() for rows in as_pair(real, fake, fewest=PARTS))
    if not 0.5 < certain < 1:
        raise UserError(f"certain is {certain}; choose it between 0.5 and 1")
    if levels is None:
        unit = noise_unit(x, seed=seed) or 1.0  # 0 for equal rows, for which any noise will do
        levels = [factor * unit for factor in LEVELS]
    if not levels or not all(math.isfinite(level) and level >= 0 for level in levels):
        raise UserError(f"the noise levels are {list(levels)}; give standard deviations of at least 0")
    levels = sorted(float(level) for level in levels)
    centre, scale = x.mean(dim=0), float(x.std(dim=0, correction=0).square().mean().sqrt()) or 1.0
    x, y = (x - centre) / scale, (y - centre) / scale
    noise = torch.tensor(levels, device=x.device) / scale

    # The planted gap: regions in random order, until about a quarter of the real rows is gone.
    if regions is None:
        cells = fit_bins(x, bins=GAP_REGIONS, seed=seed).of(x)
    else:
        cells = np.unique(as_labels(regions, np.iinfo(np.int64).max), return_inverse=True)[1].astype(np.int64)
        if len(cells) != len(x):
            raise UserError(f"there are {len(cells)} regions for {len(x)} real rows; give one for each row")
    order = np.random.default_rng(derive_seed(seed, "gap")).permutation(int(cells.max()) + 1)
    sizes = np.bincount(cells)[order] / len(cells)
    gap = np.isin(cells, order[np.cumsum(sizes) - sizes / 2 <= GAP])

    # Each part of the real rows is learnt from in one turn, asked about in another, and stands in for fake rows.
    random = np.random.default_rng(derive_seed(seed, "parts"))
    real_parts, fake_parts = (
        [np.sort(part) for part in np.array_split(random.permutation(len(rows)), PARTS)] for rows in (x, y)
    )
    odds = np.zeros((len(levels), len(x)))

    def told(done: int, _: int) -> None:
        if progress is not None:
            progress(turn * steps + done, PARTS * steps)

    for turn in range(PARTS):
        learnt, other, asked = (real_parts[(turn + k) % PARTS] for k in range(PARTS))
        tasks = [(x[learnt], y[fake_parts[turn]])]
        if turn == 0:  # the controls, whose answer is known, need no second opinion
            kept = other[~gap[other]]
            # As many different real rows as there are different fake ones.
            different = len(torch.unique(y[fake_parts[turn]], dim=0))
            alike = random.permutation(other)[: max(FEWEST_DIFFERENT, different)]
            tasks += [(x[learnt], x[alike]), (x[learnt], x[kept if len(kept) else other])]
        key = derive_seed(seed, "discriminators", turn)
        judged = _log_odds(tasks, x[asked], noise, steps, key, told)
        odds[:, asked] = judged[0]
        if turn == 0:
            controls, gap_asked = judged[1:], gap[asked]

    limit = math.log(certain / (1 - certain))
    missing = odds > limit
    by_part = np.stack([missing[:, part].mean(axis=1) for part in real_parts])
    share = missing.mean(axis=1)
    error = np.sqrt(share * (1 - share) / len(x) + by_part.var(axis=0, ddof=1) / PARTS)
    found = (controls[1][:, gap_asked] > limit).mean(axis=1) if gap_asked.any() else np.full(len(levels), np.nan)
    return MissingModes(
        levels=tuple(levels),
        missing=share,
        standard_error=error,
        null=(controls[0] > limit).mean(axis=1),
        found=found,
        odds=odds,
    )


def _log_odds(
    tasks: list[tuple[Tensor, Tensor]], asked: Tensor, noise: Tensor, steps: int, seed: int, progress: Report
) -> Floats:
    """Train discriminators with two hidden layers side by side, one for each task and level of noise: their log odds
    for real of the rows `asked` (n, d), means over draws of the noise, shape (tasks, levels, n).

    `tasks` are pairs of real and fake rows (rows, d), centred and of scale 1; `noise`: standard deviations (levels,).
    """
    levels, dimensions, device = len(noise), asked.shape[1], noise.device
    # The stack's order is task after task, within each level after level.
    noise = noise.repeat(len(tasks)).view(-1, 1, 1)
    size = 1 / (1 + noise.square()).sqrt()
    random = torch.Generator(device).manual_seed(seed)
    weights: list[Tensor] = []
    for inputs, outputs, gain in ((dimensions, WIDTH, 1.0), (WIDTH, WIDTH, 1.0), (WIDTH, 1, 0.1)):
        # Biases are spread over the data, so that the kinks of the rectifiers do not all start at the origin.
        for rows, scale in ((inputs, gain * math.sqrt(3 / inputs)), (1, gain)):
            uniform = 2 * torch.rand((len(noise), rows, outputs), generator=random, device=device) - 1
            weights.append((scale * uniform).requires_grad_())

    def scores(rows: Tensor) -> Tensor:
        """Log odds of the rows (stack, n, d) with fresh noise, (stack, n)."""
        noisy = rows + noise * torch.randn(rows.shape, generator=random, device=device)
        w1, b1, w2, b2, w3, b3 = weights
        hidden = torch.baddbmm(b1, noisy * size, w1).relu()
        return torch.baddbmm(b3, torch.baddbmm(b2, hidden, w2).relu(), w3)[..., 0]

    half = BATCH // 2
    labels = torch.cat([torch.ones(half, device=device), torch.zeros(half, device=device)]).expand(len(noise), -1)

    def drawn(rows: Tensor) -> Tensor:
        return rows[torch.randint(len(rows), (half,), generator=random, device=device)]

    def loss() -> Tensor:
        rows = torch.stack([torch.cat([drawn(x), drawn(y)]) for x, y in tasks]).repeat_interleave(levels, dim=0)
        # The sum over the stack gives each discriminator the gradient of its own mean.
        return functional.binary_cross_entropy_with_logits(scores(rows), labels, reduction="none").mean(dim=1).sum()

    rate = RATE / math.sqrt(dimensions)
    descend(weights, loss, steps, rate=rate, decay=DECAY, progress=progress, warm_up=0, fused=True)
    with torch.no_grad():
        each = [part.expand(len(noise), -1, -1) for part in torch.split(asked, 1024)]
        found = [torch.stack([scores(rows) for _ in range(DRAWS)]).mean(dim=0) for rows in each]
    odds = torch.cat(found, dim=1).view(len(tasks), levels, -1)
    return np.asarray(odds.double().cpu().numpy())
