"""ML-VAE: the baseline in which all images of a group share one content.

Bouchacourt, Tomioka, Nowozin: "Multi-Level Variational Autoencoder", AAAI 2018. Content is drawn
from the posterior of the whole group, a product over its members; the gradient goes through the
product to the encoder of every member (a well-known public implementation cuts it there). At test
time, without groups, an image's content is its own posterior.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import losses, mixture_networks
from refvae_jax.methods.base import (
    MODEL,
    Batch,
    Codes,
    Config,
    DataInfo,
    Images,
    Method,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)


def objective(
    x: Images, recon: Images, style: Gaussian, group_content: Gaussian, group: Int[Array, " B"]
) -> tuple[Scalar, Scalars]:
    """The group's negative evidence bound divided by the number of images.

    sum_i [|x_i - recon_i|^2 + KL(q(s_i) || N)] + sum_G KL(q(c_G) || N), over the batch size.

    Args:
      x, recon: images [B, H, W, C] in [0, 1]; recon from content of the group, style of the image.
      style: Gaussian of [B, D_s].
      group_content: Gaussian of [B, D_c], the posterior of each image's group.
      group: int [B], any ids; an image with -1 is a group of its own.

    Returns:
      (loss, scalars), nats up to the constant of the likelihood.
    """
    once = distributions.first_of_group(group) | (group < 0)
    recon_error = jnp.mean(losses.squared_error(x, recon))
    style_kl = jnp.mean(distributions.kl_to_standard_normal(style))
    content_kl = jnp.mean(once * distributions.kl_to_standard_normal(group_content))
    scalars = {"recon": recon_error, "kl/style": style_kl, "kl/content": content_kl}
    return recon_error + style_kl + content_kl, scalars


def sample_codes(group_content: Gaussian, style: Gaussian, rng: PRNGKeyArray) -> Codes:
    """Content from the group's posterior, style from the image's own, {latent: [B, D]}.

    As in Algorithm 1 of Bouchacourt et al., every image draws its own sample of the group's
    content: the bound is the same, with lower variance than one sample per group.
    """
    rng_content, rng_style = jax.random.split(rng)
    return {
        "content": distributions.sample(rng_content, group_content),
        "style": distributions.sample(rng_style, style),
    }


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method` gives the independence term, nothing else."""
    net = mixture_networks.make_networks(config, data_info)
    style_term = mixture_networks.make_style_term(config, net)

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        x, group = batch["image"], batch["group"]
        latents, encoder_statistics = net.train_encode(variables, x)
        group_content = distributions.product_of_gaussians(latents["content"], group)
        codes = sample_codes(group_content, latents["style"], rng)
        recon, decoder_statistics = net.train_decode(variables, codes)
        value, scalars = objective(x, recon, latents["style"], group_content, group)
        extra, extra_scalars = style_term(variables, latents, batch)
        mutable = {"encoder": encoder_statistics, "decoder": decoder_statistics}
        return {MODEL: (value + extra, (mutable, scalars | extra_scalars))}

    return mixture_networks.method_of(net, losses_of)
