"""sVAE: the symmetric VAE, sRb-VAE without references.

Pu et al.: "Symmetric Variational Autoencoder and Connections to Adversarial Learning", AISTATS
2018, with the formulas of sRb-VAE (`srbvae.py`): one latent z, one discriminator
d(x,z) ~ log q/p, and both explicit reconstructions.

    L_discriminator = sp(-d(x, z)) + sp(d(g, z1)),  z ~ q(z|x), z1 ~ N, g = G(z1)
    L_model         = d(x, z) - d(g, z1) + w_image mean|x - G(z)| + w_latent error(z1, q(z|g))
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import losses, reference_networks, srbvae, symmetric_kl, vae
from refvae_jax.methods.base import (
    DISCRIMINATOR,
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
from refvae_jax.methods.reference_networks import Pair
from refvae_jax.shares import together


class Draws(NamedTuple):
    """The pairs of images and codes of one step."""

    real: Pair  # x, {"z": z}
    generated: Pair  # g, {"z": z1}
    posterior_real: Gaussian  # q(z|x)
    posterior_generated: Gaussian  # q(z|g)
    recon: Images  # G(z)


def sample_step(
    net: reference_networks.Backbone,
    params: Params,
    x: Images,
    rngs: tuple[PRNGKeyArray, PRNGKeyArray],
    stopped: bool,
) -> Draws:
    """Draws everything that one step needs.

    Args:
      net: the encoder and the generator.
      params: the model's.
      x: images [B, H, W, C].
      rngs: of the prior's codes and of the encoder's.
      stopped: whether the reconstructions have no gradient to what they reconstruct from.
    """
    rng_prior, rng_z = rngs
    z1 = jax.random.normal(rng_prior, (len(x), net.sizes["z"]))
    generated = net.decode(params, {"z": z1})
    seen = symmetric_kl.stop_if_asked(generated, stopped)
    q_real, q_generated = together(lambda x: net.encode(params, x)["z"], x, seen)
    z = distributions.sample(rng_z, q_real)
    recon = net.decode(params, {"z": symmetric_kl.stop_if_asked(z, stopped)})
    return Draws((x, {"z": z}), (generated, {"z": z1}), q_real, q_generated, recon)


def model_objective(
    draws: Draws,
    d: symmetric_kl.Logits,
    latent_error: symmetric_kl.LatentError,
    *,
    w_image: float,
    w_latent: float,
) -> tuple[Scalar, Scalars]:
    """L_model, and what to log.

    Args:
      draws: of the step.
      d: the discriminator on the encoder's and on the generator's pairs, [B] each.
      latent_error: (z, Gaussian) -> [B].
      w_image, w_latent: weights of the two reconstructions.
    """
    scalars = vae.evidence_scalars(draws.real[0], draws.recon, draws.posterior_real)
    z1 = draws.generated[1]["z"]
    scalars |= {
        "adversarial": jnp.mean(losses.adversarial_loss(*d)),
        "latent_error/z": jnp.mean(latent_error(z1, draws.posterior_generated)),
    }
    loss = (
        scalars["adversarial"] + w_image * scalars["recon"] + w_latent * scalars["latent_error/z"]
    )
    return loss, scalars


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; the fields of `config.method` are those of sRb-VAE."""
    net = reference_networks.make_networks(config, data_info, ("z",))
    method = config.method
    network = reference_networks.make_discriminator(
        config, data_info, net.sizes, method.block_dropout
    )
    latent_error = srbvae.LATENT_ERRORS[method.latent_error]
    stopped = method.reconstruction_gradient == "stopped"
    weights = {"w_image": method.w_image, "w_latent": method.w_latent}

    def init(rng: PRNGKeyArray) -> Variables:
        rng_model, rng_discriminator = jax.random.split(rng)
        params = {DISCRIMINATOR: network.init(rng_discriminator), MODEL: net.init(rng_model)}
        return {"params": params, "mutable": reference_networks.no_statistics(*params)}

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        params = variables["params"]
        rng_prior, rng_z, rng_discriminator = jax.random.split(rng, 3)
        draws = sample_step(net, params[MODEL], batch["image"], (rng_prior, rng_z), stopped)
        pairs = draws.real, draws.generated
        d = network.apply(params[DISCRIMINATOR], pairs, rng_discriminator)
        discriminator_loss, discriminator_scalars = symmetric_kl.discriminator_objective(
            {"unlabelled": d}
        )
        model_loss, scalars = model_objective(draws, d, latent_error, **weights)
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, discriminator_scalars)),
            MODEL: (model_loss, ({}, scalars)),
        }

    players = (DISCRIMINATOR, MODEL)
    functions = net.method_functions
    return Method("unsupervised", players, init, losses_of, **functions, over_batch="")
