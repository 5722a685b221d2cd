"""The mixture paper's encoder and decoder as pure functions of a Method's variables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from refvae_jax.distributions import Gaussian
from refvae_jax.methods.base import (
    MODEL,
    Batch,
    Codes,
    Config,
    DataInfo,
    DecodeFunction,
    EncodeFunction,
    Images,
    InitFunction,
    Latents,
    PriorFunction,
    Variables,
    standard_normal_prior,
)
from refvae_jax.networks.strided import SIZES, Decoder, Encoder

LATENTS = ("content", "style")
OVER_BATCH = "batch norm and the posteriors of groups"  # Of `Method`, with any of these networks.


class Autoencoder(NamedTuple):
    """`encode` and `decode` as at test time; the `train_` forms also return the batch statistics.

    train_encode: (variables, image) -> latents, encoder statistics
    train_decode: (variables, codes) -> image, decoder statistics
    """

    init: InitFunction
    encode: EncodeFunction
    decode: DecodeFunction
    prior: PriorFunction
    train_encode: Callable[[Variables, Images], tuple[Latents, Any]]
    train_decode: Callable[[Variables, Codes], tuple[Images, Any]]


def encode_style(
    net: Autoencoder, variables: Variables
) -> Callable[[Batch], tuple[Gaussian, Int[Array, " B"]]]:
    """The function that `independence.make_term` takes: batch -> (q of the style, group)."""

    def encode(batch: Batch) -> tuple[Gaussian, Int[Array, " B"]]:
        latents, _ = net.train_encode(variables, batch["image"])
        return latents["style"], batch["group"]

    return encode


def make_networks(config: Config, data_info: DataInfo) -> Autoencoder:
    """Makes the networks of `config.network` with the latents of `config.latents`.

    Raises:
      UserError: the widths do not fit the image, or no widths would.
    """
    net, (height, _, channels) = config.network, data_info.image_shape
    SIZES.check(height, net.encoder_widths, net.decoder_widths)
    latents, dtype = {name: config.latents[name] for name in LATENTS}, jnp.dtype(config.dtype)
    on = data_info.hardware, dtype, config.remat
    encoder = Encoder(tuple(net.encoder_widths), latents, *on)
    decoder = Decoder(net.decoder_start_width, tuple(net.decoder_widths), channels, *on)
    modules: dict[str, Any] = {"encoder": encoder, "decoder": decoder}

    def init(rng: PRNGKeyArray) -> Variables:
        codes = {name: jnp.zeros((1, size)) for name, size in latents.items()}
        inputs = {"encoder": jnp.zeros((1, *data_info.image_shape)), "decoder": codes}
        initial = {
            name: module.init(jax.random.fold_in(rng, i), inputs[name], train=False)
            for i, (name, module) in enumerate(modules.items())
        }
        return {
            "params": {MODEL: {name: v["params"] for name, v in initial.items()}},
            "mutable": {MODEL: {name: v.get("batch_stats", {}) for name, v in initial.items()}},
        }

    def of(variables: Variables, name: str) -> dict[str, Any]:
        params, statistics = (variables[c][MODEL][name] for c in ("params", "mutable"))
        return {"params": params, "batch_stats": statistics}

    def apply(name: str, variables: Variables, inputs: Any) -> Any:
        return modules[name].apply(of(variables, name), inputs, train=False)

    def train_apply(name: str, variables: Variables, inputs: Any) -> tuple[Any, Any]:
        out, new = modules[name].apply(
            of(variables, name), inputs, train=True, mutable=["batch_stats"]
        )
        return out, new.get("batch_stats", {})  # A decoder of 8x8 images has no batch norm.

    return Autoencoder(
        init=init,
        encode=lambda variables, image: apply("encoder", variables, image),
        decode=lambda variables, codes: apply("decoder", variables, codes),
        prior=standard_normal_prior(latents),
        train_encode=lambda variables, image: train_apply("encoder", variables, image),
        train_decode=lambda variables, codes: train_apply("decoder", variables, codes),
    )
