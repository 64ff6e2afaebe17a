"""What distances are taken in: pixels, random convolutions, a classifier, Inception, or a function of yours."""

from modecover.features.base import Extractor
from modecover.features.choice import fit_features
from modecover.features.classifier import Classifier, classifier
from modecover.features.functions import by_function
from modecover.features.inception import inception
from modecover.features.pixels import pixels
from modecover.features.random_convolutions import random_convolutions

__all__ = [
    "Classifier",
    "Extractor",
    "by_function",
    "classifier",
    "fit_features",
    "inception",
    "pixels",
    "random_convolutions",
]
