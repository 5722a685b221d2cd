import math

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from refvae_jax.metrics import classifier, probes
from refvae_jax.metrics.probes import Codes, chance, paper_accuracy, strong_accuracy, strong_probe

pytestmark = pytest.mark.usefixtures("all_optimised")
SIZES = 4000, 1000, 2000  # fit, validation, test: the same everywhere, to compile once
BINARY = {"num_classes": 2, "seed": 0}


def parts(draw):
    """Fit, validation and test codes of `draw(n, rng) -> codes [n, 2], labels [n]`."""
    return [Codes(*draw(n, np.random.default_rng(i))) for i, n in enumerate(SIZES)]


def standard_error(accuracy, n=SIZES[2]):
    return math.sqrt(accuracy * (1 - accuracy) / n)


def clusters(n, rng, sd=0.3):
    """Ten clusters on a circle of radius 3 in the first two of eight dimensions."""
    labels = rng.integers(0, 10, n).astype(np.int32)
    codes = sd * rng.normal(size=(n, 8))
    angle = 2 * np.pi * labels / 10
    codes[:, :2] += 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return codes.astype(np.float32), labels


def xor(n, rng):
    codes = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    return codes, (codes[:, 0] * codes[:, 1] > 0).astype(np.int32)


def rings(n, rng):
    labels = rng.integers(0, 2, n).astype(np.int32)
    angle, radius = rng.uniform(0, 2 * np.pi, n), 1 + labels + 0.1 * rng.normal(size=n)
    codes = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return codes.astype(np.float32), labels


def halves(n, rng):
    codes = rng.normal(size=(n, 2)).astype(np.float32)
    return codes, (codes[:, 0] > 0).astype(np.int32)


def flipped(draw, p):
    def noisy(n, rng):
        codes, labels = draw(n, rng)
        return codes, np.where(rng.uniform(size=n) < p, 1 - labels, labels).astype(np.int32)

    return noisy


@pytest.mark.slow
def test_separated_clusters_are_read_by_the_strong_probe():
    assert strong_accuracy(*parts(clusters), num_classes=10, seed=0) >= 0.99


@pytest.mark.slow
def test_separated_clusters_are_read_by_the_paper_probe_given_50_000_codes():
    fit, test = (Codes(*clusters(n, np.random.default_rng(n))) for n in (50_000, 2_000))
    assert paper_accuracy(fit, test, num_classes=10, seed=0) >= 0.99


@pytest.mark.slow
def test_the_paper_probe_is_weak_on_few_codes():
    fit, _, test = parts(clusters)
    assert 0.1 < paper_accuracy(fit, test, num_classes=10, seed=0) < 0.9


@pytest.mark.slow
def test_random_codes_give_chance():
    def unrelated(n, rng):
        return rng.normal(size=(n, 2)).astype(np.float32), rng.integers(0, 2, n).astype(np.int32)

    fit, validation, test = parts(unrelated)
    for accuracy in (
        paper_accuracy(fit, test, **BINARY),
        strong_accuracy(fit, validation, test, **BINARY),
    ):
        assert abs(accuracy - 0.5) < 4 * standard_error(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.1, 0.3])
def test_flipped_labels_give_the_bayes_accuracy(p):
    accuracy = strong_accuracy(*parts(flipped(halves, p)), **BINARY)
    assert abs(accuracy - (1 - p)) < 4 * standard_error(p)


@pytest.mark.parametrize("distance", [1.0, 2.0])
def test_overlapping_gaussians_give_the_bayes_accuracy(distance):
    def gaussians(n, rng):
        labels = rng.integers(0, 2, n).astype(np.int32)
        codes = rng.normal(size=(n, 2))
        codes[:, 1] += distance * labels
        return codes.astype(np.float32), labels

    bayes = 0.5 * (1 + math.erf(distance / 2 / math.sqrt(2)))  # Phi(distance / 2)
    accuracy = strong_accuracy(*parts(gaussians), **BINARY)
    assert abs(accuracy - bayes) < 4 * standard_error(bayes)


