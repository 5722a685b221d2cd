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
import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError
from refvae_jax.training import processes
from refvae_jax.training.run_folder import CHECKPOINT_DIR, find_run, steps
from refvae_jax.training.state import TrainState, variables_of

MANIFEST = "MANIFEST.json"


def _digest(path: Path) -> str:
    """SHA-256 of a file; of Orbax's own metadata, without the time that the rename adds to it."""
    if path.name == "_CHECKPOINT_METADATA":
        content = json.loads(path.read_text())
        content.pop("commit_timestamp_nsecs", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """{relative path: digest} of every file below the folder but the manifest itself."""
    # Not there yet when the manifest is written.
    later = (folder / MANIFEST, folder / "commit_success.txt")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in later)
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def damage(folder: Path) -> str:
    """What is wrong with a checkpoint folder, as a phrase; "" if every file is as written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        found = _digests(folder)
    except (OSError, ValueError) as error:
        return f"its files cannot be read ({type(error).__name__})"
    wrong = [n for n in sorted(manifest.keys() | found.keys()) if manifest.get(n) != found.get(n)]
    return f"{wrong[0]} is not as it was written" if wrong else ""


def _warn(step: int, problem: str) -> None:
    LOGGER.warning(f"checkpoint {step} is damaged: {problem}.")


def move_damaged(workdir: str | Path) -> None:
    """Moves damaged checkpoints to `damaged/`, with a warning each; deletes half-written ones."""
    workdir = Path(workdir)
    aside = workdir / "damaged"
    for step in steps(workdir):
        folder = workdir / CHECKPOINT_DIR / str(step)
        if problem := damage(folder):
            _warn(step, f"{problem}; moved to {aside}")
            aside.mkdir(exist_ok=True)
            shutil.rmtree(aside / folder.name, ignore_errors=True)
            folder.rename(aside / folder.name)
    for half in (workdir / CHECKPOINT_DIR).glob("*orbax-checkpoint-tmp*"):
        shutil.rmtree(half)  # A save that a kill cut short: never committed.


class Checkpoints:
    """Saves and restores TrainStates in a workdir; one writer at a time.

    Args:
      workdir: the run's folder.
      keep_last: how many of the newest are kept, beside the one of lowest validation error.
      keep_every_steps: also keep those at multiples of this; 0 for none.
    """

    def __init__(self, workdir: str | Path, keep_last: int, keep_every_steps: int) -> None:
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
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def _write_manifest(self) -> None:
        # Called when all files of a save are written and the folder is not yet renamed into
        # place: the rename then commits the data and their digests together.
        if processes.is_main():
            (folder,) = self._folder.glob("*orbax-checkpoint-tmp*")
            (folder / MANIFEST).write_text(json.dumps(_digests(folder)))

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
        path = Path(workdir) / CHECKPOINT_DIR / str(step) / "metrics" / "metrics"
        # Not validated, or damaged: then the digests will say so when it is read as a whole.
        with contextlib.suppress(OSError, ValueError, KeyError):
            found[step] = float(json.loads(path.read_text())["recon"])
    return found


def read_record(workdir: str | Path, step: int) -> dict[str, Any]:
    """What was saved beside the parameters of a checkpoint: its config and the images' shape."""
    folder = Path(workdir) / CHECKPOINT_DIR / str(step)
    return json.loads((folder / "record" / "metadata").read_text())


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
    workdir = find_run(workdir).resolve()
    present = steps(workdir)
    if step == "best":
        errors = validation_errors(workdir)
        # Those without an error come last, the newest first.
        order = sorted(present, key=lambda s: (errors.get(s, math.inf), -s))
    else:
        order = present[::-1] if step == "last" else [s for s in present if str(s) == str(step)]
    for candidate in order:
        folder = workdir / CHECKPOINT_DIR / str(candidate)
        if problem := damage(folder):
            _warn(candidate, problem)
            continue
        # Every process may read alone: by default Orbax makes all of them wait for each other.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(),
            active_processes={jax.process_index()},
            barrier_sync_key_prefix=f"load{jax.process_index()}",
        )
        # A Checkpointer would warn that a part of a checkpoint has no metadata of a whole one.
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        with contextlib.closing(handler) as reader:
            tree = reader.metadata(folder / "variables").tree
            template = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)
            variables = reader.restore(
                folder / "variables", args=ocp.args.StandardRestore(template)
            )
        return variables, read_record(workdir, candidate), candidate
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
        f"{workdir} has no usable checkpoint ({have}): train there first, with --mode=train."
    )
