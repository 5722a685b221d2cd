"""Every network against one written with lax.conv and numpy; and in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from refvae_jax.networks import discriminators, progressive, strided
from tests.small_methods import CPU


def random(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def perturbed(params, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: p + 0.2 * rng.normal(size=p.shape).astype(np.float32), params)


def plain_conv(p, x, padding, stride=1, dilation=1):
    y = lax.conv_general_dilated(
        x,
        p["kernel"],
        (stride, stride),
        [(padding, padding)] * 2,
        lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return np.asarray(y + p.get("bias", 0))


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def dense(p, x):
    return x @ np.asarray(p["kernel"]) + np.asarray(p["bias"])


def plain_block(p, x, normalise=True):
    for j in range(2):
        x = leaky(plain_conv(p[f"conv_{j}"], x, 1))
        if normalise:
            x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-8)
    return x


def plain_trunk(p, x, normalise=True):
    x = plain_conv(p["from_image"], 2 * x - 1, 0)
    for i in range(len(p) - 1):
        x = plain_block(p[f"block_{i}"], x, normalise)
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
    return x.reshape(len(x), -1)


@pytest.mark.slow
def test_encoder_and_decoder_are_the_blocks_of_progressive_gans():
    encoder, x = progressive.Encoder((4, 6), {"z": 3}, CPU), random(2, 8, 8, 3)
    p = perturbed(encoder.init(jax.random.key(0), x)["params"])
    want = dense(p["z_head"], plain_trunk(p["z"], x))
    q = encoder.apply({"params": p}, x)["z"]
    np.testing.assert_allclose(np.concatenate(q, axis=1), want, rtol=1e-4, atol=1e-5)

    decoder, z = progressive.Decoder(6, (4,), 3, CPU), random(2, 3)
    p = perturbed(decoder.init(jax.random.key(0), {"z": z})["params"])
    y = dense(p["from_codes"], z).reshape(2, 4, 4, 6).repeat(2, axis=1).repeat(2, axis=2)
    y = plain_conv(p["to_image"], plain_block(p["block_0"], y), 0)
    np.testing.assert_allclose(
        decoder.apply({"params": p}, {"z": z}), (np.tanh(y) + 1) / 2, rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_a_discriminator_has_no_pixel_norm_and_leaky_layers():
    discriminator = discriminators.Discriminator((4, 6), features=8, platform=CPU)
    x, codes = random(5, 8, 8, 3), {"target": random(5, 2), "common": random(5, 3, seed=1) - 1}
    p = perturbed(discriminator.init(jax.random.key(0), x, codes)["params"])
    image = leaky(dense(p["image_features"], plain_trunk(p["image"], x, normalise=False)))
    code = np.concatenate([codes["common"], codes["target"]], axis=1)
    for i in range(2):
        code = leaky(dense(p[f"code_features_{i}"], code))
    joint = leaky(dense(p["joint_features"], np.concatenate([image, code], axis=1)))
    want = dense(p["logit"], joint)[:, 0]
    np.testing.assert_allclose(
        discriminator.apply({"params": p}, x, codes), want, rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_factorvaes_discriminator_is_six_leaky_layers_of_1000():
    discriminator, z = discriminators.LatentDiscriminator(), random(4, 3) - 0.5
    p = discriminator.init(jax.random.key(0), z)["params"]
    assert [p[f"Dense_{i}"]["kernel"].shape[1] for i in range(len(p))] == 6 * [1000] + [1]
    want = z
    for i in range(6):
        want = leaky(dense(p[f"Dense_{i}"], want))
    np.testing.assert_allclose(
        discriminator.apply({"params": p}, z), dense(p["Dense_6"], want)[:, 0], rtol=1e-3, atol=1e-5
    )


def plain_norm(p, statistics, x):
    centred = (x - statistics["mean"]) / np.sqrt(np.asarray(statistics["var"]) + 1e-5)
    return np.maximum(centred * p["scale"] + p["bias"], 0)


@pytest.mark.slow
def test_strided_networks_are_table_2s_at_test_time():
    encoder, x = strided.Encoder((4, 6), {"content": 3}, CPU), random(2, 8, 8, 1)
    v = perturbed(encoder.init(jax.random.key(0), x, train=False), seed=1)
    # Small variances, so that the epsilon is seen.
    v["batch_stats"] = jax.tree.map(lambda s: 1e-3 * np.abs(s), v["batch_stats"])
    y = x
    for i in range(2):
        y = plain_conv(v["params"][f"Conv_{i}"], y, 2, stride=2)
        y = plain_norm(v["params"][f"BatchNorm_{i}"], v["batch_stats"][f"BatchNorm_{i}"], y)
    want = dense(v["params"]["content"], y.reshape(2, -1))
    q = encoder.apply(v, x, train=False)["content"]
    np.testing.assert_allclose(np.concatenate(q, axis=1), want, rtol=1e-4, atol=1e-3)

    decoder = strided.Decoder(5, (4,), 1, CPU)
    codes = {"content": random(2, 3), "style": random(2, 2)}
    v = perturbed(decoder.init(jax.random.key(0), codes, train=False), seed=1)
    v["batch_stats"] = jax.tree.map(np.abs, v["batch_stats"])
    p = v["params"]
    y = np.concatenate([dense(p[n], codes[n]).reshape(2, 8, 8, 5) for n in sorted(codes)], axis=-1)
    y = plain_conv(p["ConvTranspose_0"], y, 2, dilation=2)  # k - 1 - padding around.
    y = plain_norm(p["BatchNorm_0"], v["batch_stats"]["BatchNorm_0"], y)
    want = strided.image_activation(plain_conv(p["Conv_0"], y, 2))
    np.testing.assert_allclose(decoder.apply(v, codes, train=False), want, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda t: progressive.Encoder((4, 6), {"z": 3}, CPU, t), (random(3, 8, 8, 3),)),
        (lambda t: progressive.Decoder(6, (4,), 3, CPU, t), ({"z": random(3, 2)},)),
        (
            lambda t: discriminators.Discriminator((4, 6), 8, CPU, t),
            (random(3, 8, 8, 3), {"z": random(3, 2)}),
        ),
        (lambda t: strided.Decoder(4, (4,), 1, CPU, t), ({"z": random(3, 2)}, False)),
    ],
    ids=["encoder", "decoder", "discriminator", "strided decoder"],
)
def test_bfloat16_networks_answer_in_float32(make, inputs):
    variables = make(jnp.float32).init(jax.random.key(0), *inputs)
    exact = jax.tree.leaves(make(jnp.float32).apply(variables, *inputs))
    rough = jax.tree.leaves(make(jnp.bfloat16).apply(variables, *inputs))
    for a, b in zip(rough, exact, strict=True):
        assert a.dtype == jnp.float32
        assert not np.array_equal(a, b)
        np.testing.assert_allclose(a, b, atol=0.05 * np.abs(b).max())
