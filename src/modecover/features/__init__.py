"""What distances are taken in: pixels, random convolutions, a classifier, Inception, or a function of yours."""

from modecover.features.choice import automatic, by_function, fit_features, inception, random_convolutions
from modecover.features.classifier import Classifier, classifier
from modecover.features.imagenet import imagenet
from modecover.features.kept import Extractor
from modecover.features.pixels import pixels

__all__ = [
    "Classifier",
    "Extractor",
    "automatic",
    "by_function",
    "classifier",
    "fit_features",
    "imagenet",
    "inception",
    "pixels",
    "random_convolutions",
]
