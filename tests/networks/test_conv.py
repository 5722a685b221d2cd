"""Every form of a convolution against XLA's own and against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.networks.conv import chunks
from refvae_jax.networks.conv import layers as convs
from refvae_jax.networks.conv.forms import PLAIN, Form, form
from refvae_jax.networks.conv.kernel_gradient import KERNEL_GRADIENT
from refvae_jax.networks.conv.layers import Conv, ConvDoubled, ConvTranspose, conv, conv_transpose
from tests.layers_in_use import IN_USE
from tests.small_methods import CPU

FUNCTIONS = {
    "conv": convs._conv,
    "conv_transpose": convs._conv_transpose,
    "conv_doubled": lambda x, kernel, _stride, _padding, chosen: convs._conv_doubled(
        x, kernel, chosen
    ),
}


def draw(shape, kernel_shape, dtype=np.float64):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in (shape, kernel_shape)]


def products(kind, x, kernel, stride, padding, chosen):
    """Output and both gradients, for a cotangent that depends on the output's shape alone."""

    @jax.jit
    def run(x, kernel):
        y, pull = jax.vjp(
            lambda x, kernel: FUNCTIONS[kind](x, kernel, stride, padding, chosen), x, kernel
        )
        cotangent = np.random.default_rng(1).standard_normal(y.shape)
        return (y, *pull(jnp.asarray(cotangent, y.dtype)))

    return run(x, kernel)


