"""Training: build, resume, and the one step loop."""

import contextlib
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax
import optax
from jax.experimental import multihost_utils

from refvae_jax import checkpoint, logs, parallel, state
from refvae_jax import config as configs
from refvae_jax.allocator import return_large
from refvae_jax.data import cache, order, settings
from refvae_jax.errors import UserError
from refvae_jax.logs import say
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.record import check_same_images, image_record
from refvae_jax.saturation import SaturationWatch
from refvae_jax.splits import classes, fair_rows, open_splits
from refvae_jax.validate import make_validate

INIT_STREAM = 0xFFFFFFFF  # fold_in's number for the initial parameters; steps count from 0.


class Built(NamedTuple):
    """What a config describes, before any training."""

    training_sets: settings.Sets
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
    """{player: Adam}, the critic's with the constants of `config.critic_optimizer`."""

    def adam(player):
        opt = config.critic_optimizer if player == "critic" else config.optimizer
        return optax.adam(schedule(config, opt.learning_rate), b1=opt.b1, b2=opt.b2)

    return {player: adam(player) for player in players}


def build(config):
    """Opens the data and makes the method and one optimiser for each of its players."""
    splits = open_splits(config)
    fair_rows(splits)  # What is wrong with the test part should not be told after training.
    if not classes(splits.train) and not splits.train.factors.names:
        say(
            "warning: nothing is known of these images to score by, so only pictures and "
            "reconstructions will tell how well it went: make class folders or a factors.csv."
        )
    info = DataInfo(tuple(splits.train.image.shape[1:]), len(splits.train.image))
    order.check_batch_size(config.batch_size, info.num_train_images, "training")
    method = METHODS[config.method.name](config, info)
    training_sets = settings.training_sets(config, method.setting)
    optimizers = make_optimizers(config, method.players)
    record = {"config": config.to_dict(), **image_record(splits.train)}
    return Built(training_sets, splits.validation, record, method, optimizers)


def initial_variables(method, seed):
    """The variables before the first step, a pure function of the seed and the backend."""
    # XLA's own generator: compiling the default one once for every parameter takes 10 s on a CPU.
    return method.init(jax.random.fold_in(jax.random.key(seed, impl="rbg"), INIT_STREAM))


@contextlib.contextmanager
def stop_on_sigterm():
    """Gives an Event that SIGTERM sets, so that the loop can save before it ends."""
    asked = threading.Event()
    previous = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)


def _agreed(asked, may_ask_others):
    """Whether to stop now: processes must agree on the step, so they only look at log steps."""
    if jax.process_count() == 1:
        return asked.is_set()
    return may_ask_others and bool(multihost_utils.process_allgather(asked.is_set()).any())


def _check_finite(nonfinite_step, checkpoints):
    if nonfinite_step >= 0:
        saved = checkpoints.latest_step()
        kept = f"The last checkpoint, of step {saved}, is good. " if saved else ""
        raise UserError(
            f"The loss or its gradient was not finite at step {int(nonfinite_step)}. {kept}Try a "
            f"lower --config.optimizer.learning_rate, or for gmvae a larger --config.method.delta."
        )


def parameter_table(variables):
    """Names, shapes and sizes of all parameters, as text."""
    from clu import parameter_overview  # Imports TensorFlow where there is one.

    return parameter_overview.get_parameter_overview(variables["params"], include_stats=False)


def compile_step(config, method, optimizers, mesh, current, batch):
    """The step(state, batch on the devices) -> (state, scalars), compiled.

    Args:
      config: gives the seed, the order of the updates and how they are mapped over the devices.
      method: Method.
      optimizers: {player: optax transformation}.
      mesh: of the devices.
      current: the state, replicated over the mesh.
      batch: of the shapes and types to come, in host memory.
    """
    how = config.parallel.map
    update = parallel.map_update(
        method, optimizers, config.seed, mesh, how, config.optimizer.updates
    )
    step_fn = update.lower(current, parallel.put_batch(batch, mesh, how)).compile()
    if jax.default_backend() == "cpu":
        return_large(step_fn.memory_analysis().temp_size_in_bytes)
    return step_fn


