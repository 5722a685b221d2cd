"""From a config to the parts of its training: data, method, optimisers, the compiled step."""

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from refvae_jax.config import CADENCES
from refvae_jax.console import LOGGER
from refvae_jax.data import batches, cache, order
from refvae_jax.data.image_identity import image_record
from refvae_jax.data.pipeline import Sets
from refvae_jax.data.readers.source import ARRAYS_DATASET, FOLDER_DATASET
from refvae_jax.data.splits import Splits, categorical_factors, fair_rows
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS, independence
from refvae_jax.methods.base import DataInfo, Method
from refvae_jax.training import devices, state
from refvae_jax.training.allocator import return_large, return_unused

INIT_STREAM = 0xFFFFFFFF  # fold_in's number for the initial parameters; steps count from 0.

# What XLA takes out of a loop it no longer computes together with the rest, so that a few numbers
# are rounded otherwise than in a step outside of a loop.
AS_OUTSIDE_OF_LOOPS = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"}

Optimizers = dict[str, optax.GradientTransformation]  # Of each player.


class Prepared(NamedTuple):
    """What a config describes, before any training."""

    training_sets: batches.Sets
    validation_images: cache.ImageSet
    record: dict[str, Any]
    method: Method
    optimizers: Optimizers
    mesh: Mesh


def prepare(config: ConfigDict, splits: Splits) -> Prepared:
    """Makes the mesh, the method, one optimiser per player and the training sets.

    Raises:
      UserError: the Splits, or the config, cannot be trained and evaluated with.
    """
    mesh = devices.make_mesh()
    devices.check_divides(config.batch_size, mesh.size)
    if not categorical_factors(splits.train) and not splits.train.factors.continuous_names:
        LOGGER.warning(
            f"nothing is known of these images to score by, so only pictures and reconstructions "
            f"will show how well it went: {_to_score_by(config.data.name)}."
        )
    if any(config[name] % config.steps_per_call for name in CADENCES):
        LOGGER.warning(
            f"config.steps_per_call {config.steps_per_call} does not divide every cadence "
            f"({', '.join(CADENCES)}): the steps that are left over are made one by one, "
            f"by a second program."
        )
    shape, count = splits.train.image.shape[1:], len(splits.train.image)
    info = DataInfo(tuple(shape), count, devices.platform_of(mesh))
    method = METHODS[config.method.name](config, info)
    training_sets = batches.training_sets(config, method.supervision, splits, mesh.size)
    order.check_batch_size(config.batch_size, count, "training", mesh.size)
    fair_rows(splits)  # Report errors in the test split now, not after training.
    check_accumulation(config, method, mesh.size)
    check_others(config, training_sets, mesh.size)
    optimizers = make_optimizers(config, method.players)
    record = {"config": config.to_dict(), **image_record(splits.train, splits.reference)}
    return Prepared(training_sets, splits.validation, record, method, optimizers, mesh)


def _to_score_by(dataset: str) -> str:
    """What to do so that the images of a data.name can be scored, as an advice."""
    return {
        FOLDER_DATASET: "make class folders or a factors.csv",
        ARRAYS_DATASET: "add an array `label` or `factors`",
    }.get(dataset, "set data.label or data.factors")


def check_accumulation(config: ConfigDict, method: Method, num_devices: int) -> None:
    """Raises UserError unless the batch may be computed in `optimizer.accumulate_steps` parts."""
    parts, size = config.optimizer.accumulate_steps, config.batch_size
    if parts > 1 and method.over_batch:
        raise UserError(
            f"config.optimizer.accumulate_steps is {parts}, but {config.method.name} computes "
            f"{method.over_batch} over the whole batch, so its parts do not add up to it: set "
            f"--config.optimizer.accumulate_steps=1."
        )
    unit = parts * num_devices
    if size % unit:
        raise UserError(
            f"config.batch_size {size} does not divide into {parts} parts "
            f"(config.optimizer.accumulate_steps) on each of {num_devices} devices: take a "
            f"multiple of {unit}, for example --config.batch_size={max(size - size % unit, unit)}."
        )


def check_others(config: ConfigDict, sets: Sets, num_devices: int) -> None:
    """Raises UserError unless the images that the independence term compares can be had."""
    if not independence.num_others(config):
        return
    name, asked = "config.method.independence_batch", config.method.independence_batch
    least = min(len(next(iter(fields.values()))) for fields in sets.values())
    if asked > least:
        raise UserError(
            f"{name} is {asked}, but there are {least} images: set --{name}={least} or fewer."
        )
    devices.check_divides(asked, num_devices, name)


