"""The same step on one and on four devices, and one replica a device."""

import json
import os
import subprocess
import sys

import pytest

from refvae_jax.errors import UserError
from refvae_jax.training import devices
from tests.conftest import ROOT, xla_flags

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np, optax
from configs import quickstart
from refvae_jax.data.batches import stacked
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.training import devices
from refvae_jax.training.setup import initial_state

how, method_name = sys.argv[1:3]
parts, per_call = map(int, sys.argv[3:])
config = quickstart.get_config("smoke")
# Networks that are quick to compile, and steps that do not amplify rounding.
widths, rate = (((4, 8), (4,)), 1e-4) if method_name == "gmvae" else (((4, 8, 8), (4, 2)), 1e-7)
config.network.encoder_widths, config.network.decoder_widths = widths
config.method.w_independence, config.method.independence_from = 100.0 * (parts == 1), 0.0
method = METHODS[method_name](config, DataInfo((16, 16, 1), 100, "cpu"))
optimizers = {"model": optax.sgd(rate)}  # Adam would turn rounding into whole steps.
mesh = devices.make_mesh()
current = jax.jit(
    lambda: initial_state(method, optimizers, 0), out_shardings=devices.replicated(mesh)
)()
step = devices.map_update(method, optimizers, 0, mesh, how, parts, per_call)
rng = np.random.default_rng(0)


def average_of_replicas(current, batch):
    # The step of plain gradient descent along the mean of the gradients of each part.
    total = None
    for d in range(jax.device_count()):
        part = slice(d * 32 // jax.device_count(), (d + 1) * 32 // jax.device_count())
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), current.step), d)
        images = batch["image"][part].astype(np.float32) / 255

        def loss(params):
            variables = {"params": {"model": params}, "mutable": current.mutable}
            part_batch = {"image": images, "group": batch["group"][part], "step": current.step}
            return method.losses(variables, part_batch, key)["model"][0]

        grads = jax.jit(jax.grad(loss))(current.params["model"])
        total = grads if total is None else jax.tree.map(jnp.add, total, grads)
    steps = jax.tree.map(lambda g: -rate * g / jax.device_count(), total)
    return [np.asarray(x).astype(float).ravel().tolist() for x in jax.tree.leaves(steps)]


def make_batch():
    def images():
        return {"image": rng.integers(0, 256, (32, 16, 16, 1), np.uint8)}

    if method.supervision == "reference":
        return {"unlabelled": images(), "reference": images()}
    return images() | {"group": np.tile(np.arange(-1, 3, dtype=np.int32), 8)}


batches = [make_batch() for _ in range(2)]
old = current
by_hand = average_of_replicas(old, batches[0]) if how == "pmap" and parts == 1 else []
before = [np.array(x) for x in jax.tree.leaves(old.params)]  # A copy: old is donated.
for i in range(0, 1 if by_hand else 2, per_call):
    batch = stacked(batches[i : i + per_call])
    current, scalars = step(current, devices.put_batch(batch, mesh, per_call))
params = [np.asarray(x) for x in jax.tree.leaves(current.params)]
statistics = [np.asarray(x) for x in jax.tree.leaves(current.mutable)]
print(json.dumps({
    "devices": jax.device_count(),
    "donated": all(x.is_deleted() for x in jax.tree.leaves(old.params)),
    "replicated": all(x.sharding.is_fully_replicated for x in jax.tree.leaves(current)),
    "by_hand": by_hand,
    "moved": [(a - b).astype(float).ravel().tolist() for a, b in zip(params, before)],
    "params": [x.astype(float).ravel().tolist() for x in params],
    "statistics": [x.astype(float).ravel().tolist() for x in statistics],
    "scalars": {k: float(v) for k, v in scalars.items()},
}))
"""


def run(num_devices, how, method="gmvae", parts=1, per_call=1):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, method, str(parts), str(per_call)],
        env=os.environ | xla_flags(xla_force_host_platform_device_count=num_devices),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    got = json.loads(result.stdout.splitlines()[-1])
    assert got["devices"] == num_devices and got["donated"] and got["replicated"]
    return got


def assert_close(a, b, tolerance):
    assert a["scalars"] == pytest.approx(b["scalars"], rel=tolerance, abs=1e-6)
    for name in ("params", "statistics"):
        for left, right in zip(a[name], b[name], strict=True):
            assert left == pytest.approx(right, rel=tolerance, abs=tolerance)


@pytest.mark.slow
def test_jit_is_the_same_on_1_and_4_devices_noise_included():
    assert_close(run(1, "jit"), run(4, "jit"), 2e-4)


@pytest.mark.slow
def test_several_devices_take_batches_in_parts_and_several_in_a_call():
    one = run(1, "jit", "rbvae", parts=2, per_call=1)
    assert_close(one, run(4, "jit", "rbvae", parts=2, per_call=2), 1e-3)


@pytest.mark.slow
def test_pmap_steps_along_the_average_of_its_replicas_gradients():
    """Each of four replicas has a quarter of the batch and noise of its own."""
    got = run(4, "pmap")
    for moved, averaged in zip(got["moved"], got["by_hand"], strict=True):
        assert moved == pytest.approx(averaged, rel=1e-2, abs=1e-6)
    assert max(abs(x) for x in got["by_hand"][0]) > 0


def test_batch_size_that_does_not_divide():
    devices.check_divides(32, 4)
    with pytest.raises(UserError, match=r"30 does not divide among 4 devices.*batch_size=28"):
        devices.check_divides(30, 4)
    with pytest.raises(UserError, match="batch_size=4"):
        devices.check_divides(3, 4)
