"""sVAE: the symmetric VAE, sRb-VAE without references.

Pu et al.: "Symmetric Variational Autoencoder and Connections to Adversarial Learning", AISTATS
2018, with the formulas of sRb-VAE (`srbvae.py`): one latent z, one discriminator
d(x,z) ~ log q/p, and both explicit reconstructions.

    L_discriminator = sp(-d(x, z)) + sp(d(g, z1)),  z ~ q(z|x), z1 ~ N, g = G(z1)
    L_model  = d(x, z) - d(g, z1) + w_image mean|x - G(z)| + w_latent error(z1, q(z|g))
"""

import jax
import jax.numpy as jnp

from refvae_jax import distributions
from refvae_jax.methods import losses, reference_networks, srbvae, vae
from refvae_jax.methods.base import DISCRIMINATOR, MODEL, Method


def make_method(config, data_info):
    """Makes the Method; the fields of `config.method` are those of sRb-VAE."""
    net = reference_networks.make_networks(config, data_info, ("z",))
    method = config.method
    init_discriminator, apply_discriminator = reference_networks.make_discriminator(
        config, data_info, net.sizes, method.block_dropout
    )
    latent_error = srbvae.LATENT_ERRORS[method.latent_error]
    stopped = method.reconstruction_gradient == "stopped"

    def init(rng):
        rng_model, rng_discriminator = jax.random.split(rng)
        params = {
            DISCRIMINATOR: init_discriminator(rng_discriminator),
            MODEL: net.init(rng_model),
        }
        return {"params": params, "mutable": reference_networks.no_statistics(*params)}

    def losses_of(variables, batch, rng):
        hold = jax.lax.stop_gradient if stopped else lambda tree: tree
        params, x = variables["params"][MODEL], batch["image"]
        rng_prior, rng_z, rng_discriminator = jax.random.split(rng, 3)
        z1 = jax.random.normal(rng_prior, (len(x), net.sizes["z"]))
        made = net.decode(params, {"z": z1})
        q = net.encode(params, jnp.concatenate([x, hold(made)]))["z"]
        q_real, q_made = (jax.tree.map(lambda a, i=i: jnp.split(a, 2)[i], q) for i in (0, 1))
        z = distributions.sample(rng_z, q_real)
        recon = net.decode(params, {"z": hold(z)})

        def discriminator(*inputs):
            return apply_discriminator(variables["params"][DISCRIMINATOR], *inputs)

        d = srbvae.logits(discriminator, (x, {"z": z}), (made, {"z": z1}), rng_discriminator)
        discriminator_loss, discriminator_scalars = srbvae.discriminator_objective(
            {"unlabelled": d}
        )
        scalars = vae.evidence_scalars(x, recon, q_real)
        scalars |= {
            "adversarial": jnp.mean(losses.adversarial_loss(*d)),
            "latent_error/z": jnp.mean(latent_error(z1, q_made)),
        }
        model_loss = (
            scalars["adversarial"]
            + method.w_image * scalars["recon"]
            + method.w_latent * scalars["latent_error/z"]
        )
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, discriminator_scalars)),
            MODEL: (model_loss, ({}, scalars)),
        }

    players = (DISCRIMINATOR, MODEL)
    return Method("unsupervised", players, init, losses_of, **net.method_functions)