@pytest.mark.parametrize("draw", [xor, rings])
def test_a_code_that_is_not_linear_is_read(draw):
    fit, validation, test = parts(draw)
    linear = LogisticRegression().fit(fit.codes, fit.labels).score(test.codes, test.labels)
    probe = strong_probe(fit, validation, test, **BINARY)
    assert linear < 0.6
    assert probe.accuracy >= 0.97
    assert probe.name != "logistic"


@pytest.mark.parametrize("p", [0.0, 0.2])
def test_each_probe_alone(p):
    """Each must be near the Bayes accuracy, or the best of them would hide a broken one."""
    data = parts(flipped(halves, p))
    _, network = probes._converged_network(*data, **BINARY)
    _, logistic = probes._logistic(*data)
    _, neighbours = probes._neighbours(*data, num_classes=2)
    for accuracy in (network, logistic, neighbours):
        assert abs(accuracy - (1 - p)) < 0.01 + 4 * standard_error(p)


def test_the_converged_network_alone_reads_xor():
    assert probes._converged_network(*parts(xor), **BINARY)[1] >= 0.97


def test_a_tiny_dimension_is_read_beside_large_ones():
    scale = np.array([1e-4, 1.0], np.float32)
    small = [Codes(codes * scale + 5, labels) for codes, labels in parts(halves)]
    assert strong_accuracy(*small, **BINARY) >= 0.98


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_the_scale_of_all_codes_does_not_matter(scale):
    data = parts(xor)
    scaled = [Codes(np.float32(scale) * codes, labels) for codes, labels in data]
    accuracies = [strong_accuracy(*d, **BINARY) for d in (data, scaled)]
    assert min(accuracies) >= 0.97
    assert abs(accuracies[0] - accuracies[1]) < 0.01


def test_a_constant_dimension_does_no_harm():
    data = [Codes(codes * [1, 0] + [0, 0.1], labels) for codes, labels in parts(halves)]
    assert strong_accuracy(*data, **BINARY) >= 0.98


@pytest.mark.slow
def test_the_seed_decides():
    fit, validation, test = parts(flipped(xor, 0.2))
    first, again, other = (paper_accuracy(fit, test, num_classes=2, seed=s) for s in (0, 0, 1))
    assert first == again != other
    first, again = (strong_probe(fit, validation, test, **BINARY) for _ in range(2))
    assert first == again
    assert strong_accuracy(fit, validation, test, **BINARY) == first.accuracy


@pytest.mark.slow
@pytest.mark.parametrize("draw", [halves, flipped(rings, 0.2)])
def test_the_choice_never_sees_the_test_labels(draw):
    fit, validation, test = parts(draw)
    opposite = Codes(test.codes, 1 - test.labels)
    probe, misled = (strong_probe(fit, validation, t, **BINARY) for t in (test, opposite))
    assert (misled.name, misled.validation_accuracy) == (probe.name, probe.validation_accuracy)
    assert misled.accuracy == pytest.approx(1 - probe.accuracy)


def test_the_number_of_neighbours_never_sees_the_test_labels():
    fit, validation, test = parts(flipped(xor, 0.3))  # One neighbour is right in 58 %, 50 in 70 %.
    opposite = Codes(test.codes, 1 - test.labels)
    chosen, misled = (
        probes._neighbours(fit, validation, t, num_classes=2) for t in (test, opposite)
    )
    assert misled == (chosen[0], pytest.approx(1 - chosen[1]))


def test_the_choice_follows_validation():
    """Validation decides between probes that differ, whatever would be better on test."""
    fit, validation, test = parts(xor)
    model = LogisticRegression().fit(fit.codes, fit.labels)
    linear = [Codes(part.codes, model.predict(part.codes)) for part in (validation, test)]
    assert strong_probe(fit, linear[0], test, **BINARY).name == "logistic"
    assert strong_probe(fit, validation, linear[1], **BINARY).name != "logistic"


