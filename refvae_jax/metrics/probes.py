"""Classifiers on codes: how well can a categorical factor be read from a latent?

    fit, validation, test = (Codes(codes, labels) for ...)
    paper_accuracy(fit, test, num_classes=10, seed=0)
    strong_accuracy(fit, validation, test, num_classes=10, seed=0)
    chance(fit.labels, test.labels)

The mixture paper's classifier takes about 3,000 tiny steps and so understates what leaks into a
code; the strong probe does not.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from refvae_jax.metrics import classifier

PAPER_LEARNING_RATE = 1e-5
PAPER_EPOCHS = 8
STRONG_LEARNING_RATE = 1e-3
STRONG_PATIENCE = 10  # Epochs without a better validation accuracy.
STRONG_MAX_STEPS, STRONG_MAX_EPOCHS = 12_000, 100  # Whichever comes first.
NEIGHBOURS = (1, 5, 15, 50)


class Codes(NamedTuple):
    """Codes of N images and the value of one factor."""

    codes: np.ndarray  # float32 [N, D]
    labels: np.ndarray  # int32 [N], in [0, num_classes)


class StrongProbe(NamedTuple):
    """The probe with the highest validation accuracy."""

    name: str  # "network" | "logistic" | "neighbours"
    validation_accuracy: float
    accuracy: float  # On test codes, which the choice does not see.


def check(num_classes: int, *parts: Codes) -> None:
    """Raises ValueError unless codes and labels fit; a label out of range would pass silently."""
    for part in parts:
        codes, labels = np.asarray(part.codes), np.asarray(part.labels)
        if codes.ndim != 2 or labels.shape != codes.shape[:1] or not len(labels):
            raise ValueError(
                f"Expected codes [N, D], labels [N], got {codes.shape}, {labels.shape}."
            )
        if labels.min() < 0 or labels.max() >= num_classes:
            raise ValueError(f"Labels must lie in [0, {num_classes}).")
        if not np.isfinite(codes).all():
            raise ValueError("The codes hold values that are not finite.")


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale, float64 [D] each, so that `(values - mean) * scale` [N, D] is standardised.

    The scale of a constant dimension is zero; otherwise its rounding errors would be magnified.
    """
    mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    return mean, np.where(std > 1e-6 * np.abs(mean), 1 / np.maximum(std, 1e-30), 0)


