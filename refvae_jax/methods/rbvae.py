"""Rb-VAE: target and common factors from reference images, by the evidence bound.

Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled Representations with Reference-Based
Variational Autoencoders". Equation numbers are the paper's.

Unlabelled images have common factors z and target factors e, both with the prior N(0, I). In
reference images the target factors are constant: e = e_ref, a learned vector. Images are
p(x|z,e) = Laplace(G(z,e), lambda).
"""

from typing import Any, TypeVar

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

Tree = TypeVar("Tree")
Bound = tuple[Images, Images, Latents]  # x, recon and the posteriors of x.
LATENTS = ("common", "target")
SIZES = reference_networks.SIZES


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


def with_reference_target(
    params: Params, common: Float[Array, "B D"], target: Float[Array, "Bu E"]
) -> Codes:
    """Codes of unlabelled images, then of reference images, whose target is e_ref.

    Args:
      params: the model's.
      common: codes z of both, [Bu + Br, D].
      target: codes e of the unlabelled, [Bu, E].
    """
    e_ref = params["e_ref"]
    rest = jnp.broadcast_to(e_ref, (len(common) - len(target), *e_ref.shape))
    return {"common": common, "target": jnp.concatenate([target, rest])}


def rows(tree: Tree, start: int, stop: int | None) -> Tree:
    """Rows start..stop of every array."""
    return jax.tree.map(lambda x: x[start:stop], tree)


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
        x, n = jnp.concatenate([xu, xr]), len(xu)
        q = net.encode(params, x, only=("common",)) | net.encode(params, xu, only=("target",))
        rng_common, rng_target = jax.random.split(rng)
        common = distributions.sample(rng_common, q["common"])
        target = distributions.sample(rng_target, q["target"])
        recon = net.decode(params, with_reference_target(params, common, target))
        unlabelled = (xu, recon[:n], {"common": rows(q["common"], 0, n), "target": q["target"]})
        reference = (xr, recon[n:], {"common": rows(q["common"], n, len(x))})
        value, scalars = objective(unlabelled, reference, scale=scale)
        labels = independence.set_labels(n, len(xr))
        extra, extra_scalars = independence_term(q["common"], labels, batch)
        return {MODEL: (value + extra, ({}, scalars | extra_scalars))}

    over_batch = independence.over_batch(config)
    functions = net.method_functions
    return Method("reference", (MODEL,), init, losses_of, **functions, over_batch=over_batch)
