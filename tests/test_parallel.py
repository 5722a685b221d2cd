"""The same step on one and on four devices, and one replica a device."""

import json
import os
import subprocess
import sys

import pytest

from refvae_jax import parallel
from refvae_jax.errors import UserError

PROGRAM = """
import json, sys
import jax, numpy as np, optax
from configs import quickstart
from refvae_jax import parallel, state
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo

how, method_name = sys.argv[1:]
config = quickstart.get_config("smoke")
method = METHODS[method_name](config, DataInfo((32, 32, 1), 100))
optimizers = {"model": optax.sgd(1e-4)}  # Adam would turn rounding into whole steps.
mesh = parallel.make_mesh()
current = jax.jit(
    lambda: state.create(method.init(jax.random.key(0)), optimizers),
    out_shardings=parallel.replicated(mesh),
)()
step = parallel.map_update(method, optimizers, 0, mesh, how)
rng = np.random.default_rng(0)
for _ in range(2):
    batch = {
        "image": rng.integers(0, 256, (32, 32, 32, 1), np.uint8),
        "group": np.tile(np.arange(-1, 3, dtype=np.int32), 8),
    }
    old = current
    current, scalars = step(current, parallel.put_batch(batch, mesh, how))
params = [np.asarray(x) for x in jax.tree.leaves(current.params)]
statistics = [np.asarray(x) for x in jax.tree.leaves(current.mutable)]
print(json.dumps({
    "devices": jax.device_count(),
    "donated": all(x.is_deleted() for x in jax.tree.leaves(old.params)),
    "replicated": all(x.sharding.is_fully_replicated for x in jax.tree.leaves(current)),
    "params": [x.astype(float).ravel().tolist() for x in params],
    "statistics": [x.astype(float).ravel().tolist() for x in statistics],
    "scalars": {k: float(v) for k, v in scalars.items()},
}))
"""


def run(devices, how, method="gmvae"):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, method],
        env=os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    assert result.returncode == 0, result.stderr[-3000:]
    got = json.loads(result.stdout.splitlines()[-1])
    assert got["devices"] == devices and got["donated"] and got["replicated"]
    return got


def assert_close(a, b, tolerance):
    assert a["scalars"] == pytest.approx(b["scalars"], rel=tolerance)
    for name in ("params", "statistics"):
        for left, right in zip(a[name], b[name], strict=True):
            assert left == pytest.approx(right, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("method", ["gmvae", "mlvae"])
def test_jit_is_the_same_on_1_and_4_devices_noise_included(method):
    assert_close(run(1, "jit", method), run(4, "jit", method), 2e-4)


def test_pmap_on_one_device_is_a_replica_and_on_four_averages_four():
    one, four = run(1, "pmap"), run(4, "pmap")
    # Each replica saw a quarter of the batch: another objective, but one state for all.
    assert one["params"] != four["params"]
    assert one["scalars"]["recon"] == pytest.approx(four["scalars"]["recon"], rel=0.3)


def test_batch_size_that_does_not_divide():
    parallel.check_batch_size(32, 4)
    with pytest.raises(UserError, match=r"30 does not divide among 4 devices.*batch_size=28"):
        parallel.check_batch_size(30, 4)
    with pytest.raises(UserError, match="batch_size=4"):
        parallel.check_batch_size(3, 4)
