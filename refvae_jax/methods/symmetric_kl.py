"""The losses of sRb-VAE as functions of its parts; `srbvae.py` has the equations and the method.

losses_of = make_losses(parts, term, w_image=.., w_latent=.., stopped=False)  # as of a Method

The parts are arguments, so that the gradients can be compared with those of the symmetric KL where
the optimal discriminators are known.
"""

from collections.abc import Callable, Mapping, Sequence
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
from refvae_jax.methods.rbvae import encode_with_sets, with_reference_target
from refvae_jax.methods.reference_networks import Pair
from refvae_jax.shares import together

Tree = TypeVar("Tree")
Logits = Sequence[Float[Array, " B"]]  # On the encoder's pairs, on the generator's.
ImageError = Callable[[Images, Images], Float[Array, " B"]]  # Of (x, recon).
LatentError = Callable[[Float[Array, "B D"], Gaussian], Float[Array, " B"]]  # Of (z, q).
DiscriminatorFunction = Callable[[Params, Sequence[Pair], PRNGKeyArray], Logits]


class Parts(NamedTuple):
    """What the equations call q, G, d_u and d_r, as functions of the players' parameters.

    Attributes:
      sizes: of the latents, {"common": D, "target": E}.
      encode: (params, image, only) -> {latent: Gaussian}.
      decode: (params, {"common", "target"}) -> the mean of p(x|z,e).
      discriminator_unlabelled, discriminator_reference: (the discriminator's params, pairs, rng) ->
        [B] of each, as `reference_networks.ImageDiscriminator.apply`.
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
    posterior_gu: Latents  # {latent: Gaussian} of gu
    posterior_gr: Latents  # {"common": Gaussian} of gr
    recon_u: Images  # G(zu, eu)
    recon_r: Images  # G(zr, e_ref)


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
    rngs = jax.random.split(rng, 5)

    def decode_both(common_u: Array, target: Array, common_r: Array) -> list[Images]:
        codes_u = {"common": common_u, "target": target}
        codes_r = with_reference_target(params, common_r)
        return together(lambda codes: parts.decode(params, codes), codes_u, codes_r)

    def encode(name: str, *images: Images) -> list[Latents]:
        return together(lambda x: parts.encode(params, x, (name,)), *images)

    z1, z2 = jax.random.normal(rngs[0], (2, max(len(xu), len(xr)), parts.sizes["common"]))
    z1, z2 = z1[: len(xu)], z2[: len(xr)]
    e1 = jax.random.normal(rngs[1], (len(xu), parts.sizes["target"]))
    gu, gr = map(parts.render, jax.random.split(rngs[2]), decode_both(z1, e1, z2))
    seen_u, seen_r = stop_if_asked((gu, gr), stopped)
    qu, qr, q_gu, q_gr = encode("common", xu, xr, seen_u, seen_r)
    target_u, target_gu = encode("target", xu, seen_u)
    zu, zr = distributions.sample_each(rngs[3], qu["common"], qr["common"])
    eu = distributions.sample(rngs[4], target_u["target"])
    recon_u, recon_r = decode_both(*stop_if_asked((zu, eu, zr), stopped))
    return Draws(
        real_u=(xu, {"common": zu, "target": eu}),
        real_r=(xr, {"common": zr}),
        generated_u=(gu, {"common": z1, "target": e1}),
        generated_r=(gr, {"common": z2}),
        posterior_u=qu | target_u,
        posterior_r=qr,
        posterior_gu=q_gu | target_gu,
        posterior_gr=q_gr,
        recon_u=recon_u,
        recon_r=recon_r,
    )


def all_logits(parts: Parts, params: Params, draws: Draws, rng: PRNGKeyArray) -> dict[str, Logits]:
    """{set: (d on the encoder's pairs, d on the generator's)} of both discriminators."""
    rng_u, rng_r = jax.random.split(rng)

    pairs_u, pairs_r = (draws.real_u, draws.generated_u), (draws.real_r, draws.generated_r)
    return {
        "unlabelled": parts.discriminator_unlabelled(params["unlabelled"], pairs_u, rng_u),
        "reference": parts.discriminator_reference(params["reference"], pairs_r, rng_r),
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
    (_, codes_u), (_, codes_r) = draws.generated_u, draws.generated_r
    q_u, q_r = draws.posterior_gu, draws.posterior_gr
    return {
        "common/unlabelled": parts.latent_error(codes_u["common"], q_u["common"]),
        "common/reference": parts.latent_error(codes_r["common"], q_r["common"]),
        "target": parts.latent_error(codes_u["target"], q_u["target"]),
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
    image_u = jnp.mean(parts.image_error(xu, draws.recon_u))
    image_r = jnp.mean(parts.image_error(xr, draws.recon_r))
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
        qu, qr = draws.posterior_u["common"], draws.posterior_r["common"]
        encode = encode_with_sets(parts.encode, params[MODEL])
        extra, extra_scalars = independence_term(independence.with_sets(qu, qr), encode, batch)
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, discriminator_scalars)),
            MODEL: (model_loss + extra, ({}, scalars | extra_scalars)),
        }

    return losses_of
