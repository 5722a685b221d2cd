"""The reference paper's methods on 8x8 images: configs, batches, variables, and derivatives."""

import functools
import importlib

import jax
import numpy as np
import pytest

from refvae_jax.methods import METHODS, reference_networks
from refvae_jax.methods.base import DataInfo

MIXTURE = ("gmvae", "mlvae")  # Tested in tests/methods/test_mixture.py.
NAMES = [name for name in METHODS if name not in MIXTURE]
# For tests whose time is that of compiling: two methods are enough for the quick loop.
MOSTLY_SLOW = [
    name if name in ("vae", "svae") else pytest.param(name, marks=pytest.mark.slow)
    for name in NAMES
]
WITH_DISCRIMINATOR = ["srbvae", "svae", "factorvae", "mathieu"]
SHAPE, BATCH = (8, 8, 3), 6
CPU = "cpu"
# The forms of a CPU take longer to compile, and tests/networks compares them with these.
PLAIN = "tpu"
INFO = DataInfo(SHAPE, 100, PLAIN)


def make_config(name, **method):
    config = importlib.import_module(f"configs.reference_mnist_{name}").get_config("smoke")
    config.network.encoder_widths, config.network.decoder_widths = (4, 6), (4,)
    config.latents.common, config.latents.target, config.latents.z = 3, 2, 4
    config.method.update(method)
    return config


def shrink(config):
    """8x8 images and as few layers as they need: there is less to compile."""
    config.data.resolution, config.data.crop = SHAPE[0], -1
    config.network.encoder_widths, config.network.decoder_widths = (4, 8), (8,)


def make_method(name, **method):
    return METHODS[name](make_config(name, **method), INFO)


def make_batch(supervision, seed=0):
    rng = np.random.default_rng(seed)

    def images():
        return {"image": rng.uniform(size=(BATCH, *SHAPE)).astype(np.float32)}

    if supervision == "reference":
        return {"unlabelled": images(), "reference": images()}
    return images()


def variables_of(method, seed=0):
    """The initial variables, with a noise that leaves no parameter at 0."""
    variables = quick_jit(method.init)(jax.random.key(seed))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda p: p + 0.1 * rng.normal(size=p.shape), variables["params"])
    return variables | {"params": params}


# Half the time: compiling is all of it.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quick_jit(function):
    """jax.jit for what is computed once or twice."""
    return jax.jit(function, compiler_options=FAST)


@functools.cache
def networks(latents):
    """Encoder and decoder, compiled for BATCH rows, on any multiple of them in float64."""
    net = reference_networks.make_networks(make_config("rbvae"), INFO, latents)
    encode, decode = quick_jit(net.encode), quick_jit(net.decode)

    def in_batches(function, params, inputs):
        parts = len(jax.tree.leaves(inputs)[0]) // BATCH
        found = [
            function(params, jax.tree.map(lambda a, i=i: np.float32(np.split(a, parts)[i]), inputs))
            for i in range(parts)
        ]
        return jax.tree.map(lambda *a: np.concatenate(a).astype(np.float64), *found)

    return functools.partial(in_batches, encode), functools.partial(in_batches, decode)


@functools.cache
def discriminator_network(sizes, rate):
    config = make_config("rbvae")
    return quick_jit(reference_networks.make_discriminator(config, INFO, dict(sizes), rate).apply)
