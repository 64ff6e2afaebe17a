"""Audits written by hand, for tests of what is done with an audit once it is there."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from modecover.auditing.findings import gallery
from modecover.auditing.inputs import Samples
from modecover.auditing.results import (
    Bins,
    Copy,
    Curves,
    Estimate,
    Metric,
    Missed,
    NeighbourDistances,
    Verdict,
)
from modecover.auditing.run import Audit
from modecover.features.kept import Kept


def verdict(name: str, fires: bool, effect: float, unit: str, sentence: str, spread: float = 0.02) -> Verdict:
    low = max(0.0, effect - spread)
    ideal = 1.0 if "ratio" in unit else 0.004
    null = Estimate(ideal, max(0.0, ideal - 0.008), ideal + 0.008)
    return Verdict(
        name, fires, Estimate(effect, low, effect + spread), unit, null, sentence, {"p value": 0.0003, "bins": 50}
    )


def audit(shape: tuple[int, ...] = (1, 28, 28), count: int = 400, seed: int = 0, **changes: object) -> Audit:
    """An audit that finds missing mass and low quality, with a gallery of random samples of `shape`."""
    random = np.random.default_rng(seed)
    real, fake = (np.tanh(random.standard_normal((count, *shape))).astype(np.float32) for _ in range(2))
    bins_real = random.integers(20, 90, size=50)
    bins_fake = np.where(np.arange(50) % 7 == 3, 0, random.poisson(bins_real))
    p_values = np.where(bins_fake == 0, 1e-6, 1.0)
    p_values[5], bins_fake[5] = 0.01, 2 * bins_real[5]
    inputs = {
        role: {"name": name, "count": count, "shape": list(shape), "fingerprint": 8 * "0123abcd"}
        for role, name in (("real", "digits"), ("fake", "generated.npz"))
    }
    made = Audit(
        verdicts=(
            verdict(
                "missing mass",
                True,
                0.292,
                "share of the real mass",
                "About 29 % of the real data has no counterpart among the generated samples.",
            ),
            verdict("imbalance", False, 0.03, "share of mass to move", "The modes it makes have their right weights."),
            verdict("shrink", False, 0.98, "ratio of standard deviations", "Within modes it varies as the data does."),
            verdict(
                "low quality",
                True,
                0.113,
                "share of the generated samples",
                "About one generated sample in nine lies where no real data is.",
            ),
            verdict("copying", False, 0.001, "share of the generated samples", "It does not repeat training samples."),
        ),
        metrics=(
            Metric("coverage (k=5) [pixels-pca-64:1a2b3c4d]", "coverage", 0.683, 0.968, 0.66, 0.71, "higher"),
            Metric("recall (k=5) [pixels-pca-64:1a2b3c4d]", "recall", 0.702, 0.91, None, None, "higher"),
            Metric("precision (k=5) [pixels-pca-64:1a2b3c4d]", "precision", 0.89, 0.91, None, None, "higher"),
            Metric("Frechet distance [pixels-pca-64:1a2b3c4d]", "frechet", 14.81, 2.04, None, None, "lower"),
            Metric("Vendi score [pixels-pca-64:1a2b3c4d]", "vendi", 11.93, 17.2, None, None, None),
            Metric("support size (collisions)", "support", math.inf, math.inf, 2.1e4, math.inf, "higher"),
        ),
        curves=Curves(
            bins=Bins(*(tuple(map(int, counts)) for counts in (bins_real, bins_fake)), tuple(map(float, p_values))),
            neighbours=NeighbourDistances(
                tuple(random.gamma(9, 1.0, 400).tolist()), tuple(random.gamma(10, 1.0, 300).tolist())
            ),
        ),
        missed=tuple(Missed(int(row), float(0.99 - 0.01 * n)) for n, row in enumerate(range(40, 64))),
        starved={3: (7, 8, 9, 10), 10: (100, 101, 102)},
        copies=(Copy(5, 17, 0.0), Copy(9, 31, 0.173)),
        settings={"features": "pixels", "seed": 0, "k": 5, "memory": 2**30},
        versions={"python": "3.11.4", "modecover": "0.1.0", "torch": "2.13.0"},
        inputs=inputs,
    )
    made = dataclasses.replace(made, **changes)
    return dataclasses.replace(made, gallery=gallery(made, samples(real), samples(fake), samples(real)))


def samples(rows: np.ndarray) -> Samples:
    """Rows, all of their source, as an audit takes them."""
    return Samples(Kept(rows), "array", "0", np.arange(len(rows)), len(rows))
