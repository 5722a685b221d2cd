import math

import numpy as np
import pytest

from refvae_jax.metrics.linear import linear_accuracy
from refvae_jax.metrics.probes import Codes


def shifted(n, distance, seed, rare=0.5):
    """Two unit Gaussians `distance` apart along the first of three dimensions."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=n) < rare).astype(np.int32)
    codes = rng.normal(size=(n, 3))
    codes[:, 0] += distance * labels
    return Codes(codes.astype(np.float32), labels)


def test_two_gaussians_give_the_bayes_accuracy_of_each_class():
    scores = linear_accuracy(shifted(4000, 2, seed=0), shifted(20_000, 2, seed=1), num_classes=2)
    bayes = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # Phi(distance / 2)
    assert scores.accuracy == pytest.approx(bayes, abs=0.01)
    assert scores.per_class == pytest.approx((bayes, bayes), abs=0.03)


def test_accuracy_and_its_average_over_classes_differ_where_classes_are_unequal():
    """A class of 10 % is found where its weighted density is the higher one."""
    fit, test = (shifted(20_000, 2, seed, rare=0.1) for seed in (0, 1))
    threshold = 1 + math.log(9) / 2  # 0.9 N(x; 0, 1) = 0.1 N(x; 2, 1)
    common, rare = (0.5 * (1 + math.erf(x / math.sqrt(2))) for x in (threshold, 2 - threshold))
    scores = linear_accuracy(fit, test, num_classes=2)
    assert scores.per_class == pytest.approx((common, rare), abs=0.04)
    assert scores.accuracy == pytest.approx(0.9 * common + 0.1 * rare, abs=0.01)
    assert scores.balanced_accuracy == pytest.approx((common + rare) / 2, abs=0.02)


def test_by_hand():
    """The codes are well apart, so each predicted class is known; the test labels are not all."""
    fit = Codes(np.repeat(10 * np.eye(4), 20, axis=0), np.repeat(np.arange(4), 20))
    test = Codes(10 * np.eye(4)[[0, 0, 0, 1, 1, 3]], np.array([0, 0, 1, 1, 1, 0]))
    scores = linear_accuracy(fit, test, num_classes=5)
    assert scores.per_class == (2 / 3, 2 / 3, None, None, None)
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.balanced_accuracy == pytest.approx(2 / 3)


def test_unrelated_codes_give_chance():
    rng = np.random.default_rng(0)
    fit, test = (Codes(rng.normal(size=(n, 4)), rng.integers(0, 7, n)) for n in (3_500, 3_500))
    scores = linear_accuracy(fit, test, num_classes=7)
    error = math.sqrt(1 / 7 * 6 / 7 / 3_500)
    assert abs(scores.accuracy - 1 / 7) < 4 * error
    assert abs(scores.balanced_accuracy - 1 / 7) < 4 * error


def test_what_is_not_linear_is_not_read():
    def xor(seed):
        codes = np.random.default_rng(seed).uniform(-1, 1, (4000, 2))
        return Codes(codes, (codes[:, 0] * codes[:, 1] > 0).astype(np.int32))

    assert linear_accuracy(xor(0), xor(1), num_classes=2).accuracy < 0.6


def test_units_of_the_dimensions_do_not_matter():
    fit, test = shifted(2000, 2, seed=0), shifted(2000, 2, seed=1)
    units = np.array([1e-4, 1, 1e3])
    other = [Codes(part.codes * units + 3 * units, part.labels) for part in (fit, test)]
    accuracies = [linear_accuracy(*data, num_classes=2).accuracy for data in ((fit, test), other)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.002)


def test_one_class_to_learn_from_is_always_named():
    fit = Codes(np.ones((3, 2)), np.array([1, 1, 1]))
    test = Codes(np.ones((4, 2)), np.array([1, 1, 1, 0]))
    assert linear_accuracy(fit, test, num_classes=2) == (0.75, 0.5, (0.0, 1.0))


@pytest.mark.parametrize(
    ("codes", "labels", "sentence"),
    [
        (np.zeros((4, 2)), [0, 1, 2, 0], r"\[0, 2\)"),
        (np.zeros((4, 2)), [0, 1, 1], "Expected codes"),
        (np.full((4, 2), np.nan), [0, 1, 1, 0], "not finite"),
    ],
)
def test_wrong_input_is_refused(codes, labels, sentence):
    good = Codes(np.zeros((4, 2)), np.array([0, 1, 1, 0]))
    with pytest.raises(ValueError, match=sentence):
        linear_accuracy(good, Codes(codes, np.array(labels)), num_classes=2)
