"""Array in, small frozen dataclass of numbers out. A metric knows no method and no trainer."""

from modecover.metrics.classifier import DigitClassifier, stacked_labels
from modecover.metrics.classifier_training import cached_digit_classifier, train_digit_classifier
from modecover.metrics.labels import Floor, LabelModes, expected_floor, label_law, label_modes, stacked_law
from modecover.metrics.modes import MixtureModes, draw_mixture, ideal_sampler_row, mixture_modes
from modecover.metrics.stacked import stacked_modes
from modecover.metrics.transport import wasserstein

__all__ = [
    "DigitClassifier",
    "Floor",
    "LabelModes",
    "MixtureModes",
    "cached_digit_classifier",
    "draw_mixture",
    "expected_floor",
    "ideal_sampler_row",
    "label_law",
    "label_modes",
    "mixture_modes",
    "stacked_labels",
    "stacked_law",
    "stacked_modes",
    "train_digit_classifier",
    "wasserstein",
]
