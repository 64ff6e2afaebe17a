"""Modes covered by generated stacks of digits, beside the same evaluation of real ones.

The literature counts the modes of N = 26,000 samples with a digit classifier (VEEGAN, Srivastava et al. 2017; PacGAN,
Lin et al. 2018). A perfect sampler does not reach a divergence of 0 there, for want of samples, for MNIST's own law of
labels and for the classifier's errors: the row of real stacks says what it does reach.
"""

from __future__ import annotations

from modecover.arguments import held
from modecover.metrics.arrays import ArrayLike
from modecover.metrics.classifier import DIGITS, DigitClassifier, stacked_numbers
from modecover.metrics.labels import LabelModes, label_modes

SAMPLES = 26_000
"""The literature's number of samples."""


@held()
def stacked_modes(images: ArrayLike, classifier: DigitClassifier, *, reference: ArrayLike | None = None) -> LabelModes:
    """Count the modes of stacked digits.

    For more images than memory holds, collect `stacked_labels` of each batch and give them to `label_modes`.

    Args:
        images: shape (N, k, H, H) in [-1, 1], one digit in each of the k channels: 10^k modes.
        classifier: what names the digits.
        reference: the law of the training data's numbers to compare with also, weights of shape (10^k,), the first
            channel most significant; `stacked_law` and `label_law` make it.

    Raises:
        UserError: the images or labels are not as described.
    """
    digits = classifier.predict(images)
    return label_modes(stacked_numbers(digits), DIGITS ** digits.shape[1], reference=reference)
