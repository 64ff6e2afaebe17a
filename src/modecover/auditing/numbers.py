"""The metrics of an audit: the field's numbers, each with the features' identity and what real data would score."""

from __future__ import annotations

import numpy as np

from modecover.auditing.measuring import Evidence
from modecover.auditing.results import Metric
from modecover.features import Classifier, Extractor
from modecover.metrics.arrays import Integers
from modecover.metrics.frechet import frechet_distance, frechet_latent_distance
from modecover.metrics.labels import label_law, label_modes
from modecover.metrics.modes import mixture_modes
from modecover.metrics.scores import inception_score, mode_scores
from modecover.metrics.support import support_size, vendi_score


def metrics_of(evidence: Evidence, labels: Integers | None, encoder: Extractor | None, seed: int) -> tuple[Metric, ...]:
    """All metrics that the samples allow.

    Args:
        labels: classes of the real samples, where they are known.
        encoder: codes whose law is compared with N(0, I), where there is one.
    """
    return (
        *_of_neighbours(evidence),
        *_of_laws(evidence, seed),
        *_of_classes(evidence, labels),
        *_of_mixture(evidence),
        *_of_codes(evidence, encoder),
    )


def _of_neighbours(evidence: Evidence) -> list[Metric]:
    near, missing, null = evidence.near_features, evidence.reading.missing, evidence.reading.null
    name = f"[{evidence.extractor.identity}]"
    balls = f"(k={near.k}) {name}"
    # A left-out real row is in another's ball as often as a fresh real row would be, and on average in k of them.
    inside = float(evidence.left_features.inside.mean())
    support = support_size(evidence.near.collisions.fake)
    support_real = support_size(evidence.near.collisions.real)
    return [
        Metric(f"missing mass {name}", "missing", missing.value, null.value, missing.low, missing.high, "lower"),
        Metric(f"precision {balls}", "precision", near.precision, inside, better="higher"),
        Metric(f"recall {balls}", "recall", near.recall, inside, better="higher"),
        Metric(f"density {balls}", "density", near.density, 1.0),
        Metric(f"coverage {balls}", "coverage", near.coverage, near.expected_coverage, better="higher"),
        Metric(
            f"coverage over expected {balls}",
            "coverage-ratio",
            near.coverage / near.expected_coverage,
            1.0,
            better="higher",
        ),
        Metric(
            f"different samples [{evidence.surface.identity}]",
            "support",
            support.value,
            support_real.value,
            support.low,
            support.high,
            "higher",
        ),
    ]


def _of_laws(evidence: Evidence, seed: int) -> list[Metric]:
    x, y, kernel = evidence.x, evidence.y, evidence.near_features.kernel
    name = f"[{evidence.extractor.identity}]"
    order = np.random.default_rng(seed).permutation(len(x))
    halves = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
    # The distance of samples of one law goes with 1/n + 1/m: halves read too much, by a factor that is known.
    factor = (1 / len(x) + 1 / len(y)) / (1 / len(halves[0]) + 1 / len(halves[1]))
    centre = x.mean(axis=0)
    span = 1.96 * kernel.standard_error
    return [
        Metric(
            f"Frechet distance {name}",
            "frechet",
            frechet_distance(x, y),
            factor * frechet_distance(*halves),
            better="lower",
        ),
        Metric(
            f"kernel distance {name}",
            "kernel",
            kernel.value,
            0.0,
            kernel.value - span,
            kernel.value + span,
            "lower",
        ),
        Metric(
            f"kernel distance, {kernel.subsets} subsets of {kernel.subset_size} {name}",
            "kernel-subsets",
            kernel.subset_mean,
            0.0,
            kernel.subset_mean - 1.96 * kernel.subset_std,
            kernel.subset_mean + 1.96 * kernel.subset_std,
            "lower",
        ),
        Metric(f"Vendi score {name}", "vendi", vendi_score(y - centre), vendi_score(x - centre)),
    ]


def _of_classes(evidence: Evidence, labels: Integers | None) -> list[Metric]:
    """Modes by class, where a classifier of the real samples' labels gave the features."""
    judge = evidence.extractor
    if not isinstance(judge, Classifier) or labels is None:
        return []
    name, count = f"[{judge.identity}]", len(judge.classes)
    law = label_law(np.searchsorted(judge.classes, labels), count)
    opinions, control = (judge.probabilities(part.kept) for part in (evidence.fake, evidence.real))
    found, real = (label_modes(rows.argmax(axis=1), count, reference=law) for rows in (opinions, control))
    scores, ideal = mode_scores(opinions, law), mode_scores(control, law)
    assert found.kl_reference is not None and found.reverse_kl_reference is not None
    return [
        Metric(f"classes with a sample, of {count} {name}", "modes", found.modes_any, real.modes_any, better="higher"),
        Metric(
            f"classes with 5 samples, of {count} {name}",
            "modes-5",
            found.modes_enough,
            real.modes_enough,
            better="higher",
        ),
        Metric(f"KL(generated || real) of classes {name}", "kl", found.kl_reference, real.kl_reference, better="lower"),
        Metric(
            f"KL(real || generated) of classes {name}",
            "reverse-kl",
            found.reverse_kl_reference,
            real.reverse_kl_reference,
            better="lower",
        ),
        Metric(
            f"inception score {name}",
            "inception-score",
            inception_score(opinions),
            inception_score(control),
            better="higher",
        ),
        Metric(
            f"MODE score, as printed {name}", "mode-score-printed", scores.as_printed, ideal.as_printed, better="higher"
        ),
        Metric(f"MODE score, penalised {name}", "mode-score", scores.penalised, ideal.penalised, better="higher"),
    ]


def _of_mixture(evidence: Evidence) -> list[Metric]:
    """Modes by distance, where the real samples come from a mixture that is known."""
    data = evidence.real.dataset
    if data is None or data.mixture is None or evidence.real.kept.ndim != 2:
        return []
    mixture = data.mixture
    found, real = (
        mixture_modes(part.rows, mixture.centres, mixture.std, mixture.weights)
        for part in (evidence.fake, evidence.real)
    )
    return [
        Metric(
            f"modes with a high-quality sample, of {found.modes}",
            "modes",
            found.modes_any,
            real.modes_any,
            better="higher",
        ),
        Metric(
            f"modes with over 20 in 2048, of {found.modes}",
            "modes-20",
            found.modes_many,
            real.modes_many,
            better="higher",
        ),
        Metric(
            "share of high-quality samples",
            "high-quality",
            found.high_quality,
            found.ideal_high_quality,
            better="higher",
        ),
    ]


def _of_codes(evidence: Evidence, encoder: Extractor | None) -> list[Metric]:
    if encoder is None:
        return []
    value = frechet_latent_distance(encoder(evidence.real.kept))
    return [Metric(f"Frechet latent distance [{encoder.identity}]", "frechet-latent", value, better="lower")]