def unstandardise(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standardised values [N, D] in their own units, float64; a constant dimension is its mean."""
    return mean + np.divide(values, scale, out=np.zeros(values.shape), where=scale > 0)


def standardise(fit: Codes, *others: Codes) -> list[Codes]:
    """All parts with codes float32, standardised by the moments of `fit`, and labels int32."""
    mean, scale = moments(fit.codes)
    return [
        Codes(((part.codes - mean) * scale).astype(np.float32), np.asarray(part.labels, np.int32))
        for part in (fit, *others)
    ]


def fit_logistic(fit: Codes) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic regression on standardised codes: a function of codes [N, D] giving labels [N]."""
    if np.ptp(fit.labels) == 0:  # scikit-learn raises for a single class.
        return lambda codes: np.full(len(codes), fit.labels[0])
    with warnings.catch_warnings():
        # A fit that stopped early is still a probe; it is scored on held-out codes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(max_iter=200).fit(fit.codes, fit.labels).predict


def chance(labels_fit: np.ndarray, labels_test: np.ndarray) -> float:
    """Accuracy in [0, 1] on `labels_test` [M] of the majority class of `labels_fit` [N]."""
    return float(np.mean(np.asarray(labels_test) == np.argmax(np.bincount(labels_fit))))


def paper_accuracy(fit: Codes, test: Codes, *, num_classes: int, seed: int) -> float:
    """Test accuracy of the mixture paper's classifier (Adam 1e-5, 8 epochs, batches of 128).

    Args:
      fit: codes [N, D] to learn from, as they are (no standardisation).
      test: codes [M, D] to score.
      num_classes: labels lie in [0, num_classes).
      seed: initialisation and order of the batches; the same seed gives the same number.

    Returns:
      Accuracy in [0, 1].

    Raises:
      ValueError: labels out of range, codes not finite or of the wrong shape.
    """
    check(num_classes, fit, test)
    network, rng = classifier.Classifier(num_classes), classifier.make_rng(seed)
    state = classifier.init(network, rng, jnp.asarray(fit.codes[:1], jnp.float32))
    for epoch in range(PAPER_EPOCHS):
        state = _train_epoch(network, state, fit, rng, epoch, PAPER_LEARNING_RATE)
    return _accuracy(network, state, test)


def strong_accuracy(
    fit: Codes, validation: Codes, test: Codes, *, num_classes: int, seed: int
) -> float:
    """Test accuracy in [0, 1] of the best of three probes; see `strong_probe`."""
    return strong_probe(fit, validation, test, num_classes=num_classes, seed=seed).accuracy


def strong_probe(
    fit: Codes, validation: Codes, test: Codes, *, num_classes: int, seed: int
) -> StrongProbe:
    """The best on validation of a converged network, logistic regression and nearest neighbours.

    All three see the codes standardised by the moments of `fit`, so that the scale of a dimension
    does not matter. On a tie the first in the order above is taken.

    Args:
      fit: codes [N, D] to learn from.
      validation: codes [V, D] that stop the network, choose k and choose the probe.
      test: codes [M, D], scored once per probe; only the chosen one's accuracy is returned.
      num_classes: labels lie in [0, num_classes).
      seed: initialisation and order of the batches; the same seed gives the same result.

    Returns:
      The chosen probe's name, its validation accuracy and its test accuracy.

    Raises:
      ValueError: labels out of range, codes not finite or of the wrong shape.
    """
    check(num_classes, fit, validation, test)
    fit, validation, test = standardise(fit, validation, test)
    probes = (
        StrongProbe("network", *_converged_network(fit, validation, test, num_classes, seed)),
        StrongProbe("logistic", *_logistic(fit, validation, test)),
        StrongProbe("neighbours", *_neighbours(fit, validation, test, num_classes)),
    )
    return max(probes, key=lambda probe: probe.validation_accuracy)


def _converged_network(
    fit: Codes, validation: Codes, test: Codes, num_classes: int, seed: int
) -> tuple[float, float]:
    """Validation and test accuracy of the paper's network, trained until it stops improving."""
    network, rng = classifier.Classifier(num_classes), classifier.make_rng(seed)
    state = classifier.init(network, rng, jnp.asarray(fit.codes[:1], jnp.float32))
    steps_per_epoch = max(1, len(fit.labels) // classifier.BATCH_SIZE)
    best, best_state, best_epoch = -1.0, state, 0
    for epoch in range(min(STRONG_MAX_EPOCHS, max(1, STRONG_MAX_STEPS // steps_per_epoch))):
        state = _train_epoch(network, state, fit, rng, epoch, STRONG_LEARNING_RATE)
        accuracy = _accuracy(network, state, validation)
        if accuracy > best:
            best, best_state, best_epoch = accuracy, state, epoch
        elif epoch - best_epoch >= STRONG_PATIENCE:
            break
    return best, _accuracy(network, best_state, test)


def _train_epoch(
    network: classifier.Classifier,
    state: classifier.State,
    fit: Codes,
    rng: jax.Array,
    epoch: int,
    learning_rate: float,
) -> classifier.State:
    epoch_rng = jax.random.fold_in(rng, epoch)
    codes, labels = jnp.asarray(fit.codes, jnp.float32), jnp.asarray(fit.labels, jnp.int32)
    return classifier.train_epoch(network, state, codes, labels, epoch_rng, learning_rate)


def _accuracy(network: classifier.Classifier, state: classifier.State, part: Codes) -> float:
    predicted = classifier.predict(network, state.variables, jnp.asarray(part.codes, jnp.float32))
    return float(np.mean(np.asarray(predicted) == part.labels))


def _logistic(fit: Codes, validation: Codes, test: Codes) -> tuple[float, float]:
    """Validation and test accuracy of logistic regression."""
    predict = fit_logistic(fit)
    accuracies = [float(np.mean(predict(p.codes) == p.labels)) for p in (validation, test)]
    return accuracies[0], accuracies[1]


def _neighbours(
    fit: Codes, validation: Codes, test: Codes, num_classes: int
) -> tuple[float, float]:
    """Validation and test accuracy of k nearest neighbours, k chosen on validation."""
    choices = [k for k in NEIGHBOURS if k <= len(fit.labels)]
    search = NearestNeighbors(n_neighbors=choices[-1], algorithm="brute").fit(fit.codes)

    def accuracies(part: Codes) -> list[float]:
        nearest = fit.labels[search.kneighbors(part.codes, return_distance=False)]  # [V, k]
        return [np.mean(_vote(nearest[:, :k], num_classes) == part.labels) for k in choices]

    on_validation, on_test = accuracies(validation), accuracies(test)
    chosen = int(np.argmax(on_validation))
    return float(on_validation[chosen]), float(on_test[chosen])


def _vote(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Most frequent label of each row [V, k]; of equally frequent ones the smallest."""
    rows = np.arange(len(labels))[:, None] * num_classes
    counts = np.bincount((rows + labels).ravel(), minlength=len(labels) * num_classes)
    return counts.reshape(-1, num_classes).argmax(axis=1)
