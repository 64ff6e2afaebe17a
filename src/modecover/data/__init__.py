"""Data: `open_data` opens anything as a `Dataset`, a `Feed` gives its minibatches by number, `check` looks at it."""

from modecover.data.arrays import Images, Points
from modecover.data.base import Dataset, DataSummary, check
from modecover.data.digits import StackedDigits
from modecover.data.feed import Feed
from modecover.data.mixtures import Mixture, MixtureData
from modecover.data.opening import NAMES, open_data
from modecover.data.pictures import StreamedImages
from modecover.data.reopening import reopen

__all__ = [
    "NAMES",
    "DataSummary",
    "Dataset",
    "Feed",
    "Images",
    "Mixture",
    "MixtureData",
    "Points",
    "StackedDigits",
    "StreamedImages",
    "check",
    "open_data",
    "reopen",
]