def make_optimizers(config: ConfigDict, players: Iterable[str]) -> Optimizers:
    """Adam for each player, the discriminator's with `config.discriminator_optimizer`."""

    def adam(player: str) -> optax.GradientTransformation:
        opt = config.discriminator_optimizer if player == "discriminator" else config.optimizer
        return optax.adam(schedule(config, opt.learning_rate), b1=opt.b1, b2=opt.b2)

    return {player: adam(player) for player in players}


def schedule(config: ConfigDict, learning_rate: float) -> optax.Schedule:
    """The learning rate as a function of the number of updates made.

    It falls from `learning_rate` by `optimizer.schedule`, and in the first W = warmup_steps updates
    it is that times 1 / W, 2 / W, ..., 1.
    """
    opt, total = config.optimizer, config.num_train_steps
    if opt.schedule == "cosine":
        falling = optax.cosine_decay_schedule(learning_rate, total)
    else:
        drops = {round(share * total): opt.decay_factor for share in opt.decay_at}
        falling = optax.piecewise_constant_schedule(learning_rate, drops)
    if not opt.warmup_steps:
        return falling
    return lambda count: falling(count) * jnp.minimum(1, (count + 1) / opt.warmup_steps)


def initial_variables(method: Method, seed: int) -> dict[str, Any]:
    """The variables before the first step, a pure function of the seed and the backend."""
    # XLA's own generator: compiling the default one once for every parameter takes 10 s on a CPU.
    rng = jax.random.fold_in(jax.random.key(seed, impl="rbg"), INIT_STREAM)
    return jax.jit(method.init)(rng)  # Else every operation would be compiled on its own.


def initial_state(method: Method, optimizers: Optimizers, seed: int) -> state.TrainState:
    """The state before the first step; a pure function that jax.jit and jax.eval_shape take."""
    return state.create(initial_variables(method, seed), optimizers)


def place_state(variables: dict[str, Any], optimizers: Optimizers, mesh: Mesh) -> state.TrainState:
    """The state before the first step, replicated over the mesh, of the `initial_variables`.

    These are drawn by a program of their own, which evaluation needs too: compiled once for both.
    """
    create = functools.partial(state.create, optimizers=optimizers)
    # From host memory, which every process of the mesh may put on its devices.
    return jax.jit(create, out_shardings=devices.replicated(mesh))(jax.device_get(variables))


def lower_step(
    config: ConfigDict,
    method: Method,
    optimizers: Optimizers,
    mesh: Mesh,
    current: Any,
    batch: Any,
    num_batches: int = 1,
) -> Any:
    """The jax.stages.Lowered of `compile_step`; shapes will do for the state and the batch."""
    how, accumulate_steps = config.parallel.map, config.optimizer.accumulate_steps
    update = devices.map_update(
        method, optimizers, config.seed, mesh, how, accumulate_steps, num_batches
    )
    return update.lower(current, batch)


def compile_step(
    config: ConfigDict,
    method: Method,
    optimizers: Optimizers,
    mesh: Mesh,
    current: state.TrainState,
    batch: dict[str, Any],
    num_batches: int = 1,
) -> jax.stages.Compiled:
    """The step(state, batch on the devices) -> (state, scalars), compiled.

    With `num_batches` > 1 as many steps, for that many batches, see `step.in_a_row`.

    Args:
      config: gives the seed and how the step is mapped over the devices.
      method: whose losses are minimised.
      optimizers: of the method's players.
      mesh: of the devices.
      current: the state, replicated over the mesh, or its shapes and shardings.
      batch: of the shapes and types to come, in host memory.
      num_batches: batches of a call.
    """
    batch = batches.stacked([batch] * num_batches)
    placed = devices.put_batch(batch, mesh, num_batches)
    lowered = lower_step(config, method, optimizers, mesh, current, placed, num_batches)
    on_cpu = devices.platform_of(mesh) == "cpu"
    step_fn = lowered.compile(AS_OUTSIDE_OF_LOOPS if on_cpu and num_batches > 1 else None)
    if on_cpu:
        return_large(step_fn.memory_analysis().temp_size_in_bytes)
        return_unused()
    return step_fn