def test_the_paper_probe_takes_its_constants(monkeypatch):
    rates, train_epoch = [], classifier.train_epoch
    monkeypatch.setattr(
        classifier, "train_epoch", lambda *args: (rates.append(args[-1]), train_epoch(*args))[1]
    )
    fit, _, test = parts(halves)
    paper_accuracy(fit, test, **BINARY)
    assert rates == [1e-5] * 8
    assert classifier.BATCH_SIZE == 128


@pytest.mark.slow
def test_a_few_codes_of_one_class():
    few = Codes(np.ones((3, 2), np.float32), np.array([1, 1, 1], np.int32))
    test = Codes(np.ones((4, 2), np.float32), np.array([1, 1, 1, 0], np.int32))
    assert strong_accuracy(few, few, test, **BINARY) == 0.75


def test_chance_is_the_majority_of_fit_scored_on_test():
    fit = np.array([2, 2, 2, 0, 0, 1])
    assert chance(fit, np.array([0, 0, 0, 2])) == 0.25
    assert chance(fit, fit) == 0.5


@pytest.mark.parametrize(
    ("codes", "labels", "message"),
    [
        (np.zeros((4, 2)), [0, 1, 2, 0], r"\[0, 2\)"),
        (np.zeros((4, 2)), [0, -1, 1, 0], r"\[0, 2\)"),
        (np.zeros((4, 2)), [0, 1, 1], "Expected codes"),
        (np.zeros(4), [0, 1, 1, 0], "Expected codes"),
        (np.zeros((0, 2)), [], "Expected codes"),
        (np.full((4, 2), np.nan), [0, 1, 1, 0], "not finite"),
    ],
)
def test_wrong_input_is_refused(codes, labels, message):
    good = Codes(np.zeros((4, 2), np.float32), np.array([0, 1, 1, 0], np.int32))
    wrong = Codes(codes, np.array(labels, np.int32))
    with pytest.raises(ValueError, match=message):
        paper_accuracy(good, wrong, **BINARY)
    with pytest.raises(ValueError, match=message):
        strong_accuracy(good, wrong, good, **BINARY)


def test_all_parts_are_standardised_by_the_moments_of_fit():
    rng = np.random.default_rng(0)
    fit, moved = Codes(rng.normal(5, 3, (50, 2)), np.zeros(50)), Codes(np.ones((4, 2)), np.zeros(4))
    first, second = probes.standardise(fit, moved)
    mean, std = fit.codes.mean(axis=0), fit.codes.std(axis=0)
    np.testing.assert_allclose(first.codes, (fit.codes - mean) / std, rtol=1e-5)
    np.testing.assert_allclose(second.codes, (moved.codes - mean) / std, rtol=1e-5)


def test_the_paper_probe_sees_the_codes_as_they_are_in_other_orders(monkeypatch):
    seen, train_epoch = [], classifier.train_epoch
    monkeypatch.setattr(
        classifier, "train_epoch", lambda *args: (seen.append(args), train_epoch(*args))[1]
    )
    fit, _, test = parts(halves)
    fit = Codes(3 * fit.codes + 1, fit.labels)
    probes.paper_accuracy(fit, test, **BINARY)
    for _, _, codes, _, _, _ in seen:
        np.testing.assert_array_equal(codes, fit.codes)
    assert len({jax.random.key_data(args[4]).tobytes() for args in seen}) == len(seen) == 8


def test_the_converged_network_is_that_of_its_best_epoch(monkeypatch):
    fit, validation, test = parts(halves)
    curve = [0.2, 0.6, *[0.5] * 200]
    epochs = []
    monkeypatch.setattr(probes, "_train_epoch", lambda *args: epochs.append(args[4]) or args[4])
    monkeypatch.setattr(
        probes, "_accuracy", lambda _, state, part: curve[state] if part is validation else state
    )
    assert probes._converged_network(fit, validation, test, **BINARY) == (0.6, 1)
    assert epochs[-1] == 1 + probes.STRONG_PATIENCE
