"""sRb-VAE: Rb-VAE by the symmetric KL, with discriminators that estimate density ratios.

Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled Representations with Reference-Based
Variational Autoencoders". Equation numbers are the paper's; the generative model is `rbvae.py`'s.

    xu -> zu, eu;  xr -> zr                       inferred, from unlabelled and reference images
    z1, e1 -> gu = G(z1, e1);  z2 -> gr = G(z2, e_ref)      drawn from the priors, and generated
    d_u(x,z,e) ~ log q_u/p_u;  d_r(x,z) ~ log q_r/p_r       two networks, one player: discriminator

(5) KL(p||q) = 1/2 { E KL(p(x|z,e)||u(x)) + E KL(p(x|z,e_ref)||r(x))
                     - E[log q(z|x) + log q(e|x)] - E_r[log q(z|x)] } + const,

with expectations over the priors and the generator: codes must be recoverable from generated
images, so the generator cannot ignore the target, which the evidence bound of Rb-VAE allows.

(7) L_discriminator = sp(-d_u(xu,zu,eu)) + sp(d_u(gu,z1,e1))
                    + sp(-d_r(xr,zr))    + sp(d_r(gr,z2))
(6) L_adversarial   = d_u(xu,zu,eu) - d_u(gu,z1,e1) + d_r(xr,zr) - d_r(gr,z2)
    L_model         = L_adversarial + w_image  (|xu - G(zu,eu)| + |xr - G(zr,e_ref)|)
                                    + w_latent (errors of z1, e1 from gu and of z2 from gr)

with sp(t) = log(1 + e^t). L_discriminator moves the discriminators only, L_model everything else,
e_ref included.

With the discriminators fixed, (6) alone drops two gradients of the symmetric KL: of the generator's
parameters in log p(x|z,e) and of the encoders' in log q(z|x). The explicit reconstructions bring
them back, exactly if what they reconstruct from is not differentiated ("stopped"), images are
drawn with the noise of the likelihood and the weights are those of the nats. Training gives no
noise to what G generates, so neither setting is exact in practice; the paper stops nothing
("paper").
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import independence, losses, reference_networks, symmetric_kl
from refvae_jax.methods.base import (
    DISCRIMINATOR,
    MODEL,
    Config,
    DataInfo,
    Images,
    Method,
    Variables,
)
from refvae_jax.methods.rbvae import LATENTS, init_model

LOGVAR_FLOOR = -4.0  # Chosen: of the likelihood form of the latent error, which has no minimum.


def mean_absolute_error(x: Images, recon: Images) -> Float[Array, " B"]:
    """|x - recon|_1 per pixel and channel, [B], images in [-1, 1]: what `w_image` multiplies."""
    return reference_networks.per_value(losses.absolute_error(x, recon), x)


def floored_likelihood(z: Float[Array, "B D"], q: Gaussian) -> Float[Array, " B"]:
    """-log q(z), [B], in nats, with the log variance at LOGVAR_FLOOR at least."""
    return -distributions.log_prob(Gaussian(q.mean, jnp.maximum(q.logvar, LOGVAR_FLOOR)), z)


LATENT_ERRORS = {"squared": losses.half_squared_error, "likelihood": floored_likelihood}


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method` gives the weights, see `config_rules`."""
    net = reference_networks.make_networks(config, data_info, LATENTS)
    method = config.method
    discriminators = {
        name: reference_networks.make_discriminator(config, data_info, sizes, method.block_dropout)
        for name, sizes in (
            ("unlabelled", net.sizes),
            ("reference", {"common": net.sizes["common"]}),
        )
    }
    parts = symmetric_kl.Parts(
        sizes=net.sizes,
        encode=net.encode,
        decode=net.decode,
        discriminator_unlabelled=discriminators["unlabelled"].apply,
        discriminator_reference=discriminators["reference"].apply,
        image_error=mean_absolute_error,
        latent_error=LATENT_ERRORS[method.latent_error],
        render=lambda rng, mean: mean,
    )

    def init(rng: PRNGKeyArray) -> Variables:
        rngs = jax.random.split(rng, 3)
        discriminator = {
            name: network.init(r)
            for r, (name, network) in zip(rngs[1:], discriminators.items(), strict=True)
        }
        params = {DISCRIMINATOR: discriminator, MODEL: init_model(net, rngs[0])}
        return {"params": params, "mutable": reference_networks.no_statistics(*params)}

    players = (DISCRIMINATOR, MODEL)
    losses_of = symmetric_kl.make_losses(
        parts,
        independence.make_term(config),
        w_image=method.w_image,
        w_latent=method.w_latent,
        stopped=method.reconstruction_gradient == "stopped",
    )
    over_batch = independence.over_batch(config)
    functions = net.method_functions
    return Method("reference", players, init, losses_of, **functions, over_batch=over_batch)
