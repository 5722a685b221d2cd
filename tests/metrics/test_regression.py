import math

import numpy as np
import pytest

from refvae_jax.metrics import regression
from refvae_jax.metrics.regression import FactorCodes, constant_errors, linear_errors, strong_errors

SIZES = 1000, 500, 2000  # fit, validation, test


def parts(draw, sizes=SIZES):
    """Fit, validation and test codes of `draw(n, rng) -> codes [n, D], factors [n, F]`."""
    return [FactorCodes(*draw(n, np.random.default_rng(i))) for i, n in enumerate(sizes)]


def chance(data):
    return constant_errors(data[0].factors, data[-1].factors)


@pytest.fixture
def quick(monkeypatch):
    """Fewer trees and epochs, where it does not matter how well they read."""
    monkeypatch.setattr(regression, "TREES", 30)
    monkeypatch.setattr(regression, "EPOCHS", 12)


def noisy_linear(n, rng):
    """Factors of slope and offset of their own, with Gaussian noise of sd .1 and 2."""
    codes = rng.normal(size=(n, 4)).astype(np.float32)
    slopes = np.array([[1, 0], [-2, 5], [0, 1], [0, 0]])
    return codes, codes @ slopes + [3, -7] + [0.1, 2] * rng.normal(size=(n, 2))


def unrelated(n, rng):
    return rng.normal(size=(n, 4)).astype(np.float32), rng.normal(size=(n, 2)) + 5


def circle(n, rng):
    """Of a point on the unit circle twice its angle, and the size of the third dimension."""
    angle, z = rng.uniform(-np.pi, np.pi, n), rng.normal(size=n)
    codes = np.stack([np.cos(angle), np.sin(angle), z], axis=1)
    return codes.astype(np.float32), np.stack([np.cos(2 * angle), np.abs(z)], axis=1)


def hidden_products(n, rng):
    """Products and signs of rotated dimensions, which trees alone read badly."""
    hidden = rng.normal(size=(n, 4))
    rotation = np.linalg.qr(np.random.default_rng(9).normal(size=(4, 4)))[0]
    return hidden @ rotation, np.stack([hidden[:, 0] * hidden[:, 1], np.abs(hidden[:, 2])], axis=1)


def test_chance_is_the_mean_of_fit_scored_on_test():
    fit, test = np.array([[0.0, 1], [2, 1]]), np.array([[1.0, 4], [4, 1], [0, 0]])
    np.testing.assert_allclose(constant_errors(fit, test), [4 / 3, 4 / 3])


def test_linear_is_least_squares():
    """Against the normal equations solved by hand, scored against the mean of fit."""
    fit, _, test = parts(noisy_linear, (60, 1, 40))
    with_one = [
        np.column_stack([part.codes.astype(float), np.ones(len(part.codes))])
        for part in (fit, test)
    ]
    solution = np.linalg.lstsq(with_one[0], fit.factors, rcond=None)[0]
    error = test.factors - with_one[1] @ solution
    ignorant = test.factors - fit.factors.mean(axis=0)
    mae, r2 = linear_errors(fit, test)
    np.testing.assert_allclose(mae, np.abs(error).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        r2, 1 - (error**2).sum(axis=0) / (ignorant**2).sum(axis=0), rtol=1e-6
    )


def test_errors_of_a_linear_relation_are_those_of_its_noise():
    """E|noise| = sd sqrt(2 / pi); R2 = 1 - var(noise) / var(factor); strong ones do no better."""
    data = parts(noisy_linear)
    sd, signal = np.array([0.1, 2]), np.array([5, 26])
    for mae, r2 in (linear_errors(data[0], data[2]), strong_errors(*data, seed=0)):
        np.testing.assert_allclose(mae, sd * math.sqrt(2 / math.pi), rtol=0.07)
        np.testing.assert_allclose(r2, 1 - sd**2 / (signal + sd**2), atol=0.015)


def test_codes_without_relation_score_chance():
    data = parts(unrelated)
    for mae, r2 in (linear_errors(data[0], data[2]), strong_errors(*data, seed=0)):
        np.testing.assert_allclose(mae, chance(data), rtol=0.02)
        np.testing.assert_allclose(r2, 0, atol=0.04)


