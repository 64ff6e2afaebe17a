"""Modes covered by generated stacks of digits, beside the same evaluation of real ones.

The literature counts the modes of N = 26,000 samples with a digit classifier (VEEGAN, Srivastava et al. 2017; PacGAN,
Lin et al. 2018). A perfect sampler does not reach a divergence of 0 there, for want of samples, for MNIST's own law of
labels and for the classifier's errors: the row of real stacks says what it does reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from modecover.errors import UserError
from modecover.metrics.arrays import ArrayLike
from modecover.metrics.classifier import DIGITS, DigitClassifier, stacked_numbers
from modecover.metrics.labels import LabelModes, label_modes

SAMPLES = 26_000
"""The literature's number of samples."""

AT_FLOOR = 0.005
"""A divergence at most this much above the control's, in nats, cannot be told from a perfect sampler's."""


@dataclass(frozen=True)
class StackedReport:
    """Generated and real stacks under one evaluation, with the record of the classifier that named them."""

    generated: LabelModes
    control: LabelModes
    """The same evaluation of as many real stacks."""
    excess_kl: float
    """KL(generated || uniform) above the control's, nats."""
    at_floor: bool
    """Whether `excess_kl` is at most 0.005: no test of this size can tell the model from the data."""
    classifier_accuracy: float
    classifier_sha256: str


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


def stacked_report(
    images: ArrayLike,
    real_images: ArrayLike,
    classifier: DigitClassifier,
    *,
    reference: ArrayLike | None = None,
) -> StackedReport:
    """`stacked_modes` of generated stacks with the control row of real ones.

    Args:
        images: generated stacks, shape (N, k, H, H) in [-1, 1].
        real_images: as many fresh real stacks, of the same shape.
        classifier: what names the digits of both.
        reference: the training data's law, as `stacked_modes` takes it.

    Raises:
        UserError: the two numbers of stacks differ (the divergence depends on it), or an input is not as described.
    """
    generated = stacked_modes(images, classifier, reference=reference)
    control = stacked_modes(real_images, classifier, reference=reference)
    if (generated.samples, generated.modes) != (control.samples, control.modes):
        raise UserError(
            f"there are {generated.samples} generated stacks of {generated.modes} modes and {control.samples} real ones"
            f" of {control.modes}; compare equally many of the same height"
        )
    excess = generated.kl_uniform - control.kl_uniform
    return StackedReport(
        generated=generated,
        control=control,
        excess_kl=excess,
        at_floor=excess <= AT_FLOOR,
        classifier_accuracy=classifier.accuracy,
        classifier_sha256=classifier.sha256,
    )
