"""A trace of some steps, which TensorBoard and XProf show.

with contextlib.closing(Profile(config, workdir)) as profile:
    profile.start_if_due(step, number)   # before the call that makes `number` steps after `step`
    profile.stop_if_due(step, scalars)   # after it

tensorboard --logdir=WORKDIR    # with the package tensorboard-plugin-profile, or xprof
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from refvae_jax import buckets
from refvae_jax.console import LOGGER
from refvae_jax.files import as_path, never_lost
from refvae_jax.training.scratch import scratch_folder

FOLDER = "profile"


class Profile:
    """Traces the calls that make any of the steps first_step, ..., first_step + num_steps - 1.

    Each process traces its own devices. The files are in `profile/` of the run's folder; those of a
    run in a bucket are uploaded when the trace ends.

    Args:
      config: `profile.first_step`, counted from 1, and `profile.num_steps`; with 0 nothing happens.
      workdir: the run's folder.
      check_ours: as of `train`.
    """

    def __init__(
        self,
        config: ConfigDict,
        workdir: str | Path,
        check_ours: Callable[[], None] = never_lost,
    ) -> None:
        self._check_ours = check_ours
        self._first = config.profile.first_step
        self._last = self._first + config.profile.num_steps - 1
        self._folder = as_path(workdir) / FOLDER
        self._open = contextlib.ExitStack()
        self._from = 0  # The first step of the trace that is running.

    def start_if_due(self, step: int, number: int) -> None:
        """Starts the trace if the next `number` steps, after `step`, are the first to trace."""
        if not self._from and step < self._last and self._first <= min(step + number, self._last):
            self._from = step + 1
            self._open.enter_context(self._trace())

    def stop_if_due(self, step: int, result: Any) -> None:
        """Ends the trace if `step` was the last one; waits for its result first."""
        if self._from and step >= self._last:
            jax.block_until_ready(result)
            self.close()
            LOGGER.info(f"profile of the steps {self._from} to {step} in {self._folder}")
            self._first = self._last = self._from = 0

    def close(self) -> None:
        """Ends a trace that is still running."""
        self._open.close()

    @contextlib.contextmanager
    def _trace(self) -> Iterator[None]:
        if not buckets.is_bucket(self._folder):
            with jax.profiler.trace(str(self._folder)):
                yield
            return
        with scratch_folder() as scratch:
            with jax.profiler.trace(str(scratch)):
                yield
            found = [path for path in scratch.rglob("*") if path.is_file()]
            files = {path.relative_to(scratch).as_posix(): path for path in found}
            buckets.upload(files, self._folder, self._check_ours)
