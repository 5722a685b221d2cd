"""Rb-VAE: target and common factors from reference images, by the evidence bound.

Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled Representations with Reference-Based
Variational Autoencoders". Equation numbers are the paper's.

Unlabelled images have common factors z and target factors e, both with the prior N(0, I). In
reference images the target factors are constant: e = e_ref, a learned vector. Images are
p(x|z,e) = Laplace(G(z,e), lambda).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.methods import independence, losses, reference_networks
from refvae_jax.methods.base import (
    MODEL,
    Batch,
    Codes,
    Config,
    DataInfo,
    Images,
    Latents,
    Method,
    Params,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)
from refvae_jax.shares import together

Bound = tuple[Images, Images, Latents]  # x, recon and the posteriors of x.
LATENTS = ("common", "target")


def objective(unlabelled: Bound, reference: Bound, *, scale: float) -> tuple[Scalar, Scalars]:
    """Equation 3: the negative evidence bound of both sets, each averaged over its batch.

    Args:
      unlabelled: (x, recon, latents), latents {"common": q(z|x), "target": q(e|x)}.
      reference: the same with latents {"common": q(z|x)}; recon is decoded with e_ref.
      scale: lambda of the Laplace likelihood, for images in [-1, 1].

    Returns:
      (loss, scalars), nats up to the constant of the likelihood.
    """
    loss, scalars = jnp.zeros(()), {}
    for name, (x, recon, latents) in (("unlabelled", unlabelled), ("reference", reference)):
        error = losses.absolute_error(x, recon)
        kl = {n: distributions.kl_to_standard_normal(q) for n, q in latents.items()}
        loss += jnp.mean(error / scale + sum(kl.values()))
        scalars[f"recon/{name}"] = jnp.mean(reference_networks.per_value(error, x))
        scalars |= {f"kl/{n}/{name}": jnp.mean(value) for n, value in kl.items()}
    return loss, scalars | {"recon": scalars["recon/unlabelled"]}


def init_model(net: reference_networks.Backbone, rng: PRNGKeyArray) -> dict[str, Any]:
    """The model's parameters: encoders, generator, and e_ref at zero."""
    return net.init(rng) | {"e_ref": jnp.zeros(net.sizes["target"])}


def with_reference_target(params: Params, common: Float[Array, "B D"]) -> Codes:
    """Codes of reference images: common, [B, D], and for each the same target, e_ref."""
    e_ref = params["e_ref"]
    return {"common": common, "target": jnp.broadcast_to(e_ref, (len(common), *e_ref.shape))}


def encode_common(
    encode: Callable[..., Latents], params: Params, batch: Batch
) -> tuple[Latents, Latents]:
    """{"common": q(z|x)} of the unlabelled and of the reference images."""
    images = (batch[name]["image"] for name in ("unlabelled", "reference"))
    qu, qr = together(lambda x: encode(params, x, ("common",)), *images)
    return qu, qr


def encode_with_sets(
    encode: Callable[..., Latents], params: Params
) -> Callable[[Batch], independence.Labelled]:
    """The function that `independence.make_term` takes: batch -> (q(z|x), set)."""

    def encode_labelled(batch: Batch) -> independence.Labelled:
        qu, qr = encode_common(encode, params, batch)
        return independence.with_sets(qu["common"], qr["common"])

    return encode_labelled


def make_method(config: Config, data_info: DataInfo) -> Method:
    """Makes the Method; `config.method` gives scale, that is lambda, and the independence term."""
    net = reference_networks.make_networks(config, data_info, LATENTS)
    scale = config.method.scale
    independence_term = independence.make_term(config)

    def init(rng: PRNGKeyArray) -> Variables:
        return {
            "params": {MODEL: init_model(net, rng)},
            "mutable": reference_networks.no_statistics(MODEL),
        }

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        params = variables["params"][MODEL]
        xu, xr = batch["unlabelled"]["image"], batch["reference"]["image"]
        qu, qr = encode_common(net.encode, params, batch)
        qu |= net.encode(params, xu, only=("target",))
        rng_common, rng_target = jax.random.split(rng)
        zu, zr = distributions.sample_each(rng_common, qu["common"], qr["common"])
        codes_u = {"common": zu, "target": distributions.sample(rng_target, qu["target"])}
        codes_r = with_reference_target(params, zr)
        recon_u, recon_r = together(lambda c: net.decode(params, c), codes_u, codes_r)
        value, scalars = objective((xu, recon_u, qu), (xr, recon_r, qr), scale=scale)
        labelled = independence.with_sets(qu["common"], qr["common"])
        encode = encode_with_sets(net.encode, params)
        extra, extra_scalars = independence_term(labelled, encode, batch)
        return {MODEL: (value + extra, ({}, scalars | extra_scalars))}

    over_batch = independence.over_batch(config)
    functions = net.method_functions
    return Method("reference", (MODEL,), init, losses_of, **functions, over_batch=over_batch)
