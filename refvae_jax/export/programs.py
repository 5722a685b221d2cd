"""`encode` and `decode` of a trained model as StableHLO, for any number of images and any platform.

programs = make_programs(variables, record)      # {"encode": Exported, "decode": Exported}
codes = programs["encode"].call(packed.flattened(variables), images)

    encode: arrays, uint8 [b, H, W, C]     -> {latent: {"mean": [b, D], "logvar": [b, D]}}
    decode: arrays, {latent: float32 [b, D]} -> uint8 [b, H, W, C]

The arrays are those of parameters.npz. The networks choose the form of their convolutions by the
platform (`networks/conv/forms.py`), so each program has one branch per platform, of which JAX keeps
the right one before it compiles.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export, lax

from refvae_jax import packed
from refvae_jax.inference import method_of
from refvae_jax.methods.base import Variables
from refvae_jax.model import decoder, encoder

# What `jax.export` calls a platform, and what devices of it call theirs.
PLATFORMS = {"cpu": "cpu", "cuda": "gpu", "tpu": "tpu"}


def make_programs(variables: Variables, record: dict[str, Any]) -> dict[str, export.Exported]:
    """{"encode": ..., "decode": ...} of a checkpoint's variables and record."""
    methods = {name: method_of(record, device) for name, device in PLATFORMS.items()}
    encoders = {name: _encode(encoder(method), variables) for name, method in methods.items()}
    decoders = {name: _decode(decoder(method), variables) for name, method in methods.items()}
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), packed.flattened(variables)
    )
    (b,) = export.symbolic_shape("b")
    image = jax.ShapeDtypeStruct((b, *record["image_shape"]), jnp.uint8)
    codes = {n: q["mean"] for n, q in jax.eval_shape(encoders["cpu"], shapes, image).items()}
    return {
        "encode": _exported(encoders, shapes, image),
        "decode": _exported(decoders, shapes, codes),
    }


def _encode(function: Callable, template: Variables) -> Callable:
    def encode(arrays: packed.Arrays, image: jax.Array) -> dict[str, dict[str, jax.Array]]:
        latents = function(packed.unflattened(arrays, template), image)
        return {name: q._asdict() for name, q in latents.items()}

    return encode


def _decode(function: Callable, template: Variables) -> Callable:
    def decode(arrays: packed.Arrays, codes: dict[str, jax.Array]) -> jax.Array:
        return function(packed.unflattened(arrays, template), codes)

    return decode


def _exported(branches: dict[str, Callable], *shapes: Any) -> export.Exported:
    """One program whose branches, by platform, are these functions."""
    chosen = jax.jit(lambda *inputs: lax.platform_dependent(*inputs, **branches))
    return export.export(chosen, platforms=tuple(branches))(*shapes)
