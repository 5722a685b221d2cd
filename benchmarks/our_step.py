"""Our training step, compiled and fed with made images, for the benchmarks that measure it."""

import functools
import time
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict

from benchmarks.batches import made_batch
from refvae_jax.data.readers import presets

CHANNELS = flags.DEFINE_integer("channels", None, "Of the made images; default: the data's.", 1)
GROUPS = flags.DEFINE_integer("groups", 10, "Groups among the made images.", 1)


class OurStep(NamedTuple):
    """The step and what it is called with.

    Attributes:
      update: the function that is compiled, update(state, batch) -> (state, scalars).
      compiled: `update` as a jax.stages.Compiled, which takes its state over.
      state: before the first step, on the mesh.
      put_batch: () -> the batch, newly on the devices, as training puts it there.
      compile_seconds: what compiling took.
    """

    update: object
    compiled: object
    state: object
    put_batch: object
    compile_seconds: float


def repeated(step, state, put_batch):
    """run(num_steps), which makes as many steps, from the state on that the last call left."""
    import jax

    def run(num_steps):
        nonlocal state
        for _ in range(num_steps):
            state, _ = step(state, put_batch())
        jax.block_until_ready(state)

    return run


def settings_of(config):
    """What a Worker is told of a config, and `compile_step` below takes."""
    channels = CHANNELS.value or presets.channels(config.data.name)
    shape = [config.data.resolution] * 2 + [channels]
    return {"config": config.to_dict(), "shape": shape, "num_groups": GROUPS.value}


def compile_step(settings):
    """The OurStep of these settings, see `settings_of`."""
    import jax

    from refvae_jax.methods import METHODS, independence
    from refvae_jax.methods.base import DataInfo
    from refvae_jax.training import devices, setup
    from refvae_jax.training.step import make_update

    config = ConfigDict(settings["config"])
    mesh, size = devices.make_mesh(), config.batch_size
    devices.check_divides(size, mesh.size)
    info = DataInfo(tuple(settings["shape"]), 50_000, devices.platform_of(mesh))
    method = METHODS[config.method.name](config, info)
    optimizers = setup.make_optimizers(config, method.players)
    fresh = functools.partial(setup.initial_state, method, optimizers, config.seed)
    state = jax.jit(fresh, out_shardings=devices.replicated(mesh))()
    about, others = (settings["shape"], settings["num_groups"]), independence.num_others(config)
    batch = made_batch(method.supervision, size, *about, others)
    since = time.perf_counter()
    compiled = setup.compile_step(config, method, optimizers, mesh, state, batch)
    return OurStep(
        update=make_update(method, optimizers, config.seed),
        compiled=compiled,
        state=state,
        put_batch=functools.partial(devices.put_batch, batch, mesh),
        compile_seconds=time.perf_counter() - since,
    )
