"""Regressors on codes: how well can continuous factors be read from a latent?

    fit, validation, test = (FactorCodes(codes, factors) for ...)
    linear_errors(fit, test).mae
    strong_errors(fit, validation, test, seed=0).mae
    constant_errors(fit.factors, test.factors)

The reference paper's evaluation is linear and so does not see what a code holds in another form;
the strong errors do. All regressors minimise the squared error and are chosen by it: without
information they tend to the mean, which is chance, while a median would score better than chance.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from refvae_jax.metrics.probes import moments, unstandardise

NEIGHBOURS = (1, 4, 16, 64)
TREES, TREES_PER_CANDIDATE = 150, 15
EPOCHS, EPOCHS_PER_CANDIDATE = 100, 4
# Rate and weight decay read products and angles of rotated codes best at 5,000 codes.
NETWORK = {"hidden_layer_sizes": (128, 128), "learning_rate_init": 3e-3, "alpha": 1.0}


class FactorCodes(NamedTuple):
    """Codes of N images and the values of F continuous factors."""

    codes: np.ndarray  # float [N, D]
    factors: np.ndarray  # float [N, F], in any units


class Regression(NamedTuple):
    """Test errors of regressors, one per factor."""

    mae: np.ndarray  # float64 [F], mean absolute error in the units of the factor.
    r2: np.ndarray  # float64 [F], at most 1; 0 for the constant mean.


def constant_errors(fit_factors: np.ndarray, test_factors: np.ndarray) -> np.ndarray:
    """Mean absolute error [F] on `test_factors` [M, F] of the mean of `fit_factors` [N, F].

    This is chance: the score of a code without information.
    """
    return np.abs(np.asarray(test_factors) - np.mean(fit_factors, axis=0)).mean(axis=0)


def linear_errors(fit: FactorCodes, test: FactorCodes) -> Regression:
    """Errors of ordinary least squares with intercept (reference paper, Table 1, MNIST).

    Args:
      fit: codes [N, D] and factors [N, F] to learn from.
      test: codes [M, D] and factors [M, F] to score.

    Returns:
      mae [F], mean |y - h(c)|, and r2 [F], 1 - sum (y - h(c))^2 / sum (y - m)^2, where m is the
      mean of `fit` and both sums go over `test`.

    Raises:
      ValueError: codes or factors not finite or of the wrong shape.
    """
    _check(fit, test)
    mean, scale = moments(np.asarray(fit.codes))
    codes, unseen = ((part.codes - mean) * scale for part in (fit, test))
    return _score(_linear(codes, np.asarray(fit.factors, np.float64), unseen), fit, test)


def strong_errors(
    fit: FactorCodes, validation: FactorCodes, test: FactorCodes, seed: int
) -> Regression:
    """Errors of the regressor that is best on validation, chosen for each factor.

    The choice is among the constant, least squares, k nearest neighbours, boosted trees and a
    network, in this order; on a tie the first is taken. Validation also decides k and when to stop
    adding trees and epochs. Codes and factors are standardised by the moments of `fit`, so that
    scales and units do not matter.

    Args:
      fit: codes [N, D] and factors [N, F] to learn from.
      validation: codes [V, D] and factors [V, F] to choose by squared error.
      test: codes [M, D] and factors [M, F], scored with the chosen regressors only.
      seed: initialisation and batches of the network; the same seed gives the same numbers.

    Returns:
      mae [F] and r2 [F], defined as in `linear_errors`.

    Raises:
      ValueError: codes or factors not finite or of the wrong shape.
    """
    _check(fit, validation, test)
    mean, scale = moments(np.asarray(fit.codes))
    codes, *others = (
        ((part.codes - mean) * scale).astype(np.float32) for part in (fit, validation, test)
    )
    unseen = np.concatenate(others)
    mean, scale = moments(np.asarray(fit.factors))
    factors = ((fit.factors - mean) * scale).astype(np.float32)
    # Waiting threads spin: with other load on the machine two threads take ten times as long.
    with threadpool_limits(1):
        candidates = np.stack(
            [
                np.zeros((len(unseen), len(mean))),  # The mean of `fit`.
                _linear(codes.astype(np.float64), factors, unseen.astype(np.float64)),
                *_neighbours(codes, factors, unseen),
                *_boosted_trees(codes, factors, unseen),
                *_network(codes, factors, unseen, seed),
            ]
        )  # [K, V + M, F]
    on_validation, on_test = np.split(candidates, [len(validation.codes)], axis=1)
    errors = np.square(on_validation - (validation.factors - mean) * scale).mean(axis=1)  # [K, F]
    chosen = errors.argmin(axis=0)  # [F]
    predicted = np.take_along_axis(on_test, chosen[None, None], axis=0)[0]  # [M, F]
    return _score(unstandardise(predicted, mean, scale), fit, test)


def with_average(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """{name: value} of each of F factors, with the mean of `values` [F] as "average"."""
    return dict(zip(names, map(float, values), strict=True)) | {"average": float(np.mean(values))}


def _score(predicted: np.ndarray, fit: FactorCodes, test: FactorCodes) -> Regression:
    factors = np.asarray(test.factors, np.float64)
    error = factors - predicted
    squared = np.square(error).sum(axis=0)
    of_constant = np.square(factors - np.mean(fit.factors, axis=0, dtype=np.float64)).sum(axis=0)
    # A factor that is constant in `test` gets an r2 of 0.
    ratio = np.divide(squared, of_constant, out=np.ones_like(squared), where=of_constant > 0)
    return Regression(np.abs(error).mean(axis=0), 1 - ratio)


def _linear(codes: np.ndarray, factors: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Factors [M, F] of `unseen` [M, D] by least squares; of equal solutions the smallest."""
    return LinearRegression().fit(codes, factors).predict(unseen)


