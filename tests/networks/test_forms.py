"""Which form of a convolution is chosen for which layer and which platform."""

import jax
import jax.numpy as jnp
import pytest

from refvae_jax.networks.conv.forms import PLAIN, Form, form
from refvae_jax.networks.conv.layers import Conv
from tests.layers_in_use import IN_USE
from tests.small_methods import CPU


@pytest.mark.parametrize("platform", ["gpu", "tpu", "METAL"])
def test_other_platforms_take_the_plain_form(platform):
    for kind, size, channels, features, k, stride, _ in IN_USE:
        assert form(kind, platform, k, stride, channels, features, size) is None


@pytest.mark.slow
@pytest.mark.parametrize("platform", [CPU, "tpu"])
def test_a_layer_is_traced_for_the_platform_it_is_given(platform):
    """Not for this process's own: the program of another machine can be lowered here."""
    layer = Conv(features=1, kernel_size=5, stride=1, padding=2, platform=platform)
    x = jnp.ones((2, 8, 8, 4))
    params = layer.init(jax.random.key(0), x)

    def loss(params):
        return layer.apply(params, x).sum()

    traced = jax.jit(jax.grad(loss)).trace(params)
    assert ("dot_general[" in str(traced.jaxpr)) == (platform == CPU)
    assert traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(
    ("layer", "chosen"),
    [
        (("conv", CPU, 5, 2, 1, 32, 16), Form("wide", "phases", "patches")),
        (("conv", CPU, 5, 2, 32, 64, 8), Form("native", "phases", "native")),
        (("conv", CPU, 5, 2, 64, 128, 4), Form("native", "fold", "native")),
        (("conv", CPU, 5, 2, 128, 256, 2), Form("patches", "fold", "native")),
        (("conv", CPU, 5, 2, 256, 512, 4), Form("patches", "fold", "native")),
        (("conv", CPU, 5, 2, 3, 64, 32), Form("wide", "phases", "patches")),
        (("conv", CPU, 5, 1, 64, 1, 32), Form("wide", "shifts", "patches", True)),
        (("conv", CPU, 5, 1, 64, 3, 64), Form("wide", "shifts", "patches", True)),
        (("conv", CPU, 3, 1, 64, 64, 32), Form("native", "phases", "rows")),
        (("conv", CPU, 3, 1, 64, 64, 4), PLAIN),
        (("conv", CPU, 3, 1, 8, 32, 8), Form("native", "phases", "rows")),
        (("conv", CPU, 3, 1, 4, 32, 8), PLAIN),
        (("conv", CPU, 1, 1, 64, 1, 32), PLAIN),
        (("conv_transpose", CPU, 4, 2, 256, 128, 16), Form("native", "phases", "rows", True)),
        (("conv_transpose", CPU, 3, 1, 64, 64, 16), None),
        (("conv_doubled", CPU, 3, 1, 64, 32, 64), Form("native", "phases", "rows", True)),
    ],
    ids=str,
)
def test_form_on_cpu(layer, chosen):
    assert form(*layer) == chosen
