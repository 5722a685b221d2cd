"""FactorVAE: a VAE whose latent is made independent by a discriminator.

Kim and Mnih: "Disentangling by Factorising", ICML 2018. The discriminator separates z of one half
of the batch from z of the other half with each dimension permuted over the examples. At its optimum
its logit is log q(z) / prod_d q(z_d), whose mean is the total correlation, the model's penalty:

    L_discriminator = sp(-D(z)) + sp(D(permuted z'))                    z, z' stopped
    L_model         = |x - G(z)|_1 / lambda + KL + gamma E[D(z)]        equation 2
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.errors import UserError
from refvae_jax.methods import losses, reference_networks, vae
from refvae_jax.methods.base import (
    DISCRIMINATOR,
    MODEL,
    Batch,
    Config,
    DataInfo,
    Method,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)
from refvae_jax.networks.discriminators import LatentDiscriminator
from refvae_jax.shares import gathered, mixed, spread


def permute_dimensions(rng: PRNGKeyArray, z: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """Each column of z [B, D] permuted separately: same marginals, no dependence."""
    return jax.random.permutation(rng, z, axis=0, independent=True)


def discriminator_objective(
    discriminator: Callable[[Array], Array], z: Float[Array, "B D"], rng: PRNGKeyArray
) -> tuple[Scalar, Scalars]:
    """L_discriminator for codes z [B, D], and the discriminator's accuracy on each half.

    Raises:
      UserError: B is odd.
    """
    if len(z) % 2:
        raise UserError(
            f"factorvae compares one half of the images with the other, but has {len(z)} (per "
            f"device, if parallel.map is pmap): set --config.batch_size so that they are even, "
            f"which takes two training images or more."
        )

    def with_permuted_half(z: Float[Array, "B D"]) -> Float[Array, "B D"]:
        joint, others = jnp.split(z, 2)
        return jnp.concatenate([joint, permute_dimensions(rng, others)])

    both = spread(mixed(with_permuted_half, jax.lax.stop_gradient(z)))
    on_joint, on_permuted = jnp.split(gathered(discriminator(both)), 2)
    loss = jnp.mean(losses.discriminator_loss(on_joint, on_permuted))
    return loss, {
        "discriminator/accuracy/joint": jnp.mean(on_joint > 0),
        "discriminator/accuracy/permuted": jnp.mean(on_permuted < 0),
    }


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method.gamma` is the weight of the total correlation."""
    net = reference_networks.make_networks(config, data_info, ("z",))
    scale, gamma = config.method.scale, config.method.gamma
    network = LatentDiscriminator()

    def init(rng: PRNGKeyArray) -> Variables:
        rng_model, rng_discriminator = jax.random.split(rng)
        discriminator = network.init(rng_discriminator, jnp.zeros((1, net.sizes["z"])))["params"]
        params = {DISCRIMINATOR: discriminator, MODEL: net.init(rng_model)}
        return {"params": params, "mutable": reference_networks.no_statistics(*params)}

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        rng_z, rng_permutation = jax.random.split(rng)
        params, x = variables["params"], batch["image"]

        def discriminator(z: Float[Array, "B D"]) -> Float[Array, " B"]:
            return network.apply({"params": params[DISCRIMINATOR]}, z)

        q, z, recon = vae.reconstruct(net, params[MODEL], x, rng_z)
        discriminator_loss, discriminator_scalars = discriminator_objective(
            discriminator, z, rng_permutation
        )
        kl = jnp.mean(distributions.kl_to_standard_normal(q))
        total_correlation = jnp.mean(discriminator(z))
        error = jnp.mean(losses.absolute_error(x, recon))
        model_loss = error / scale + kl + gamma * total_correlation
        scalars = vae.evidence_scalars(x, recon, q) | {"total_correlation": total_correlation}
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, discriminator_scalars)),
            MODEL: (model_loss, ({}, scalars)),
        }

    players = (DISCRIMINATOR, MODEL)
    over_batch = "codes permuted over the examples"
    functions = net.method_functions
    return Method("unsupervised", players, init, losses_of, **functions, over_batch=over_batch)