def _neighbours(codes: np.ndarray, factors: np.ndarray, unseen: np.ndarray) -> Iterator[np.ndarray]:
    """For each k the mean factors [M, F] of the k nearest codes."""
    choices = [k for k in NEIGHBOURS if k <= len(codes)]
    search = NearestNeighbors(n_neighbors=choices[-1], algorithm="brute").fit(codes)
    nearest = search.kneighbors(unseen, return_distance=False)  # [M, k]
    for k in choices:
        yield factors[nearest[:, :k]].mean(axis=1)


def _boosted_trees(
    codes: np.ndarray, factors: np.ndarray, unseen: np.ndarray
) -> Iterator[np.ndarray]:
    """Factors [M, F] by more and more trees."""
    stages = []
    for factor in factors.T:
        trees = HistGradientBoostingRegressor(max_iter=TREES, early_stopping=False)
        predicted = list(trees.fit(codes, factor).staged_predict(unseen))
        stages.append(predicted[TREES_PER_CANDIDATE - 1 :: TREES_PER_CANDIDATE])
    yield from np.moveaxis(np.asarray(stages), 0, -1)  # [F, K, M] -> [K, M, F]


def _network(
    codes: np.ndarray, factors: np.ndarray, unseen: np.ndarray, seed: int
) -> Iterator[np.ndarray]:
    """Factors [M, F] by one network for all of them, after more and more epochs."""
    # A seed instead of a generator would repeat one order of the codes in every epoch.
    network = MLPRegressor(**NETWORK, random_state=np.random.RandomState(seed))
    factors = factors[:, 0] if factors.shape[1] == 1 else factors  # As scikit-learn expects one.
    for epoch in range(1, EPOCHS + 1):
        network.partial_fit(codes, factors)
        if epoch % EPOCHS_PER_CANDIDATE == 0:
            yield network.predict(unseen).reshape(len(unseen), -1)


def _check(*parts: FactorCodes) -> None:
    widths = {(np.shape(part.codes)[1:], np.shape(part.factors)[1:]) for part in parts}
    for part in parts:
        codes, factors = np.asarray(part.codes), np.asarray(part.factors)
        well_formed = codes.ndim == factors.ndim == 2 and len(codes) == len(factors)
        if not well_formed or not codes.size or not factors.size or len(widths) > 1:
            raise ValueError(
                "Expected codes [N, D], factors [N, F], with one D and F, got "
                f"{codes.shape}, {factors.shape}."
            )
        for name, values in (("codes", codes), ("factors", factors)):
            if not np.isfinite(values).all():
                raise ValueError(f"The {name} hold values that are not finite.")
