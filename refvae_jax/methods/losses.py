"""The terms of the objectives: formulas without parameters or weights; [B] or a scalar out."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from refvae_jax.distributions import PRECISION, Gaussian, log_prob, log_prob_per_dimension
from refvae_jax.shares import gathered


def squared_error(x: Float[Array, "B H W C"], recon: Float[Array, "B H W C"]) -> Float[Array, " B"]:
    """|x - recon|^2 summed over pixels and channels, [B], of images [B, H, W, C] in [0, 1]."""
    return jnp.sum((x - recon) ** 2, axis=(1, 2, 3))


def mixture_kl(
    content: Gaussian, style: Gaussian, group_mean: Float[Array, "B D"], k: float
) -> Float[Array, " B"]:
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


def squared_distances(x: Float[Array, "B D"]) -> Float[Array, "B B"]:
    """|x_i - x_j|^2 of each pair, [B, B]; 0 where rounding would make it negative."""
    norm = jnp.sum(x**2, axis=-1)
    others, norm_of_others = gathered((x, norm))
    inner = jnp.matmul(x, others.T, precision=PRECISION)
    return jnp.maximum(norm[:, None] + norm_of_others[None, :] - 2 * inner, 0)


def repulsion(
    group_mean: Float[Array, "B D"], first: Bool[Array, " B"], delta: float
) -> Float[Array, ""]:
    """mean_{G<G'} 1 / (|mu_G - mu_G'|^2 + delta) over the pairs of groups in the batch, a scalar.

    F_R of the mixture paper. Zero where fewer than two groups are present.

    Args:
      group_mean: mu_G in the row of each image, [B, D].
      first: bool [B], True at one image of each group (`distributions.first_of_group`).
      delta: keeps the term finite where two groups coincide; > 0.
    """
    first = first.astype(group_mean.dtype)
    distance = squared_distances(group_mean)
    pair = jnp.triu(first[:, None] * gathered(first)[None, :], k=1)
    # Off the pairs (the diagonal, two members of one group) the distance must not enter the sum.
    force = pair / (jnp.where(pair > 0, distance, 0) + delta)
    return jnp.sum(force) / jnp.maximum(jnp.sum(pair), 1)


def centring(group_mean: Float[Array, "B D"], first: Bool[Array, " B"]) -> Float[Array, ""]:
    """mean_G |mu_G|^2 over the groups in the batch, a scalar: U of the mixture paper.

    Arguments as for `repulsion`; zero where no image has a group.
    """
    first = first.astype(group_mean.dtype)
    norm = jnp.sum(group_mean**2, axis=-1)
    return jnp.sum(first * norm) / jnp.maximum(jnp.sum(first), 1)


def absolute_error(
    x: Float[Array, "B H W C"], recon: Float[Array, "B H W C"]
) -> Float[Array, " B"]:
    """|x - recon|_1 in the reference paper's units, images in [-1, 1]: summed, [B].

    Args:
      x, recon: images [B, H, W, C] in [0, 1]; a difference there is half of one in [-1, 1].
    """
    return 2 * jnp.sum(jnp.abs(x - recon), axis=(1, 2, 3))


def discriminator_loss(
    logits_q: Float[Array, " B"], logits_p: Float[Array, " B"]
) -> Float[Array, " B"]:
    """sp(-d) on pairs of the encoder + sp(d) on pairs of the generator, [B].

    Half of equation 7 of the reference paper. At its minimum d = log q/p.

    Args:
      logits_q: d of images with their inferred codes, [B].
      logits_p: d of drawn codes with the images generated from them, [B].
    """
    return jax.nn.softplus(-logits_q) + jax.nn.softplus(logits_p)


def adversarial_loss(
    logits_q: Float[Array, " B"], logits_p: Float[Array, " B"]
) -> Float[Array, " B"]:
    """d on pairs of the encoder - d on pairs of the generator, [B].

    Half of equation 6 of the reference paper: with d = log q/p its mean is the symmetric KL.
    Arguments as for `discriminator_loss`.
    """
    return logits_q - logits_p


def half_squared_error(z: Float[Array, "B D"], q: Gaussian) -> Float[Array, " B"]:
    """1/2 |z - mean|^2 of codes z [B, D] under a Gaussian q: [B], in nats at variance 1."""
    return 0.5 * jnp.sum((z - q.mean) ** 2, axis=-1)


def total_correlation_terms(
    z: Float[Array, "B D"], q: Gaussian, num_images: int
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """The KL of q split in three, estimated in the batch: (mi, tc, dimension_kl), scalars in nats.

    beta-TCVAE (Chen et al., "Isolating sources of disentanglement in VAEs", equation 2), by
    minibatch stratified sampling. The estimate of q(z) is unbiased, its log is biased low: in two
    dimensions at batch 1024 the total correlation is within 10 %; at 32 dimensions and batch 36 it
    is only a regulariser, not an estimate.

    Args:
      z: a sample of each image's posterior, [B, D]; B >= 2.
      q: the posteriors, Gaussian of [B, D].
      num_images: N, of the training set; N >= B.
    """
    others = jax.tree.map(lambda x: x[None], q)
    pairwise = log_prob_per_dimension(others, z[:, None])  # [B, B, D]: log q(z_i | x_j)
    log_weight = stratified_log_weights(len(z), num_images)  # [B, B]
    log_qz = jax.nn.logsumexp(log_weight + jnp.sum(pairwise, axis=-1), axis=1)
    log_qz_product = jnp.sum(jax.nn.logsumexp(log_weight[..., None] + pairwise, axis=1), axis=-1)
    log_qz_x = log_prob(q, z)
    prior = Gaussian(jnp.zeros_like(z), jnp.zeros_like(z))
    log_pz = log_prob(prior, z)
    return (
        jnp.mean(log_qz_x - log_qz),
        jnp.mean(log_qz - log_qz_product),
        jnp.mean(log_qz_product - log_pz),
    )


def stratified_log_weights(batch_size: int, num_images: int) -> Float[Array, "B B"]:
    """log of the weight of q(z_i | x_j) in the estimate of q(z_i), [B, B].

    With m = B - 1: 1/N on the diagonal, (N - m) / (N m) on one other column, 1/m elsewhere. Rows
    sum to one. (The best-known public implementations put 1/N in a column by mistake.)
    """
    m = batch_size - 1
    rows = np.arange(batch_size)
    weight = np.full((batch_size, batch_size), 1 / m)
    weight[rows, (rows + 1) % batch_size] = (num_images - m) / (num_images * m)
    weight[rows, rows] = 1 / num_images
    return jnp.asarray(np.log(weight), jnp.float32)


def covariance_penalty(
    covariance: Float[Array, "D D"], w_off_diagonal: float, w_diagonal: float
) -> Float[Array, ""]:
    """w_od sum_{i != j} C_ij^2 + w_d sum_i (C_ii - 1)^2, a scalar, of a covariance C [D, D].

    DIP-VAE (Kumar et al., "Variational inference of disentangled latent concepts", equations 6
    and 7): C is that of the posterior means (I), plus the mean posterior variances (II).
    """
    diagonal = jnp.diagonal(covariance)
    off_diagonal = jnp.sum(covariance**2) - jnp.sum(diagonal**2)
    return w_off_diagonal * off_diagonal + w_diagonal * jnp.sum((diagonal - 1) ** 2)


def covariance(x: Float[Array, "B D"]) -> Float[Array, "D D"]:
    """Covariance over the batch of x [B, D], divided by B: [D, D]."""
    centred = x - jnp.mean(x, axis=0)
    return jnp.matmul(centred.T, centred, precision=PRECISION) / len(x)
