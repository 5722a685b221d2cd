"""The losses of sRb-VAE as functions of its parts; `srbvae.py` has the equations and the method.

losses_of = make_losses(parts, term, w_image=.., w_latent=.., stopped=False)  # as of a Method

The parts are arguments, so that the gradients can be compared with those of the symmetric KL where
the optimal discriminators are known.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import independence, losses
from refvae_jax.methods.base import (
    DISCRIMINATOR,
    MODEL,
    Batch,
    Codes,
    Images,
    Latents,
    LossFunction,
    Params,
    PlayerLosses,
    Scalar,
    Scalars,
    Variables,
)
from refvae_jax.methods.rbvae import rows, with_reference_target

Tree = TypeVar("Tree")
Pair = tuple[Images, Codes]
Logits = tuple[Float[Array, " B"], Float[Array, " B"]]  # On the encoder's, on the generator's.
ImageError = Callable[[Images, Images], Float[Array, " B"]]  # Of (x, recon).
LatentError = Callable[[Float[Array, "B D"], Gaussian], Float[Array, " B"]]  # Of (z, q).
DiscriminatorFunction = Callable[[Params, Images, Codes, PRNGKeyArray], Float[Array, " B"]]


class Parts(NamedTuple):
    """What the equations call q, G, d_u and d_r, as functions of the players' parameters.

    Attributes:
      sizes: of the latents, {"common": D, "target": E}.
      encode: (params, image, only) -> {latent: Gaussian}.
      decode: (params, {"common", "target"}) -> the mean of p(x|z,e).
      discriminator_unlabelled, discriminator_reference: (the discriminator's params, image, codes,
        rng) -> [B].
      image_error: (x, recon) -> [B].
      latent_error: (z, Gaussian) -> [B].
      render: (rng, mean) -> image; training uses the mean itself.
    """

    sizes: Mapping[str, int]
    encode: Callable[..., Latents]
    decode: Callable[[Params, Codes], Images]
    discriminator_unlabelled: DiscriminatorFunction
    discriminator_reference: DiscriminatorFunction
    image_error: ImageError
    latent_error: LatentError
    render: Callable[[PRNGKeyArray, Images], Images]


class Draws(NamedTuple):
    """The pairs of images and codes of one step; `_u` unlabelled, `_r` reference."""

    real_u: Pair  # xu, {"common": zu, "target": eu}
    real_r: Pair  # xr, {"common": zr}
    generated_u: Pair  # gu, {"common": z1, "target": e1}
    generated_r: Pair  # gr, {"common": z2}
    posterior_u: Latents  # {latent: Gaussian} of xu
    posterior_r: Latents  # {"common": Gaussian} of xr
    posterior_generated: Latents  # "common" [2 B, D] of gu and gr, "target" [B, E] of gu
    recon: Images  # G(zu, eu), G(zr, e_ref)


def stop_if_asked(tree: Tree, asked: bool) -> Tree:
    """The same values, without gradient if `asked`."""
    return jax.lax.stop_gradient(tree) if asked else tree


def sample_step(
    parts: Parts, params: Mapping[str, Any], batch: Batch, rng: PRNGKeyArray, stopped: bool
) -> Draws:
    """Draws everything that one step needs; both players see the same draws.

    Args:
      parts: q, G and the errors.
      params: the model's parameters.
      batch: {"unlabelled": {"image"}, "reference": {"image"}}, B images each.
      rng: of the noise.
      stopped: whether the reconstructions have no gradient to what they reconstruct from.
    """
    xu, xr = batch["unlabelled"]["image"], batch["reference"]["image"]
    n, m = len(xu), len(xu) + len(xr)
    rngs = jax.random.split(rng, 5)

    z12 = jax.random.normal(rngs[0], (m, parts.sizes["common"]))
    e1 = jax.random.normal(rngs[1], (n, parts.sizes["target"]))
    mean = parts.decode(params, with_reference_target(params, z12, e1))
    generated = parts.render(rngs[2], mean)

    seen = stop_if_asked(generated, stopped)
    common = parts.encode(params, jnp.concatenate([xu, xr, seen]), ("common",))["common"]
    target = parts.encode(params, jnp.concatenate([xu, seen[:n]]), ("target",))["target"]
    z = distributions.sample(rngs[3], rows(common, 0, m))
    e = distributions.sample(rngs[4], rows(target, 0, n))
    z_seen, e_seen = stop_if_asked((z, e), stopped)
    recon = parts.decode(params, with_reference_target(params, z_seen, e_seen))
    return Draws(
        real_u=(xu, {"common": z[:n], "target": e}),
        real_r=(xr, {"common": z[n:]}),
        generated_u=(generated[:n], {"common": z12[:n], "target": e1}),
        generated_r=(generated[n:], {"common": z12[n:]}),
        posterior_u={"common": rows(common, 0, n), "target": rows(target, 0, n)},
        posterior_r={"common": rows(common, n, m)},
        posterior_generated={"common": rows(common, m, None), "target": rows(target, n, None)},
        recon=recon,
    )


def logits(
    discriminator: Callable[..., Float[Array, " B"]],
    real: Pair,
    generated: Pair,
    rng: PRNGKeyArray,
) -> Logits:
    """d on the encoder's and on the generator's pairs, [B] each, in one call."""
    image, codes = jax.tree.map(lambda *pair: jnp.concatenate(pair), real, generated)
    on_real, on_generated = jnp.split(discriminator(image, codes, rng), [len(real[0])])
    return on_real, on_generated


def all_logits(parts: Parts, params: Params, draws: Draws, rng: PRNGKeyArray) -> dict[str, Logits]:
    """{set: (d on the encoder's pairs, d on the generator's)} of both discriminators."""
    rng_u, rng_r = jax.random.split(rng)

    def discriminator_u(*inputs: Any) -> Float[Array, " B"]:
        return parts.discriminator_unlabelled(params["unlabelled"], *inputs)

    def discriminator_r(*inputs: Any) -> Float[Array, " B"]:
        return parts.discriminator_reference(params["reference"], *inputs)

    return {
        "unlabelled": logits(discriminator_u, draws.real_u, draws.generated_u, rng_u),
        "reference": logits(discriminator_r, draws.real_r, draws.generated_r, rng_r),
    }


def discriminator_objective(d: Mapping[str, Logits]) -> tuple[Scalar, Scalars]:
    """Equation 7, to minimise, and the accuracy on each of the discriminators' inputs.

    Args:
      d: {set: (d on the encoder's pairs, d on the generator's)}, [B] each.
    """
    loss, scalars = jnp.zeros(()), {}
    for name, (on_real, on_generated) in d.items():
        loss += jnp.mean(losses.discriminator_loss(on_real, on_generated))  # (7)
        scalars |= {
            f"discriminator/accuracy/{name}/encoder": jnp.mean(on_real > 0),
            f"discriminator/accuracy/{name}/generator": jnp.mean(on_generated < 0),
            f"discriminator/log_ratio/{name}": jnp.mean(on_real) - jnp.mean(on_generated),
        }
    return loss, scalars


def latent_errors(parts: Parts, draws: Draws) -> dict[str, Float[Array, " B"]]:
    """Errors [B] of z1, e1 and z2, recovered from the images generated from them."""
    n = len(draws.real_u[0])
    q = draws.posterior_generated
    codes_u, codes_r = draws.generated_u[1], draws.generated_r[1]
    common = jnp.concatenate([codes_u["common"], codes_r["common"]])
    return {
        "common/unlabelled": parts.latent_error(common[:n], rows(q["common"], 0, n)),
        "common/reference": parts.latent_error(common[n:], rows(q["common"], n, None)),
        "target": parts.latent_error(codes_u["target"], q["target"]),
    }


def model_objective(
    parts: Parts, draws: Draws, d: Mapping[str, Logits], *, w_image: float, w_latent: float
) -> tuple[Scalar, Scalars]:
    """Equation 6 with the explicit reconstructions of images and of codes, and what to log.

    Args:
      parts: for the two errors.
      draws: of the step.
      d: as for `discriminator_objective`.
      w_image, w_latent: weights of the two reconstructions.
    """
    adversarial = jnp.zeros(())
    for pair in d.values():
        adversarial += jnp.mean(losses.adversarial_loss(*pair))  # (6)
    (xu, _), (xr, _) = draws.real_u, draws.real_r
    n = len(xu)
    image_u = jnp.mean(parts.image_error(xu, draws.recon[:n]))
    image_r = jnp.mean(parts.image_error(xr, draws.recon[n:]))
    errors = latent_errors(parts, draws)
    latent = sum(jnp.mean(error) for error in errors.values())
    loss = adversarial + w_image * (image_u + image_r) + w_latent * latent
    scalars = {
        "adversarial": adversarial,
        "recon": image_u,
        "recon/unlabelled": image_u,
        "recon/reference": image_r,
    }
    scalars |= {f"latent_error/{name}": jnp.mean(error) for name, error in errors.items()}
    for name, latents in (("unlabelled", draws.posterior_u), ("reference", draws.posterior_r)):
        for latent_name, q in latents.items():
            kl = jnp.mean(distributions.kl_to_standard_normal(q))
            scalars[f"kl/{latent_name}/{name}"] = kl
    return loss, scalars


def make_losses(
    parts: Parts,
    independence_term: independence.Term,
    *,
    w_image: float,
    w_latent: float,
    stopped: bool,
) -> LossFunction:
    """The `losses` of a Method: both players get the same draws and the same logits.

    The model also pays the independence term, of `common` in both sets' images.
    """

    def losses_of(variables: Variables, batch: Batch, rng: PRNGKeyArray) -> PlayerLosses:
        rng_step, rng_discriminator = jax.random.split(rng)
        params = variables["params"]
        draws = sample_step(parts, params[MODEL], batch, rng_step, stopped)
        d = all_logits(parts, params[DISCRIMINATOR], draws, rng_discriminator)
        discriminator_loss, discriminator_scalars = discriminator_objective(d)
        model_loss, scalars = model_objective(parts, draws, d, w_image=w_image, w_latent=w_latent)
        common = jax.tree.map(
            lambda *pair: jnp.concatenate(pair),
            draws.posterior_u["common"],
            draws.posterior_r["common"],
        )
        labels = independence.set_labels(len(draws.real_u[0]), len(draws.real_r[0]))
        extra, extra_scalars = independence_term(common, labels, batch)
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, discriminator_scalars)),
            MODEL: (model_loss + extra, ({}, scalars | extra_scalars)),
        }

    return losses_of
