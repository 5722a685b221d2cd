"""The reference paper's encoders and generator as pure functions of the model's parameters.

net = make_networks(config, data_info, ("common", "target"))
params = net.init(rng)                            # {"encoder": .., "decoder": ..}
net.encode(params, image, only=("common",))       # {"common": Gaussian of [B, D]}
net.decode(params, {"common": z, "target": e})    # images [B, H, W, C] in [0, 1]
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from refvae_jax.methods.base import MODEL, standard_normal_prior
from refvae_jax.networks import progressive
from refvae_jax.networks.discriminators import Discriminator


class Backbone(NamedTuple):
    """Pure functions; `sizes` are those of the latents."""

    sizes: Mapping[str, int]
    init: Callable
    encode: Callable
    decode: Callable

    @property
    def method_functions(self):
        """`encode`, `decode` and the prior N(0, I) as a Method has them."""

        def encode(variables, image):
            return self.encode(variables["params"][MODEL], image)

        def decode(variables, codes):
            return self.decode(variables["params"][MODEL], codes)

        return {"encode": encode, "decode": decode, "prior": standard_normal_prior(self.sizes)}


def make_networks(config, data_info, latents):
    """Builds the networks of `config.network` for the named latents of `config.latents`.

    Raises:
      UserError: the widths do not fit the image.
    """
    net, dtype = config.network, jnp.dtype(config.dtype)
    widths = tuple(net.encoder_widths), tuple(net.decoder_widths)
    progressive.check_resolution(data_info.image_shape, *widths)
    sizes = {name: config.latents[name] for name in latents}
    encoder = progressive.Encoder(widths[0], sizes, dtype)
    channels = data_info.image_shape[-1]
    decoder = progressive.Decoder(net.decoder_start_width, widths[1], channels, dtype)

    def init(rng):
        rng_encoder, rng_decoder = jax.random.split(rng)
        image = jnp.zeros((1, *data_info.image_shape))
        codes = {name: jnp.zeros((1, size)) for name, size in sizes.items()}
        return {
            "encoder": encoder.init(rng_encoder, image)["params"],
            "decoder": decoder.init(rng_decoder, codes)["params"],
        }

    return Backbone(
        sizes=sizes,
        init=init,
        encode=lambda params, image, only=None: encoder.apply(
            {"params": params["encoder"]}, image, only
        ),
        decode=lambda params, codes: decoder.apply({"params": params["decoder"]}, codes),
    )


def make_discriminator(config, data_info, sizes, block_dropout):
    """(init, apply) of one discriminator d(x, codes).

    Args:
      config: gives the widths of the image trunk, those of the encoder.
      data_info: gives the shape of an image.
      sizes: {name: D} of the codes it sees.
      block_dropout: chance that an example's image features or its code features are hidden.

    Returns:
      init: rng -> params; apply: (params, image, codes, rng) -> [B], rng None hides nothing.
    """
    net = config.network
    discriminator = Discriminator(
        tuple(net.encoder_widths),
        net.discriminator_features,
        block_dropout,
        jnp.dtype(config.dtype),
    )

    def init(rng):
        codes = {name: jnp.zeros((1, size)) for name, size in sizes.items()}
        return discriminator.init(rng, jnp.zeros((1, *data_info.image_shape)), codes)["params"]

    def apply(params, image, codes, rng):
        return discriminator.apply({"params": params}, image, codes, rng)

    return init, apply


def no_statistics(*players):
    """The `mutable` of players whose networks keep no batch statistics."""
    return {player: {} for player in players}


def per_value(error, x):
    """The sum over an image's values as their mean: [B] of images x [B, H, W, C]."""
    return error / x[0].size
