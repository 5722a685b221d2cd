"""The reference paper's evaluation of labelled sets: a linear classifier, class by class.

fit, test = (Codes(codes, labels) for ...)
linear_accuracy(fit, test, num_classes=7).balanced_accuracy
"""

from typing import NamedTuple

import numpy as np

from refvae_jax.metrics.probes import Codes, check, fit_logistic, standardise


class LinearScores(NamedTuple):
    """Test accuracies in [0, 1] of a linear classifier."""

    accuracy: float  # Over all codes; chance is `probes.chance`.
    balanced_accuracy: float  # Mean of `per_class`; chance is 1 / their number.
    per_class: tuple[float | None, ...]  # [num_classes]; None for a class without test codes.


def linear_accuracy(fit: Codes, test: Codes, num_classes: int) -> LinearScores:
    """Scores of logistic regression on codes standardised by the moments of `fit`.

    The reference paper's Table 1 (faces) shows the accuracy of each class and their average.

    Args:
      fit: codes [N, D] to learn from; a class without codes here is never predicted.
      test: codes [M, D] to score.
      num_classes: labels lie in [0, num_classes).

    Returns:
      Accuracy over all codes, its mean over the classes, and that of each class.

    Raises:
      ValueError: labels out of range, codes not finite or of the wrong shape.
    """
    check(num_classes, fit, test)
    fit, test = standardise(fit, test)
    correct = fit_logistic(fit)(test.codes) == test.labels
    of_class = (correct[test.labels == label] for label in range(num_classes))
    per_class = tuple(float(hits.mean()) if hits.size else None for hits in of_class)
    present = [accuracy for accuracy in per_class if accuracy is not None]
    return LinearScores(float(correct.mean()), float(np.mean(present)), per_class)
