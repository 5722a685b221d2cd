"""Checkpoints in a bucket: written by Orbax on the local disk, uploaded while training goes on.

A checkpoint has the files of a local one (`checkpoint.py`), so a run can be copied from a bucket to
a disk and back. The first process writes; every process reads for itself, so hosts need no disk in
common.
"""

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from refvae_jax import buckets
from refvae_jax.errors import UserError
from refvae_jax.training import processes
from refvae_jax.training.checkpoint import Checkpoints, validation_errors
from refvae_jax.training.checkpoint_folder import METADATA, damage, local_copy, remove
from refvae_jax.training.run_folder import CHECKPOINT_DIR, MANIFEST, steps
from refvae_jax.training.scratch import scratch_folder
from refvae_jax.training.state import TrainState


def kept(
    present: list[int], errors: Mapping[int, float], keep_last: int, keep_every_steps: int
) -> set[int]:
    """The steps to keep: the newest, that of the lowest validation error, and the regular ones.

    Args:
      present: steps, ascending.
      errors: {step: validation error} of those that were validated.
      keep_last: how many of the newest.
      keep_every_steps: multiples of this; 0 for none.
    """
    best = sorted(errors, key=lambda step: (errors[step], -step))[:1]
    regular = [step for step in present if keep_every_steps and step % keep_every_steps == 0]
    return {*present[-keep_last:], *best, *regular}


class BucketCheckpoints:
    """As `checkpoint.Checkpoints`, of a workdir in a bucket.

    Args:
      workdir: the run's folder.
      keep_last, keep_every_steps: as of Checkpoints.
      check_ours: raises if another run has taken the folder over; called before each change.
      before_commit: writes what must be there when the checkpoint is.
    """

    def __init__(
        self,
        workdir: Path,
        keep_last: int,
        keep_every_steps: int,
        check_ours: Callable[[], None],
        before_commit: Callable[[], None],
    ) -> None:
        self._workdir = workdir
        self._keep = keep_last, keep_every_steps
        self._check_ours, self._before_commit = check_ours, before_commit
        self._pool = ThreadPoolExecutor(1, "upload")
        self._running: Future | None = None

    def _wait(self) -> None:
        """Until no save is running; raises the error of the last one."""
        running, self._running = self._running, None
        if running:
            running.result()

    def save(
        self,
        state: TrainState,
        record: dict[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Starts writing the state; it is in the bucket after the next `save`, or `close`.

        Arguments as of `Checkpoints.save`.
        """
        self._wait()
        if processes.is_main():
            # The step that comes next reuses the arrays on the device.
            here = jax.device_get(state)
            self._running = self._pool.submit(self._write, here, record, metrics)

    @processes.undisturbed()
    def _write(
        self, state: TrainState, record: dict[str, Any], metrics: Mapping[str, float] | None
    ) -> None:
        name = str(int(state.step))
        with scratch_folder() as scratch:
            with contextlib.closing(Checkpoints(scratch, 1, 0, alone=True)) as local:
                local.save(state, record, metrics)
            folder = scratch / CHECKPOINT_DIR / name
            target = self._workdir / CHECKPOINT_DIR / name
            files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
            files.pop("commit_success.txt", None)  # Orbax's; here the manifest is the mark.
            last = {name: files.pop(name) for name in (METADATA, MANIFEST)}
            buckets.upload(files, target, self._check_ours)
            self._before_commit()
            for file, path in last.items():  # In this order, see `checkpoint_folder`.
                buckets.upload({file: path}, target, self._check_ours)
        present = steps(self._workdir)
        for step in set(present) - kept(present, validation_errors(self._workdir), *self._keep):
            self._check_ours()
            remove(self._workdir / CHECKPOINT_DIR / str(step))

    def latest_step(self) -> int | None:
        """The newest step in the bucket, or None; waits for a running save."""
        self._wait()
        return max(steps(self._workdir), default=None)

    def restore(self, template: TrainState) -> TrainState | None:
        """The newest state, on the devices of the template, or None if there is none."""
        step = self.latest_step()
        if step is None:
            return None
        with local_copy(self._workdir / CHECKPOINT_DIR / str(step)) as folder:
            if problem := damage(folder):
                raise UserError(
                    f"Checkpoint {step} of {self._workdir} changed while it was read, since "
                    f"{problem}: run again."
                )
            scratch = folder.parent.parent
            with contextlib.closing(Checkpoints(scratch, 1, 0, alone=True)) as local:
                return local.restore(template)

    def close(self) -> None:
        """Waits until the last save is in the bucket; raises the error of that save, if any."""
        try:
            self._wait()
        finally:
            self._pool.shutdown()
