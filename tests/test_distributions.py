"""Gaussians against scipy, quadrature and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian


def make_gaussian(seed, batch=6, size=3):
    rng = np.random.default_rng(seed)
    return Gaussian(
        jnp.asarray(rng.normal(size=(batch, size)), jnp.float32),
        jnp.asarray(rng.normal(size=(batch, size)), jnp.float32),
    )


def test_log_prob_is_scipys():
    q, z = make_gaussian(0), np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    expected = stats.norm.logpdf(z, q.mean, np.exp(0.5 * q.logvar)).sum(-1)
    np.testing.assert_allclose(distributions.log_prob(q, z), expected, rtol=1e-5)


@pytest.mark.slow
def test_kl_to_standard_normal_is_the_monte_carlo_mean():
    q = make_gaussian(2, batch=3)
    draws = np.stack([distributions.sample(jax.random.key(i), q) for i in range(4_000)])
    ratio = stats.norm.logpdf(draws, q.mean, np.exp(0.5 * q.logvar)) - stats.norm.logpdf(draws)
    error = ratio.sum(-1).std(0) / np.sqrt(len(draws))
    kl = distributions.kl_to_standard_normal(q)
    np.testing.assert_array_less(np.abs(kl - ratio.sum(-1).mean(0)), 5 * error)
    standard = Gaussian(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
    np.testing.assert_allclose(distributions.kl_to_standard_normal(standard), 0, atol=1e-7)


@pytest.mark.slow
def test_sample_has_the_moments_and_the_gradient_of_the_reparameterisation():
    q = Gaussian(jnp.full((20_000, 1), 2.0), jnp.full((20_000, 1), np.log(0.25)))
    z = np.asarray(distributions.sample(jax.random.key(0), q))
    assert abs(z.mean() - 2) < 0.02 and abs(z.std() - 0.5) < 0.02
    one = Gaussian(q.mean[:1], q.logvar[:1])
    grad = jax.grad(lambda q: distributions.sample(jax.random.key(3), q).sum())(one)
    z = distributions.sample(jax.random.key(3), one)
    np.testing.assert_allclose(grad.mean, 1)
    np.testing.assert_allclose(grad.logvar, 0.5 * (z - one.mean), rtol=1e-5)


GROUPS = {
    "mixed": [7, 7, 3, 123456, 3, 7],
    "one": [5] * 6,
    "all different": [1, 2, 3, 4, 5, 6],
    "some without": [-1, 4, -1, 4, 9, -1],
}


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
def test_product_of_gaussians_is_the_normalised_product_of_densities(group):
    q = make_gaussian(4)
    got = distributions.product_of_gaussians(q, jnp.array(group))
    grid = np.linspace(-30, 30, 120_001)
    for i, own in enumerate(group):
        members = [j for j, other in enumerate(group) if other == own and own >= 0] or [i]
        for d in range(3):
            log = sum(
                stats.norm.logpdf(grid, q.mean[j, d], np.exp(0.5 * q.logvar[j, d])) for j in members
            )
            weight = np.exp(log - log.max())
            weight /= weight.sum()
            mean = (weight * grid).sum()
            variance = (weight * (grid - mean) ** 2).sum()
            np.testing.assert_allclose(got.mean[i, d], mean, atol=1e-4)
            np.testing.assert_allclose(np.exp(got.logvar[i, d]), variance, rtol=1e-3)


@pytest.mark.slow
def test_product_of_gaussians_survives_extreme_variances():
    q = Gaussian(jnp.array([[1.0, 1.0], [3.0, 3.0]]), jnp.array([[-60.0, 60.0], [-60.0, 60.0]]))
    got = distributions.product_of_gaussians(q, jnp.array([0, 0]))
    np.testing.assert_allclose(got.mean, 2.0, rtol=1e-5)
    np.testing.assert_allclose(got.logvar, 2 * [np.array([-60, 60]) - np.log(2)], rtol=1e-5)
    # Variances of very different size, one group sharp and one broad.
    q = Gaussian(jnp.array([[1.0], [3.0], [5.0], [7.0]]), jnp.array([[-30.0], [-30], [40], [40]]))
    got = distributions.product_of_gaussians(q, jnp.array([0, 0, 1, 1]))
    np.testing.assert_allclose(got.mean[:, 0], [2, 2, 6, 6], rtol=1e-5)
    np.testing.assert_allclose(got.logvar[::2, 0], np.array([-30, 40]) - np.log(2), rtol=1e-5)


def test_gradient_reaches_every_member_and_nobody_else():
    q, group = make_gaussian(5), jnp.array([1, 1, 2, 1, -1, 2])
    grad = jax.grad(lambda q: distributions.product_of_gaussians(q, group).mean[0].sum())(q)
    reached = np.array([True, True, False, True, False, False])
    np.testing.assert_array_equal(np.all(np.asarray(grad.mean) != 0, axis=1), reached)
    np.testing.assert_array_equal(np.all(np.asarray(grad.logvar) != 0, axis=1), reached)


def test_first_of_group_counts_each_group_once():
    group = jnp.array([4, -1, 4, 9, -1, 9, 2])
    expected = [True, False, False, True, False, False, True]
    np.testing.assert_array_equal(distributions.first_of_group(group), expected)
