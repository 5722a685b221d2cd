"""Training in bfloat16: what stays float32, and how far the losses are from those of float32."""

import jax
import numpy as np
import pytest

from benchmarks import bfloat16


@pytest.mark.slow
def test_losses_in_bfloat16_stay_within_two_percent_of_those_in_float32(config):
    (exact, _), (rough, state) = bfloat16.in_both_types(config)
    assert len(exact["model"]) == config.num_train_steps
    assert exact["model"][-1] < 0.8 * exact["model"][0], "it learns"
    assert 0 < bfloat16.distances(exact, rough)["model"] < 0.02
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {"float32", "int32"}


def test_a_distance_is_the_largest_share():
    exact, rough = {"model": np.array([4.0, -2.0])}, {"model": np.array([4.0, -2.5])}
    assert bfloat16.distances(exact, rough) == {"model": 0.25}
