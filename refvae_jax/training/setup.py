"""From a config to the parts of its training: data, method, optimisers, the compiled step."""

from typing import NamedTuple

import jax
import optax

from refvae_jax.console import LOGGER
from refvae_jax.data import batches, cache, order
from refvae_jax.data.image_identity import image_record
from refvae_jax.data.splits import classes, fair_rows
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.training import devices, state
from refvae_jax.training.allocator import return_large

INIT_STREAM = 0xFFFFFFFF  # fold_in's number for the initial parameters; steps count from 0.


class Prepared(NamedTuple):
    """What a config describes, before any training."""

    training_sets: batches.Sets
    validation_images: cache.ImageSet
    record: dict
    method: object
    optimizers: dict


def schedule(config, learning_rate):
    """The learning rate as a function of the step: that of step 0, times a falling factor."""
    opt, total = config.optimizer, config.num_train_steps
    if opt.schedule == "cosine":
        return optax.cosine_decay_schedule(learning_rate, total)
    drops = {round(share * total): opt.decay_factor for share in opt.decay_at}
    return optax.piecewise_constant_schedule(learning_rate, drops)


def make_optimizers(config, players):
    """{player: Adam}, the discriminator's with the constants of `config.discriminator_optimizer`."""

    def adam(player):
        opt = config.discriminator_optimizer if player == "discriminator" else config.optimizer
        return optax.adam(schedule(config, opt.learning_rate), b1=opt.b1, b2=opt.b2)

    return {player: adam(player) for player in players}


def prepare(config, splits, mesh):
    """Makes the method for the mesh, optimisers and training sets; checks the Splits."""
    fair_rows(splits)  # What is wrong with the test part should not be told after training.
    if not classes(splits.train) and not splits.train.factors.names:
        LOGGER.warning(
            "nothing is known of these images to score by, so only pictures and "
            "reconstructions will tell how well it went: make class folders or a factors.csv."
        )
    shape, count = tuple(splits.train.image.shape[1:]), len(splits.train.image)
    info = DataInfo(shape, count, devices.hardware_of(mesh))
    order.check_batch_size(config.batch_size, info.num_train_images, "training")
    method = METHODS[config.method.name](config, info)
    training_sets = batches.training_sets(config, method.supervision, splits)
    optimizers = make_optimizers(config, method.players)
    record = {"config": config.to_dict(), **image_record(splits.train, splits.reference)}
    return Prepared(training_sets, splits.validation, record, method, optimizers)


def initial_variables(method, seed):
    """The variables before the first step, a pure function of the seed and the backend."""
    # XLA's own generator: compiling the default one once for every parameter takes 10 s on a CPU.
    return method.init(jax.random.fold_in(jax.random.key(seed, impl="rbg"), INIT_STREAM))


def initial_state(method, optimizers, seed):
    """The State before the first step; a pure function that jax.jit and jax.eval_shape take."""
    return state.create(initial_variables(method, seed), optimizers)


def compile_step(config, method, optimizers, mesh, current, batch):
    """The step(state, batch on the devices) -> (state, scalars), compiled.

    Args:
      config: gives the seed and how the step is mapped over the devices.
      method: Method.
      optimizers: {player: optax transformation}.
      mesh: of the devices.
      current: the state, replicated over the mesh.
      batch: of the shapes and types to come, in host memory.
    """
    how = config.parallel.map
    update = devices.map_update(method, optimizers, config.seed, mesh, how)
    step_fn = update.lower(current, devices.put_batch(batch, mesh)).compile()
    if jax.default_backend() == "cpu":
        return_large(step_fn.memory_analysis().temp_size_in_bytes)
    return step_fn
