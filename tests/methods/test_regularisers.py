"""Losses of the reference paper and of its baselines against brute force and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from refvae_jax.distributions import Gaussian
from refvae_jax.methods import losses


def test_absolute_error_is_that_of_images_from_minus_one_to_one():
    x, recon = np.random.default_rng(0).uniform(size=(2, 3, 4, 5, 2)).astype(np.float32)
    signed = np.abs((2 * x - 1) - (2 * recon - 1)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.absolute_error(x, recon), signed, rtol=1e-5)


def test_the_discriminators_optimum_is_the_log_density_ratio():
    q, p = stats.norm(1.0, 0.7), stats.norm(-0.5, 1.3)
    x = np.linspace(-9, 9, 4001)
    weight_q, weight_p = q.pdf(x) * (x[1] - x[0]), p.pdf(x) * (x[1] - x[0])
    basis = np.stack([np.ones_like(x), x, x**2])

    def expected(coefficients):
        d = jnp.asarray(coefficients @ basis)
        # discriminator_loss adds a term of q and one of p; each is taken under its own density.
        on_q, on_p = losses.discriminator_loss(d, -jnp.inf), losses.discriminator_loss(jnp.inf, d)
        return float(jnp.sum(weight_q * on_q + weight_p * on_p))

    with jax.enable_x64(True):
        found = optimize.minimize(expected, np.zeros(3), method="BFGS", options={"gtol": 1e-7}).x
    ratio = q.logpdf(x) - p.logpdf(x)
    seen = (q.pdf(x) > 1e-3) | (p.pdf(x) > 1e-3)
    np.testing.assert_allclose((found @ basis)[seen], ratio[seen], atol=2e-2)


def test_half_squared_error_is_the_likelihood_at_variance_one():
    rng = np.random.default_rng(1)
    z, mean = rng.normal(size=(2, 4, 3)).astype(np.float32)
    expected = -stats.norm.logpdf(z, mean).sum(-1) - 1.5 * np.log(2 * np.pi)
    got = losses.half_squared_error(z, Gaussian(mean, np.full_like(mean, 5.0)))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


NUM_IMAGES, BATCH = 6, 3


def density_estimates(weights, z, mean, std):
    """Estimates of q(z_i), [image, minibatches that hold it], over all ordered minibatches."""
    found = [[] for _ in range(NUM_IMAGES)]
    for batch in itertools.permutations(range(NUM_IMAGES), BATCH):
        rows = list(batch)
        density = stats.norm.pdf(z[rows][:, None], mean[rows], std[rows]).prod(-1)  # [B, B]
        for i, estimate in zip(rows, (weights * density).sum(axis=1), strict=True):
            found[i].append(estimate)
    return np.array(found)


def small_posterior():
    rng = np.random.default_rng(2)
    mean, std = rng.normal(size=(NUM_IMAGES, 2)), rng.uniform(0.3, 1, size=(NUM_IMAGES, 2))
    return mean + std * rng.normal(size=mean.shape), mean, std


def test_stratified_weights_estimate_the_aggregate_without_bias():
    z, mean, std = small_posterior()
    truth = stats.norm.pdf(z[:, None], mean, std).prod(-1).mean(axis=1)  # over all N
    weights = np.exp(losses.stratified_log_weights(BATCH, NUM_IMAGES))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    estimates = density_estimates(weights, z, mean, std).mean(axis=1)
    np.testing.assert_allclose(estimates, truth, rtol=1e-5)

    m = BATCH - 1
    mistaken = np.full((BATCH, BATCH), 1 / m)
    mistaken[:, 0], mistaken[:, 1] = 1 / NUM_IMAGES, (NUM_IMAGES - m) / (NUM_IMAGES * m)
    wrong = density_estimates(mistaken, z, mean, std).mean(axis=1)
    assert np.abs(wrong / truth - 1).max() > 0.1, "1/N in a column must not pass this test"


@pytest.mark.slow
def test_total_correlation_terms_use_those_weights():
    z, mean, std = small_posterior()
    rows = slice(0, BATCH)
    weights = np.exp(losses.stratified_log_weights(BATCH, NUM_IMAGES))
    density = stats.norm.pdf(z[rows][:, None], mean[rows], std[rows])  # [B, B, D]
    log_qz = np.log((weights * density.prod(-1)).sum(1))
    log_product = np.log((weights[..., None] * density).sum(1)).sum(-1)
    log_qz_x = stats.norm.logpdf(z[rows], mean[rows], std[rows]).sum(-1)
    log_pz = stats.norm.logpdf(z[rows]).sum(-1)
    expected = [log_qz_x - log_qz, log_qz - log_product, log_product - log_pz]
    q = Gaussian(jnp.asarray(mean[rows]), jnp.asarray(2 * np.log(std[rows])))
    got = losses.total_correlation_terms(jnp.asarray(z[rows]), q, NUM_IMAGES)
    np.testing.assert_allclose(got, [e.mean() for e in expected], rtol=1e-4)


@pytest.mark.slow
def test_total_correlation_of_a_correlated_gaussian():
    rho, batch, std = 0.8, 1024, 0.3
    truth = -0.5 * np.log(1 - rho**2)
    # Means such that means + noise of `std` have variance 1 and correlation rho.
    rng = np.random.default_rng(3)
    cov = np.array([[1 - std**2, rho], [rho, 1 - std**2]])
    found = []
    for _ in range(4):
        mean = rng.multivariate_normal(np.zeros(2), cov, batch)
        z = mean + std * rng.normal(size=mean.shape)
        q = Gaussian(jnp.asarray(mean), jnp.full(mean.shape, 2 * np.log(std)))
        found.append(losses.total_correlation_terms(jnp.asarray(z), q, 50_000)[1])
    assert np.mean(found) == pytest.approx(truth, rel=0.1)


def test_covariance_and_its_penalty():
    x = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    cov = np.cov(x, rowvar=False, bias=True)
    np.testing.assert_allclose(losses.covariance(jnp.asarray(x)), cov, rtol=1e-4, atol=1e-6)
    off = sum(cov[i, j] ** 2 for i in range(3) for j in range(3) if i != j)
    on = sum((cov[i, i] - 1) ** 2 for i in range(3))
    got = losses.covariance_penalty(jnp.asarray(cov), 10.0, 100.0)
    np.testing.assert_allclose(got, 10 * off + 100 * on, rtol=1e-5)
