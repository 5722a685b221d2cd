"""sRb-VAE's gradient on a linear-Gaussian model whose optimal discriminator is known.

    unlabelled  q: x ~ N(0, 1.5^2), z ~ N(c x, v_z), e ~ N(f x, v_e)     p: x = a z + b e + noise
    reference   q: x ~ N(.7, 1),   z ~ N(c x, v_z)                      p: x = a z + b e_ref + noise

With the discriminators at their optimum the gradient must be that of the symmetric KL itself.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods.symmetric_kl import Parts, make_losses

pytestmark = pytest.mark.slow
NOISE, SD_U, MEAN_R, SD_R = 0.6, 1.5, 0.7, 1.0
PARAMS = {
    "a": jnp.array(0.8),
    "b": jnp.array(0.5),
    "c": jnp.array(0.4),
    "f": jnp.array(0.3),
    "logvar_z": jnp.array(-0.9),
    "logvar_e": jnp.array(-0.5),
    "e_ref": jnp.array([0.3]),
}
BATCH, BATCHES = 40_000, 12


def joints(params):
    """Means and covariances of q_u, p_u over (x, z, e) and of q_r, p_r over (x, z)."""
    a, b, c, f = (params[n] for n in "abcf")
    lift = jnp.array([1.0, c, f])
    own = jnp.diag(jnp.array([0.0, jnp.exp(params["logvar_z"]), jnp.exp(params["logvar_e"])]))
    cov_q = SD_U**2 * jnp.outer(lift, lift) + own
    cov_p = jnp.array([[a**2 + b**2 + NOISE**2, a, b], [a, 1.0, 0.0], [b, 0.0, 1.0]])
    e_ref = params["e_ref"][0]
    cov_qr = SD_R**2 * jnp.outer(lift[:2], lift[:2]) + own[:2, :2]
    cov_pr = jnp.array([[a**2 + NOISE**2, a], [a, 1.0]])
    return {
        "unlabelled": ((jnp.zeros(3), cov_q), (jnp.zeros(3), cov_p)),
        "reference": ((MEAN_R * lift[:2], cov_qr), (jnp.array([b * e_ref, 0.0]), cov_pr)),
    }


def kl(one, other):
    (m1, s1), (m2, s2) = one, other
    inverse, d = jnp.linalg.inv(s2), m2 - m1
    logdets = jnp.linalg.slogdet(s2)[1] - jnp.linalg.slogdet(s1)[1]
    return 0.5 * (jnp.trace(inverse @ s1) + d @ inverse @ d - len(m1) + logdets)


def symmetric_kl(params):
    return sum(kl(q, p) + kl(p, q) for q, p in joints(params).values())


def log_density(moments, x):
    return jax.scipy.stats.multivariate_normal.logpdf(x, *moments)


def make_parts(render):
    """The discriminators are the exact log ratios; their parameters are the model's, frozen."""

    def encode(params, image, only):
        slope = {"common": ("c", "logvar_z"), "target": ("f", "logvar_e")}
        return {
            name: Gaussian(params[slope[name][0]] * image, params[slope[name][1]] + 0 * image)
            for name in only
        }

    def discriminator(name):
        def log_ratios(params, pairs, rng):
            q, p = joints(params)[name]
            points = [
                jnp.concatenate([image, *(codes[k] for k in sorted(codes))], axis=-1)
                for image, codes in pairs
            ]
            return [log_density(q, point) - log_density(p, point) for point in points]

        return log_ratios

    return Parts(
        sizes={"common": 1, "target": 1},
        encode=encode,
        decode=lambda params, codes: params["a"] * codes["common"] + params["b"] * codes["target"],
        discriminator_unlabelled=discriminator("unlabelled"),
        discriminator_reference=discriminator("reference"),
        image_error=lambda x, recon: ((x - recon) ** 2).sum(-1) / (2 * NOISE**2),
        latent_error=lambda z, q: -distributions.log_prob(q, z),
        render=render,
    )


def noisy(rng, mean):
    return mean + NOISE * jax.random.normal(rng, mean.shape)


def no_term(q, label, batch):
    """An independence term of weight 0."""
    return 0.0, {}


def estimate(render=noisy, weight=1.0, stopped=True):
    """The model's gradient over several large batches: ({name: mean}, {name: standard error})."""
    weights = {"w_image": weight, "w_latent": weight}
    losses_of = make_losses(make_parts(render), no_term, **weights, stopped=stopped)
    frozen = {"unlabelled": PARAMS, "reference": PARAMS}

    @jax.jit
    def gradient(rng):
        rng_u, rng_r, rng = jax.random.split(rng, 3)
        batch = {
            "unlabelled": {"image": SD_U * jax.random.normal(rng_u, (BATCH, 1))},
            "reference": {"image": MEAN_R + SD_R * jax.random.normal(rng_r, (BATCH, 1))},
        }

        def loss(params):
            variables = {"params": {"model": params, "discriminator": frozen}, "mutable": {}}
            return losses_of(variables, batch, rng)["model"][0]

        return jax.grad(loss)(PARAMS)

    draws = [gradient(jax.random.key(i)) for i in range(BATCHES)]
    values = {n: np.array([np.sum(d[n]) for d in draws]) for n in PARAMS}
    error = {n: v.std(ddof=1) / np.sqrt(BATCHES) for n, v in values.items()}
    return {n: v.mean() for n, v in values.items()}, error


def deviation(found, error):
    """The largest distance from the true gradient, in standard errors."""
    truth = jax.grad(symmetric_kl)(PARAMS)
    return max(abs(found[n] - float(np.sum(truth[n]))) / error[n] for n in PARAMS)


def test_stopped_reconstructions_with_noise_give_the_gradient_of_the_symmetric_kl():
    truth = jax.grad(symmetric_kl)(PARAMS)
    assert all(abs(float(np.sum(g))) > 0.02 for g in truth.values()), (
        "a gradient of 0 shows nothing"
    )
    assert deviation(*estimate()) < 4.5


@pytest.mark.parametrize(
    "change",
    [{"weight": 0.0}, {"render": lambda rng, mean: mean}, {"stopped": False}],
    ids=["no reconstructions", "no noise", "nothing stopped"],
)
def test_without_one_of_the_three_it_does_not(change):
    assert deviation(*estimate(**change)) > 20
