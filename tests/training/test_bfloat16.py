"""Training in bfloat16: what stays float32, and how far the losses are from those of float32."""

import jax
import numpy as np
import pytest

from refvae_jax.data.batches import training_batches
from refvae_jax.data.splits import open_splits
from refvae_jax.training import devices, setup

STEPS = 20


def losses(config):
    """The model's loss at each step, and the last state."""
    parts = setup.prepare(config, open_splits(config))
    current = jax.device_put(
        setup.initial_state(parts.method, parts.optimizers, config.seed),
        devices.replicated(parts.mesh),
    )
    found, step = [], None
    for batch in training_batches(parts.training_sets, config, 0):
        if step is None:
            step = setup.compile_step(
                config, parts.method, parts.optimizers, parts.mesh, current, batch
            )
        current, scalars = step(current, devices.put_batch(batch, parts.mesh))
        found.append(float(scalars["loss/model"]))
    return np.array(found), current


@pytest.mark.slow
def test_losses_in_bfloat16_stay_within_two_percent_of_those_in_float32(config):
    config.num_train_steps = STEPS
    exact, _ = losses(config)
    config.dtype = "bfloat16"
    rough, state = losses(config)
    assert len(exact) == STEPS and exact[-1] < 0.8 * exact[0], "it learns"
    assert np.any(rough != exact)
    np.testing.assert_allclose(rough, exact, rtol=0.02)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {"float32", "int32"}
