"""Training, read from top to bottom: `train` prepares, `start` resumes, `loop` steps."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
from clu import parameter_overview
from ml_collections import ConfigDict

from refvae_jax import config as configs
from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER, Progress, progress_line
from refvae_jax.data.batches import example_batch, stacked, training_batches
from refvae_jax.data.image_identity import check_same_images
from refvae_jax.data.splits import Splits
from refvae_jax.errors import UserError
from refvae_jax.files import as_path, never_lost
from refvae_jax.methods import independence
from refvae_jax.training import checkpoint, devices, processes
from refvae_jax.training.bucket_checkpoints import BucketCheckpoints
from refvae_jax.training.checkpoint import Checkpoints
from refvae_jax.training.journal import Journal
from refvae_jax.training.profile import Profile
from refvae_jax.training.run_folder import read_record
from refvae_jax.training.setup import (
    Prepared,
    compile_step,
    initial_state,
    initial_variables,
    place_state,
    prepare,
)
from refvae_jax.training.state import TrainState, variables_of
from refvae_jax.training.validation import make_validate
from refvae_jax.training.watches import LabelWatch, SaturationWatch

AnyCheckpoints = Checkpoints | BucketCheckpoints


def train(
    config: ConfigDict,
    workdir: str | Path,
    splits: Splits,
    check_ours: Callable[[], None] = never_lost,
    command: str = "",
) -> bool:
    """Trains to `config.num_train_steps`, from the newest checkpoint if there is one.

    Args:
      config: of the run.
      workdir: the run's folder.
      splits: of the config's data, see `data.splits.open_splits`.
      check_ours: raises if another run has taken over the folder, which only happens in buckets.
      command: as typed, to be noted; "" if called from Python.

    Returns:
      True when the run is complete, False when SIGTERM ended it early (its state is saved).

    Raises:
      UserError: bad input, or a loss that is not finite.
    """
    workdir = as_path(workdir)
    with processes.all_or_none():
        prepared = prepare(config, splits)
        if processes.is_main():
            checkpoint.move_damaged(workdir, check_ours)
    check_same_images_everywhere(prepared.record)
    journal = Journal(workdir, check_ours, command)
    checkpoints = open_checkpoints(config, workdir, journal, check_ours)
    # SIGTERM is held back until the last save is on disk, or in the bucket.
    with processes.stop_on_sigterm() as asked:
        profile = Profile(config, workdir, check_ours)
        with (
            contextlib.closing(journal),
            contextlib.closing(checkpoints),
            contextlib.closing(profile),
        ):
            saved = checkpoints.latest_step() or 0
            if saved:
                with processes.all_or_none():
                    check_same_images(read_record(workdir, saved), prepared.record)
            if saved > config.num_train_steps:
                raise UserError(
                    f"{workdir} is trained to step {saved} already: set --config.num_train_steps "
                    f"to that or more, or choose another --workdir."
                )
            if saved == config.num_train_steps:
                LOGGER.info(f"trained before, to step {saved}")
            elif not loop(config, prepared, checkpoints, journal, profile, asked):
                return False
    return True


def open_checkpoints(
    config: ConfigDict, workdir: Path, journal: Journal, check_ours: Callable[[], None]
) -> AnyCheckpoints:
    """The Checkpoints of a workdir, here or in a bucket; arguments as of `train`."""
    keep = config.keep_last, config.keep_every_steps
    if is_bucket(workdir):
        return BucketCheckpoints(workdir, *keep, check_ours, before_commit=journal.upload)
    return Checkpoints(workdir, *keep)


def start(
    config: ConfigDict, prepared: Prepared, checkpoints: AnyCheckpoints, journal: Journal
) -> tuple[Callable, TrainState, Iterator[dict]]:
    """The compiled steps, the state to start from, and the batches from there on.

    The first is steps(n), compiled when first asked for: (state, n batches) -> (state, scalars of
    the last step).

    Resuming, in this order:
      1. damaged and half-written checkpoints were moved away before (`move_damaged`);
      2. the newest whole checkpoint gives the state, or there is none and the seed gives it;
      3. metrics.jsonl, timing.jsonl and launches.jsonl are cut back to its step;
      4. the batches begin at its step: they are a function of it, nothing is replayed.
    """
    method, optimizers, mesh = prepared.method, prepared.optimizers, prepared.mesh
    fresh = functools.partial(initial_state, method, optimizers, config.seed)
    sharding = devices.replicated(mesh)
    shapes = jax.eval_shape(fresh)
    template = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes
    )
    restored = checkpoints.restore(template)
    first = 0 if restored is None else int(restored.step)
    if not first:
        LOGGER.info(parameter_overview.get_parameter_overview(shapes.params, include_stats=False))
    journal.cut_back(first)
    journal.launch(first)
    num_others = independence.num_others(config)
    sizes = (count // jax.process_count() for count in (config.batch_size, num_others))
    example = example_batch(prepared.training_sets, *sizes)

    @functools.cache
    def steps(number: int) -> jax.stages.Compiled:
        return compile_step(config, method, optimizers, mesh, template, example, number)

    batches = training_batches(prepared.training_sets, config, first, num_others)
    # While the step compiles the initial parameters are compiled and drawn.
    with ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(lambda: {} if restored else initial_variables(method, config.seed))
        with processes.all_or_none():  # The first call finds all of them ready.
            steps(steps_of_call(first, config))
        current = restored or place_state(drawn.result(), optimizers, mesh)
        return steps, current, batches


def steps_of_call(step: int, config: ConfigDict) -> int:
    """How many steps to make at once after `step`: steps_per_call, but 1 where that is too many.

    At the end of a call the host must see each step that is logged, validated or saved.
    """
    to_cadence = (config[name] - step % config[name] for name in configs.CADENCES)
    room = min(config.num_train_steps - step, *to_cadence)
    return config.steps_per_call if room >= config.steps_per_call else 1


def loop(
    config: ConfigDict,
    prepared: Prepared,
    checkpoints: AnyCheckpoints,
    journal: Journal,
    profile: Profile,
    asked: Callable[[int], bool],
) -> bool:
    """Every step from the newest checkpoint on; True at the last, False if `asked` ended it."""
    num_steps = config.num_train_steps
    validate = make_validate(prepared.method, prepared.mesh, config.batch_size)
    steps, current, batches = start(config, prepared, checkpoints, journal)
    step = first = int(current.step)
    if first:
        LOGGER.info(f"resuming at step {first}")
    progress = Progress(first, num_steps, config.batch_size)
    watches = (SaturationWatch(), LabelWatch())
    while step < num_steps:
        number = steps_of_call(step, config)
        since = time.perf_counter()
        steps_fn = steps(number)
        progress.pause(time.perf_counter() - since)  # It may have been compiled now.
        asked_for_data = time.perf_counter()
        batch = stacked([next(batches) for _ in range(number)])
        batch = devices.put_batch(batch, prepared.mesh, number)
        progress.waited += time.perf_counter() - asked_for_data
        profile.start_if_due(step, number)
        current, scalars = steps_fn(current, batch)
        if step == first:
            jax.block_until_ready(current.step)
            LOGGER.info(f"first step done: {step + number}")
        step += number
        profile.stop_if_due(step, scalars)

        last = step == num_steps
        log = last or step % config.log_every_steps == 0
        validating = last or step % config.validate_every_steps == 0
        stop = asked(step)
        save = validating or stop or step % config.checkpoint_every_steps == 0
        if log or save:
            check_finite(int(current.nonfinite_step), checkpoints)
        if log:
            row = {name: float(value) for name, value in jax.device_get(scalars).items()}
            speed = progress.report(step)
            LOGGER.info(progress_line(step, num_steps, row, speed))
            for watch in watches:
                watch.look(step, row)
            journal.write(step, row, speed)
        if stop:
            LOGGER.info(f"SIGTERM: saving step {step}")
        if save:
            since = time.perf_counter()
            metrics = None
            if validating:
                row = validate(variables_of(current), prepared.validation_images)
                report_validation(step, row, journal)
                # With the independence term images are reconstructed a little worse, so the best
                # checkpoint would be the last one without it.
                if step > independence.first_step(config):
                    metrics = {"recon": row["squared_error"]}
            checkpoints.save(current, prepared.record, metrics)
            progress.pause(time.perf_counter() - since)
        if stop:
            LOGGER.info(f"stopped by SIGTERM at step {step}; the same command resumes from there")
            return False
    return True


def check_finite(nonfinite_step: int, checkpoints: AnyCheckpoints) -> None:
    """Raises UserError unless `TrainState.nonfinite_step` says that every step was finite."""
    if nonfinite_step >= 0:
        saved = checkpoints.latest_step()
        kept = f"The last checkpoint, of step {saved}, is good. " if saved else ""
        raise UserError(
            f"The loss or its gradient was not finite at step {nonfinite_step}. {kept}Try a lower "
            f"--config.optimizer.learning_rate, with a discriminator a lower "
            f"--config.discriminator_optimizer.learning_rate, or for gmvae a larger "
            f"--config.method.delta."
        )


def report_validation(step: int, row: Mapping[str, float], journal: Journal) -> None:
    """Reports the scores {name: float} of a validation, on the terminal and in metrics.jsonl."""
    words = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
    LOGGER.info(f"step {step}  validation {words}")
    journal.write(step, {f"validation/{name}": value for name, value in row.items()})


def check_same_images_everywhere(record: dict[str, Any]) -> None:
    """Raises UserError if another process has other images."""
    images = {name: value for name, value in record.items() if name != "config"}
    processes.check_agreed(
        images,
        f"The processes of this run differ in their images: put copies of the same ones on each "
        f"host (here: {images}).",
    )
