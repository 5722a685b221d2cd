"""The step of a config, lowered for a TPU without one: its types."""

import re

import jax
import pytest

from configs import quickstart, reference_mnist_srbvae
from refvae_jax.cost import program
from refvae_jax.errors import UserError
from refvae_jax.training import devices


@pytest.mark.slow
@pytest.mark.parametrize("config_file", [quickstart, reference_mnist_srbvae])
def test_in_bfloat16_only_the_networks_compute_in_bfloat16(config_file):
    """Convolutions and their gradients; parameters, statistics and losses stay float32."""
    config = config_file.get_config("smoke")
    config.dtype = "bfloat16"
    mesh = devices.make_mesh(jax.devices()[:1])
    lowered, (state, _) = program.lower(config, mesh, "tpu")
    lines = [line for line in lowered.as_text().splitlines() if "stablehlo.convolution" in line]
    assert len(lines) >= 20
    for line in lines:
        assert "xf32>" not in line, line
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves((state, lowered.out_info))}
    assert kinds == {"float32", "int32"}
    matmuls = re.findall(r"stablehlo\.dot_general.*", lowered.as_text())
    assert sum("bf16" in line for line in matmuls) > 5


def test_a_batch_in_parts_is_refused():
    config = quickstart.get_config("smoke")
    config.optimizer.accumulate_steps = 4
    words = "of the parts of a batch XLA counts one only.*accumulate_steps=1 --batch_size=8"
    with pytest.raises(UserError, match=words):
        program.lower(config, devices.make_mesh(jax.devices()[:1]), "gpu")
