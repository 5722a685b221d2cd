"""VAE and its regularised variants: one latent z, no supervision.

    loss = |x - G(z)|_1 / lambda + regulariser(q(z|x), z)

    VAE, beta-VAE   beta KL                  Kingma and Welling 2014; Higgins et al. 2017
    beta-TCVAE      MI + beta TC + dim. KL   Chen et al. 2018, equation 4
    DIP-VAE-I, -II  KL + covariance penalty  Kumar et al. 2018, equations 6 and 7

The likelihood and the networks are those of the reference paper, whose baselines these are.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import losses, reference_networks
from refvae_jax.methods.base import (
    MODEL,
    Batch,
    Config,
    DataInfo,
    Images,
    Method,
    Params,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)

COVARIANCE = "the covariance of codes"
OVER_BATCH = {"betatcvae": "the density of codes", "dipvae1": COVARIANCE, "dipvae2": COVARIANCE}


def beta_kl(q: Gaussian, z: Float[Array, "B D"], beta: float) -> tuple[Scalar, Scalars]:
    """beta KL(q || N(0, I)), and no further scalars to log."""
    del z
    kl = jnp.mean(distributions.kl_to_standard_normal(q))
    return beta * kl, {}


def beta_total_correlation(
    q: Gaussian, z: Float[Array, "B D"], beta: float, num_images: int
) -> tuple[Scalar, Scalars]:
    """MI + beta TC + dimension-wise KL, by `losses.total_correlation_terms`.

    The logged `total_correlation` is a biased estimate from the batch alone: a penalty, not a
    measurement to compare methods by.

    Raises:
      UserError: the batch has fewer than two images.
    """
    if len(z) < 2:
        raise UserError(
            "betatcvae estimates q(z) from the other images (of the device, if parallel.map is "
            "pmap): set --config.batch_size so that there are two or more, which takes two "
            "training images or more."
        )
    mi, tc, dimension_kl = losses.total_correlation_terms(z, q, num_images)
    scalars = {"mutual_information": mi, "total_correlation": tc, "dimension_kl": dimension_kl}
    return mi + beta * tc + dimension_kl, scalars


def dip(
    q: Gaussian,
    z: Float[Array, "B D"],
    w_off_diagonal: float,
    w_diagonal: float,
    with_variances: bool,
) -> tuple[Scalar, Scalars]:
    """KL + the penalty on the covariance of the means (DIP-VAE-I) or of q(z) itself (II).

    By the law of total covariance Cov(z) = Cov(mean) + E[diag(sigma^2)].
    """
    del z
    kl = jnp.mean(distributions.kl_to_standard_normal(q))
    covariance = losses.covariance(q.mean)
    if with_variances:
        covariance += jnp.diag(jnp.mean(jnp.exp(q.logvar), axis=0))
    penalty = losses.covariance_penalty(covariance, w_off_diagonal, w_diagonal)
    return kl + penalty, {"covariance_penalty": penalty}


def regulariser(
    method: Config, num_images: int
) -> Callable[[Gaussian, Float[Array, "B D"]], tuple[Scalar, Scalars]]:
    """(q, z) -> (scalar, scalars to log) of `config.method`."""
    weights = method.w_off_diagonal, method.w_diagonal
    return {
        "vae": lambda q, z: beta_kl(q, z, 1.0),
        "betavae": lambda q, z: beta_kl(q, z, method.beta),
        "betatcvae": lambda q, z: beta_total_correlation(q, z, method.beta, num_images),
        "dipvae1": lambda q, z: dip(q, z, *weights, with_variances=False),
        "dipvae2": lambda q, z: dip(q, z, *weights, with_variances=True),
    }[method.name]


def reconstruct(
    net: reference_networks.Backbone, params: Params, x: Images, rng: PRNGKeyArray
) -> tuple[Gaussian, Float[Array, "B D"], Images]:
    """(q, z, recon): the posterior of x, a sample of it, and its decoded image."""
    q = net.encode(params, x)["z"]
    z = distributions.sample(rng, q)
    return q, z, net.decode(params, {"z": z})


def evidence_scalars(x: Images, recon: Images, q: Gaussian) -> Scalars:
    """What every method of one latent logs: error per value of images in [-1, 1], KL in nats."""
    error = jnp.mean(reference_networks.per_value(losses.absolute_error(x, recon), x))
    return {"recon": error, "kl/z": jnp.mean(distributions.kl_to_standard_normal(q))}


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method.name` chooses the regulariser."""
    net = reference_networks.make_networks(config, data_info, ("z",))
    scale = config.method.scale
    penalise = regulariser(config.method, data_info.num_train_images)

    def init(rng: PRNGKeyArray) -> Variables:
        return {
            "params": {MODEL: net.init(rng)},
            "mutable": reference_networks.no_statistics(MODEL),
        }

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        x = batch["image"]
        q, z, recon = reconstruct(net, variables["params"][MODEL], x, rng)
        penalty, scalars = penalise(q, z)
        value = jnp.mean(losses.absolute_error(x, recon)) / scale + penalty
        return {MODEL: (value, ({}, evidence_scalars(x, recon, q) | scalars))}

    over_batch = OVER_BATCH.get(config.method.name, "")
    functions = net.method_functions
    return Method("unsupervised", (MODEL,), init, losses_of, **functions, over_batch=over_batch)
