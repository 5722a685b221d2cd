"""That what a config says arrives where it counts."""

import jax
import numpy as np
import pytest

from configs import mnist_rbvae
from refvae_jax.methods.base import DataInfo
from refvae_jax.networks.conv.forms import Hardware
from refvae_jax.training import loop, setup


class Taken(Exception):
    pass


def test_the_step_has_the_configs_seed_mapping_and_order(config, monkeypatch):
    def take(method, optimizers, seed, mesh, how, order):
        raise Taken(seed, how, order)

    monkeypatch.setattr(setup.parallel, "map_update", take)
    config.seed, config.parallel.map, config.optimizer.updates = 7, "pmap", "alternating"
    with pytest.raises(Taken) as taken:
        setup.compile_step(config, None, {}, None, None, None)
    assert taken.value.args == (7, "pmap", "alternating")


def test_the_parameters_begin_with_the_configs_seed(config, monkeypatch):
    def take(method, optimizers, seed):
        raise Taken(seed)

    monkeypatch.setattr(loop, "initial_state", take)
    config.seed = 7
    with pytest.raises(Taken) as taken:
        built = setup.Built(None, None, {}, None, {})
        loop.start(config, built, setup.parallel.make_mesh(), None, None)
    assert taken.value.args == (7,)


def test_a_method_is_told_the_number_of_training_images(config, monkeypatch):
    told = []
    make = setup.METHODS["gmvae"]
    monkeypatch.setitem(
        setup.METHODS, "gmvae", lambda config, info: told.append(info) or make(config, info)
    )
    setup.build(config)
    assert told == [((32, 32, 1), 512)]


def test_the_record_knows_the_reference_images():
    record = setup.build(mnist_rbvae.get_config("smoke")).record
    assert {"train_digest", "reference_digest"} <= record.keys()
    assert record["train_digest"] != record["reference_digest"]


@pytest.mark.parametrize("name", ["gmvae", "rbvae"])
def test_the_networks_compute_in_the_configs_type(config, name):
    config = config if name == "gmvae" else mnist_rbvae.get_config("smoke")
    shape = (32, 32, 1)
    image = np.random.default_rng(0).uniform(size=(4, *shape)).astype(np.float32)
    found = []
    for config.dtype in ("float32", "bfloat16"):
        method = setup.METHODS[name](config, DataInfo(shape, 100, Hardware("cpu", 1)))
        variables = jax.jit(lambda m=method: setup.initial_variables(m, 0))()
        codes = method.prior(variables, jax.random.key(0), 4)
        found.append((method.encode(variables, image), method.decode(variables, codes)))
    for exact, rough in zip(*map(jax.tree.leaves, found), strict=True):
        assert rough.dtype == np.float32 and np.any(rough != exact)
