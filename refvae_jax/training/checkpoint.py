"""Checkpoints that are whole or not there: Orbax, with a digest of every file.

A checkpoint is the folder `checkpoints/<step>` with the items

    variables  {"params", "mutable"}: all that inference needs
    rest       the rest of the TrainState (step, optimiser)
    record     JSON: {"config", "image_shape", "num_train_images", "train_digest"}
    metrics    JSON: {"recon"}, the validation error, if this step was validated

and MANIFEST.json, the SHA-256 of each file, written before Orbax renames the folder into place.
Orbax itself notices few flipped bits, so the digests are checked before anything is read; a
folder that fails is moved to `damaged/`, with a warning, and the previous checkpoint is used.
"""

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError
from refvae_jax.files import as_path, full_path, never_lost
from refvae_jax.training import processes
from refvae_jax.training.checkpoint_folder import (
    METADATA,
    damage,
    half_written,
    local_copy,
    move_aside,
    remove,
    write_manifest,
)
from refvae_jax.training.run_folder import CHECKPOINT_DIR, MANIFEST, find_run, record_in, steps
from refvae_jax.training.state import TrainState, variables_of

# Of a checkpoint that was not validated, or is damaged, as its digests say when it is read as a
# whole. One that cannot be read for another reason may be the best.
_NO_ERROR_THERE = (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError)


def _warn(step: int | str, problem: str) -> None:
    LOGGER.warning(f"checkpoint {step} is damaged: {problem}.")


def move_damaged(workdir: str | Path, check_ours: Callable[[], None] = never_lost) -> None:
    """Moves damaged checkpoints to `damaged/`, with a warning each; deletes half-written ones.

    Args:
      workdir: the run's folder.
      check_ours: raises if another run has taken the folder over; called before each change.
    """
    workdir = as_path(workdir)
    aside = workdir / "damaged"
    for step in steps(workdir):
        folder = workdir / CHECKPOINT_DIR / str(step)
        with local_copy(folder) as copy:
            problem = damage(copy)
        if problem:
            _move_aside(folder, aside, problem, check_ours)
    for half in half_written(workdir):
        if is_bucket(half) and (half / METADATA).exists():
            _move_aside(half, aside, f"its {MANIFEST} is lost", check_ours)
            continue
        if is_bucket(half):
            LOGGER.warning(f"checkpoint {half.name} has no {MANIFEST}, so it was removed.")
        check_ours()
        remove(half)


def _move_aside(folder: Path, aside: Path, problem: str, check_ours: Callable[[], None]) -> None:
    check_ours()
    _warn(folder.name, f"{problem}; moved to {aside}")
    move_aside(folder, aside / folder.name)


def _alone() -> ocp.options.MultiprocessingOptions:
    """Of one process that reads or writes; by default all of them wait for each other."""
    return ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"alone{jax.process_index()}",
    )


