"""Diagonal Gaussians and their products: arrays in, one number per example out.

q = Gaussian(mean, logvar)                 # [B, D] each
z = sample(rng, q)                         # [B, D], reparameterised
kl = kl_to_standard_normal(q)              # [B], nats
group_q = product_of_gaussians(q, group)   # [B, D]: row i is the posterior of i's group
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from refvae_jax.shares import gathered

# Group sums are small products; a TPU would otherwise do them in bfloat16.
PRECISION = jax.lax.Precision.HIGHEST


class Gaussian(NamedTuple):
    """One diagonal Gaussian per example: `mean` and `logvar` (natural log of the variance)."""

    mean: Float[Array, "B D"]
    logvar: Float[Array, "B D"]


def sample(rng: PRNGKeyArray, q: Gaussian) -> Float[Array, "B D"]:
    """Draws z = mean + eps * sigma, [B, D], with gradient to both parameters."""
    eps = jax.random.normal(rng, q.mean.shape, q.mean.dtype)
    return q.mean + eps * jnp.exp(0.5 * q.logvar)


def sample_each(rng: PRNGKeyArray, *qs: Gaussian) -> list[Float[Array, "B D"]]:
    """Draws from each of several Gaussians, [B, D] with a B of its own; `rng` serves them all."""
    sizes, dtype = [len(q.mean) for q in qs], qs[0].mean.dtype
    noise = jax.random.normal(rng, (len(qs), max(sizes), *qs[0].mean.shape[1:]), dtype)
    eps = (each[:size] for each, size in zip(noise, sizes, strict=True))
    return [q.mean + e * jnp.exp(0.5 * q.logvar) for q, e in zip(qs, eps, strict=True)]


def log_prob_per_dimension(q: Gaussian, z: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """Log density of each dimension of z under q, in nats; the two may broadcast."""
    squared = (z - q.mean) ** 2 * jnp.exp(-q.logvar)
    return -0.5 * (squared + q.logvar + jnp.log(2 * jnp.pi))


def log_prob(q: Gaussian, z: Float[Array, "B D"]) -> Float[Array, " B"]:
    """Log density of z [B, D] under q, summed over the latent: [B], in nats."""
    return jnp.sum(log_prob_per_dimension(q, z), axis=-1)


def kl_to_standard_normal(q: Gaussian) -> Float[Array, " B"]:
    """KL(q || N(0, I)) of each example: [B], in nats, >= 0."""
    return 0.5 * jnp.sum(jnp.exp(q.logvar) + q.mean**2 - 1 - q.logvar, axis=-1)


def same_group(group: Int[Array, " B"]) -> Bool[Array, "B B"]:
    """Which images share a group, [B, B] bool, from ids `group` [B] int (any ids, -1 = none).

    An image without a group shares with no image, not even itself.
    """
    return (group[:, None] == gathered(group)[None, :]) & (group[:, None] >= 0)


def first_of_group(group: Int[Array, " B"]) -> Bool[Array, " B"]:
    """True at the first image of each group in the batch, [B] bool: counts every group once."""
    return (group >= 0) & (jnp.argmax(same_group(group), axis=1) == jnp.arange(group.shape[0]))


def product_of_gaussians(q: Gaussian, group: Int[Array, " B"]) -> Gaussian:
    """Each image's group posterior, the normalised product of the members' Gaussians.

    Equation 3 of the mixture paper: 1/Sigma_G = sum_i 1/Sigma_i, mu_G = Sigma_G sum_i mu_i/Sigma_i.

    Args:
      q: Gaussian of [B, D].
      group: int [B], any ids; an image with -1 keeps its own Gaussian, as if alone.

    Returns:
      Gaussian of [B, D]; row i is that of image i's group, with gradient to all members.
    """
    member = same_group(group) | jnp.eye(group.shape[0], dtype=bool)
    member = member.astype(q.mean.dtype)  # [B, B]
    # In units of the batch's highest precision in each dimension: nothing overflows, and nothing
    # is lost while the log variances of a dimension lie within 80 of each other.
    q = gathered(q)
    scale = jax.lax.stop_gradient(jnp.min(q.logvar, axis=0))
    precision = jnp.exp(scale - q.logvar)
    total = jnp.matmul(member, precision, precision=PRECISION)
    weighted = jnp.matmul(member, precision * q.mean, precision=PRECISION)
    return Gaussian(weighted / total, scale - jnp.log(total))
