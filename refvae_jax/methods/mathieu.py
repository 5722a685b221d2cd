"""Mathieu et al., adapted to reference images: the other method that uses them.

Mathieu et al.: "Disentangling factors of variation in deep representations using adversarial
training", NeurIPS 2016. The adaptation is the reference paper's, which says only that swaps of
unlabelled pairs are removed; the rest is derived (target e deterministic and without prior):

    L_model  = mean|x - G(z(x), e(x))|               all images, mean over their values
             + mean|xr - G(z(xr), e(xr'))|           pairs of reference images
             + w_kl KL(q(z|x) || N)
             + w_adversarial [ sp(-D(gr, r)) + sp(-D(gu, u)) ]
    L_discriminator = sp(-D(xu, u)) + sp(-D(xr, r)) + sp(D(gu, u)) + sp(D(gr, r))

    gr = G(z(xu), e(xr)),  gu = G(z(xr), e(xu))

D(x, set) discriminates real from generated members of the unlabelled (u) or the reference set (r).
e has no prior to draw from: its draws are the codes of recent unlabelled images, which training
keeps.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import losses, reference_networks
from refvae_jax.methods.base import (
    DISCRIMINATOR,
    MODEL,
    Batch,
    Codes,
    Config,
    DataInfo,
    Images,
    Latents,
    LossFunction,
    Method,
    Params,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)
from refvae_jax.methods.rbvae import LATENTS
from refvae_jax.shares import joined, mixed, together

Logits = Sequence[Float[Array, " B"]]  # On unlabelled images, on reference images.
KEPT_CODES = 512  # Recent targets of unlabelled images, to draw from.
LOGVAR = -30.0  # Of the target, which has no variance: a sample is its mean.


class Generated(NamedTuple):
    """What one step decodes: images [B, H, W, C], or the codes (z, e) that give them."""

    recon_u: Any  # xu from its own codes.
    recon_r: Any  # xr from its own codes.
    recon_pair: Any  # xr with the target of another reference image.
    as_reference: Any  # xu with a reference target.
    as_unlabelled: Any  # xr with an unlabelled target.


def kept_codes(kept: Float[Array, "K D"], new: Float[Array, "B D"]) -> Float[Array, "K D"]:
    """The bank of targets [K, D] with the newest [B, D] put first."""
    return mixed(lambda *codes: jnp.concatenate(codes)[: len(kept)], new, kept)


def generate(
    net: reference_networks.Backbone, params: Params, xu: Images, xr: Images, rng: PRNGKeyArray
) -> tuple[Gaussian, Float[Array, "B D"], Generated]:
    """Everything decoded in a step: (q(z) of xu and xr, e of xu, images); B images of each set."""
    qu, qr = together(lambda x: net.encode(params, x), xu, xr)
    zu, zr = distributions.sample_each(rng, qu["common"], qr["common"])
    eu, er = qu["target"].mean, qr["target"].mean
    codes = Generated(
        recon_u=(zu, eu),
        recon_r=(zr, er),
        recon_pair=(zr, mixed(lambda e: jnp.roll(e, 1, axis=0), er)),
        as_reference=(zu, er),
        as_unlabelled=(zr, eu),
    )
    images = together(lambda c: net.decode(params, {"common": c[0], "target": c[1]}), *codes)
    return joined(qu["common"], qr["common"]), eu, Generated(*images)


def discriminator_objective(on_real: Logits, on_generated: Logits) -> tuple[Scalar, Scalars]:
    """L_discriminator of the logits of both sets' images, and its accuracies."""
    # Two sets of B images each in a mean: twice the mean is the sum of the sets' means.
    loss = 2 * jnp.mean(losses.discriminator_loss(joined(*on_real), joined(*on_generated)))
    accuracies = {}
    for name, real, made in zip(("unlabelled", "reference"), on_real, on_generated, strict=True):
        accuracies[f"discriminator/accuracy/{name}/real"] = jnp.mean(real > 0)
        accuracies[f"discriminator/accuracy/{name}/made"] = jnp.mean(made < 0)
    return loss, accuracies


