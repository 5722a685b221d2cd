"""The reference paper's encoders and generator as pure functions of the model's parameters.

net = make_networks(config, data_info, ("common", "target"))
params = net.init(rng)                            # {"encoder": .., "decoder": ..}
net.encode(params, image, only=("common",))       # {"common": Gaussian of [B, D]}
net.decode(params, {"common": z, "target": e})    # images [B, H, W, C] in [0, 1]
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from refvae_jax.methods.base import (
    MODEL,
    Codes,
    Config,
    DataInfo,
    Images,
    Latents,
    Params,
    Variables,
    standard_normal_prior,
)
from refvae_jax.networks import progressive
from refvae_jax.networks.discriminators import Discriminator, keep_blocks
from refvae_jax.networks.sizes import PROGRESSIVE
from refvae_jax.shares import together


class Backbone(NamedTuple):
    """Encoders and generator of one model.

    Attributes:
      sizes: {latent: D}.
      init: rng -> params.
      encode: (params, image, only=None) -> {latent: Gaussian}, of the latents in `only`.
      decode: (params, codes) -> image.
    """

    sizes: Mapping[str, int]
    init: Callable[[PRNGKeyArray], dict[str, Any]]
    encode: Callable[..., Latents]
    decode: Callable[[Params, Codes], Images]

    @property
    def method_functions(self) -> dict[str, Callable]:
        """`encode`, `decode` and the prior N(0, I) as a Method has them."""

        def encode(variables: Variables, image: Images) -> Latents:
            return self.encode(variables["params"][MODEL], image)

        def decode(variables: Variables, codes: Codes) -> Images:
            return self.decode(variables["params"][MODEL], codes)

        return {"encode": encode, "decode": decode, "prior": standard_normal_prior(self.sizes)}


def make_networks(config: Config, data_info: DataInfo, latents: Sequence[str]) -> Backbone:
    """Makes the networks of `config.network` for the named latents of `config.latents`.

    Raises:
      UserError: the widths do not fit the image, or no widths would.
    """
    net, dtype, platform = config.network, jnp.dtype(config.dtype), data_info.platform
    widths = tuple(net.encoder_widths), tuple(net.decoder_widths)
    PROGRESSIVE.check(data_info.image_shape[0], *widths)
    sizes = {name: config.latents[name] for name in latents}
    on = platform, dtype, config.remat
    encoder = progressive.Encoder(widths[0], sizes, *on)
    channels = data_info.image_shape[-1]
    decoder = progressive.Decoder(net.decoder_start_width, widths[1], channels, *on)

    def init(rng: PRNGKeyArray) -> dict[str, Any]:
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


Pair = tuple[Images, Codes]


class ImageDiscriminator(NamedTuple):
    """d(x, codes) as pure functions.

    Attributes:
      init: rng -> params.
      apply: (params, [(image, codes), ...], rng) -> logits [B] of each set of B pairs; with an rng
        of None nothing is hidden.
    """

    init: Callable[[PRNGKeyArray], Params]
    apply: Callable[[Params, Sequence[Pair], PRNGKeyArray | None], list[Float[Array, " B"]]]


def make_discriminator(
    config: Config, data_info: DataInfo, sizes: Mapping[str, int], block_dropout: float
) -> ImageDiscriminator:
    """Makes one discriminator d(x, codes).

    Args:
      config: gives the widths of the image trunk, which are the encoder's.
      data_info: gives the shape of an image.
      sizes: {name: D} of the codes it sees.
      block_dropout: probability that an example's image or code features are hidden.
    """
    net = config.network
    discriminator = Discriminator(
        tuple(net.encoder_widths),
        net.discriminator_features,
        data_info.platform,
        jnp.dtype(config.dtype),
        config.remat,
    )

    def init(rng: PRNGKeyArray) -> Params:
        codes = {name: jnp.zeros((1, size)) for name, size in sizes.items()}
        return discriminator.init(rng, jnp.zeros((1, *data_info.image_shape)), codes)["params"]

    def apply(
        params: Params, pairs: Sequence[Pair], rng: PRNGKeyArray | None
    ) -> list[Float[Array, " B"]]:
        keep: Sequence[Array | None] = [None] * len(pairs)
        if rng is not None:
            keep = list(keep_blocks(rng, (len(pairs), len(pairs[0][0])), block_dropout))
        inputs = [(*pair, kept) for pair, kept in zip(pairs, keep, strict=True)]
        return together(lambda seen: discriminator.apply({"params": params}, *seen), *inputs)

    return ImageDiscriminator(init, apply)


def no_statistics(*players: str) -> dict[str, dict]:
    """The `mutable` of players whose networks keep no batch statistics."""
    return {player: {} for player in players}


def per_value(error: Float[Array, " B"], x: Images) -> Float[Array, " B"]:
    """Errors [B] summed over images x [B, H, W, C], as a mean over their H W C values."""
    return error / x[0].size
