"""The terms of the objectives: formulae only, no parameters and no weights. [B] or a scalar out."""

import jax.numpy as jnp

from refvae_jax.distributions import PRECISION


def squared_error(x, recon):
    """|x - recon|^2 summed over pixels and channels, [B], of images [B, H, W, C] in [0, 1]."""
    return jnp.sum((x - recon) ** 2, axis=(1, 2, 3))


def mixture_kl(content, style, group_mean, k):
    """The Kullback-Leibler part of equation 5 of the mixture paper, [B].

    1/2 (sum sigma^2 + k |mu_c - mu_G|^2 + |mu_s|^2 - D - sum log sigma^2), sums over both latents.

    Args:
      content: Gaussian of [B, D_c].
      style: Gaussian of [B, D_s].
      group_mean: mu_G of each image's group, [B, D_c]; zero for an image without a group.
      k: how strongly content is drawn to the mean of its group; 1 gives the KL to N(mu_G, I).
    """
    attraction = k * jnp.sum((content.mean - group_mean) ** 2, axis=-1)
    style_norm = jnp.sum(style.mean**2, axis=-1)
    spread = sum(jnp.sum(jnp.exp(q.logvar) - 1 - q.logvar, axis=-1) for q in (content, style))
    return 0.5 * (spread + attraction + style_norm)


def repulsion(group_mean, first, delta):
    """mean_{G<G'} 1 / (|mu_G - mu_G'|^2 + delta) over the pairs of groups in the batch, a scalar.

    F_R of the mixture paper. Zero where fewer than two groups are present.

    Args:
      group_mean: mu_G in the row of each image, [B, D].
      first: bool [B], True at one image of each group (`distributions.first_of_group`).
      delta: keeps the term finite where two groups coincide; > 0.
    """
    first = first.astype(group_mean.dtype)
    norm = jnp.sum(group_mean**2, axis=-1)
    inner = jnp.matmul(group_mean, group_mean.T, precision=PRECISION)
    distance = norm[:, None] + norm[None, :] - 2 * inner  # [B, B]
    pair = jnp.triu(first[:, None] * first[None, :], k=1)
    # Where a row is no pair (the diagonal, two members of one group) the sum must see no number
    # that rounding could push below zero.
    force = pair / (jnp.where(pair > 0, jnp.maximum(distance, 0), 0) + delta)
    return jnp.sum(force) / jnp.maximum(jnp.sum(pair), 1)


def centring(group_mean, first):
    """mean_G |mu_G|^2 over the groups in the batch, a scalar: U of the mixture paper.

    Arguments as for `repulsion`; zero where no image has a group.
    """
    first = first.astype(group_mean.dtype)
    norm = jnp.sum(group_mean**2, axis=-1)
    return jnp.sum(first * norm) / jnp.maximum(jnp.sum(first), 1)