def assert_equals_plain(kind, x, kernel, stride, padding, chosen):
    actual = products(kind, x, kernel, stride, padding, chosen)
    expected = products(kind, x, kernel, stride, padding, None)
    for name, a, e in zip(("y", "dx", "dk"), actual, expected, strict=True):
        assert a.shape == e.shape, name
        assert a.dtype == e.dtype == jnp.float64, name
        np.testing.assert_allclose(a, e, atol=1e-12 * np.abs(e).max(), rtol=1e-9, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("case", IN_USE, ids=str)
def test_layers_in_use_equal_plain(float64, case):
    kind, size, channels, features, k, stride, padding = case
    out_size = {"conv": size // stride}.get(kind, 2 * size)
    chosen = form(kind, CPU, k, stride, channels, features, out_size)
    x, kernel = draw((2, size, size, channels), (k, k, channels, features))
    assert_equals_plain(kind, x, kernel, stride, padding, chosen)


# The ways are independent of each other, so these triples try each at every geometry.
FORMS = [
    ("conv", PLAIN),
    ("conv", Form("native", "fold", "native")),
    ("conv", Form("native", "phases", "rows")),
    ("conv", Form("wide", "phases", "patches")),
    ("conv_transpose", Form("patches", "fold", "patches", mirrored=True)),
]
GEOMETRIES = [  # height, width, k, stride, padding
    (7, 6, 4, 2, 1),
    (8, 7, 3, 2, 0),
    (5, 8, 4, 3, 3),
    (7, 7, 2, 3, 1),
    (9, 8, 5, 2, 2),
]


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize(("kind", "chosen"), FORMS, ids=str)
def test_forms_equal_plain(float64, kind, chosen, geometry):
    height, width, k, stride, padding = geometry
    x, kernel = draw((2, height, width, 3), (k, k, 3, 2))
    assert_equals_plain(kind, x, kernel, stride, padding, chosen)


@pytest.mark.parametrize("channels", [1, 2])
def test_mirrored_convolution_equals_plain(float64, channels):
    for height, width, k, padding in [(6, 9, 4, 0), (5, 5, 3, 1), (6, 5, 2, 3), (3, 8, 5, 2)]:
        x, kernel = draw((2, height, width, 3), (k, k, 3, channels))
        chosen = Form("wide", "shifts", "patches", mirrored=True)
        assert_equals_plain("conv", x, kernel, 1, padding, chosen)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("images", [0.5, 2, 5, 9])
def test_chunks_of_any_size_add_up(float64, monkeypatch, images, stride):
    x, kernel = draw((5, 6, 7, 3), (3, 3, 3, 2))
    made = 3 * 3 * (6 // stride) * ((7 + 1) // stride)
    monkeypatch.setattr(chunks, "CHUNK", int(images * made))
    assert_equals_plain("conv", x, kernel, stride, 1, Form("native", "phases", "rows"))


@pytest.mark.parametrize("images", [1, 2, 4, 9])
def test_images_of_all_chunks_come_in_order(monkeypatch, images):
    monkeypatch.setattr(chunks, "CHUNK", 3 * images)
    x = jnp.arange(15.0).reshape(5, 3)
    np.testing.assert_array_equal(chunks.by_chunks(lambda x: 2 * x, x, 3), 2 * x)


@pytest.mark.parametrize("shards", [2, 3])  # Of 6 images, and of 5, which divide by neither.
@pytest.mark.parametrize("count", [6, 5])
def test_sums_of_the_devices_add_up(float64, monkeypatch, count, shards):
    monkeypatch.setattr(chunks, "num_shares", lambda: shards)
    x, kernel = draw((count, 6, 7, 3), (4, 4, 3, 2))
    chosen = Form("native", "phases", "rows", mirrored=True)
    assert_equals_plain("conv_transpose", x, kernel, 2, 1, chosen)
    chosen = Form("wide", "shifts", "patches", mirrored=True)
    assert_equals_plain("conv", x, kernel, 1, 1, chosen)


def kernel_gradient_by_rows(x):
    return KERNEL_GRADIENT["rows"](x, x, (1, 1, 1, 1), 1, 0)


def test_a_chunk_is_as_many_images_as_fit(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    # A function of its own, as JAX keeps what it traced by function and shape.
    program = str(jax.make_jaxpr(lambda x: kernel_gradient_by_rows(x))(jnp.ones((5, 1, 1, 1))))
    # The image that fills no chunk, then a loop over two chunks of two.
    assert program.count("dot_general[") == 2
    assert "length=2" in program


def test_chunks_are_added_in_float32(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1)
    found = kernel_gradient_by_rows(jnp.ones((300, 1, 1, 1), jnp.bfloat16))
    assert found.item() == 300  # In bfloat16 256 + 1 = 256.


@pytest.mark.parametrize("chosen", [Form("patches", "fold", "rows", mirrored=True), None])
def test_convolution_of_a_doubled_image_equals_brute_force(float64, chosen):
    x, kernel = draw((2, 3, 4, 5), (3, 3, 5, 2))
    large = np.asarray(x).repeat(2, axis=1).repeat(2, axis=2)
    y = convs._conv_doubled(x, kernel, chosen)
    expected = brute_force_conv(large, np.asarray(kernel), 1, 1)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)


def brute_force_conv(x, kernel, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    k = kernel.shape[0]
    h, w = ((n - k) // stride + 1 for n in x.shape[1:3])
    y = np.zeros((x.shape[0], h, w, kernel.shape[3]))
    for m in range(h):
        for n in range(w):
            window = x[:, m * stride : m * stride + k, n * stride : n * stride + k]
            y[:, m, n] = np.einsum("bijc,ijco->bo", window, kernel)
    return y


@pytest.mark.parametrize("geometry", [(7, 6, 5, 2, 2, 2), (6, 7, 5, 1, 2, 1)], ids=str)
def test_conv_equals_brute_force(float64, geometry):
    height, width, k, stride, padding, features = geometry
    x, kernel = draw((2, height, width, 5), (k, k, 5, features))
    y = conv(x, kernel, CPU, stride=stride, padding=padding)
    np.testing.assert_allclose(
        y, brute_force_conv(np.asarray(x), np.asarray(kernel), stride, padding), rtol=1e-9
    )


@pytest.mark.parametrize("geometry", [(4, 5, 4, 2, 1), (3, 4, 5, 3, 2)], ids=str)
def test_conv_transpose_equals_brute_force(float64, geometry):
    height, width, k, stride, padding = geometry
    x, kernel = draw((2, height, width, 3), (k, k, 3, 2))
    # PyTorch's definition: each pixel adds its multiple of the kernel, here flipped, to the output.
    full = np.zeros((2, (height - 1) * stride + k, (width - 1) * stride + k, 2))
    for m in range(height):
        for n in range(width):
            stamp = np.einsum("bc,ijco->bijo", x[:, m, n], kernel[::-1, ::-1])
            full[:, m * stride : m * stride + k, n * stride : n * stride + k] += stamp
    expected = full[:, padding : full.shape[1] - padding, padding : full.shape[2] - padding]
    actual = conv_transpose(x, kernel, CPU, stride=stride, padding=padding)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "chosen"), FORMS, ids=str)
def test_bfloat16_stays_bfloat16_and_close(kind, chosen):
    x, kernel = draw((2, 6, 6, 8), (4, 4, 8, 4), jnp.bfloat16)
    actual = products(kind, x, kernel, 2, 1, chosen)
    wide = products(kind, *(a.astype(jnp.float32) for a in (x, kernel)), 2, 1, None)
    for a, e in zip(actual, wide, strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(jnp.float32), e, atol=0.02 * np.abs(e).max())


@pytest.mark.parametrize(("module", "function"), [(Conv, conv), (ConvTranspose, conv_transpose)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_modules_apply_the_functions(module, function, dtype):
    layer = module(features=4, kernel_size=4, stride=2, padding=1, platform=CPU)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 6, 3)), dtype)
    params = layer.init(jax.random.key(0), x)["params"]
    assert jax.tree.map(lambda p: (p.shape, p.dtype), params) == {
        "kernel": ((4, 4, 3, 4), jnp.float32),
        "bias": ((4,), jnp.float32),
    }
    assert not params["bias"].any()
    params["bias"] = jnp.arange(4.0)
    y = layer.apply({"params": params}, x)
    expected = function(x, params["kernel"].astype(dtype), CPU, stride=2, padding=1)
    expected = expected + jnp.arange(4, dtype=dtype)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.astype(np.float32), expected.astype(np.float32), rtol=1e-6)


def test_a_doubling_layer_is_a_layer_on_the_doubled_image():
    options = {"features": 4, "kernel_size": 3, "stride": 1, "padding": 1, "platform": CPU}
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 6, 3)), jnp.float32)
    params = Conv(**options).init(jax.random.key(0), x)
    params["params"]["bias"] = jnp.arange(4.0)
    expected = Conv(**options).apply(params, convs.double(x))
    np.testing.assert_allclose(ConvDoubled(**options).apply(params, x), expected, atol=1e-5)


def test_module_without_bias_and_its_initial_scale():
    layer = Conv(features=512, kernel_size=5, stride=2, padding=2, platform=CPU, use_bias=False)
    params = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)))["params"]
    assert set(params) == {"kernel"}
    assert np.std(params["kernel"]) == pytest.approx((5 * 5 * 8) ** -0.5, rel=0.02)
