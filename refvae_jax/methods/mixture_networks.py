"""The mixture paper's encoder and decoder as pure functions of a Method's variables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from refvae_jax.methods import independence
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
    LossFunction,
    Method,
    PriorFunction,
    Scalar,
    Scalars,
    Variables,
    standard_normal_prior,
)
from refvae_jax.networks.sizes import STRIDED
from refvae_jax.networks.strided import Decoder, Encoder

LATENTS = ("content", "style")
OVER_BATCH = "batch norm and the posteriors of groups"


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


def make_style_term(config: Config, net: Autoencoder) -> Callable[..., tuple[Scalar, Scalars]]:
    """Makes term(variables, latents, batch): `independence.make_term` of the style on the group."""
    independence_term = independence.make_term(config)

    def term(variables: Variables, latents: Latents, batch: Batch) -> tuple[Scalar, Scalars]:
        def encode(batch: Batch) -> independence.Labelled:
            latents, _ = net.train_encode(variables, batch["image"])
            return latents["style"], batch["group"]

        return independence_term((latents["style"], batch["group"]), encode, batch)

    return term


def method_of(net: Autoencoder, losses_of: LossFunction) -> Method:
    """The Method of one player that trains these networks by its losses."""
    functions = net.init, losses_of, net.encode, net.decode, net.prior
    return Method("group", (MODEL,), *functions, over_batch=OVER_BATCH)


def make_networks(config: Config, data_info: DataInfo) -> Autoencoder:
    """Makes the networks of `config.network` with the latents of `config.latents`.

    Raises:
      UserError: the widths do not fit the image, or no widths would.
    """
    net, (height, _, channels) = config.network, data_info.image_shape
    STRIDED.check(height, net.encoder_widths, net.decoder_widths)
    latents, dtype = {name: config.latents[name] for name in LATENTS}, jnp.dtype(config.dtype)
    on = data_info.platform, dtype, config.remat
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