class Checkpoints:
    """Saves and restores TrainStates in a local workdir; one writer at a time.

    Args:
      workdir: the run's folder.
      keep_last: how many of the newest are kept, beside the one of lowest validation error.
      keep_every_steps: also keep those at multiples of this; 0 for none.
      alone: only this one of several processes uses the folder; else all of them do.
    """

    def __init__(
        self, workdir: str | Path, keep_last: int, keep_every_steps: int, alone: bool = False
    ) -> None:
        self._folder = Path(workdir).resolve() / CHECKPOINT_DIR
        policies = [
            policy.LatestN(keep_last),
            # Orbax sorts ascending and keeps the last.
            policy.BestN(
                get_metric_fn=lambda m: m["recon"],
                reverse=True,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        if keep_every_steps:
            policies.append(policy.EveryNSteps(keep_every_steps))
        options = ocp.CheckpointManagerOptions(
            best_fn=lambda m: m["recon"],  # Without it Orbax writes no metrics.
            best_mode="min",
            preservation_policy=policy.AnyPreservationPolicy(policies),
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_manifest),
        )
        if alone:
            self._folder.mkdir(parents=True, exist_ok=True)
            options.multiprocessing_options, options.create = _alone(), False
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def _write_manifest(self) -> None:
        # Called when all files of a save are written and the folder is not yet renamed into
        # place: the rename then commits the data and their digests together.
        if processes.is_main():
            (folder,) = self._folder.glob("*orbax-checkpoint-tmp*")
            write_manifest(folder)

    def save(
        self,
        state: TrainState,
        record: dict[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Starts writing the state; it is on disk after the next `save`, or `close`.

        Args:
          state: replicated over the devices.
          record: a JSON-ready dict, see the module's docstring.
          metrics: {"recon": float} if this step was validated.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        rest = {"opt_state": state.opt_state, "nonfinite_step": state.nonfinite_step}
        items = ocp.args.Composite(
            variables=ocp.args.StandardSave(variables_of(state)),
            rest=ocp.args.StandardSave(rest | {"step": state.step}),
            record=ocp.args.JsonSave(record),
        )
        self._manager.save(step, args=items, metrics=metrics)

    def latest_step(self) -> int | None:
        """The newest step on disk, or None; waits for a running save."""
        self._manager.wait_until_finished()
        return self._manager.latest_step()

    def restore(self, template: TrainState) -> TrainState | None:
        """The newest state, on the devices of the template, or None if there is none."""
        step = self._manager.latest_step()
        if step is None:
            return None
        rest = {"opt_state": template.opt_state, "nonfinite_step": template.nonfinite_step}
        items = ocp.args.Composite(
            variables=ocp.args.StandardRestore(variables_of(template)),
            rest=ocp.args.StandardRestore(rest | {"step": template.step}),
        )
        got = self._manager.restore(step, args=items)
        return TrainState(**got["rest"], **got["variables"])

    def close(self) -> None:
        """Waits until the last save is on disk; raises the error of that save, if any."""
        try:
            self._manager.wait_until_finished()
        finally:
            self._manager.close()


def validation_errors(workdir: str | Path) -> dict[int, float]:
    """{step: validation error} of the checkpoints that were validated."""
    found = {}
    for step in steps(workdir):
        path = as_path(workdir) / CHECKPOINT_DIR / str(step) / "metrics" / "metrics"
        with contextlib.suppress(*_NO_ERROR_THERE):
            found[step] = float(json.loads(path.read_text())["recon"])
    return found


def _variables_in(folder: Path) -> dict[str, Any]:
    """The variables of a local checkpoint folder, as numpy arrays."""
    # A Checkpointer would warn that a part of a checkpoint has no metadata of a whole one.
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
    with contextlib.closing(handler) as reader:
        tree = reader.metadata(folder / "variables").tree
        template = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
        return reader.restore(folder / "variables", args=ocp.args.StandardRestore(template))


def load(
    workdir: str | Path, step: str | int = "best"
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Reads a checkpoint for inference, as numpy arrays, on any devices.

    Args:
      workdir: the run's folder.
      step: "best" (lowest validation error, or else the newest), "last", or a number.

    Returns:
      (variables, record, step)

    Raises:
      UserError: there is no such run or checkpoint, or none that is whole.
    """
    workdir = full_path(find_run(workdir))
    present = steps(workdir)
    if step == "best":
        errors = validation_errors(workdir)
        # Those without an error come last, the newest first.
        order = sorted(present, key=lambda s: (errors.get(s, math.inf), -s))
    else:
        order = present[::-1] if step == "last" else [s for s in present if str(s) == str(step)]
    for candidate in order:
        with local_copy(workdir / CHECKPOINT_DIR / str(candidate)) as folder:
            if problem := damage(folder):
                _warn(candidate, problem)
            else:
                return _variables_in(folder), record_in(folder), candidate
    if present and not order:
        raise UserError(
            f"{workdir} has no checkpoint {step!r}: name one of {', '.join(map(str, present))}, or "
            f"'best' or 'last'."
        )
    if others := sorted(set(present) - set(order)):
        raise UserError(
            f"Checkpoint {step} of {workdir} is damaged: name one of "
            f"{', '.join(map(str, others))}, or 'best' or 'last'."
        )
    have = f"all of {', '.join(map(str, order))} are damaged" if order else "it has none"
    raise UserError(
        f"{workdir} has no usable checkpoint ({have}): train there first, with "
        f"python launch.py --config=... --workdir={workdir}."
    )
