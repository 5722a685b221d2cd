"""Any number of rows through a function of one batch size."""

import numpy as np
import pytest

from refvae_jax.networks.batched import apply_batched


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (256, 1), (300, 2)])
def test_batches_are_padded_and_cut(count, calls):
    seen = []

    def double(tree):
        seen.append(tree["x"].copy())
        return {"y": 2 * tree["x"]}

    got = apply_batched(double, {"x": np.arange(float(count))}, size=256)
    np.testing.assert_array_equal(got["y"], 2 * np.arange(float(count)))
    assert [len(batch) for batch in seen] == [256] * calls
    assert seen[-1][-1] == count - 1  # Padded with the last row.
