"""Table 2 of the mixture paper: sizes, and the output's customised non-linearity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.networks.strided import Decoder, Encoder, image_activation
from tests.small_methods import CPU


def test_image_activation_is_the_papers():
    x = jnp.array([-2.0, -1.0, 0.0, 1.0, 3.0])
    np.testing.assert_allclose(image_activation(x), [-0.01, 0, 0.5, 1, 1.02], atol=1e-6)
    slope = jax.vmap(jax.grad(image_activation))(jnp.array([-2.0, 0.3, 3.0]))
    np.testing.assert_allclose(slope, [0.01, 0.5, 0.01], rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "widths", "latent", "start", "up", "encoder_count", "decoder_count"),
    [
        # Counted by hand: convolutions without bias, batch norm with scale and bias, dense layers.
        (
            (32, 32, 1),
            (32, 64, 128, 256),
            8,
            128,
            (128, 64),
            25 * (32 + 32 * 64 + 64 * 128 + 128 * 256) + 2 * 480 + 2 * (4 * 256 + 1) * 16,
            2 * 9 * 8192 + 16 * (256 * 128 + 128 * 64) + 2 * 192 + 25 * 64 + 1,
        ),
        (
            (64, 64, 3),
            (64, 128, 256, 512),
            32,
            256,
            (256, 128, 64),
            25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 2 * 960 + 2 * (16 * 512 + 1) * 64,
            2 * 33 * 16384 + 16 * (512 * 256 + 256 * 128 + 128 * 64) + 2 * 448 + 25 * 64 * 3 + 3,
        ),
    ],
)
def test_table_2(shape, widths, latent, start, up, encoder_count, decoder_count):
    latents = {"content": latent, "style": latent}
    encoder, decoder = Encoder(widths, latents, CPU), Decoder(start, up, shape[-1], CPU)
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    codes = {name: jax.ShapeDtypeStruct((2, latent), jnp.float32) for name in latents}
    key = jax.random.key(0)
    encoded, encoder_variables = jax.eval_shape(
        lambda x: encoder.init_with_output(key, x, train=False), images
    )
    decoded, decoder_variables = jax.eval_shape(
        lambda z: decoder.init_with_output(key, z, train=False), codes
    )
    assert encoded["content"].mean.shape == encoded["style"].logvar.shape == (2, latent)
    assert decoded.shape == (2, *shape)

    def count(variables):
        return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

    assert count(encoder_variables) == encoder_count
    assert count(decoder_variables) == decoder_count


@pytest.mark.slow
def test_bfloat16_computes_in_bfloat16_and_answers_in_float32():
    encoder = Encoder((4, 8), {"content": 3, "style": 2}, CPU, jnp.bfloat16)
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(4, 16, 16, 1)), jnp.float32)
    variables = encoder.init(jax.random.key(0), x, train=False)
    latents = encoder.apply(variables, x, train=False)
    exact = Encoder((4, 8), {"content": 3, "style": 2}, CPU).apply(variables, x, train=False)
    assert latents["content"].mean.dtype == jnp.float32
    assert variables["params"]["Conv_0"]["kernel"].dtype == jnp.float32
    np.testing.assert_allclose(latents["style"].mean, exact["style"].mean, atol=0.05)
    assert not np.array_equal(latents["style"].mean, exact["style"].mean)
