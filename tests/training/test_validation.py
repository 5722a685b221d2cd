"""What a validation measures, on a model whose answer is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.readers.factors_file import no_factors
from refvae_jax.distributions import Gaussian
from refvae_jax.methods.base import Method
from refvae_jax.training import devices
from refvae_jax.training.validation import make_validate

HALF = np.float32(0.5)


def make_method(decode):
    """Codes: the left and the right pixel of an image; `decode` makes an image of the two."""

    def encode(variables, image):
        del variables
        halves = {"common": image[:, :, 0, 0], "target": image[:, :, 1, 0]}  # [B, 1]
        return {name: Gaussian(x, jnp.zeros_like(x)) for name, x in halves.items()}

    def decoded(variables, codes):
        del variables
        return jnp.stack(decode(codes["common"], codes["target"]), axis=2)[..., None]

    return Method("reference", ("model",), None, None, encode, decoded, None)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (21, 1, 2, 1), np.uint8)
    return ImageSet(pixels, np.zeros(21, np.int32), (), no_factors(21))


def validate(decode, images):
    return make_validate(make_method(decode), devices.make_mesh(), 8)({}, images)


def test_each_latent_changes_its_half(images):
    found = validate(lambda common, target: (common, target), images)
    assert found["squared_error"] == pytest.approx(0, abs=1e-10)
    batch = images.image[:8, 0, :, 0] / 255
    between = np.abs(np.roll(batch, 1, axis=0) - batch)
    common, target = between.sum(axis=0) / between.sum()
    assert found["change/common"] == pytest.approx(common, rel=1e-4)
    assert found["change/target"] == pytest.approx(target, rel=1e-4)


def test_a_latent_that_the_decoder_ignores_changes_nothing(images):
    found = validate(lambda common, target: (common, 0 * target + HALF), images)
    assert found["change/target"] == pytest.approx(0, abs=1e-6)
    assert found["change/common"] == pytest.approx(1)
    # All 21 images count once, though the batches are of 8.
    error = np.square(images.image[:, 0, 1, 0] / 255 - 0.5).mean()
    assert found["squared_error"] == pytest.approx(error, rel=1e-5)
