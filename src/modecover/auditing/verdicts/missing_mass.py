"""Missing mass: where the generator does not go, counted in regions of the data.

Which rows are missed is asked by others too: imbalance and shrink leave them out, and the page shows them.
"""

from __future__ import annotations

from modecover.auditing.evidence import Evidence
from modecover.auditing.results import UNKNOWN, Estimate, Verdict
from modecover.auditing.sharpness import bin_means
from modecover.auditing.verdicts.shrink import contracted
from modecover.features.kept import Floats32, Kept
from modecover.metrics.arrays import Integers
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
    if (contraction := contracted(evidence)[0].value) < ALIKE:
        judged = []
        for half in evidence.halves:
            of_real, reference = half.clusters[0], evidence.real.kept.part(half.reference)
            means = bin_means(reference, of_real[half.reference], half.regions.count, evidence.room)
            centres = means.part(of_real[half.judged])

            def towards(block: Floats32, rows: Integers, centres: Kept = centres) -> Floats32:
                return (1 - contraction) * centres[rows] + contraction * block

            judged.append(half.features(half.stand_in.changed(towards)))
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
