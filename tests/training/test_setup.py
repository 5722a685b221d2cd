"""The values of a config reach the parts that use them."""

from unittest.mock import Mock

import jax
import numpy as np
import pytest

from configs import reference_mnist_rbvae
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import UserError
from refvae_jax.methods import gmvae
from refvae_jax.methods.base import DataInfo
from refvae_jax.training import devices, loop, setup


class Taken(Exception):
    pass


def test_the_step_has_the_configs_seed_and_mapping(config, monkeypatch):
    def take(method, optimizers, seed, mesh, *how):
        raise Taken(seed, *how)

    monkeypatch.setattr(setup.devices, "map_update", take)
    config.seed, config.parallel.map, config.optimizer.accumulate_steps = 7, "pmap", 3
    with pytest.raises(Taken) as taken:
        setup.lower_step(config, None, {}, None, None, None, num_batches=5)
    assert taken.value.args == (7, "pmap", 3, 5)


def test_parts_of_a_batch_are_refused_where_the_loss_needs_the_whole_or_they_are_uneven(config):
    config.optimizer.accumulate_steps = 2
    with pytest.raises(UserError, match="is 2, but gmvae computes batch norm and the posteriors"):
        setup.prepare(config, open_splits(config))
    of_examples = Mock(over_batch="")
    setup.check_accumulation(config, of_examples, 4)
    config.optimizer.accumulate_steps = 3
    with pytest.raises(UserError, match=r"32 does not divide into 3 .*4 devices.*batch_size=24"):
        setup.check_accumulation(config, of_examples, 4)


def test_the_images_to_compare_must_be_there_and_divide(config):
    sets = {"grouped": {"image": np.zeros((500, 1))}}
    config.method.independence_batch = 600
    setup.check_others(config, sets, 4)  # Without the term nobody asks for them.
    config.method.w_independence = 1.0
    with pytest.raises(UserError, match=r"is 600, but there are 500 images: .*batch=500 or fewer"):
        setup.check_others(config, sets, 4)
    config.method.independence_batch = 450
    setup.check_others(config, sets, 2)
    with pytest.raises(UserError, match=r"450 does not divide among 4 devices: .*batch=448"):
        setup.check_others(config, sets, 4)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_large_buffers_are_returned_where_the_mesh_is_of_a_cpu(config, monkeypatch, platform):
    returned = []
    step = Mock()
    step.lower().compile().memory_analysis().temp_size_in_bytes = 5
    monkeypatch.setattr(setup.devices, "map_update", lambda *arguments: step)
    monkeypatch.setattr(setup.devices, "put_batch", lambda batch, mesh, number: batch)
    monkeypatch.setattr(setup, "return_large", returned.append)
    monkeypatch.setattr(setup, "return_unused", lambda: returned.append("unused"))
    mesh = Mock(devices=np.array([Mock(platform=platform)]))
    setup.compile_step(config, None, {}, mesh, None, None)
    assert returned == ([5, "unused"] if platform == "cpu" else [])


def test_the_parameters_begin_with_the_configs_seed(config, monkeypatch):
    def take(method, optimizers, seed):
        raise Taken(seed)

    monkeypatch.setattr(loop, "initial_state", take)
    config.seed = 7
    with pytest.raises(Taken) as taken:
        prepared = setup.Prepared({}, None, {}, None, {}, devices.make_mesh())
        loop.start(config, prepared, None, None)
    assert taken.value.args == (7,)


def test_a_method_gets_the_number_of_training_images(config, monkeypatch):
    seen = []
    make = gmvae.make_method
    monkeypatch.setattr(
        gmvae, "make_method", lambda config, info: seen.append(info) or make(config, info)
    )
    setup.prepare(config, open_splits(config))
    assert [info[:2] for info in seen] == [((32, 32, 1), 512)]


@pytest.mark.slow
def test_the_record_knows_the_reference_images():
    config = reference_mnist_rbvae.get_config("smoke")
    record = setup.prepare(config, open_splits(config)).record
    assert {"train_digest", "reference_digest"} <= record.keys()
    assert record["train_digest"] != record["reference_digest"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "rbvae"])
def test_the_networks_compute_in_the_configs_type(config, name):
    config = config if name == "gmvae" else reference_mnist_rbvae.get_config("smoke")
    shape = (32, 32, 1)
    image = np.random.default_rng(0).uniform(size=(4, *shape)).astype(np.float32)
    found = []
    for config.dtype in ("float32", "bfloat16"):
        method = setup.METHODS[name](config, DataInfo(shape, 100, "cpu"))
        variables = jax.jit(lambda m=method: setup.initial_variables(m, 0))()
        codes = method.prior(variables, jax.random.key(0), 4)
        found.append((method.encode(variables, image), method.decode(variables, codes)))
    for exact, rough in zip(*map(jax.tree.leaves, found), strict=True):
        assert rough.dtype == np.float32 and np.any(rough != exact)


@pytest.mark.slow
def test_nothing_is_compiled_after_the_first_step(config):
    compiled = []

    def count(event, seconds, **facts):
        compiled.extend([event] * ("backend_compile" in event))

    config.network.encoder_widths, config.network.decoder_widths = (4, 8), (4,)
    mesh = devices.make_mesh()
    info = DataInfo((16, 16, 1), 100, devices.platform_of(mesh))
    method = setup.METHODS["gmvae"](config, info)
    optimizers = setup.make_optimizers(config, method.players)
    current = jax.device_put(setup.initial_state(method, optimizers, 0), devices.replicated(mesh))
    rng = np.random.default_rng(0)

    def batch():
        images = rng.integers(0, 256, (8, 16, 16, 1), np.uint8)
        return {"image": images, "group": rng.integers(0, 3, 8, np.int32)}

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        step = setup.compile_step(config, method, optimizers, mesh, current, batch())
        current, _ = step(current, devices.put_batch(batch(), mesh))
        assert compiled  # Or it counts nothing.
        compiled.clear()
        for _ in range(3):
            current, scalars = step(current, devices.put_batch(batch(), mesh))
            jax.device_get(scalars)
        assert int(current.step) == 4 and compiled == []
    finally:
        jax.monitoring.clear_event_listeners()