def start(config, workdir, built, mesh, checkpoints):
    """The compiled step, the state it goes on from, and the batches from there on.

    Resuming, in this order:
      1. a damaged or half-written checkpoint was set aside before (`set_damaged_aside`);
      2. the newest whole checkpoint gives the state, or there is none and the seed gives it;
      3. metrics.jsonl and timing.jsonl are cut back to its step;
      4. the batches begin at its step: they are a function of it, nothing is replayed.
    """

    def fresh():
        return state.create(initial_variables(built.method, config.seed), built.optimizers)

    sharding = parallel.replicated(mesh)
    shapes = jax.eval_shape(fresh)
    template = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes
    )
    say(parameter_table({"params": shapes.params}))
    current = checkpoints.restore(template)
    if current is None:
        current = jax.jit(fresh, out_shardings=sharding)()
    first = int(current.step)
    if jax.process_index() == 0:
        for name in ("metrics.jsonl", "timing.jsonl"):
            logs.cut_back(workdir / name, first)

    with ThreadPoolExecutor(1) as pool:  # TensorFlow loads while the step compiles.
        batches = pool.submit(settings.training_batches, built.training_sets, config, first)
        share = config.batch_size // jax.process_count()
        example = settings.example_batch(built.training_sets, share)
        step_fn = compile_step(config, built.method, built.optimizers, mesh, current, example)
        return step_fn, current, batches.result()


def train(config, workdir):
    """Trains to `config.num_train_steps`, from the newest checkpoint if there is one.

    Returns:
      True when the run is complete, False when SIGTERM ended it early (its state is saved).

    Raises:
      UserError: bad input, or a loss that is not finite.
    """
    workdir = Path(workdir)
    built = build(config)
    mesh = parallel.make_mesh()
    parallel.check_batch_size(config.batch_size, mesh.size)
    if config.parallel.map == "pmap":
        configs.check_images_a_replica(config, config.batch_size // mesh.size)
    num_steps, how = config.num_train_steps, config.parallel.map
    main = jax.process_index() == 0
    if main:
        checkpoint.set_damaged_aside(workdir)
    checkpoints = checkpoint.Checkpoints(workdir, config.keep_last, config.keep_every_steps)
    board = logs.TensorBoard(workdir)
    validate = make_validate(built.method, mesh, config.batch_size)

    # SIGTERM is held back until the last save is on disk.
    with stop_on_sigterm() as asked, contextlib.closing(checkpoints), contextlib.closing(board):
        if saved := checkpoints.latest_step():
            check_same_images(checkpoint.read_record(workdir, saved), built.record)
        if saved == num_steps:
            return True
        step_fn, current, batches = start(config, workdir, built, mesh, checkpoints)
        first = int(current.step)
        if first:
            say(f"resuming at step {first}")
        progress = logs.Progress(first, num_steps, config.batch_size)
        saturation = SaturationWatch()
        for step in range(first + 1, num_steps + 1):
            asked_for_data = time.perf_counter()
            batch = parallel.put_batch(next(batches), mesh, how)
            progress.waited += time.perf_counter() - asked_for_data
            current, scalars = step_fn(current, batch)
            if step == first + 1:
                jax.block_until_ready(current.step)
                say(f"first step done: {step}")

            last = step == num_steps
            log = last or step % config.log_every_steps == 0
            evaluate = last or step % config.eval_every_steps == 0
            stop = _agreed(asked, log)
            save = evaluate or stop or step % config.checkpoint_every_steps == 0
            if log or save:
                _check_finite(current.nonfinite_step, checkpoints)
            if log:
                row = {name: float(value) for name, value in jax.device_get(scalars).items()}
                speed = progress.report(step)
                say(logs.progress_line(step, num_steps, row, speed))
                saturation.look(step, row)
                if main:
                    logs.append(workdir / "metrics.jsonl", {"step": step} | row)
                    logs.append(workdir / "timing.jsonl", {"step": step} | speed)
                    board.write(step, row | {"images_per_second": speed["images_per_second"]})
            if save:
                since = time.perf_counter()
                metrics = None
                if evaluate:
                    row = validate(state.variables_of(current), built.validation_images)
                    metrics = {"recon": row["recon"]}
                    words = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
                    say(f"step {step}  validation {words}")
                    if main:
                        row = {f"validation/{name}": value for name, value in row.items()}
                        logs.append(workdir / "metrics.jsonl", {"step": step} | row)
                        board.write(step, row)
                checkpoints.save(current, built.record, metrics)
                progress.pause(time.perf_counter() - since)
            if stop:
                say(
                    f"stopping at step {step} as SIGTERM asked; the same command goes on from there"
                )
                return False
    return True