def model_objective(
    xu: Images,
    xr: Images,
    images: Generated,
    q: Gaussian,
    on_generated: Logits,
    *,
    w_kl: float,
    w_adversarial: float,
) -> tuple[Scalar, Scalars]:
    """L_model, and what to log."""
    errors = {
        name: jnp.mean(reference_networks.per_value(losses.absolute_error(x, recon), x))
        for name, x, recon in (
            ("recon/unlabelled", xu, images.recon_u),
            ("recon/reference", xr, images.recon_r),
            ("recon/reference_pair", xr, images.recon_pair),
        )
    }
    kl = jnp.mean(distributions.kl_to_standard_normal(q))
    adversarial = 2 * jnp.mean(jax.nn.softplus(-joined(*on_generated)))
    loss = sum(errors.values()) + w_kl * kl + w_adversarial * adversarial
    scalars = errors | {"kl/common": kl, "adversarial": adversarial}
    return loss, scalars | {"recon": errors["recon/unlabelled"]}


def make_losses(
    net: reference_networks.Backbone,
    network: reference_networks.ImageDiscriminator,
    *,
    w_kl: float,
    w_adversarial: float,
) -> LossFunction:
    """The `losses` of the Method."""

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        xu, xr = batch["unlabelled"]["image"], batch["reference"]["image"]
        params, discriminator = (variables["params"][p] for p in (MODEL, DISCRIMINATOR))
        q, eu, images = generate(net, params, xu, xr, rng)
        set_u, set_r = ({"set": jnp.broadcast_to(s, (len(xu), 2))} for s in jnp.eye(2))
        real = (xu, set_u), (xr, set_r)
        generated = (images.as_unlabelled, set_u), (images.as_reference, set_r)
        logits = network.apply(discriminator, (*real, *generated), None)
        on_real, on_generated = logits[:2], logits[2:]
        discriminator_loss, accuracies = discriminator_objective(on_real, on_generated)
        model_loss, scalars = model_objective(
            xu, xr, images, q, on_generated, w_kl=w_kl, w_adversarial=w_adversarial
        )
        codes = variables["mutable"][MODEL]["target_codes"]
        mutable = {"target_codes": kept_codes(codes, jax.lax.stop_gradient(eu))}
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, accuracies)),
            MODEL: (model_loss, (mutable, scalars)),
        }

    return losses_of


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method` gives w_kl and w_adversarial.

    Raises:
      UserError: parallel.map is pmap, where each replica would keep codes of its own.
    """
    if config.parallel.map == "pmap":
        raise UserError(
            "mathieu keeps codes of images, which replicas cannot average: "
            "set --config.parallel.map=jit."
        )
    net = reference_networks.make_networks(config, data_info, LATENTS)
    network = reference_networks.make_discriminator(config, data_info, {"set": 2}, 0.0)
    method = config.method
    losses_of = make_losses(net, network, w_kl=method.w_kl, w_adversarial=method.w_adversarial)

    def init(rng: PRNGKeyArray) -> Variables:
        rng_model, rng_discriminator = jax.random.split(rng)
        params = {DISCRIMINATOR: network.init(rng_discriminator), MODEL: net.init(rng_model)}
        codes = {"target_codes": jnp.zeros((KEPT_CODES, net.sizes["target"]))}
        return {"params": params, "mutable": {DISCRIMINATOR: {}, MODEL: codes}}

    def encode(variables: Variables, image: Images) -> Latents:
        latents = net.encode(variables["params"][MODEL], image)
        e = latents["target"].mean
        return latents | {"target": Gaussian(e, jnp.full_like(e, LOGVAR))}

    def prior(variables: Variables, rng: PRNGKeyArray, n: int) -> Codes:
        rng_common, rng_target = jax.random.split(rng)
        bank = variables["mutable"][MODEL]["target_codes"]
        return {
            "common": jax.random.normal(rng_common, (n, net.sizes["common"])),
            "target": bank[jax.random.randint(rng_target, (n,), 0, len(bank))],
        }

    decode = net.method_functions["decode"]
    players = (DISCRIMINATOR, MODEL)
    over_batch = "pairs of reference images"
    return Method("reference", players, init, losses_of, encode, decode, prior, over_batch)
