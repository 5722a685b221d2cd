"""Terms of the objectives against loops in numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import losses


def gaussian(rng, batch, size):
    return Gaussian(*(jnp.asarray(rng.normal(size=(batch, size)), jnp.float32) for _ in range(2)))


def test_squared_error_sums_over_pixels_and_channels():
    x, recon = np.random.default_rng(0).uniform(size=(2, 3, 4, 5, 2)).astype(np.float32)
    expected = [((a - b) ** 2).sum() for a, b in zip(x, recon, strict=True)]
    np.testing.assert_allclose(losses.squared_error(x, recon), expected, rtol=1e-5)


def test_mixture_kl_with_k_1_is_the_kl_to_the_groups_gaussian():
    rng = np.random.default_rng(1)
    content, style = gaussian(rng, 2, 3), gaussian(rng, 2, 4)
    group_mean = rng.normal(size=(2, 3)).astype(np.float32)
    prior = np.concatenate([group_mean, np.zeros((2, 4))], axis=1)
    mean, logvar = (np.concatenate(pair, axis=1) for pair in zip(content, style, strict=True))
    z = mean + np.exp(0.5 * logvar) * rng.normal(size=(200_000, 2, 7))
    ratio = stats.norm.logpdf(z, mean, np.exp(0.5 * logvar)) - stats.norm.logpdf(z, prior)
    error = ratio.sum(-1).std(0) / np.sqrt(len(z))
    kl = losses.mixture_kl(content, style, group_mean, k=1.0)
    np.testing.assert_array_less(np.abs(kl - ratio.sum(-1).mean(0)), 5 * error)
    stronger = losses.mixture_kl(content, style, group_mean, k=3.0)
    attraction = ((content.mean - group_mean) ** 2).sum(-1)
    np.testing.assert_allclose(stronger - kl, attraction, rtol=1e-4)


def test_repulsion_counts_each_pair_of_groups_once():
    rng = np.random.default_rng(2)
    group = np.array([3, 3, -1, 8, 1, 8])
    means = {g: rng.normal(size=4) for g in (3, 8, 1)}
    rows = np.stack([means.get(g, np.zeros(4)) for g in group])
    pairs = [
        1 / (((means[a] - means[b]) ** 2).sum() + 0.1) for a, b in itertools.combinations(means, 2)
    ]
    first = distributions.first_of_group(jnp.array(group))
    got = losses.repulsion(jnp.asarray(rows, jnp.float32), first, 0.1)
    np.testing.assert_allclose(got, np.mean(pairs), rtol=1e-5)


@pytest.mark.slow
def test_repulsion_of_coinciding_groups_is_finite_and_pushes_apart():
    first = jnp.array([True, True])
    assert np.isclose(losses.repulsion(jnp.ones((2, 3)), first, 0.1), 10)
    near = jnp.array([[1.0, 0.0], [1.1, 0.0]])
    grad = jax.grad(lambda m: losses.repulsion(m, first, 0.1))(near)
    assert grad[0, 0] > 0 > grad[1, 0], "descent must move the first left and the second right"


def test_group_terms_vanish_without_groups():
    means = jnp.ones((3, 2))
    for first in ([False] * 3, [True, False, False]):
        assert losses.repulsion(means, jnp.array(first), 0.1) == 0
    assert losses.centring(means, jnp.array([False] * 3)) == 0


def test_centring_averages_over_groups():
    means = jnp.array([[3.0, 4.0], [3.0, 4.0], [1.0, 0.0]])
    assert np.isclose(losses.centring(means, jnp.array([True, False, True])), (25 + 1) / 2)


def test_groups_settle_on_the_shell_from_which_content_is_drawn():
    """With w_rep = w_cent 2 D^2 G / (G - 1) the two terms alone balance at |mu_G|^2 = D."""
    groups, size, w_cent = 10, 8, 0.05
    w_rep = w_cent * 2 * size**2 * groups / (groups - 1)
    first = jnp.ones(groups, bool)

    def energy(m):
        return w_rep * losses.repulsion(m, first, 0.1) + w_cent * losses.centring(m, first)

    step = jax.jit(lambda m: m - 2.0 * jax.grad(energy)(m))
    means = jnp.asarray(np.random.default_rng(3).normal(size=(groups, size)), jnp.float32)
    for _ in range(2_000):
        means = step(means)
    np.testing.assert_allclose((means**2).sum(-1).mean(), size, rtol=0.05)
