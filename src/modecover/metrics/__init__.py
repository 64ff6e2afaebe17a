"""Array in, small frozen dataclass of numbers out. A metric knows no method and no trainer.

Every function here raises `UserError` where shapes do not fit, a number is not finite, or a setting is out of the range
that its description names.
"""

from modecover.metrics.bins import BinComparison, Bins, compare_bins, fit_bins, holm
from modecover.metrics.classifier import (
    DigitClassifier,
    cached_digit_classifier,
    stacked_labels,
    stacked_modes,
    train_digit_classifier,
)
from modecover.metrics.frechet import (
    frechet_distance,
    frechet_from_statistics,
    frechet_latent_distance,
    gaussian_statistics,
    wasserstein,
)
from modecover.metrics.kernel import KernelDistance, kernel_distance
from modecover.metrics.labels import (
    Floor,
    LabelModes,
    ModeScores,
    expected_floor,
    inception_score,
    label_law,
    label_modes,
    mode_scores,
    stacked_law,
)
from modecover.metrics.modes import MixtureModes, draw_mixture, ideal_sampler_row, mixture_modes
from modecover.metrics.neighbours import (
    Collisions,
    Neighbours,
    NeighbourStatistics,
    expected_coverage,
    neighbour_statistics,
)
from modecover.metrics.support import SupportSize, equal_rows, support_size, vendi_score

__all__ = [
    "BinComparison",
    "Bins",
    "Collisions",
    "DigitClassifier",
    "Floor",
    "KernelDistance",
    "LabelModes",
    "MixtureModes",
    "ModeScores",
    "NeighbourStatistics",
    "Neighbours",
    "SupportSize",
    "cached_digit_classifier",
    "compare_bins",
    "draw_mixture",
    "equal_rows",
    "expected_coverage",
    "expected_floor",
    "fit_bins",
    "frechet_distance",
    "frechet_from_statistics",
    "frechet_latent_distance",
    "gaussian_statistics",
    "holm",
    "ideal_sampler_row",
    "inception_score",
    "kernel_distance",
    "label_law",
    "label_modes",
    "mixture_modes",
    "mode_scores",
    "neighbour_statistics",
    "stacked_labels",
    "stacked_law",
    "stacked_modes",
    "support_size",
    "train_digit_classifier",
    "vendi_score",
    "wasserstein",
]
