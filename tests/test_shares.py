"""Steps with several sets on four devices: the numbers of one, and what the devices exchange."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType

from refvae_jax import shares
from tests.conftest import ROOT, xla_flags

PROGRAM = """
import collections, json, re, sys
import jax, numpy as np, optax
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.training import devices
from refvae_jax.training.setup import initial_state
from tests.small_methods import make_config

SHAPE, BATCH = (8, 8, 3), 8
name = sys.argv[1]
config = make_config(name, reconstruction_gradient="stopped", block_dropout=0.5)
if name == "srbvae":
    config.method.w_independence, config.method.independence_from = 100.0, 0.0
rng = np.random.default_rng(0)
method = METHODS[name](config, DataInfo(SHAPE, 100, "cpu"))


def images():
    return {"image": rng.integers(0, 256, (BATCH, *SHAPE), np.uint8)}


batch = {"unlabelled": images(), "reference": images()}
found = {}
for count in (1, 4):
    mesh = devices.make_mesh(jax.devices()[:count])
    optimizers = {player: optax.sgd(1.0) for player in method.players}
    current = initial_state(method, optimizers, 0)
    shift = np.random.default_rng(1)  # The first parameters are partly 0.
    params = jax.tree.map(lambda p: p + 0.1 * shift.normal(size=p.shape), current.params)
    current = current._replace(params=jax.tree.map(lambda p: p.astype("float32"), params))
    before = jax.device_get(current.params)
    current = jax.device_put(current, devices.replicated(mesh))
    placed = devices.put_batch(batch, mesh)
    step = devices.map_update(method, optimizers, 0, mesh, "jit").lower(current, placed).compile()
    current, scalars = step(current, placed)
    moved = jax.tree.map(lambda a, b: a - b, jax.device_get(current.params), before)
    found[count] = {
        "moved": [leaf.astype(float).ravel().tolist() for leaf in jax.tree.leaves(moved)],
        "scalars": {k: float(v) for k, v in scalars.items()},
        "kinds": collections.Counter(re.findall(
            r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-[a-z]+)[-a-z]*\\(",
            step.as_text(),
        )),
    }
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["srbvae", "mathieu"])
def test_four_devices_give_the_step_of_one_and_keep_their_examples(name):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env=os.environ | xla_flags(xla_force_host_platform_device_count=4),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    one, four = json.loads(result.stdout.splitlines()[-1]).values()
    assert four["scalars"] == pytest.approx(one["scalars"], rel=1e-4, abs=1e-5)
    for moved, expected in zip(four["moved"], one["moved"], strict=True):
        size = max(map(abs, expected))
        assert moved == pytest.approx(expected, rel=0, abs=1e-3 * size)
    assert one["kinds"] == {} and "all-reduce" in four["kinds"]
    assert not {"collective-permute", "all-to-all"} & four["kinds"].keys()


A, B = np.arange(8), 100 + np.arange(4)


def on_four_devices():
    return jax.sharding.use_abstract_mesh(AbstractMesh((4,), ("batch",), (AxisType.Auto,)))


def test_each_device_joins_its_own_shares():
    assert shares.joined(A, B).tolist() == [*A, *B]
    with on_four_devices():
        both = shares.joined({"x": A}, {"x": B})["x"]
        parts = shares.separated(both, (8, 4))
    assert both.tolist() == [0, 1, 100, 2, 3, 101, 4, 5, 102, 6, 7, 103]
    assert [part.tolist() for part in parts] == [A.tolist(), B.tolist()]


def test_together_is_the_function_of_each_set():
    seen = []

    def double(tree):
        seen.append(tree["x"].shape)
        return 2 * tree["x"]

    with on_four_devices():
        found = shares.together(double, {"x": jnp.array(A)}, {"x": jnp.array(B)})
    assert seen == [(12,)]
    assert [part.tolist() for part in found] == [(2 * A).tolist(), (2 * B).tolist()]


def test_without_a_mesh_and_within_a_replica_nothing_is_placed():
    x = jnp.array(A)
    for function in (shares.gathered, shares.spread, lambda x: shares.mixed(jnp.flip, jnp.flip(x))):
        np.testing.assert_array_equal(function(x), A)
    mesh = AbstractMesh((4,), ("batch",), (AxisType.Manual,))
    with jax.sharding.use_abstract_mesh(mesh):
        assert shares.num_shares() == 1
    with on_four_devices():
        assert shares.num_shares() == 4
