"""GM-VAE: content and style from group labels alone.

Morshuis, Samplawski, Nabi: "Weakly Supervised Content and Style Disentanglement with Gaussian
Mixture VAEs". Equation numbers are the paper's.

An image's content has the prior N(mu_G, I / k) of its group G, its style the prior N(0, I). The
group's mean mu_G is not a parameter: it is the mean of the product of its members' posteriors in
the batch. Repulsion keeps the groups' means apart, centring keeps them near zero.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.methods import losses, mixture_networks
from refvae_jax.methods.base import (
    MODEL,
    Batch,
    Codes,
    Config,
    DataInfo,
    Images,
    Latents,
    Method,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)


def objective(
    x: Images,
    recon: Images,
    latents: Latents,
    group: Int[Array, " B"],
    *,
    k: float,
    w_rep: float,
    w_cent: float,
    delta: float,
) -> tuple[Scalar, Scalars]:
    """Equation 5, with repulsion and centring, averaged over the batch.

    Args:
      x, recon: images [B, H, W, C] in [0, 1].
      latents: {"content": Gaussian of [B, D_c], "style": Gaussian of [B, D_s]}.
      group: int [B], any ids; -1 for an image without a group: its mu_G is 0, and it takes no part
        in repulsion and centring (semi-supervised setting, Appendix B).
      k: strength of the attraction to the group's mean.
      w_rep, delta: weight and softening of `losses.repulsion`.
      w_cent: weight of `losses.centring`.

    Returns:
      (loss, scalars), nats up to the constant of the likelihood.
    """
    content = latents["content"]
    posterior = distributions.product_of_gaussians(content, group)  # (3)
    group_mean = jnp.where(group[:, None] >= 0, posterior.mean, 0)
    first = distributions.first_of_group(group)

    recon_error = jnp.mean(losses.squared_error(x, recon))
    kl = jnp.mean(losses.mixture_kl(content, latents["style"], group_mean, k))
    repulsion = losses.repulsion(group_mean, first, delta)
    centring = losses.centring(group_mean, first)
    loss = recon_error + kl + w_rep * repulsion + w_cent * centring  # (5)
    spread = jnp.mean(jnp.sum((content.mean - group_mean) ** 2, axis=-1))
    scalars = {
        "recon": recon_error,
        "kl": kl,
        "kl/style": jnp.mean(distributions.kl_to_standard_normal(latents["style"])),
        "content/distance_to_group": spread,
        "content/repulsion": repulsion,
        "content/squared_radius": centring,
    }
    return loss, scalars


def sample_codes(latents: Latents, rng: PRNGKeyArray) -> Codes:
    """Equation 4: both codes from the image's own posteriors, {latent: [B, D]}."""
    rng_content, rng_style = jax.random.split(rng)
    rngs: dict[str, PRNGKeyArray] = {"content": rng_content, "style": rng_style}
    return {name: distributions.sample(rngs[name], q) for name, q in latents.items()}


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method` gives k, w_rep, w_cent, delta and the independence term."""
    net = mixture_networks.make_networks(config, data_info)
    method = config.method
    constants = {n: method[n] for n in ("k", "w_rep", "w_cent", "delta")}
    style_term = mixture_networks.make_style_term(config, net)

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        x = batch["image"]
        latents, encoder_statistics = net.train_encode(variables, x)
        recon, decoder_statistics = net.train_decode(variables, sample_codes(latents, rng))
        value, scalars = objective(x, recon, latents, batch["group"], **constants)
        extra, extra_scalars = style_term(variables, latents, batch)
        mutable = {"encoder": encoder_statistics, "decoder": decoder_statistics}
        return {MODEL: (value + extra, (mutable, scalars | extra_scalars))}

    return mixture_networks.method_of(net, losses_of)
