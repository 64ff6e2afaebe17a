"""What distances are taken in: pixels, random convolutions, a classifier, Inception, or a function of yours."""

from modecover.features.base import Extractor
from modecover.features.choice import fit_features
from modecover.features.functions import by_function
from modecover.features.pixels import pixels
from modecover.features.random_convolutions import random_convolutions

__all__ = ["Extractor", "by_function", "fit_features", "pixels", "random_convolutions"]
