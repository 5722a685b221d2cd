"""Mathieu et al., adapted to reference images: the other method that uses them.

Mathieu et al.: "Disentangling factors of variation in deep representations using adversarial
training", NeurIPS 2016. The adaptation is the reference paper's, which says only that swaps of
unlabelled pairs are removed; the rest is derived (target e deterministic and without prior):

    L_model  = mean|x - G(z(x), e(x))|               all images, mean over their values
             + mean|xr - G(z(xr), e(xr'))|           pairs of reference images
             + w_kl KL(q(z|x) || N)
             + w_adversarial [ sp(-D(G(z(xu), e(xr)), r)) + sp(-D(G(z(xr), e(xu)), u)) ]
    L_discriminator = sp(-D(xu, u)) + sp(-D(xr, r)) + sp(D(G(z(xu), e(xr)), r)) + sp(D(G(z(xr), e(xu)), u))

D(x, set) judges images as members of the unlabelled (u) or the reference set (r). There is no
prior of e to draw from: its draws are the codes of recent unlabelled images, which training keeps.
"""

import jax
import jax.numpy as jnp

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import losses, reference_networks
from refvae_jax.methods.base import DISCRIMINATOR, MODEL, Method
from refvae_jax.methods.rbvae import LATENTS

KEPT_CODES = 512  # Recent targets of unlabelled images, to draw from.
LOGVAR = -30.0  # Of the target, which has no variance: a sample is its mean.


def kept_codes(kept, new):
    """The bank of targets [K, D] with the newest [B, D] put first."""
    return jnp.concatenate([new, kept])[: len(kept)]


def generate(net, params, xu, xr, rng):
    """Everything decoded in a step: (z posterior, e of xu, images [5 parts, B, H, W, C]).

    The parts: reconstructions of xu and of xr, xr from the target of another reference image,
    xu with a reference target, xr with an unlabelled target. xu and xr hold B images each.
    """
    n, x = len(xu), jnp.concatenate([xu, xr])
    q = net.encode(params, x)
    z, e = distributions.sample(rng, q["common"]), q["target"].mean
    (zu, zr), (eu, er) = jnp.split(z, 2), jnp.split(e, 2)
    codes = {
        "common": jnp.concatenate([zu, zr, zr, zu, zr]),
        "target": jnp.concatenate([eu, er, jnp.roll(er, 1, axis=0), er, eu]),
    }
    images = net.decode(params, codes)
    return q["common"], eu, images.reshape(5, n, *images.shape[1:])


def make_method(config, data_info):
    """Makes the Method; `config.method` gives w_kl and w_adversarial.

    Raises:
      UserError: replicas would each keep codes of their own.
    """
    if config.parallel.map == "pmap":
        raise UserError(
            "mathieu keeps codes of images, which replicas cannot average: "
            "take --config.parallel.map=jit."
        )
    net = reference_networks.make_networks(config, data_info, LATENTS)
    w_kl, w_adversarial = config.method.w_kl, config.method.w_adversarial
    init_discriminator, apply_discriminator = reference_networks.make_discriminator(
        config, data_info, {"set": 2}, 0.0
    )

    def init(rng):
        rng_model, rng_discriminator = jax.random.split(rng)
        params = {
            DISCRIMINATOR: init_discriminator(rng_discriminator),
            MODEL: net.init(rng_model),
        }
        codes = {"target_codes": jnp.zeros((KEPT_CODES, net.sizes["target"]))}
        return {
            "params": params,
            "mutable": {DISCRIMINATOR: {}, MODEL: codes},
        }

    def losses_of(variables, batch, rng):
        xu, xr = batch["unlabelled"]["image"], batch["reference"]["image"]
        params, discriminator = (variables["params"][p] for p in (MODEL, DISCRIMINATOR))
        q, eu, images = generate(net, params, xu, xr, rng)
        shown = jnp.concatenate([xu, xr, images[4], images[3]])
        sets = jnp.tile(jnp.repeat(jnp.eye(2), len(xu), axis=0), (2, 1))
        on_real, on_made = jnp.split(
            apply_discriminator(discriminator, shown, {"set": sets}, None), 2
        )

        # Two sets of B images each in a mean: twice the mean is the sum of the sets' means.
        discriminator_loss = 2 * jnp.mean(losses.discriminator_loss(on_real, on_made))
        accuracies = {}
        for kind, right in (("real", on_real > 0), ("made", on_made < 0)):
            for name, part in zip(("unlabelled", "reference"), jnp.split(right, 2), strict=True):
                accuracies[f"discriminator/accuracy/{name}/{kind}"] = jnp.mean(part)

        errors = {
            name: jnp.mean(reference_networks.per_value(losses.absolute_error(x, recon), x))
            for name, x, recon in (
                ("recon/unlabelled", xu, images[0]),
                ("recon/reference", xr, images[1]),
                ("recon/reference_pair", xr, images[2]),
            )
        }
        kl = jnp.mean(distributions.kl_to_standard_normal(q))
        adversarial = 2 * jnp.mean(jax.nn.softplus(-on_made))
        model_loss = sum(errors.values()) + w_kl * kl + w_adversarial * adversarial
        codes = variables["mutable"][MODEL]["target_codes"]
        mutable = {"target_codes": kept_codes(codes, jax.lax.stop_gradient(eu))}
        scalars = errors | {"kl/common": kl, "adversarial": adversarial}
        scalars["recon"] = errors["recon/unlabelled"]
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, accuracies)),
            MODEL: (model_loss, (mutable, scalars)),
        }

    def encode(variables, image):
        latents = net.encode(variables["params"][MODEL], image)
        e = latents["target"].mean
        return latents | {"target": Gaussian(e, jnp.full_like(e, LOGVAR))}

    def prior(variables, rng, n):
        rng_common, rng_target = jax.random.split(rng)
        bank = variables["mutable"][MODEL]["target_codes"]
        return {
            "common": jax.random.normal(rng_common, (n, net.sizes["common"])),
            "target": bank[jax.random.randint(rng_target, (n,), 0, len(bank))],
        }

    decode = net.method_functions["decode"]
    players = (DISCRIMINATOR, MODEL)
    return Method("reference", players, init, losses_of, encode, decode, prior)
