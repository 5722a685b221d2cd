"""The reference paper's networks: shapes, ranges, what a latent sees, and the block dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.networks import discriminators, progressive
from tests.small_methods import CPU


def random(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def test_the_papers_size_has_the_papers_maps():
    widths = (32, 64, 128, 256, 256)
    encoder = progressive.Encoder(widths, {"common": 32, "target": 32}, CPU)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    assert shapes["common_head"]["kernel"].shape == (4 * 4 * 256, 64)
    trunk = shapes["target"]
    assert trunk["from_image"]["kernel"].shape == (1, 1, 3, 32)
    blocks = [trunk[f"block_{i}"][f"conv_{j}"]["kernel"].shape for i in range(4) for j in (0, 1)]
    assert [b[:2] for b in blocks] == [(3, 3)] * 8
    assert [b[2:] for b in blocks[::2]] == [(32, 64), (64, 128), (128, 256), (256, 256)]
    decoder = progressive.Decoder(256, (256, 128, 64, 32), 3, CPU)
    codes = {"common": jnp.zeros((1, 32)), "target": jnp.zeros((1, 32))}
    image, shapes = jax.eval_shape(decoder.init_with_output, jax.random.key(0), codes)
    assert image.shape == (1, 64, 64, 3)
    assert shapes["params"]["to_image"]["kernel"].shape == (1, 1, 32, 3)


def test_only_the_named_latents_are_computed_and_are_the_same():
    encoder = progressive.Encoder((4, 6), {"common": 3, "target": 2}, CPU)
    x = random(2, 8, 8, 3)
    variables = encoder.init(jax.random.key(0), x)
    both = encoder.apply(variables, x)
    alone = encoder.apply(variables, x, ("target",))
    assert alone.keys() == {"target"}
    np.testing.assert_array_equal(alone["target"].mean, both["target"].mean)


def test_pixel_norm_gives_features_of_unit_mean_square():
    x = 5 * random(2, 4, 4, 16) - 1
    y = np.asarray(progressive.pixel_norm(x))
    np.testing.assert_allclose((y**2).mean(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(y / x, np.broadcast_to((y / x)[..., :1], y.shape), rtol=1e-4)


def test_leaky_relu_has_slope_a_fifth_below_zero():
    x = np.array([-5.0, -1.0, 0.0, 2.0], np.float32)
    np.testing.assert_allclose(progressive.leaky_relu(x), [-1, -0.2, 0, 2], rtol=1e-6)


def test_a_trunk_of_no_blocks_is_linear_in_the_image_from_minus_one_to_one():
    trunk, x = progressive.Trunk((5,), CPU), random(2, 4, 4, 3)
    params = trunk.init(jax.random.key(0), x)
    layer = params["params"]["from_image"]
    layer["bias"] = random(5)
    expected = (2 * x - 1) @ np.asarray(layer["kernel"])[0, 0] + layer["bias"]
    np.testing.assert_allclose(trunk.apply(params, x), expected.reshape(2, -1), atol=1e-5)


def test_a_decoders_image_is_a_tanh_moved_to_zero_to_one():
    decoder, code = progressive.Decoder(5, (), 3, CPU), {"z": random(2, 4)}
    params = decoder.init(jax.random.key(0), code)
    first, last = (params["params"][name] for name in ("from_codes", "to_image"))
    x = (code["z"] @ np.asarray(first["kernel"])).reshape(2, 4, 4, 5)
    expected = (np.tanh(x @ np.asarray(last["kernel"])[0, 0]) + 1) / 2
    np.testing.assert_allclose(decoder.apply(params, code), expected, atol=1e-5)


def test_block_dropout_hides_whole_blocks_at_the_stated_rate():
    n, rate = 20_000, 0.3
    keep = np.asarray(discriminators.keep_blocks(jax.random.key(0), (n,), rate))
    assert keep.shape == (n, 2) and set(np.unique(keep)) == {0.0, 1.0}
    assert keep.max(axis=1).min() == 1, "something is left"
    lost = 1 - keep.mean(axis=0)
    np.testing.assert_allclose(lost, rate / 2, atol=5 * np.sqrt(rate / 2 / n))


@pytest.mark.slow
def test_a_hidden_block_hides_all_of_the_image_or_all_of_the_code():
    discriminator = discriminators.Discriminator((4, 6), features=8, platform=CPU)
    x, z = random(64, 8, 8, 3), {"common": random(64, 3, seed=1)}
    params = discriminator.init(jax.random.key(0), x, z)
    keep = np.asarray(discriminators.keep_blocks(jax.random.key(1), (64,), 1.0))
    base = discriminator.apply(params, x, z, keep)
    for block, changed in ((0, (1 - x, z)), (1, (x, {"common": 1 - z["common"]}))):
        moved = np.asarray(discriminator.apply(params, *changed, keep) != base)
        np.testing.assert_array_equal(moved, keep[:, block] == 1)


def test_nothing_is_hidden_without_blocks_to_keep_and_at_rate_0():
    x, z = random(5, 8, 8, 3), {"common": random(5, 3)}
    discriminator = discriminators.Discriminator((4, 6), features=8, platform=CPU)
    params = discriminator.init(jax.random.key(0), x, z)
    keep = discriminators.keep_blocks(jax.random.key(7), (5,), 0.0)
    logits = [np.asarray(discriminator.apply(params, x, z, k)) for k in (None, keep)]
    np.testing.assert_array_equal(*logits)
    assert logits[0].shape == (5,)


def test_the_discriminator_sees_an_image_and_its_codes_together():
    """The mixed difference of f(x) + g(z) is zero; of a log-density ratio of pairs it is not."""
    discriminator = discriminators.Discriminator((4, 6), features=8, platform=CPU)
    x, z = random(2, 8, 8, 3), random(2, 3, seed=1)
    params = discriminator.init(jax.random.key(0), x, {"common": z})
    rows = np.array([(0, 0), (1, 1), (0, 1), (1, 0)])
    d = np.asarray(discriminator.apply(params, x[rows[:, 0]], {"common": z[rows[:, 1]]}))
    assert abs(d[0] + d[1] - d[2] - d[3]) > 1e-3
