"""sRb-VAE: Rb-VAE by the symmetric KL, with discriminators that estimate density ratios.

Ruiz, Martinez, Binefa, Verbeek: "Learning Disentangled Representations with Reference-Based
Variational Autoencoders". Equation numbers are the paper's; the generative story is `rbvae.py`'s.

    xu -> zu, eu;  xr -> zr                       inferred, from unlabelled and reference images
    z1, e1 -> gu = G(z1, e1);  z2 -> gr = G(z2, e_ref)      drawn from the priors, and generated
    d_u(x,z,e) ~ log q_u/p_u;  d_r(x,z) ~ log q_r/p_r       the two discriminators: the discriminator

(5) KL(p||q) = 1/2 { E KL(p(x|z,e)||u(x)) + E KL(p(x|z,e_ref)||r(x))
                     - E[log q(z|x) + log q(e|x)] - E_r[log q(z|x)] } + const,

with expectations over the priors and the generator: codes must be recoverable from generated
images, so the generator cannot ignore the target, which the evidence bound of Rb-VAE allows.

(7) L_discriminator      = sp(-d_u(xu,zu,eu)) + sp(d_u(gu,z1,e1)) + sp(-d_r(xr,zr)) + sp(d_r(gr,z2))
(6) L_adversarial = d_u(xu,zu,eu) - d_u(gu,z1,e1) + d_r(xr,zr) - d_r(gr,z2)
    L_model       = L_adversarial + w_image  (|xu - G(zu,eu)| + |xr - G(zr,e_ref)|)
                                  + w_latent (errors of z1, e1 from gu and of z2 from gr)

with sp(t) = log(1 + e^t). L_discriminator moves the discriminators only, L_model all the rest, e_ref too.

With the discriminators fixed, (6) alone drops two gradients of the symmetric KL: of the generator's
parameters in log p(x|z,e) and of the encoders' in log q(z|x). The explicit reconstructions bring
them back, exactly if what they reconstruct from is not differentiated ("stopped"), images are
drawn with the noise of the likelihood and weights are those of the nats. Training feeds G without
noise, so no setting is exact in practice; the paper stops nothing ("paper").
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import losses, reference_networks
from refvae_jax.methods.base import DISCRIMINATOR, MODEL, Method
from refvae_jax.methods.rbvae import LATENTS, init_model, rows, with_reference_target

LOGVAR_FLOOR = -4.0  # Chosen: of the likelihood form of the latent error, which has no minimum.


class Parts(NamedTuple):
    """What the equations call q, G, d_u and d_r, as functions of the players' parameters.

    sizes: of the latents, {"common", "target"}
    encode: (params, image, only) -> {latent: Gaussian}
    decode: (params, {"common", "target"}) -> the mean of p(x|z,e)
    discriminator_unlabelled, discriminator_reference: (params, image, codes, rng) -> [B]; params of the discriminator
    image_error: (x, recon) -> [B]
    latent_error: (z, Gaussian) -> [B]
    render: (rng, mean) -> image; training feeds the mean itself
    """

    sizes: Mapping[str, int]
    encode: Callable
    decode: Callable
    discriminator_unlabelled: Callable
    discriminator_reference: Callable
    image_error: Callable
    latent_error: Callable
    render: Callable


class Draws(NamedTuple):
    """One step's pairs of images and codes; `_u` unlabelled, `_r` reference."""

    real_u: tuple  # xu, {"common": zu, "target": eu}
    real_r: tuple  # xr, {"common": zr}
    made_u: tuple  # gu, {"common": z1, "target": e1}
    made_r: tuple  # gr, {"common": z2}
    posterior_u: dict  # {latent: Gaussian} of xu
    posterior_r: dict  # {"common": Gaussian} of xr
    posterior_made: dict  # of gu, gr ("common", [2 B, D]) and of gu ("target", [B, D])
    recon: jax.Array  # G(zu, eu), G(zr, e_ref)


def play(parts, params, batch, rng, stopped):
    """Draws everything that a step needs; both players see the same.

    Args:
      parts: Parts.
      params: the model's parameters.
      batch: {"unlabelled": {"image"}, "reference": {"image"}}, B images each.
      rng: of the noise.
      stopped: whether the reconstructions are cut off from what they reconstruct from.
    """
    hold = jax.lax.stop_gradient if stopped else lambda tree: tree
    xu, xr = batch["unlabelled"]["image"], batch["reference"]["image"]
    n, m = len(xu), len(xu) + len(xr)
    rngs = jax.random.split(rng, 5)

    z12 = jax.random.normal(rngs[0], (m, parts.sizes["common"]))
    e1 = jax.random.normal(rngs[1], (n, parts.sizes["target"]))
    made = parts.render(rngs[2], parts.decode(params, with_reference_target(params, z12, e1)))

    images = jnp.concatenate([xu, xr, hold(made)])
    common = parts.encode(params, images, ("common",))["common"]
    target = parts.encode(params, jnp.concatenate([xu, hold(made[:n])]), ("target",))["target"]
    z = distributions.sample(rngs[3], rows(common, 0, m))
    e = distributions.sample(rngs[4], rows(target, 0, n))
    recon = parts.decode(params, with_reference_target(params, hold(z), hold(e)))
    return Draws(
        real_u=(xu, {"common": z[:n], "target": e}),
        real_r=(xr, {"common": z[n:]}),
        made_u=(made[:n], {"common": z12[:n], "target": e1}),
        made_r=(made[n:], {"common": z12[n:]}),
        posterior_u={"common": rows(common, 0, n), "target": rows(target, 0, n)},
        posterior_r={"common": rows(common, n, m)},
        posterior_made={"common": rows(common, m, None), "target": rows(target, n, None)},
        recon=recon,
    )


