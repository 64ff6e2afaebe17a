"""Missing mass: where the generator does not go, counted in regions of the data.

Which rows are missed is asked by others too: imbalance and shrink leave them out, and the page shows them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modecover.auditing.evidence import Evidence
from modecover.auditing.naming import Named, named
from modecover.auditing.results import UNKNOWN, Estimate, Verdict, share
from modecover.auditing.verdicts.low_quality import DISPLACED, displaced
from modecover.auditing.verdicts.shrink import contracted
from modecover.features.choice import are_natural
from modecover.features.imagenet import INSTALL, imagenet_is_there
from modecover.features.kept import Floats32, Kept
from modecover.features.sharpness import bin_means
from modecover.metrics.arrays import Integers
from modecover.metrics.regions import POINTS, MissedMass, count_missed
from modecover.random import derive_seed

LARGEST_SOUND = 0.01
"""What is let pass: the verdict fires where the interval lies beyond this."""

VAGUE = 0.1
"""Where the interval holds both nothing and more than this, it cannot be told whether something is missed."""

NEARLY_ALL = 0.9
"""Where less is missed, an interval that ends at all of it has a reason that is told."""

LEAST_FOUND = 0.1
"""Of planted gaps: where fewer of their rows are found, these features do not show what is missed."""

MOST, LISTED = 0.5, 10
"""Of a class's rows, where it is named as missed; and of so many classes at most."""

UNLABELLED = (
    "No region is empty, but in these features kinds of photographs lie among each other: one may be missing unseen. "
    "Give labels of the real data."
)
"""Of photographs without classes, among which a drop of three classes in ten leaves no region empty."""

ALIKE = 0.97
"""Ratios of spreads above this are not contracted."""


def missing_mass(evidence: Evidence) -> Verdict:
    """The share of the real mass where the generator does not go, beyond what its contraction empties."""
    missed, unit = where_missed(evidence), "share of the real mass"
    facts = {
        "share before correction": missed.counted,
        "share without any missing": missed.null,
        "planted gap found": missed.found,
        "cells": float(len(evidence.halves[0].regions.cells)),
        "clusters": float(len(evidence.comparison.z)),
    }
    noise, natural = Estimate(0.0, 0.0, max(missed.null, missed.finest)), are_natural(evidence.real.kept.shape)
    if missed.found < LEAST_FOUND:
        said = "Too few different samples to see what is missed: give more."
        if missed.finest < 1:
            better = "give labels of the real data, or other features"
            if natural and not imagenet_is_there():
                better = f"{INSTALL} brings features that see photographs, and labels of the real data help"
            said = f"These features do not show what is missed: a mode that is left out stays hidden; {better}."
        return Verdict("missing mass", False, UNKNOWN, unit, noise, said, facts)
    if displaced(evidence):
        return Verdict("missing mass", False, UNKNOWN, unit, noise, DISPLACED, facts)
    effect = Estimate(missed.value, missed.low, missed.high)
    fires, unlabelled = effect.low > LARGEST_SOUND, natural and evidence.classes is None
    sentence = f"No region of the data is missed; one that holds less than {effect.high:.1%} would not be seen."
    if natural:
        sentence = (
            f"No class of the data is missed, and no region that holds {effect.high:.1%}; a part of a class that lies "
            "among others in these features would not be seen."
        )
    if not fires and effect.value > LARGEST_SOUND and effect.high > VAGUE:
        said = (
            f"{effect.value:.1%} of the data seem missed, but with so few samples for its classes or modes it may be "
            f"nothing, or up to {effect.high:.1%}."
        )
        return Verdict("missing mass", False, UNKNOWN, unit, noise, said, facts)
    if unlabelled and not fires:
        return Verdict("missing mass", False, UNKNOWN, unit, noise, UNLABELLED, facts)
    if fires:
        region = named(evidence.real, evidence.fake, missed.flags, missed=True)
        if region is not None:
            # Cells are coarse, and hold samples from beyond the region's limits: what it holds is missed whole.
            whole = share(missed.flags | region.inside)
            effect = whole if whole.value > effect.value else effect
            facts |= {f"real samples with {region.words}": region.of_real, "samples with this": region.of_fake}
        least = "at least " * unlabelled
        effect = replace(effect, high=1.0) if unlabelled else effect
        which = _told(region) or _lost(evidence, missed)
        more = ""
        if effect.high > 0.9995 and effect.value < NEARLY_ALL:
            why = "without labels" if unlabelled else "as some modes are not seen in these features"
            more = f"; how much more cannot be told {why}"
        sentence = f"The generator does not go where {least}{effect.value:.1%} of the real data lie{which}{more}."
    return Verdict("missing mass", fires, effect, unit, noise, sentence, facts)


def where_missed(evidence: Evidence) -> MissedMass:
    """The real rows that are missed, without those that a contraction leaves at the rims of modes."""
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
        divisions = evidence.counted(judged)
        if contraction < POINTS:
            divisions = [division.by_clusters() for division in divisions]
        return count_missed(divisions, len(evidence.real), seed=seed)
    return evidence.missed


def _lost(evidence: Evidence, missed: MissedMass) -> str:
    """The classes of which most real rows are missed."""
    if evidence.labels is None:
        return ""
    lost = [
        evidence.called(int(each))
        for each in np.unique(evidence.labels)
        if missed.flags[evidence.labels == each].mean() > MOST
    ]
    if not 0 < len(lost) <= LISTED:
        return ""
    return f": hardly any samples are of class{'es' * (len(lost) > 1)} {', '.join(lost)}"


def _told(region: Named | None) -> str:
    if region is None:
        return ""
    few = "no samples" if region.fakes == 0 else f"hardly any samples, {region.fakes:,},"
    return f": {few} with {region.words}, as {region.of_real:.1%} of the real ones have"
