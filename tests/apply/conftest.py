"""A model whose codes are the halves of its image, in place of a trained run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from refvae_jax.apply import arguments
from refvae_jax.data.readers import resize
from refvae_jax.data.readers.image_files import ImageForm
from refvae_jax.distributions import Gaussian
from refvae_jax.methods.base import Method
from refvae_jax.model import Model

SIDE = 8


def halves(names=("content", "style"), crop=resize.WHOLE):
    """A Model: the first latent is the left half of an image, the second the right."""
    width = SIDE // len(names)

    def encode(variables, image):
        parts = jnp.split(image, len(names), axis=2)
        means = [part.reshape(len(image), -1) for part in parts]
        return {n: Gaussian(x, 0.5 * x) for n, x in zip(names, means, strict=True)}

    def decode(variables, codes):
        parts = [codes[n].reshape(len(codes[n]), SIDE, width, 1) for n in names]
        return jnp.concatenate(parts, axis=2)

    def prior(variables, rng, n):
        keys = jax.random.split(rng, len(names))
        shape = (n, SIDE * width)
        return {name: jax.random.uniform(key, shape) for name, key in zip(names, keys, strict=True)}

    method = Method("groups", ("model",), None, None, encode, decode, prior)
    return Model(method, {}, ImageForm((SIDE, SIDE, 1), crop))


@pytest.fixture
def model(monkeypatch):
    """The model that every verb loads."""
    made = halves()
    monkeypatch.setattr(arguments, "load", lambda run, step: made)
    return made


@pytest.fixture
def pictures(tmp_path):
    """(a folder of five grey images 8 x 8, their pixels uint8 [5, 8, 8, 1] in the same order)."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE), np.uint8)
    (tmp_path / "in").mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "in" / f"{i}.png")
    return tmp_path / "in", pixels[..., None]