def logits(discriminator, real, made, rng):
    """(d on the encoder's pairs, d on the generator's), [B] each, in one call of the discriminator."""
    image, codes = jax.tree.map(lambda *pair: jnp.concatenate(pair), real, made)
    return jnp.split(discriminator(image, codes, rng), [len(real[0])])


def all_logits(parts, params, draws, rng):
    """{set: (d on the encoder's pairs, d on the generator's)} of both discriminators."""
    rng_u, rng_r = jax.random.split(rng)

    def discriminator_u(*inputs):
        return parts.discriminator_unlabelled(params["unlabelled"], *inputs)

    def discriminator_r(*inputs):
        return parts.discriminator_reference(params["reference"], *inputs)

    return {
        "unlabelled": logits(discriminator_u, draws.real_u, draws.made_u, rng_u),
        "reference": logits(discriminator_r, draws.real_r, draws.made_r, rng_r),
    }


def discriminator_objective(d):
    """Equation 7, to minimise, and how well the discriminator does on each of its four inputs.

    Args:
      d: {set: (d on the encoder's pairs, d on the generator's)}, [B] each.
    """
    loss, scalars = 0.0, {}
    for name, (on_real, on_made) in d.items():
        loss += jnp.mean(losses.discriminator_loss(on_real, on_made))  # (7)
        scalars |= {
            f"discriminator/accuracy/{name}/encoder": jnp.mean(on_real > 0),
            f"discriminator/accuracy/{name}/generator": jnp.mean(on_made < 0),
            f"discriminator/log_ratio/{name}": jnp.mean(on_real) - jnp.mean(on_made),
        }
    return loss, scalars


def model_objective(parts, draws, d, *, w_image, w_latent):
    """Equation 6 with the explicit reconstructions of images and of codes, and what to log.

    Args:
      parts: Parts, for the two errors.
      draws: Draws.
      d: as for `discriminator_objective`.
      w_image, w_latent: weights of the two reconstructions.
    """
    adversarial = sum(jnp.mean(losses.adversarial_loss(*pair)) for pair in d.values())  # (6)
    (xu, _), (xr, _) = draws.real_u, draws.real_r
    n = len(xu)
    image_u = jnp.mean(parts.image_error(xu, draws.recon[:n]))
    image_r = jnp.mean(parts.image_error(xr, draws.recon[n:]))
    made_common = jnp.concatenate([draws.made_u[1]["common"], draws.made_r[1]["common"]])
    errors = {
        "common/unlabelled": parts.latent_error(
            made_common[:n], rows(draws.posterior_made["common"], 0, n)
        ),
        "common/reference": parts.latent_error(
            made_common[n:], rows(draws.posterior_made["common"], n, None)
        ),
        "target": parts.latent_error(draws.made_u[1]["target"], draws.posterior_made["target"]),
    }
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


def make_losses(parts, *, w_image, w_latent, stopped):
    """The `losses` of a Method: both players judge the same draws and the same logits."""

    def losses_of(variables, batch, rng):
        rng_play, rng_discriminator = jax.random.split(rng)
        params = variables["params"]
        draws = play(parts, params[MODEL], batch, rng_play, stopped)
        d = all_logits(parts, params[DISCRIMINATOR], draws, rng_discriminator)
        discriminator_loss, discriminator_scalars = discriminator_objective(d)
        model_loss, scalars = model_objective(parts, draws, d, w_image=w_image, w_latent=w_latent)
        return {
            DISCRIMINATOR: (discriminator_loss, ({}, discriminator_scalars)),
            MODEL: (model_loss, ({}, scalars)),
        }

    return losses_of


def mean_absolute_error(x, recon):
    """|x - recon|_1 a pixel and channel, [B], images in [-1, 1]: what `w_image` multiplies."""
    return reference_networks.per_value(losses.absolute_error(x, recon), x)


def floored_likelihood(z, q):
    """-log q(z), [B], in nats, with the log variance at LOGVAR_FLOOR at least."""
    return -distributions.log_prob(Gaussian(q.mean, jnp.maximum(q.logvar, LOGVAR_FLOOR)), z)


LATENT_ERRORS = {"squared": losses.half_squared_error, "likelihood": floored_likelihood}


def make_method(config, data_info):
    """Makes the Method; `config.method` gives the weights, see configs/default.py."""
    net = reference_networks.make_networks(config, data_info, LATENTS)
    method = config.method
    discriminators = {
        "unlabelled": reference_networks.make_discriminator(
            config, data_info, net.sizes, method.block_dropout
        ),
        "reference": reference_networks.make_discriminator(
            config, data_info, {"common": net.sizes["common"]}, method.block_dropout
        ),
    }
    parts = Parts(
        sizes=net.sizes,
        encode=net.encode,
        decode=net.decode,
        discriminator_unlabelled=discriminators["unlabelled"][1],
        discriminator_reference=discriminators["reference"][1],
        image_error=mean_absolute_error,
        latent_error=LATENT_ERRORS[method.latent_error],
        render=lambda rng, mean: mean,
    )

    def init(rng):
        rngs = jax.random.split(rng, 3)
        discriminator = {
            name: make(r)
            for r, (name, (make, _)) in zip(rngs[1:], discriminators.items(), strict=True)
        }
        params = {
            DISCRIMINATOR: discriminator,
            MODEL: init_model(net, rngs[0]),
        }
        return {"params": params, "mutable": reference_networks.no_statistics(*params)}

    players = (DISCRIMINATOR, MODEL)
    losses_of = make_losses(
        parts,
        w_image=method.w_image,
        w_latent=method.w_latent,
        stopped=method.reconstruction_gradient == "stopped",
    )
    return Method("reference", players, init, losses_of, **net.method_functions)