def test_r2_of_test_factors_that_moved_is_still_zero_at_chance():
    fit, _, test = parts(unrelated)
    moved = FactorCodes(test.codes, test.factors + 3)
    np.testing.assert_allclose(linear_errors(fit, moved).r2, 0, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("draw", [circle, hidden_products])
def test_a_code_that_is_not_linear_is_read_by_the_strong_regressor_only(draw):
    data = parts(draw)
    linear, strong = linear_errors(data[0], data[2]), strong_errors(*data, seed=0)
    assert np.all(linear.mae > 0.95 * chance(data))
    assert np.all(strong.mae < 0.2 * chance(data))
    assert np.all(strong.r2 > 0.9)
    assert np.all(linear.r2 < 0.1)


@pytest.mark.parametrize("name", ["_neighbours", "_boosted_trees", "_network"])
def test_each_regressor_alone(name):
    """Each must read the circle by itself, or the best of them would hide a broken one."""
    fit, _, test = parts(circle)
    seed = (0,) if name == "_network" else ()
    read = getattr(regression, name)
    candidates = list(read(fit.codes, fit.factors.astype(np.float32), test.codes, *seed))
    errors = [np.abs(predicted - test.factors).mean(axis=0) for predicted in candidates]
    assert len(candidates) > 1
    assert np.all(np.min(errors, axis=0) < 0.2 * chance((fit, test)))


def test_neighbours_are_the_nearest_of_all():
    fit, _, test = parts(circle, (100, 1, 30))
    distances = np.linalg.norm(test.codes[:, None] - fit.codes, axis=2)  # [30, 100]
    nearest = np.argsort(distances, axis=1)
    found = regression._neighbours(fit.codes, fit.factors, test.codes)
    for k, predicted in zip(regression.NEIGHBOURS, found, strict=True):
        np.testing.assert_allclose(predicted, fit.factors[nearest[:, :k]].mean(axis=1))


def test_units_of_codes_and_factors_do_not_matter(quick):
    """Also not those of one dimension beside the others."""
    data = parts(circle)
    units, scale, offset = np.array([1e-4, 1, 1e3]), np.array([1e-3, 1e4]), np.array([7, -2e4])
    other = [FactorCodes(c * units + 10 * units, f * scale + offset) for c, f in data]
    for score in (lambda d: linear_errors(d[0], d[2]), lambda d: strong_errors(*d, seed=0)):
        (mae, r2), (other_mae, other_r2) = score(data), score(other)
        np.testing.assert_allclose(other_mae / scale, mae, rtol=0.05)
        np.testing.assert_allclose(other_r2, r2, atol=0.01)


def test_duplicated_and_constant_dimensions_do_no_harm(quick):
    data = parts(noisy_linear)
    wide = [
        FactorCodes(np.column_stack([c, c, np.full(len(c), 0.1), np.zeros(len(c))]), f)
        for c, f in data
    ]
    plain, doubled = (linear_errors(d[0], d[2]).mae for d in (data, wide))
    np.testing.assert_allclose(doubled, plain, rtol=1e-5)
    np.testing.assert_allclose(strong_errors(*wide, seed=0).mae, plain, rtol=0.05)


def test_a_constant_code_scores_chance(quick):
    fit, validation, test = (FactorCodes(np.full_like(c, 0.1), f) for c, f in parts(circle))
    expected = chance((fit, test))
    np.testing.assert_allclose(linear_errors(fit, test).mae, expected, rtol=1e-6)
    np.testing.assert_allclose(linear_errors(fit, test).r2, 0, atol=1e-6)
    strong = strong_errors(fit, validation, test, seed=0)
    np.testing.assert_allclose(strong.mae, expected, rtol=0.03)
    np.testing.assert_allclose(strong.r2, 0, atol=0.03)


def test_the_choice_is_by_squared_error(quick):
    """Where a factor is 1 in 40 % of the cases, 0 is the best by absolute error: worse than .5."""
    codes = np.arange(200)[:, None] % 2
    fit = FactorCodes(codes, codes.astype(float))
    unseen = FactorCodes(np.zeros((100, 1)), (np.arange(100)[:, None] < 40).astype(float))
    np.testing.assert_allclose(linear_errors(fit, unseen), [[0.4], [-0.6]])
    assert strong_errors(fit, unseen, unseen, seed=0).r2 >= 0


def test_a_constant_factor_leaves_nothing_to_know(quick):
    data = [FactorCodes(c, np.full((len(c), 1), 0.25)) for c, _ in parts(circle)]
    for mae, r2 in (linear_errors(data[0], data[2]), strong_errors(*data, seed=0)):
        np.testing.assert_allclose(mae, 0, atol=1e-9)
        np.testing.assert_array_equal(r2, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("n", "num_factors"), [(1, 2), (2, 2), (30, 2), (30, 1)])
def test_few_codes_suffice(n, num_factors, quick):
    data = [FactorCodes(c, f[:, :num_factors]) for c, f in parts(circle, (n, n, 100))]
    for mae, r2 in (linear_errors(data[0], data[2]), strong_errors(*data, seed=0)):
        assert mae.shape == r2.shape == (num_factors,)
        assert np.isfinite([mae, r2]).all()


def test_ever_more_dimensions_than_codes_do_not_end_above_chance(quick):
    """Least squares fits 40 codes of 32 random dimensions perfectly and is lost on others."""

    def wide(n, rng):
        return rng.normal(size=(n, 32)), rng.normal(size=(n, 1))

    data = parts(wide, (40, 500, 2000))
    assert linear_errors(data[0], data[2]).mae > 1.5 * chance(data)
    assert strong_errors(*data, seed=0).mae < 1.02 * chance(data)


def test_the_choice_follows_validation_of_each_factor(quick):
    """Factors that validation says are constant, or linear, are predicted so, even where wrong."""
    fit, validation, test = parts(circle)
    mean = fit.factors.mean(axis=0)
    design = [np.column_stack([p.codes, np.ones(len(p.codes))]) for p in (fit, validation, test)]
    solution = np.linalg.lstsq(design[0], fit.factors, rcond=None)[0]
    linear = [d @ solution for d in design]
    misled = np.column_stack([np.full(len(validation.codes), mean[0]), linear[1][:, 1]])
    mae = strong_errors(fit, FactorCodes(validation.codes, misled), test, seed=0).mae
    expected = np.column_stack([np.full(len(test.codes), mean[0]), linear[2][:, 1]])
    np.testing.assert_allclose(mae, np.abs(test.factors - expected).mean(axis=0), rtol=1e-5)


def test_the_choice_never_sees_the_test_factors(quick):
    """Far above all predictions the error is 1,000 - b, far below 1,000 + b, with one b in both."""
    fit, validation, test = parts(hidden_products)
    above, below = (
        strong_errors(fit, validation, FactorCodes(test.codes, test.factors + far), seed=0).mae
        for far in (1000, -1000)
    )
    np.testing.assert_allclose(above + below, 2000, atol=1e-6)


def test_the_seed_decides(quick):
    data = parts(hidden_products)
    first, again, other = (strong_errors(*data, seed=seed).mae for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize(
    ("codes", "factors", "sentence"),
    [
        (np.zeros((4, 2)), np.zeros(4), "Expected codes"),
        (np.zeros((4, 2)), np.zeros((3, 1)), "Expected codes"),
        (np.zeros((4, 3)), np.zeros((4, 1)), "Expected codes"),
        (np.zeros((4, 2)), np.zeros((4, 2)), "Expected codes"),
        (np.zeros(4), np.zeros((4, 1)), "Expected codes"),
        (np.zeros((0, 2)), np.zeros((0, 1)), "Expected codes"),
        (np.full((4, 2), np.nan), np.zeros((4, 1)), "codes hold"),
        (np.zeros((4, 2)), np.full((4, 1), np.inf), "factors hold"),
    ],
)
def test_wrong_input_is_refused(codes, factors, sentence):
    good, wrong = FactorCodes(np.zeros((4, 2)), np.zeros((4, 1))), FactorCodes(codes, factors)
    with pytest.raises(ValueError, match=sentence):
        linear_errors(good, wrong)
    with pytest.raises(ValueError, match=sentence):
        strong_errors(good, wrong, good, seed=0)


def test_the_average_is_the_mean_of_the_factors():
    found = regression.with_average(("a", "b", "c"), np.array([1.0, 2, 6]))
    assert found == {"a": 1, "b": 2, "c": 6, "average": 3}
