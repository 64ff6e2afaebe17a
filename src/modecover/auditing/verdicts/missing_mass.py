"""Missing mass: where the generator does not go, counted in regions of the data.

Which rows are missed is asked by others too: imbalance and shrink leave them out, and the page shows them.
"""

from __future__ import annotations

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import UNKNOWN, Estimate, Verdict
from modecover.auditing.verdicts.shrink import contracted
from modecover.features.sharpness import bin_means
from modecover.metrics.regions import count_missed
from modecover.random import derive_seed

LARGEST_SOUND = 0.01
"""What is let pass: the verdict fires where the interval lies beyond this."""

LEAST_FOUND = 0.1
"""Of planted gaps: where fewer of their rows are found, these features do not show what is missed."""

ALIKE = 0.97
"""Ratios of spreads above this are not contracted."""


def missing_mass(evidence: Evidence) -> Verdict:
    """The share of the real mass where the generator does not go, beyond what its contraction empties."""
    missed, unit = evidence.missed, "share of the real mass"

    # A generator that contracts its modes leaves their rims empty, which is not a missed mode. So the real rows, which
    # have the fake rows' sharpness, are contracted as much towards the clusters' means before they are counted.
    if (contraction := contracted(evidence).value) < ALIKE:
        judged = []
        for half in evidence.halves:
            of_real = half.clusters[0]
            means = bin_means(evidence.real.kept.part(half.reference), of_real[half.reference], half.regions.count)
            centres = means[of_real[half.judged]]
            judged.append(half.features(centres + contraction * (half.stand_in[:] - centres)))
        seed = derive_seed(evidence.seed, "contracted")
        missed = count_missed(evidence.counted(judged), len(evidence.real), seed=seed)

    facts = {
        "share before correction": missed.counted,
        "share without any missing": missed.null,
        "planted gap found": missed.found,
        "cells": float(len(evidence.halves[0].regions.cells)),
        "clusters": float(len(evidence.comparison.z)),
    }
    noise = Estimate(0.0, 0.0, max(missed.null, missed.finest))
    if missed.found < LEAST_FOUND:
        few = "Too few different samples to see what is missed: give more."
        hidden = (
            "These features do not show what is missed: a mode that is left out stays hidden behind others; give "
            "labels of the real data, or other features."
        )
        return Verdict(
            "missing mass",
            False,
            UNKNOWN,
            unit,
            noise,
            hidden if missed.finest < 1 else few,
            facts,
        )
    effect = Estimate(missed.value, missed.low, missed.high)
    fires = effect.low > LARGEST_SOUND
    sentence = f"No region of the data is missed; one that holds less than {effect.high:.1%} would not be seen."
    if fires:
        sentence = f"The generator does not go where {effect.value:.1%} of the real data lie."
    return Verdict("missing mass", fires, effect, unit, noise, sentence, facts)
